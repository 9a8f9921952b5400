"""What is done with each subject, and what is read off."""

import contextlib
import dataclasses
import json
import re
import resource
import socket
import subprocess
import threading
import time
import typing

from measure import BODY, TOOLS, Failure

# Connections of the memory scenario, and how long they are idle before the memory is read.
MANY = 1_000
SETTLE_SECONDS = 2
# Requests a second of the latency scenario: what every subject can do without being busy.
RATE = 3_000
BULK_MB = 1


@dataclasses.dataclass(frozen=True)
class Scenario:
    title: str
    # What the load consists of, for those who read the table.
    load_is: str
    # See subjects.py.
    way: str
    # Takes a bench and a port, returns `units`, `answers` and what else it saw.
    load: typing.Callable
    # CPU time is divided by units of this.
    unit: str = "request"
    # The key of the first figure, by which subjects are compared.
    figure: str = "cpu_us"
    # Requests per connection that may be broken off, unseen by the load, when it ends.
    broken_off: int = 1
    # How many, where that is not the caller's to choose.
    connections: int | None = None
    # A run before the one that counts.
    warm_up: bool = True


def wrk(bench, port, seconds, *more, path="/", scheme="http", connections=None):
    count = connections or bench.args.connections
    options = ["-t1", f"-c{count}", f"-d{seconds}s", "--timeout", "10s", *more]
    said, wall = bench.on_load_core(["wrk", *options, f"{scheme}://127.0.0.1:{port}{path}"])
    requests = re.search(r"(\d+) requests in", said)
    rps = re.search(r"Requests/sec:\s*([\d.]+)", said)
    wrong = re.search(r"Socket errors:.*|Non-2xx or 3xx responses:.*", said)
    # A connection that is closed after each answer, as asked for, is no error; wrk counts it as one.
    if wrong and re.search(r"connect [1-9]|write [1-9]|timeout [1-9]|Non-2xx", wrong[0]):
        raise Failure(f"wrk saw errors: {wrong[0]}")
    if not requests or not rps or int(requests[1]) == 0:
        raise Failure(f"wrk did nothing: {said}")
    return {"answers": int(requests[1]), "units": int(requests[1]), "rps": float(rps[1]), "wall_seconds": wall}


def close_each(bench, port, seconds):
    return wrk(bench, port, seconds, "-H", "Connection: close")


def over_tls(bench, port, seconds):
    return wrk(bench, port, seconds, scheme="https")


def bulk(bench, port, seconds):
    seen = wrk(bench, port, seconds, path="/bulk", connections=8)
    return {**seen, "units": seen["answers"] * BULK_MB, "mb_per_s": seen["rps"] * BULK_MB}


def h2load(bench, port, seconds):
    options = ["-t1", "-c8", "-m10", f"-D{seconds}", "--warm-up-time=0"]
    said, wall = bench.on_load_core(["h2load", *options, f"http://127.0.0.1:{port}/"])
    counts = re.search(r"requests: .* (\d+) succeeded, (\d+) failed, (\d+) errored", said)
    rps = re.search(r"([\d.]+) req/s", said)
    if not counts or not rps or int(counts[1]) == 0 or int(counts[2]) + int(counts[3]):
        raise Failure(f"h2load saw errors: {said}")
    return {"answers": int(counts[1]), "units": int(counts[1]), "rps": float(rps[1]), "wall_seconds": wall}


def stream(bench, port, seconds):
    # At some GB/s, about as long as was asked for.
    mib = 2_000 * seconds
    said, wall = bench.on_load_core([TOOLS, "pull-bytes", str(port), str(mib)])
    took = json.loads(said)["seconds"]
    return {"answers": 0, "units": mib * 1.048576, "mb_per_s": mib * 1.048576 / took, "wall_seconds": wall}


def fixed_rate(bench, port, seconds):
    connections = str(min(bench.args.connections, 16))
    said, wall = bench.on_load_core([TOOLS, "open-loop", str(port), str(RATE), connections, str(seconds)])
    seen = json.loads(said)
    return {"answers": seen["requests"], "units": seen["requests"], "wall_seconds": wall, **seen}


def memory(bench, port, seconds):
    """RSS at the start, with idle connections that have had an answer each, and the most while as many are busy."""
    proxy = bench.proxy
    seen = {"start_mib": proxy.rss_mib()}
    with contextlib.ExitStack() as stack:
        for _ in range(MANY):
            connection = stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=10))
            connection.sendall(f"GET / HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode())
            answer = b""
            while not answer.endswith(BODY.encode()):
                piece = connection.recv(4096)
                if not piece:
                    raise Failure(f"a connection was closed after {answer!r}")
                answer += piece
        time.sleep(SETTLE_SECONDS)
        seen["idle_mib"] = proxy.rss_mib()
    most, over = [seen["idle_mib"]], threading.Event()

    def watch():
        while not over.wait(0.05):
            most.append(proxy.rss_mib())

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        busy = wrk(bench, port, seconds, connections=MANY)
    finally:
        over.set()
        watcher.join()
    seen["busy_mib"] = max(most)
    answers = MANY + busy["answers"]
    return {**seen, "answers": answers, "units": answers, "rps": busy["rps"], "wall_seconds": busy["wall_seconds"]}


def raise_file_limit():
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 8 * MANY), hard))


SCENARIOS = {
    "keepalive": Scenario("HTTP/1.1, connections kept alive", "as fast as answers come, 100-byte answers", "h1", wrk),
    "connect": Scenario("HTTP/1.1, a connection for each request", "as above, closed after each answer", "h1", close_each),
    "h2c": Scenario("HTTP/2 without TLS", "8 connections with 10 requests in flight each", "h2c", h2load, broken_off=10),
    "tls": Scenario("HTTP/1.1 over TLS", "as the first, TLS between caller and proxy", "tls", over_tls),
    "bulk": Scenario("bodies of 1 MB", "HTTP/1.1, connections kept alive", "h1", bulk, unit="MB"),
    "tunnel": Scenario("a stream that is not HTTP", "one connection, as fast as it is read", "tcp", stream, unit="MB"),
    "latency": Scenario(
        f"{RATE:,} requests a second", "HTTP/1.1, at a fixed rate (open loop)", "h1", fixed_rate, figure="p50_us"
    ),
    "memory": Scenario(
        f"memory with {MANY:,} connections",
        "idle after an answer each, then busy",
        "h1",
        memory,
        figure="busy_mib",
        connections=MANY,
        warm_up=False,
    ),
}
