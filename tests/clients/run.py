#!/usr/bin/env python3
"""An answer that was given arrives: real clients upload to a server that refuses, and must see why.

    tests/clients/run.py [--binary target/release/examples/conformance] [--only TEXT] [--runs 40]

Go's net/http, Node's fetch and http, Python's requests and curl, and Go's through nginx (with
and without buffering) and HAProxy, each send 20 MiB to an unknown path, with a wrong method, to
a route that answers without reading, and over the limit of a route; as fast as the server takes
them, and with 3 MB/s; in the event-driven model and with a thread per connection. Each must see
the status and the body of the answer, and get an answer to its next request. Then the clients of
blunt.py, which do what no good client does. Without --binary the example test-server is built.
"""

import argparse
import json
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import blunt
from programs import Program, haproxy, nginx, program, server

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
SIZE = 20 << 20
# Bytes a second of an uploader that takes seven seconds.
SLOW = 3_000_000
SLOW_RUNS = 6
MODELS = ("event", "threads")


@dataclass(frozen=True)
class Scenario:
    """An upload that is answered before it is whole."""

    name: str
    method: str
    path: str
    framing: str
    status: int
    size: int = SIZE


SCENARIOS = [
    Scenario("unknown path", "POST", "/missing", "length", 404),
    Scenario("unknown path, chunked", "POST", "/missing", "chunked", 404),
    Scenario("wrong method", "POST", "/plain", "length", 405),
    Scenario("route that does not read", "POST", "/unread/100", "length", 200),
    Scenario("over the limit", "POST", "/echo", "length", 413),
    Scenario("over the limit, chunked", "POST", "/echo", "chunked", 413),
    # The connection is kept, and the next request comes right behind; and just not so.
    Scenario("unknown path, 200 KiB", "POST", "/missing", "length", 404, 200 << 10),
    Scenario("unknown path, 300 KiB", "POST", "/missing", "length", 404, 300 << 10),
    Scenario("unknown path, 200 KiB, chunked", "POST", "/missing", "chunked", 404, 200 << 10),
]


@dataclass(frozen=True)
class Target:
    """Where clients send to: the server, or a proxy before it."""

    name: str
    model: str
    port: int

    def url(self, scenario: Scenario) -> str:
        return f"http://127.0.0.1:{self.port}{scenario.path}"


PROXIES: dict[str, Callable[[Path, int], Program]] = {
    "nginx": partial(nginx, buffers=True),
    "nginx that does not buffer": partial(nginx, buffers=False),
    "HAProxy": haproxy,
}


@dataclass(frozen=True)
class Job:
    """Something that is done a number of times and says how often it went wrong, and how."""

    name: str
    runs: int
    run: Callable[[], dict[str, int]]


def said(command: list[str]) -> dict[str, int]:
    """What a client says in JSON."""
    output = subprocess.run(command, stdout=subprocess.PIPE, timeout=170, check=True).stdout
    wrongs: Counter[str] = Counter()
    for wrong, count in json.loads(output).items():
        wrongs[re.sub(r"127\.0\.0\.1:\d+", "it", wrong)] += count
    return wrongs


