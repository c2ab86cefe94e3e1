"""The CPU that Transom needs from Python for streams, uploads and events, beside its peers.

Run it with `python3 benches/streams/run.py`, after `cargo build --release --package transom-capi`. It prints
a table for each case. All servers of a case run at the same time; the rounds go through them in turn, and
those of the events measure all of them at once.
"""

import argparse
import os
import selectors
import socket
import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

from common import BODY, MIB

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path.append(str(HERE.parent))

from peers import answers, environment  # noqa: E402

CACHE = ROOT / "benches" / ".cache" / "streams"
PACKAGES = ["aiohttp==3.14.5", "uvloop==0.23.0"]
SUBSCRIBERS = 1000
STALLED = 200
#: How long a window of events or of stalled readers is, in seconds.
WINDOW = 5


class Entry(NamedTuple):
    """A server of a case."""

    name: str
    script: str
    path: str
    options: tuple[str, ...] = ()


TRANSOM, AIOHTTP = "transom_app.py", "aiohttp_app.py"
UVLOOP = ("--uvloop",)
#: The servers of each case. The first is the one with which the others are compared.
CASES = {
    "down": [
        Entry("aiohttp, uvloop", AIOHTTP, "/down", UVLOOP),
        Entry("aiohttp, asyncio", AIOHTTP, "/down"),
        Entry("Transom, plain", TRANSOM, "/down"),
        Entry("Transom, async", TRANSOM, "/down-async"),
        Entry("Transom, async, uvloop", TRANSOM, "/down-async", UVLOOP),
    ],
    "up": [
        Entry("http.server", "http_server_app.py", "/up"),
        Entry("aiohttp, uvloop", AIOHTTP, "/up", UVLOOP),
        Entry("Transom, plain", TRANSOM, "/up"),
        Entry("Transom, async", TRANSOM, "/up-async"),
        Entry("Transom, async, uvloop", TRANSOM, "/up-async", UVLOOP),
    ],
    "events": [
        Entry("aiohttp, uvloop", AIOHTTP, "/events", UVLOOP),
        Entry("aiohttp, asyncio", AIOHTTP, "/events"),
        Entry("Transom", TRANSOM, "/events"),
        Entry("Transom, uvloop", TRANSOM, "/events", UVLOOP),
    ],
    "stalled": [
        Entry("aiohttp, uvloop", AIOHTTP, "/down", UVLOOP),
        Entry("Transom, plain", TRANSOM, "/down"),
        Entry("Transom, async", TRANSOM, "/down-async"),
    ],
}
UNITS = {
    "down": "CPU for 100 MiB down in pieces of 64 KiB, ms",
    "up": "CPU for 100 MiB up, ms",
    "events": f"CPU in a second, {SUBSCRIBERS} streams with an event a second each, ms",
    "stalled": f"CPU in a second with {STALLED} readers that have stopped, ms",
}


class Server:
    """A server process on the first core."""

    def __init__(self, entry: Entry, python: str) -> None:
        self.entry = entry
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        env = dict(os.environ, PYTHONPATH=f"{ROOT}/bindings/python/src:{HERE}")
        command = [python, str(HERE / entry.script), "--port", str(self.port), *entry.options]
        self.process = subprocess.Popen(
            command, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        os.sched_setaffinity(self.process.pid, _cores()[:1])
        if not answers(self.process, lambda: self.connect().close()):
            self.close()
            raise RuntimeError(f"{entry.name} has not started")

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=60)

    def ask(self, method: str, path: str, more: str = "") -> socket.socket:
        connection = self.connect()
        connection.sendall(f"{method} {path} HTTP/1.1\r\nhost: a\r\n{more}\r\n".encode())
        return connection

    def cpu(self) -> float:
        """The CPU time of all threads of the process so far, in ms."""
        # The clock of a process, as clock_getcpuclockid(3) makes its number.
        return time.clock_gettime_ns((~self.process.pid << 3) | 2) / 1e6

    def close(self) -> None:
        self.process.kill()
        self.process.wait()


def down(server: Server) -> tuple[float, str]:
    before = server.cpu()
    buffer, total = bytearray(MIB), 0
    with server.ask("GET", server.entry.path, "connection: close\r\n") as client:
        while length := client.recv_into(buffer):
            total += length
    assert total > BODY, f"{total} bytes have come"
    return server.cpu() - before, ""


