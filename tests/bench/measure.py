"""One sample after another: programs started on their cores, loaded, looked at and ended."""

import contextlib
import hashlib
import json
import os
import pathlib
import re
import socket
import subprocess
import sys
import time

from subjects import SUBJECTS, backend

TOOLS = pathlib.Path(__file__).resolve().parent / "out/tools/release/bench-tools"
BODY = "A hundred bytes of text, as a small JSON answer would have them: enough to be a body, little to copy."
WARM_UP_SECONDS = 1
# Envoy's exporter wakes up every 5 s, and the machine may be busy.
SPANS_PATIENCE_SECONDS = 30
START_PATIENCE_SECONDS = 30


class Failure(Exception):
    """Why a sample could not be taken."""


def measure_rounds(bench, names, scenarios, report):
    with contextlib.ExitStack() as stack:
        bench.start_backends(stack)
        for number in range(bench.args.rounds):
            # Rotated, so that nobody always comes after the same neighbour.
            turn = number % len(names)
            for key, scenario in scenarios.items():
                for name in names[turn:] + names[:turn]:
                    try:
                        sample = bench.measure(name, scenario)
                    except Failure as failure:
                        report["left_out"].append(f"{key}, {name}, round {number + 1}: {failure}")
                        complain(report["left_out"][-1])
                        continue
                    if sample is None:
                        continue
                    report["samples"].append({"round": number, "scenario": key, "name": name, **sample})
                    figures = (f"{sample[figure]:,.1f} {figure}" for figure in PROGRESS if figure in sample)
                    print(f"round {number + 1}, {key}, {name}: {', '.join(figures)}", file=sys.stderr)


# What is shown while it is measured.
PROGRESS = ("cpu_us", "rps", "mb_per_s", "p50_us", "p99_us", "start_mib", "idle_mib", "busy_mib")


class Certificate:
    """A key and a certificate of its own for 127.0.0.1."""

    def __init__(self, folder):
        self.key, self.chain, self.both = folder / "key.pem", folder / "chain.pem", folder / "both.pem"
        names = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
        kind = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-x509", "-days", "2"]
        command = ["openssl", "req", *kind, *names, "-keyout", self.key, "-out", self.chain]
        subprocess.run(command, check=True, capture_output=True)
        self.both.write_text(self.chain.read_text() + self.key.read_text())


