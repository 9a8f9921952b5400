"""One sample after another: programs started on their cores, loaded, looked at and ended."""

import contextlib
import hashlib
import http.client
import json
import os
import pathlib
import re
import socket
import subprocess
import sys
import time

from subjects import SUBJECTS

SINK = pathlib.Path(__file__).resolve().parent / "out/sink/release/otlp-sink"
BODY = "A hundred bytes of text, as a small JSON answer would have them: enough to be a body, little to copy."
WARM_UP_SECONDS = 1
# Envoy's exporter wakes up every 5 s, and the machine may be busy.
SPANS_PATIENCE_SECONDS = 30
START_PATIENCE_SECONDS = 30


class Failure(Exception):
    """Why a sample could not be taken."""


def measure_rounds(bench, names, report):
    backend = bench.start_backend()
    try:
        for number in range(bench.args.rounds):
            # Rotated, so that nobody always comes after the same neighbour.
            turn = number % len(names)
            for name in names[turn:] + names[:turn]:
                try:
                    sample = bench.measure(name)
                except Failure as failure:
                    report["left_out"].append(f"{name}, round {number + 1}: {failure}")
                    complain(report["left_out"][-1])
                    continue
                report["samples"].append({"round": number, "name": name, **sample})
                cost = f"{sample['cpu_us']:.1f} µs, " if "cpu_us" in sample else ""
                print(f"round {number + 1}, {name}: {cost}{sample['rps']:,.0f} req/s", file=sys.stderr)
    finally:
        backend.stop()