def up(server: Server) -> tuple[float, str]:
    before = server.cpu()
    data, answer = b"x" * MIB, b""
    head = f"connection: close\r\ncontent-length: {BODY}\r\n"
    with server.ask("POST", server.entry.path, head) as client:
        for _ in range(BODY // MIB):
            client.sendall(data)
        while piece := client.recv(4096):
            answer += piece
    assert answer.endswith(b"%d" % BODY), answer
    return server.cpu() - before, ""


def events(servers: list[Server], rounds: int) -> Iterator[dict[str, tuple[float, str]]]:
    """The CPU of all servers in the same windows: what else the machine does costs each of them the same."""
    with ExitStack() as stack:
        ready = stack.enter_context(selectors.DefaultSelector())
        for _ in range(SUBSCRIBERS):
            for server in servers:
                client = stack.enter_context(server.ask("GET", server.entry.path))
                client.setblocking(False)
                ready.register(client, selectors.EVENT_READ, server.entry.name)

        def count(seconds: float) -> Counter[str]:
            got, end = Counter[str](), time.monotonic() + seconds
            while (left := end - time.monotonic()) > 0:
                for key, _ in ready.select(left):
                    got[key.data] += key.fileobj.recv(65536).count(b"data:")
            return got

        count(3)
        for _ in range(rounds):
            before = [server.cpu() for server in servers]
            got = count(WINDOW)
            used = [server.cpu() - begun for server, begun in zip(servers, before, strict=True)]
            for name, events in got.items():
                assert abs(events - SUBSCRIBERS * WINDOW) <= SUBSCRIBERS * 1.1, f"{name}: {events} events"
            # An event more or less comes within a window.
            yield {
                server.entry.name: (cpu / got[server.entry.name] * SUBSCRIBERS, "")
                for server, cpu in zip(servers, used, strict=True)
            }


def stalled(server: Server) -> tuple[float, str]:
    """The CPU while readers have stopped, without the other client that asks every 10 ms."""
    with ExitStack() as stack:
        for _ in range(STALLED):
            stack.enter_context(server.ask("GET", server.entry.path))
        time.sleep(3)
        before = server.cpu()
        time.sleep(WINDOW)
        used = server.cpu() - before
        waits = []
        client = stack.enter_context(server.connect())
        for _ in range(200):
            begun = time.perf_counter()
            client.sendall(b"GET /plain HTTP/1.1\r\nhost: a\r\n\r\n")
            assert client.recv(4096).startswith(b"HTTP/1.1 200"), "another client got no answer"
            waits.append(time.perf_counter() - begun)
            time.sleep(0.01)
        worst = sorted(waits)[-2] * 1e3
    return used / WINDOW, f"p99 of another client {worst:.1f} ms"


def in_turn(
    servers: list[Server], measure: Callable[[Server], tuple[float, str]], rounds: int
) -> Iterator[dict[str, tuple[float, str]]]:
    for number in range(rounds):
        for server in servers if number % 2 == 0 else servers[::-1]:
            yield {server.entry.name: measure(server)}


def _cores() -> list[int]:
    return sorted(os.sched_getaffinity(0))


def run(case: str, rounds: int, python: str) -> None:
    measure = {"up": up, "stalled": stalled}.get(case, down)
    with ExitStack() as stack:
        servers = []
        for entry in CASES[case]:
            server = Server(entry, python)
            stack.callback(server.close)
            servers.append(server)
        found: dict[str, list[float]] = {server.entry.name: [] for server in servers}
        notes: dict[str, str] = {}
        if case in ("down", "up"):
            for server in servers:
                measure(server)
        for measured in events(servers, rounds) if case == "events" else in_turn(servers, measure, rounds):
            for name, (used, notes[name]) in measured.items():
                found[name].append(used)
    base = statistics.median(found[servers[0].entry.name])
    print(f"\n{UNITS[case]}\n\n| server | median | lowest to highest | ratio | |\n|---|---|---|---|---|")
    for name, values in found.items():
        median = statistics.median(values)
        ratio = f"{median / base:.2f}" if case != "stalled" else "-"
        spread = f"{min(values):.1f} to {max(values):.1f}"
        print(f"| {name} | {median:.1f} | {spread} | {ratio} | {notes[name]} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--python", help="an interpreter with the peers, instead of one of this script's own")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("cases", nargs="*", metavar="case", help=" ".join(CASES))
    options = parser.parse_args()
    unknown = set(options.cases) - set(CASES)
    if unknown:
        parser.error(f"the cases are {', '.join(CASES)}")
    if len(_cores()) < 2:
        sys.exit("the servers need one core, and the clients another")
    python = options.python or environment(CACHE, PACKAGES)
    for case in options.cases or CASES:
        rounds = options.rounds if case in ("down", "up") else max(1, options.rounds // 2)
        run(case, rounds, python)


if __name__ == "__main__":
    main()
