"""The CPU and the memory of servers of WSGI and ASGI applications, beside each other.

Run it with `python3 benches/hosts/run.py`, after `cargo build --release --package transom-capi`. It prints a
table for each interface: the CPU for a request in us, and the memory for each worker process in MiB. The
load is wrk. Each round starts all servers one after another, and has a window for each case; a number is the
median of the rounds. All processes of a server have one core, and the load has another. A case that a server
does not answer without an error is left out.
"""

import argparse
import math
import os
import re
import resource
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path.append(str(HERE.parent))

from peers import answers, environment  # noqa: E402

CACHE = ROOT / "benches" / ".cache" / "hosts"
PACKAGES = [
    "bjoern==3.2.2",
    "granian==2.8.9",
    "gunicorn==27.0.1",
    "httptools==0.9.0",
    "hypercorn==0.18.0",
    "uvicorn==0.54.0",
    "uvloop==0.23.0",
    "waitress==3.0.2",
]
#: The cases: a path, the connections, and the bytes of the body that is sent.
CASES = {
    "hello": ("/hello", 64, 0),
    "JSON": ("/json/lamp", 64, 0),
    "page": ("/page/lamp", 64, 0),
    "upload": ("/upload", 64, 10 * 1024),
    "stream": ("/stream", 64, 0),
    "wait": ("/wait", 256, 0),
}

TRANSOM = "-m transom {app} --bind 127.0.0.1:{port} --workers {n}"
GRANIAN = (
    "-m granian {app} --host 127.0.0.1 --port {port} --workers {n} --backpressure 20000 "
    "--http 1 --no-ws --no-log --interface"
)
UVICORN = (
    "-m uvicorn {app} --port {port} --workers {n} --http httptools --ws none --lifespan off "
    "--log-level critical --no-access-log --loop"
)
GUNICORN = (
    "-m gunicorn {app} --bind 127.0.0.1:{port} --workers {n} --worker-class gthread --threads 4 "
    "--keep-alive 75"
)
WAITRESS = "-m waitress --listen 127.0.0.1:{port} --threads 4 --asyncore-use-poll {app}"
HYPERCORN = "-m hypercorn {app} --bind 127.0.0.1:{port} --workers {n} --worker-class"


class Entry(NamedTuple):
    """A server, and how it is started."""

    name: str
    words: str
    processes: int = 1


SERVERS = {
    "wsgi": [
        Entry("bjoern", "bjoern_app.py {port}"),
        Entry("Transom", TRANSOM),
        Entry("granian", GRANIAN + " wsgi"),
        Entry("gunicorn", GUNICORN),
        Entry("waitress", WAITRESS),
        Entry("Transom", TRANSOM, 2),
        Entry("granian", GRANIAN + " wsgi", 2),
        Entry("gunicorn", GUNICORN, 2),
    ],
    "asgi": [
        Entry("Transom, asyncio", TRANSOM + " --loop asyncio"),
        Entry("Transom, uvloop", TRANSOM + " --loop uvloop"),
        Entry("granian, asyncio", GRANIAN + " asginl --loop asyncio"),
        Entry("granian, uvloop", GRANIAN + " asginl --loop uvloop"),
        Entry("uvicorn, asyncio", UVICORN + " asyncio"),
        Entry("uvicorn, uvloop", UVICORN + " uvloop"),
        Entry("hypercorn, asyncio", HYPERCORN + " asyncio"),
        Entry("hypercorn, uvloop", HYPERCORN + " uvloop"),
        Entry("Transom, uvloop", TRANSOM + " --loop uvloop", 2),
        Entry("granian, uvloop", GRANIAN + " asginl --loop uvloop", 2),
        Entry("uvicorn, uvloop", UVICORN + " uvloop", 2),
        Entry("hypercorn, uvloop", HYPERCORN + " uvloop", 2),
    ],
}