class Clients:
    """The client programs, built where they have to be."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for size in {it.size for it in SCENARIOS}:
            (folder / f"{size}").write_bytes(bytes(size))
        self.go_client = folder / "client"
        build = [program("go"), "build", "-o", str(self.go_client), str(HERE / "client.go")]
        subprocess.run(build, check=True)

    def go(self, target: Target, it: Scenario, runs: int, rate: int = 0) -> dict[str, int]:
        at_once = runs if rate else 1
        how = [it.method, str(it.size), it.framing, str(runs), str(it.status), str(rate), str(at_once)]
        return said([str(self.go_client), target.url(it), *how])

    def node_fetch(self, target: Target, it: Scenario, runs: int) -> dict[str, int]:
        return self.node("fetch", target, it, runs)

    def node_http(self, target: Target, it: Scenario, runs: int) -> dict[str, int]:
        return self.node("http", target, it, runs)

    def node(self, kind: str, target: Target, it: Scenario, runs: int) -> dict[str, int]:
        how = [kind, target.url(it), it.method, str(it.size), it.framing, str(runs), str(it.status)]
        return said([program("node"), str(HERE / "client.js"), *how])

    def requests(self, target: Target, it: Scenario, runs: int) -> dict[str, int]:
        how = [target.url(it), it.method, str(it.size), it.framing, str(runs), str(it.status)]
        return said([sys.executable, str(HERE / "client.py"), *how])

    def curl(self, target: Target, it: Scenario, runs: int) -> dict[str, int]:
        return self.curl_that("Expect:", target, it, runs)

    def curl_expects(self, target: Target, it: Scenario, runs: int) -> dict[str, int]:
        return self.curl_that("Expect: 100-continue", target, it, runs)

    def curl_that(self, expect: str, target: Target, it: Scenario, runs: int) -> dict[str, int]:
        command = [program("curl"), "--silent", "--noproxy", "*", "--max-time", "60", "-H", expect]
        if it.framing == "chunked":
            command += ["-H", "Transfer-Encoding: chunked"]
        command += [
            "-X",
            it.method,
            "-T",
            f"{self.folder}/{it.size}",
            "--write-out",
            "%{exitcode} %{http_code} %{size_download}\n",
        ]
        # One process; the globbing of its address makes the runs.
        command += ["--output", f"{self.folder}/curl.out", f"{target.url(it)}?[1-{runs}]"]
        output = subprocess.run(command, stdout=subprocess.PIPE, timeout=170).stdout.decode()
        wrongs = Counter(line for line in output.splitlines() if not self.is_right(line, it.status))
        missing = runs - len(output.splitlines())
        return wrongs + Counter({"not tried": missing})

    @staticmethod
    def is_right(line: str, status: int) -> bool:
        code, got, size = line.split()
        return (code, got) == ("0", str(status)) and size != "0"


def jobs(clients: Clients, target: Target, scenarios: list[Scenario], runs: int) -> Iterator[Job]:
    """What is done to a target. A proxy is asked by two clients: it is the client here."""
    every = {"Go": clients.go, "curl": clients.curl}
    where = f"{target.model}, through {target.name}, "
    if target.name == "server":
        where = f"{target.model}, "
        every["Node fetch"] = clients.node_fetch
        every["Node http"] = clients.node_http
        every["requests"] = clients.requests
        every["curl that expects"] = clients.curl_expects
        for variant in blunt.offered(target.port):
            yield Job(f"{where}blunt, {variant.name}", blunt.RUNS, partial(blunt.run, variant, target.port))
    for scenario in scenarios:
        for name, client in every.items():
            yield Job(f"{where}{name}, {scenario.name}", runs, partial(client, target, scenario, runs))
        if scenario.size == SIZE:
            slow = partial(clients.go, target, scenario, SLOW_RUNS, SLOW)
            yield Job(f"{where}Go, slowly, {scenario.name}", SLOW_RUNS, slow)


def one_at_a_time(clients: Clients, target: Target, scenarios: list[Scenario]) -> Iterator[Job]:
    """What is done, one after another, to a server that serves one client at a time."""
    for scenario in scenarios:
        for client in (clients.go, clients.curl):
            name = f"{target.model}, {client.__name__}, {scenario.name}"
            yield Job(name, 10, partial(client, target, scenario, 10))


def binary_of_the_example() -> str:
    command = ["cargo", "build", "--release", "--example", "test-server"]
    subprocess.run(command, cwd=ROOT, check=True)
    metadata = ["cargo", "metadata", "--format-version", "1", "--no-deps"]
    found = json.loads(subprocess.check_output(metadata, cwd=ROOT))
    return str(Path(found["target_directory"]) / "release/examples/test-server")


def is_offered(port: int, scenario: Scenario) -> bool:
    """Whether the server has what the scenario needs."""
    needs = {"/missing": 404, "/plain": 405}.get(scenario.path, 200)
    return blunt.status_of_small(port, scenario.method, scenario.path) == needs


def report(done: list[tuple[Job, Future[dict[str, int]]]]) -> int:
    lost = 0
    for job, future in done:
        wrongs = future.result()
        here = sum(wrongs.values())
        lost += here
        if here:
            print(f"LOST {here} of {job.runs}: {job.name}", flush=True)
            for wrong, count in wrongs.items():
                print(f"    {count} x {wrong}", flush=True)
    print(f"{lost} of {sum(job.runs for job, _ in done)} answers were lost", flush=True)
    return lost


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--binary", help="a conformance program; test-server is built if not given")
    parser.add_argument("--only", default="", help="what is tried has this in its name")
    parser.add_argument("--runs", type=int, default=40)
    args = parser.parse_args()
    started = time.monotonic()
    binary = args.binary or binary_of_the_example()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        clients = Clients(folder)

        def start(name: str, model: str, it: Program) -> Target:
            return Target(name, model, stack.enter_context(it).port)

        def proxies(behind: Target) -> Iterator[Target]:
            for name, make in PROXIES.items():
                here = folder / f"{behind.model}-{name.replace(' ', '-')}"
                here.mkdir()
                yield start(name, behind.model, make(here, behind.port))

        servers = [start("server", model, server(binary, model)) for model in MODELS]
        alone = start("server", "sequential", server(binary, "sequential"))
        scenarios = [it for it in SCENARIOS if is_offered(alone.port, it)]
        for it in SCENARIOS:
            if it not in scenarios:
                print(f"left out, the server has no such route: {it.name}")
        targets = [*servers, *(proxy for behind in servers for proxy in proxies(behind))]
        pools = [stack.enter_context(ThreadPoolExecutor(size)) for size in (3, 12, 1)]
        todo = [
            # Those that send slowly wait most of their time.
            (int("slowly" in job.name), job)
            for target in targets
            for job in jobs(clients, target, scenarios, args.runs)
        ]
        todo += [(2, job) for job in one_at_a_time(clients, alone, scenarios)]
        done = [(job, pools[pool].submit(job.run)) for pool, job in todo if args.only in job.name]
        lost = report(done)
    print(f"{time.monotonic() - started:.0f} s")
    return 1 if lost or not done else 0


if __name__ == "__main__":
    sys.exit(main())
