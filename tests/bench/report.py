"""The table, and on which machine it was measured."""

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
    tools = {"nginx": ["nginx", "-v"], "wrk": ["wrk", "-v"]}
    tools |= {"haproxy": ["haproxy", "-v"]} if "haproxy" in names else {}
    tools |= {"envoy": [args.envoy, "--version"]} if {"envoy", "envoy-otlp"} & set(names) else {}
    if {"raceway", "raceway-sample-0"} & set(names):
        tools["raceway-proxy"] = [args.proxy, "--version"]
    versions = {tool: version(command) for tool, command in tools.items()}
    if "raceway-proxy" in versions:
        built = time.strftime("%Y-%m-%d %H:%M", time.localtime(os.stat(args.proxy).st_mtime))
        commit = subprocess.run(["git", "-C", REPO, "describe", "--always", "--dirty"], capture_output=True, text=True)
        versions["raceway-proxy"] += f" (built {built}; the working tree is at {commit.stdout.strip() or 'no commit'})"
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
    said = subprocess.run(command, capture_output=True, text=True)
    found = re.search(r"\d+\.\d+\.\d+", said.stdout + said.stderr)
    return found[0] if found else "unknown version"


def text(report, names):
    samples = report["samples"]
    reference = {s["round"]: s["cpu_us"] for s in samples if s["name"] == REFERENCE}
    columns = ["", "CPU µs/request", "user", "system", "times HAProxy", "req/s", "core busy, %", "spans lost"]
    head = ["| " + " | ".join(columns) + " |", "|---" + "|---:" * (len(columns) - 1) + "|"]
    lines = [about(report["machine"]), "", *head]
    notes, unsaturated = [f"LEFT OUT: {why}" for why in report["left_out"]], []
    for name in names:
        mine = [s for s in samples if s["name"] == name]
        if not mine:
            continue
        priced = [s for s in mine if "cpu_us" in s]
        paired = [s["cpu_us"] / reference[s["round"]] for s in priced if s["round"] in reference]
        if name == REFERENCE:
            paired = [1] if priced else []
        busy = [100 * s["core_busy"] for s in priced]
        cells = [spread([s[key] for s in priced], 1) for key in ("cpu_us", "user_us", "system_us")]
        cells += [spread(paired, 2), spread([s["rps"] for s in mine], 0), spread(busy, 0)]
        lines.append("| " + " | ".join([SUBJECTS[name][3], *cells, lost(name, priced)]) + " |")
        if busy and statistics.median(busy) < 100 * SATURATED:
            unsaturated.append(name)
        if sum(s["spans"]["lost"] for s in priced):
            notes.append(f"{name} LOST SPANS: what it spent is not the price of all of them.")
            report["left_out"].append(f"{name}: lost spans")
    if unsaturated:
        notes.append(f"The core was not busy all the time, so req/s is not the limit of {', '.join(unsaturated)}.")
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


def about(machine):
    versions = ", ".join(f"{tool} {number}" for tool, number in machine["versions"].items())
    processor = machine["processor"] + (" (virtual)" if machine["virtual"] else "")
    return (
        f"{machine['when']}: {processor}, {machine['cores']} cores, "
        f"{machine['memory_gib']} GiB, {machine['system']}, load average {machine['load_average']:.1f} at the start; "
        f"{versions}.\nHTTP/1.1, {machine['connections']} connections kept alive, {machine['rounds']} rounds of "
        f"{machine['seconds']} s; median (least–most)."
    )


def spread(values, digits):
    if not values:
        return "–"
    middle = f"{statistics.median(values):,.{digits}f}"
    if len(values) == 1:
        return middle
    return f"{middle} ({min(values):,.{digits}f}–{max(values):,.{digits}f})"


def lost(name, samples):
    if not samples or not SUBJECTS[name][1]:
        return "–"
    return f"{sum(s['spans']['lost'] for s in samples):,} of {sum(s['spans']['expected'] for s in samples):,}"