class Server:
    """A server with all its processes on the first core."""

    def __init__(self, entry: Entry, interface: str, python: str) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        words = entry.words.format(app=f"{interface}_app:app", port=self.port, n=entry.processes)
        command = ["taskset", "-c", str(_cores()[0]), python, *words.split()]
        env = dict(os.environ, PYTHONPATH=f"{ROOT}/bindings/python/src:{HERE}")
        self.process = subprocess.Popen(
            command, env=env, cwd=HERE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        # A socket may listen before the application is loaded.
        url = f"http://127.0.0.1:{self.port}/hello"
        if not answers(self.process, lambda: urllib.request.urlopen(url, timeout=60).close()):
            self.close()
            raise RuntimeError(f"{entry.name} has not started")

    def _processes(self) -> list[int]:
        """The process and its descendants."""
        found = [self.process.pid]
        for pid in found:
            try:
                for thread in os.listdir(f"/proc/{pid}/task"):
                    children = Path(f"/proc/{pid}/task/{thread}/children").read_text()
                    found += [int(child) for child in children.split()]
            except OSError:
                pass
        return found

    def cpu(self) -> float:
        """The CPU time of all processes so far, in us."""
        # The clock of a process, as clock_getcpuclockid(3) makes its number.
        return sum(time.clock_gettime_ns((~pid << 3) | 2) for pid in self._processes()) / 1e3

    def memory(self) -> float:
        """The memory that all processes have for themselves, and their parts of what they share, in MiB."""
        total = 0
        for pid in self._processes():
            text = Path(f"/proc/{pid}/smaps_rollup").read_text()
            total += int(re.search(r"^Pss: +(\d+)", text, re.MULTILINE)[1])
        return total / 1024

    def close(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            for pid in self._processes()[::-1]:
                os.kill(pid, 9)
            self.process.wait()


def load(server: Server, case: str, seconds: float, folder: str) -> int:
    """Asks for a while. Returns the number of answers, 0 if there was an error."""
    path, connections, size = CASES[case]
    command = ["taskset", "-c", str(_cores()[1]), "wrk", "-t1", f"-c{connections}", f"-d{seconds}s"]
    if size:
        script = Path(folder) / f"{size}.lua"
        script.write_text(f'wrk.method = "POST"\nwrk.body = string.rep("x", {size})\n')
        command += ["-s", str(script)]
    ran = subprocess.run(
        [*command, f"http://127.0.0.1:{server.port}{path}"], capture_output=True, text=True, check=True
    )
    if "Non-2xx" in ran.stdout or "Socket errors" in ran.stdout:
        return 0
    return int(re.search(r"(\d+) requests in", ran.stdout)[1])


def measure(entry: Entry, interface: str, python: str, seconds: int) -> dict[str, float]:
    server = Server(entry, interface, python)
    found = {}
    try:
        with tempfile.TemporaryDirectory() as folder:
            for case in CASES:
                # So that each process has its connections, and knows how long its handlers take.
                load(server, case, 1, folder)
                before = server.cpu()
                answers = load(server, case, seconds, folder)
                found[case] = (server.cpu() - before) / answers if answers else math.nan
        found["memory"] = server.memory() / entry.processes
        return found
    finally:
        server.close()


def _cores() -> list[int]:
    return sorted(os.sched_getaffinity(0))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--python", help="an interpreter with the peers, instead of one of this script's own")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=3)
    parser.add_argument("interfaces", nargs="*", metavar="interface", help=" ".join(SERVERS))
    options = parser.parse_args()
    if set(options.interfaces) - set(SERVERS):
        parser.error(f"the interfaces are {', '.join(SERVERS)}")
    if len(_cores()) < 2 or shutil.which("wrk") is None:
        sys.exit("the servers need one core, the load another, and wrk")
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    python = options.python or environment(CACHE, PACKAGES)
    for interface in options.interfaces or SERVERS:
        found: dict[Entry, list[dict[str, float]]] = {entry: [] for entry in SERVERS[interface]}
        for _ in range(options.rounds):
            for entry, rounds in found.items():
                rounds.append(measure(entry, interface, python, options.seconds))
        columns = [*CASES, "memory"]
        print(f"\n| {interface} | processes | {' | '.join(columns)} |\n|---|---{'|---' * len(columns)}|")
        for entry, rounds in found.items():
            values = [statistics.median(each[column] for each in rounds) for column in columns]
            cells = " | ".join("" if math.isnan(value) else f"{value:.1f}" for value in values)
            print(f"| {entry.name} | {entry.processes} | {cells} |", flush=True)


if __name__ == "__main__":
    main()
