"""The medians as a picture: one panel for each scenario, one bar for each subject, shorter is better."""

import statistics
import xml.sax.saxutils

from subjects import SUBJECTS

WIDTH, LABEL, BAR, GAP, PANEL_HEAD, MARGIN = 860, 230, 18, 6, 44, 24
OURS, OTHERS, INK, PALE = "#0b7a75", "#9aa5b1", "#1f2933", "#616e7c"
FIGURES = {
    "cpu_us": "CPU µs for each {unit}",
    "p50_us": "p50 (bar) and p99 (tick), µs",
    "busy_mib": "resident MiB: busy (bar), idle (tick)",
}
TICKS = {"p50_us": "p99_us", "busy_mib": "idle_mib"}


def svg(report, names, scenarios):
    parts, y = [], MARGIN
    for key, scenario in scenarios.items():
        samples = [s for s in report["samples"] if s["scenario"] == key and scenario.figure in s]
        if samples:
            parts += panel(scenario, samples, names, y)
            y += PANEL_HEAD + (BAR + GAP) * len({s["name"] for s in samples}) + MARGIN
    machine = report["machine"]
    parts.append(line(MARGIN, y, f"{machine['processor']}, {machine['when']}; medians of {machine['rounds']} rounds", PALE, 11))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {y + MARGIN}" font-family="system-ui, sans-serif">'
        f'<rect width="100%" height="100%" fill="#fff"/>{"".join(parts)}</svg>\n'
    )


def panel(scenario, samples, names, y):
    yield line(MARGIN, y + 14, scenario.title, INK, 15, "600")
    yield line(MARGIN, y + 32, FIGURES[scenario.figure].format(unit=scenario.unit), PALE, 12)
    median = lambda name, key: statistics.median([s[key] for s in samples if s["name"] == name and key in s])
    shown = [name for name in names if any(s["name"] == name for s in samples)]
    tick = TICKS.get(scenario.figure)
    most = max(median(name, key) for name in shown for key in (scenario.figure, tick) if key)
    scale = (WIDTH - LABEL - 2 * MARGIN - 70) / most
    for row, name in enumerate(shown):
        top = y + PANEL_HEAD + row * (BAR + GAP)
        value = median(name, scenario.figure)
        width = max(1, value * scale)
        colour = OURS if name.startswith("raceway") else OTHERS
        end = width
        yield line(MARGIN, top + 13, SUBJECTS[name].title, INK, 12)
        yield f'<rect x="{LABEL}" y="{top}" width="{width:.1f}" height="{BAR}" rx="2" fill="{colour}"/>'
        said = f"{value:,.1f}" if value < 100 else f"{value:,.0f}"
        if tick:
            other = median(name, tick)
            at = LABEL + other * scale
            yield f'<path d="M{at:.1f} {top}v{BAR}" stroke="{INK}" stroke-width="2"/>'
            end = max(width, other * scale)
            said += f" | {other:,.1f}" if other < 100 else f" | {other:,.0f}"
        yield line(LABEL + end + 8, top + 13, said, INK, 12)


def line(x, y, text, colour, size, weight="400"):
    text = xml.sax.saxutils.escape(text)
    return f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" font-weight="{weight}" fill="{colour}">{text}</text>'