class Bench:
    """The two cores, and what runs on them."""

    def __init__(self, args, folder, load_core, proxy_core):
        self.args, self.folder, self.load_core, self.proxy_core = args, folder, load_core, proxy_core
        args.certificate = Certificate(folder)
        self.ports = {}
        # The one that is being measured.
        self.proxy = None

    def start_backends(self, stack):
        self.ports |= {"backend": free_port(), "backend_h2c": free_port()}
        temporary = "".join(
            f"  {module}_temp_path {self.folder}/nginx-{module};\n"
            for module in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        (self.folder / "bulk").write_bytes(b"x" * 1_000_000)
        config = self.folder / "nginx.conf"
        config.write_text(
            f"daemon off;\nworker_processes 1;\nuser root;\npid {self.folder}/nginx.pid;\nerror_log stderr warn;\n"
            f"events {{ worker_connections 8192; }}\n"
            f"http {{\n  access_log off;\n  keepalive_requests 1000000000;\n{temporary}"
            f"  server {{\n    listen 127.0.0.1:{self.ports['backend']} backlog=4096;\n"
            f"    listen 127.0.0.1:{self.ports['backend_h2c']} http2;\n"
            f'    location / {{ return 200 "{BODY}"; }}\n    location /bulk {{ root {self.folder}; }}\n  }}\n}}\n'
        )
        backend = Program("backend", ["nginx", "-e", "stderr", "-c", config], self.load_core, self.folder)
        stack.callback(backend.stop)
        source = Helper(["serve-bytes"], self.load_core)
        stack.callback(source.stop)
        self.ports["backend_bytes"] = source.port
        try:
            backend.wait_for_answer(self.ports["backend"], "h1")
        except Failure as failure:
            sys.exit(f"bench: {failure}")

    def measure(self, name, scenario):
        """One sample: everything but the backends is started for it and ended after it. `None`: not offered."""
        subject, way, seconds = SUBJECTS[name], scenario.way, self.args.seconds
        with contextlib.ExitStack() as stack:
            sink = Sink(self.load_core)
            stack.callback(sink.stop)
            self.ports |= {"proxy": free_port(), "sink": sink.port}
            command = subject.command(self.args, self.ports, self.folder, way)
            if command is None:
                # Without a proxy there is a time to compare with, but no cost.
                if subject.tool or way == "tls" or not scenario.warm_up:
                    return None
                port = self.ports[backend(way)]
                scenario.load(self, port, WARM_UP_SECONDS)
                return scenario.load(self, port, seconds)
            before = yardstick_ms(self.proxy_core, self.load_core)
            environment = subject.environment(self.ports)
            proxy = self.proxy = Program(name, command, self.proxy_core, self.folder, environment)
            stack.callback(proxy.stop)
            proxy.wait_for_answer(self.ports["proxy"], way)
            # Sending its spans is part of what a request costs: the clock starts when those of the warm-up are gone,
            # and stops when those of the requests that count are. What is not HTTP makes none.
            spans_per_request = 0 if way == "tcp" else subject.spans
            warm_up = scenario.load(self, self.ports["proxy"], WARM_UP_SECONDS)["answers"] if scenario.warm_up else 0
            warmed_up = (1 + warm_up) * spans_per_request
            sink.wait_for(warmed_up)
            start, core_start = proxy.cpu(), core_seconds(self.proxy_core)
            sample = scenario.load(self, self.ports["proxy"], seconds)
            # Before waiting for spans, since afterwards the core has been idle.
            busy, core = proxy.cpu()["all"] - start["all"], core_seconds(self.proxy_core) - core_start
            sample["core_busy"] = busy / sample["wall_seconds"]
            sample["others_busy"] = max(0, core - busy) / sample["wall_seconds"]
            expected = warmed_up + sample["answers"] * spans_per_request
            sink.wait_for(expected)
            end = proxy.cpu()
            proxy.stop()
            after = yardstick_ms(self.proxy_core, self.load_core)
            broken_off = 2 * (scenario.connections or self.args.connections) * scenario.broken_off
            sample |= price(start, end, sample["units"])
            sample |= {"yardstick_ms": [before, after]}
            sample["spans"] = spans(sink, expected, broken_off * spans_per_request)
            return sample

    def on_load_core(self, command):
        """What a program says, and how long it took."""
        start = time.monotonic()
        command = ["taskset", "-c", str(self.load_core), *map(str, command)]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            raise Failure(f"{command[3]} failed: {done.stdout} {done.stderr}")
        return done.stdout, time.monotonic() - start


def spans(sink, expected, broken_off):
    """What arrived beside what should have. The load breaks off what is in flight when it ends, without counting it, so
    each of its two runs may leave a span more for each request in flight."""
    counts = sink.counts()
    if counts["spans"] > expected + broken_off:
        raise Failure(f"{counts['spans']} spans arrived of {expected}: some came twice, or ought not to exist")
    if counts["bad"]:
        raise Failure(f"{counts['bad']} exports could not be read")
    return {"expected": expected, "lost": max(0, expected - counts["spans"]), **counts}


class Program:
    """A process on one core, with what it says in a file."""

    def __init__(self, name, command, core, folder, environment=None):
        self.name, self.log = name, folder / f"{name}.log"
        # Settings of the machine's owner are not part of the comparison.
        clean = {key: value for key, value in os.environ.items() if not key.startswith(("OTEL_", "RACEWAY_"))}
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(
                ["taskset", "-c", str(core), *map(str, command)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=clean | (environment or {}),
                # Control-C is for this program, which ends the others in order.
                start_new_session=True,
            )

    def wait_for_answer(self, port, way):
        until = time.monotonic() + START_PATIENCE_SECONDS
        problem = "nothing listens"
        while time.monotonic() < until:
            if self.process.poll() is not None:
                raise Failure(f"{self.name} ended with {self.process.returncode}: {self.said()}")
            try:
                socket.create_connection(("127.0.0.1", port), timeout=5).close()
            except OSError as error:
                problem = error
                time.sleep(0.05)
                continue
            # It is asked once, since each request that gets through makes a span; an answer of its own (it listens
            # before it knows the backend) is one of none.
            if way == "tcp":
                asked = subprocess.run([TOOLS, "pull-bytes", str(port), "1"], capture_output=True, text=True)
                right = asked.returncode == 0
            else:
                scheme, options = ("https", ["-k"]) if way == "tls" else ("http", [])
                options += ["--http2-prior-knowledge"] if way == "h2c" else []
                command = ["curl", "-sS", "--noproxy", "*", *options, f"{scheme}://127.0.0.1:{port}/"]
                asked = subprocess.run(command, capture_output=True, text=True)
                right = asked.stdout == BODY
            if right:
                return
            raise Failure(f"{self.name} answered {asked.stdout[:200]!r} {asked.stderr}: {self.said()}")
        raise Failure(f"{self.name} did not answer: {problem}: {self.said()}")

    def rss_mib(self):
        """Resident memory of the process and its children."""
        kib, todo = 0, [self.process.pid]
        while todo:
            pid = todo.pop()
            kib += int(re.search(r"VmRSS:\s+(\d+)", read(f"/proc/{pid}/status"))[1])
            for thread in os.listdir(f"/proc/{pid}/task"):
                todo += map(int, read(f"/proc/{pid}/task/{thread}/children").split())
        return kib / 1024

    def said(self):
        return self.log.read_text(errors="replace")[-600:].strip() or "it said nothing"

    def cpu(self):
        """CPU seconds so far of the process and its children.

        `all` is exact, from the scheduler's nanoseconds, but knows living threads only; `user` and `system` come in the
        kernel's ticks of 10 ms."""
        total, user, system = 0, 0, 0
        todo = [self.process.pid]
        while todo:
            pid = todo.pop()
            fields = read(f"/proc/{pid}/stat").rpartition(")")[2].split()
            user, system = user + int(fields[11]), system + int(fields[12])
            for thread in os.listdir(f"/proc/{pid}/task"):
                total += int(read(f"/proc/{pid}/task/{thread}/schedstat").split()[0])
                todo += map(int, read(f"/proc/{pid}/task/{thread}/children").split())
        ticks = os.sysconf("SC_CLK_TCK")
        return {"all": total / 1e9, "user": user / ticks, "system": system / ticks}

    def stop(self):
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                complain(f"{self.name} did not stop when asked to; killed")
                self.process.kill()
        self.process.wait()


class Helper:
    """One of our own programs: its first line is its port, and it ends with its standard input."""

    def __init__(self, arguments, core):
        self.process = subprocess.Popen(
            ["taskset", "-c", str(core), TOOLS, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self.port = int(self.process.stdout.readline())

    def stop(self):
        self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()


class Sink(Helper):
    """The receiver of spans; one for each sample, so that no span is counted for another one."""

    def __init__(self, core):
        super().__init__(["sink"], core)

    def counts(self):
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def wait_for(self, spans):
        """Waits until so many arrived, or until waiting longer is no use."""
        until = time.monotonic() + SPANS_PATIENCE_SECONDS
        while self.counts()["spans"] < spans and time.monotonic() < until:
            time.sleep(0.02)


def price(start, end, units):
    spent = {key: end[key] - start[key] for key in start}
    ticks = spent["user"] + spent["system"]
    # 5 % and five ticks: beyond that a thread ended and took its nanoseconds along.
    if abs(ticks - spent["all"]) > 0.05 * spent["all"] + 0.05:
        raise Failure(f"CPU time is {spent['all']:.2f} s by the scheduler, but {ticks:.2f} s by the process")
    micro = spent["all"] * 1e6 / units
    share = spent["user"] / ticks if ticks else 0
    return {"cpu_us": micro, "user_us": micro * share, "system_us": micro * (1 - share)}


def core_seconds(core):
    """How long a core has worked so far, for whomever: processes, interrupts, and other machines on the same host."""
    fields = re.search(rf"^cpu{core} (.*)", read("/proc/stat"), re.MULTILINE)[1].split()
    user, nice, system, _idle, _iowait, irq, softirq, steal = map(int, fields[:8])
    return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")


def yardstick_ms(proxy_core, load_core):
    """CPU time of a fixed piece of work on the proxy's core: the same every time, where the core is the same."""
    os.sched_setaffinity(0, {proxy_core})
    start = time.thread_time_ns()
    digest = b""
    for _ in range(20_000):
        digest = hashlib.sha256(digest).digest()
    spent = time.thread_time_ns() - start
    os.sched_setaffinity(0, {load_core})
    return spent / 1e6


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def read(path):
    # A thread or process may end while it is looked at; what it used is missing then, which `price` notices.
    try:
        return pathlib.Path(path).read_text()
    except OSError as error:
        raise Failure(f"{path}: {error.strerror}") from error


def complain(what):
    print(f"bench: {what}", file=sys.stderr, flush=True)
