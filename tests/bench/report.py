"""The tables, and on which machine they were measured."""

import os
import pathlib
import platform
import re
import statistics
import subprocess
import time

from measure import read
from subjects import SUBJECTS

REPO = pathlib.Path(__file__).resolve().parent.parent.parent
REFERENCE = "haproxy"
# Below this share of its core the proxy was not what limited the requests per second.
SATURATED = 0.95
# More than this of the proxy's core for anything else, and its caches are not its own. Softirqs take some, which the
# kernel charges to nobody.
OTHERS_MAX = 0.1


def machine(args, names, cores):
    processor = re.search(r"model name\s*: (.*)", read("/proc/cpuinfo"))
    memory = re.search(r"MemTotal:\s+(\d+)", read("/proc/meminfo"))
    commands = {
        "nginx": ["nginx", "-v"],
        "wrk": ["wrk", "-v"],
        "h2load": ["h2load", "--version"],
        "haproxy": ["haproxy", "-v"],
        "envoy": [args.envoy, "--version"],
        "caddy": [args.caddy, "version"],
        "raceway": [args.proxy, "--version"],
    }
    used = {"nginx", "wrk", "h2load"} | {SUBJECTS[name].tool for name in names}
    tools = {tool: command for tool, command in commands.items() if tool in used}
    versions = {tool: version(command) for tool, command in tools.items()}
    if "raceway" in versions:
        built = time.strftime("%Y-%m-%d %H:%M", time.localtime(os.stat(args.proxy).st_mtime))
        commit = subprocess.run(["git", "-C", REPO, "describe", "--always", "--dirty"], capture_output=True, text=True)
        versions["raceway"] += f" (built {built}; the working tree is at {commit.stdout.strip() or 'no commit'})"
    return {
        "when": time.strftime("%Y-%m-%d %H:%M %Z"),
        "processor": processor[1] if processor else platform.machine(),
        "virtual": " hypervisor" in read("/proc/cpuinfo"),
        "cores": len(cores),
        "memory_gib": round(int(memory[1]) / 2**20, 1),
        "system": f"{platform.system()} {platform.release()}",
        "load_average": os.getloadavg()[0],
        "versions": versions,
        "rounds": args.rounds,
        "seconds": args.seconds,
        "connections": args.connections,
    }


def version(command):
    try:
        said = subprocess.run(command, capture_output=True, text=True)
    except OSError:
        return "not there"
    found = re.search(r"\d+\.\d+\.\d+", said.stdout + said.stderr)
    return found[0] if found else "unknown version"


# Key of a sample, title of its column, digits. `x` stands for the ratio to the reference, pair by pair.
COST = (("cpu_us", "CPU µs/{unit}", 1), ("user_us", "user", 1), ("system_us", "system", 1), ("x", "times HAProxy", 2))
BUSY = (("core_busy", "core busy, %", 0),)
COLUMNS = {
    "latency": (("p50_us", "p50 µs", 0), ("x", "times HAProxy", 2), ("p99_us", "p99 µs", 0), ("p999_us", "p99.9 µs", 0)),
    "memory": (("start_mib", "MiB at start", 1), ("idle_mib", "idle", 1), ("busy_mib", "busy", 1)),
}


def columns(key, scenario):
    rate = ("mb_per_s", "MB/s", 0) if scenario.unit == "MB" else ("rps", "req/s", 0)
    return COLUMNS.get(key, (*COST, rate, *BUSY))


def text(report, names, scenarios):
    """All tables as Markdown, and what to know about them. Adds to `left_out` what lost spans."""
    samples = report["samples"]
    lines = [about(report["machine"])]
    notes = [f"LEFT OUT: {why}" for why in report["left_out"]]
    for key, scenario in scenarios.items():
        table = [sample for sample in samples if sample["scenario"] == key]
        if table:
            lines += ["", f"**{scenario.title}** ({scenario.load_is})", "", *rows(table, key, scenario, names)]
            notes += remarks(table, key, names, report)
    others = [s["others_busy"] for s in samples if "others_busy" in s]
    if others and statistics.median(others) > OTHERS_MAX:
        notes.append(
            f"DO NOT TRUST THESE FIGURES: others had {100 * statistics.median(others):.0f} % of the proxy's core "
            "(median); measure on a machine that does nothing else."
        )
    yardsticks = [ms for s in samples for ms in s.get("yardstick_ms", ())]
    if yardsticks:
        median, worst = statistics.median(yardsticks) / min(yardsticks), max(yardsticks) / min(yardsticks)
        notes.append(
            f"The same work on the proxy's core took {median:.2f} times its best at the median, {worst:.2f} times at "
            "worst; where that is far from 1, trust ratios rather than microseconds."
        )
    return "\n".join([*lines, "", *(f"- {note}" for note in notes)])


def rows(table, key, scenario, names):
    chosen = columns(key, scenario)
    titles = ["", *(title.format(unit=scenario.unit) for _, title, _ in chosen), "spans lost"]
    yield "| " + " | ".join(titles) + " |"
    yield "|---" + "|---:" * (len(titles) - 1) + "|"
    for name in names:
        mine = [s for s in table if s["name"] == name]
        if mine:
            cells = [spread(values(table, mine, column, scenario), digits) for column, _, digits in chosen]
            yield "| " + " | ".join([SUBJECTS[name].title, *cells, lost(mine)]) + " |"


def values(table, mine, column, scenario):
    if column == "x":
        return ratios(table, mine, scenario.figure)
    factor = 100 if column == "core_busy" else 1
    return [factor * s[column] for s in mine if column in s]


def ratios(table, mine, figure):
    """Pair by pair: each sample beside the reference's of the same round."""
    reference = {s["round"]: s[figure] for s in table if s["name"] == REFERENCE and figure in s}
    return [s[figure] / reference[s["round"]] for s in mine if s["round"] in reference and figure in s]


def remarks(table, key, names, report):
    unsaturated = []
    for name in names:
        mine = [s for s in table if s["name"] == name]
        busy = [s["core_busy"] for s in mine if "core_busy" in s]
        if key not in COLUMNS and busy and statistics.median(busy) < SATURATED:
            unsaturated.append(name)
        if sum(s["spans"]["lost"] for s in mine if "spans" in s):
            yield f"{key}: {name} LOST SPANS: what it spent is not the price of all of them."
            report["left_out"].append(f"{key}, {name}: lost spans")
    if unsaturated:
        yield f"{key}: the core was not busy all the time, so the rate is not the limit of {', '.join(unsaturated)}."


def about(machine):
    versions = ", ".join(f"{tool} {number}" for tool, number in machine["versions"].items())
    processor = machine["processor"] + (" (virtual)" if machine["virtual"] else "")
    return (
        f"{machine['when']}: {processor}, {machine['cores']} cores, "
        f"{machine['memory_gib']} GiB, {machine['system']}, load average {machine['load_average']:.1f} at the start; "
        f"{versions}.\n{machine['connections']} connections where nothing else is said, {machine['rounds']} rounds of "
        f"{machine['seconds']} s; median (least–most)."
    )


def spread(values, digits):
    if not values:
        return "–"
    middle = f"{statistics.median(values):,.{digits}f}"
    if len(values) == 1:
        return middle
    return f"{middle} ({min(values):,.{digits}f}–{max(values):,.{digits}f})"


def lost(samples):
    counted = [s["spans"] for s in samples if s.get("spans", {}).get("expected")]
    if not counted:
        return "–"
    return f"{sum(s['lost'] for s in counted):,} of {sum(s['expected'] for s in counted):,}"