class Bench:
    """The two cores, and what runs on them."""

    def __init__(self, args, folder, load_core, proxy_core):
        self.args, self.folder, self.load_core, self.proxy_core = args, folder, load_core, proxy_core
        self.ports = {"backend": free_port()}

    def start_backend(self):
        temporary = "".join(
            f"  {module}_temp_path {self.folder}/nginx-{module};\n"
            for module in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        config = self.folder / "nginx.conf"
        config.write_text(
            f"daemon off;\nworker_processes 1;\npid {self.folder}/nginx.pid;\nerror_log stderr warn;\n"
            f"events {{ worker_connections 1024; }}\n"
            f"http {{\n  access_log off;\n  keepalive_requests 1000000000;\n{temporary}"
            f'  server {{ listen 127.0.0.1:{self.ports["backend"]}; location / {{ return 200 "{BODY}"; }} }}\n}}\n'
        )
        backend = Program("nginx", ["nginx", "-e", "stderr", "-c", config], self.load_core, self.folder)
        try:
            backend.wait_for_answer(self.ports["backend"])
        except BaseException as failure:
            backend.stop()
            if isinstance(failure, Failure):
                sys.exit(f"bench: {failure}")
            raise
        return backend

    def measure(self, name):
        """One sample: everything but the backend is started for it and ended after it."""
        _, spans_per_request, command_line, _ = SUBJECTS[name]
        with contextlib.ExitStack() as stack:
            sink = Sink(self.load_core, self.folder)
            stack.callback(sink.stop)
            self.ports |= {"proxy": free_port(), "sink": sink.port}
            command = command_line(self.args, self.ports, self.folder)
            if command is None:
                self.load(self.ports["backend"], WARM_UP_SECONDS)
                return self.load(self.ports["backend"], self.args.seconds)
            before = yardstick_ms(self.proxy_core, self.load_core)
            proxy = Program(name, command, self.proxy_core, self.folder)
            stack.callback(proxy.stop)
            proxy.wait_for_answer(self.ports["proxy"])
            warm_up = self.load(self.ports["proxy"], WARM_UP_SECONDS)
            # Sending its spans is part of what a request costs: the clock starts when those of the warm-up are gone,
            # and stops when those of the requests that count are.
            warmed_up = (1 + warm_up["requests"]) * spans_per_request
            sink.wait_for(warmed_up)
            start, core_start = proxy.cpu(), core_seconds(self.proxy_core)
            sample = self.load(self.ports["proxy"], self.args.seconds)
            # Before waiting for spans, since afterwards the core has been idle.
            busy, core = proxy.cpu()["all"] - start["all"], core_seconds(self.proxy_core) - core_start
            sample["core_busy"] = busy / sample["wall_seconds"]
            sample["others_busy"] = max(0, core - busy) / sample["wall_seconds"]
            expected = warmed_up + sample["requests"] * spans_per_request
            sink.wait_for(expected)
            end = proxy.cpu()
            proxy.stop()
            after = yardstick_ms(self.proxy_core, self.load_core)
            sample |= price(start, end, sample["requests"])
            sample |= {"yardstick_ms": [before, after], "spans": self.spans(sink, expected, spans_per_request)}
            return sample

    def spans(self, sink, expected, spans_per_request):
        """What arrived beside what should have. wrk breaks off what is in flight when it ends, without counting it, so
        each of its two runs may leave a span more for each connection."""
        counts = sink.counts()
        broken_off = 2 * self.args.connections * spans_per_request
        if counts["spans"] > expected + broken_off:
            raise Failure(f"{counts['spans']} spans arrived of {expected}: some came twice, or ought not to exist")
        if counts["bad"]:
            raise Failure(f"{counts['bad']} exports could not be read")
        return {"expected": expected, "lost": max(0, expected - counts["spans"]), **counts}

    def load(self, port, seconds):
        """Runs wrk; what it could do in that time."""
        options = ["-t1", f"-c{self.args.connections}", f"-d{seconds}s", "--timeout", "10s"]
        command = ["taskset", "-c", str(self.load_core), "wrk", *options, f"http://127.0.0.1:{port}/"]
        start = time.monotonic()
        done = subprocess.run(command, capture_output=True, text=True)
        wall = time.monotonic() - start
        requests = re.search(r"(\d+) requests in", done.stdout)
        rps = re.search(r"Requests/sec:\s*([\d.]+)", done.stdout)
        if done.returncode or not requests or not rps or int(requests[1]) == 0:
            raise Failure(f"wrk failed: {done.stdout} {done.stderr}")
        wrong = re.search(r"Socket errors:.*|Non-2xx or 3xx responses:.*", done.stdout)
        if wrong:
            raise Failure(f"wrk saw errors: {wrong[0]}")
        return {"requests": int(requests[1]), "rps": float(rps[1]), "wall_seconds": wall}


class Program:
    """A process on one core, with what it says in a file."""

    def __init__(self, name, command, core, folder):
        self.name, self.log = name, folder / f"{name}.log"
        # Settings of the machine's owner are not part of the comparison.
        clean = {key: value for key, value in os.environ.items() if not key.startswith(("OTEL_", "RACEWAY_"))}
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(
                ["taskset", "-c", str(core), *map(str, command)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=clean,
                # Control-C is for this program, which ends the others in order.
                start_new_session=True,
            )

    def wait_for_answer(self, port):
        until = time.monotonic() + START_PATIENCE_SECONDS
        problem = "nothing listens"
        while time.monotonic() < until:
            if self.process.poll() is not None:
                raise Failure(f"{self.name} ended with {self.process.returncode}: {self.said()}")
            try:
                connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
                connection.request("GET", "/")
                answer = connection.getresponse()
                body = answer.read().decode()
                connection.close()
            except (OSError, http.client.HTTPException) as error:
                problem = error
            else:
                if (answer.status, body) == (200, BODY):
                    return
                # An answer of its own: it listens before it knows the backend. It is asked once, since each request
                # that gets through makes a span; those that do not are none of ours to count.
                raise Failure(f"{self.name} answered {answer.status}: {body[:200]!r}")
            time.sleep(0.05)
        raise Failure(f"{self.name} did not answer: {problem}: {self.said()}")

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


class Sink:
    """The receiver of spans; one for each sample, so that no span is counted for another one."""

    def __init__(self, core, folder):
        self.process = subprocess.Popen(
            ["taskset", "-c", str(core), SINK],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self.port = int(self.process.stdout.readline())

    def counts(self):
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def wait_for(self, spans):
        """Waits until so many arrived, or until waiting longer is no use."""
        until = time.monotonic() + SPANS_PATIENCE_SECONDS
        while self.counts()["spans"] < spans and time.monotonic() < until:
            time.sleep(0.02)

    def stop(self):
        # It ends with its standard input.
        self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()


def price(start, end, requests):
    spent = {key: end[key] - start[key] for key in start}
    ticks = spent["user"] + spent["system"]
    # 5 % and five ticks: beyond that a thread ended and took its nanoseconds along.
    if abs(ticks - spent["all"]) > 0.05 * spent["all"] + 0.05:
        raise Failure(f"CPU time is {spent['all']:.2f} s by the scheduler, but {ticks:.2f} s by the process")
    micro = spent["all"] * 1e6 / requests
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
