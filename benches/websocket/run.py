"""WebSocket servers beside each other: the CPU for each message, and the memory of idle connections.

Run it with `python3 benches/websocket/run.py`. It builds what it needs with cargo and cc, installs the Python
packages into an environment under `.cache`, and writes `report/websocket`: a table and the numbers. Names of
scenarios may follow. Each number is the median of the rounds; in a round each server has its turn, as a fresh
process with one worker, on the first core, and the load is on the second.
"""

from __future__ import annotations

import argparse
import csv
import datetime
import os
import platform
import socket
import statistics
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).resolve().parent
BENCHES, ROOT = HERE.parent, HERE.parents[1]
sys.path.append(str(BENCHES))

from peers import answers, environment  # noqa: E402

PACKAGES = [
    "aiohttp==3.14.5",
    "cffi==2.1.1",
    "granian==2.8.9",
    "socketify==0.0.31",
    "uvicorn==0.54.0",
    "uvloop==0.23.0",
    "websockets==17.4",
]
PATIENCE = 60


class Scenario(NamedTuple):
    """What the load does: see `src/main.rs`."""

    title: str
    case: str
    connections: int
    size: int
    deflate: bool = False


SCENARIOS = {
    "echo-64": Scenario("Echo of 64 bytes, 64 connections", "echo", 64, 64),
    "echo-1m": Scenario("Echo of 1 MiB, 8 connections", "echo", 8, 1 << 20),
    "echo-64-deflate": Scenario("Echo of 64 bytes, compressed, 64 connections", "echo", 64, 64, True),
    "echo-1m-deflate": Scenario("Echo of 1 MiB, compressed, 8 connections", "echo", 8, 1 << 20, True),
    "broadcast-1000": Scenario("Broadcast of 64 bytes to 1,000, for each copy", "broadcast", 1000, 64),
    "idle-1000": Scenario("Idle connections, after a message each", "idle", 1000, 64),
}
ALL = tuple(SCENARIOS)
PLAIN = tuple(name for name, scenario in SCENARIOS.items() if not scenario.deflate)


class Entry(NamedTuple):
    """A server: its command, in which {port} and {deflate} stand for words, and what it can do."""

    command: str
    configuration: str
    scenarios: tuple[str, ...] = ALL


APP = "{python} {apps}/transom_app.py {port} "
UVICORN = (
    "{python} -m uvicorn asgi_app:app --app-dir {apps} --port {port} --loop uvloop --ws websockets-sansio "
    "--ws-per-message-deflate {bool} --log-level error --lifespan off"
)
GRANIAN = (
    "{python} -m granian --interface asgi --loop uvloop --workers 1 --port {port} --working-dir {apps} "
    "--log-level error asgi_app:app"
)
SERVERS = {
    "transom": Entry("{rust}/serve-transom {port}", "Model `event`, 1 worker."),
    "transom-c": Entry("{c} {port}", "The same from C, by callbacks on the thread of the connections."),
    "transom-python": Entry(APP + "async", "`async def` handlers on asyncio."),
    "transom-python-uvloop": Entry(APP + "async --uvloop", "`async def` handlers on uvloop."),
    "transom-python-plain": Entry(APP + "plain", "Plain handlers: a thread for each connection."),
    "transom-asgi": Entry(APP + "asgi --uvloop", "The ASGI application on uvloop."),
    "socketify": Entry(
        "{python} {apps}/socketify_app.py {port} {deflate}",
        "uWebSockets under Python; its publish and subscribe.",
    ),
    "tungstenite": Entry("{rust}/serve-tungstenite {port}", "On tokio, one thread. No compression.", PLAIN),
    "fastwebsockets": Entry(
        "{rust}/serve-fastwebsockets {port}", "On hyper and tokio, one thread. No compression.", PLAIN
    ),
    "uvicorn": Entry(UVICORN, "The ASGI application on uvloop, with `websockets-sansio`."),
    "granian": Entry(GRANIAN, "The ASGI application on uvloop, 1 worker. No compression.", PLAIN),
    "aiohttp": Entry("{python} {apps}/aiohttp_app.py {port}", "On uvloop."),
}


class Server:
    """A server process on the first core."""

    def __init__(self, entry: Entry, scenario: Scenario, places: dict[str, str]) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        words = {
            **places,
            "port": str(self.port),
            "deflate": "deflate" if scenario.deflate else "",
            "bool": str(scenario.deflate).lower(),
        }
        paths = f"{ROOT}/bindings/python/src:{HERE}/servers"
        env = dict(os.environ, PYTHONPATH=paths, TRANSOM_LIBRARY=places["library"])
        self.process = subprocess.Popen(
            entry.command.format(**words).split(),
            env=env,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            preexec_fn=lambda: os.sched_setaffinity(0, _cores()[:1]),
        )
        address = ("127.0.0.1", self.port)
        if not answers(self.process, lambda: socket.create_connection(address, timeout=PATIENCE).close()):
            self.close()
            raise RuntimeError("the server has not started")

    def close(self) -> None:
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        pids = children.read_text().split() if children.exists() else []
        self.process.kill()
        self.process.wait()
        for pid in pids:
            try:
                os.kill(int(pid), 9)
            except ProcessLookupError:
                pass


def _cores() -> list[int]:
    return sorted(os.sched_getaffinity(0))


def measure(entry: Entry, scenario: Scenario, places: dict[str, str], seconds: float) -> float:
    """Returns the CPU for a message in microseconds, or the bytes for an idle connection."""
    server = Server(entry, scenario, places)
    try:
        words = [server.port, server.process.pid, scenario.case, scenario.connections, scenario.size]
        seconds = 0.1 if scenario.case == "idle" else seconds
        ran = subprocess.run(
            [f"{places['rust']}/transom-websocket-bench", *map(str, words), str(seconds)]
            + ["deflate"] * scenario.deflate,
            capture_output=True,
            text=True,
            timeout=5 * PATIENCE,
            check=False,
            preexec_fn=lambda: os.sched_setaffinity(0, _cores()[-1:]),
        )
        if ran.returncode != 0:
            raise RuntimeError(ran.stderr.strip().splitlines()[0])
        messages, _, used, memory = map(float, ran.stdout.split())
        return memory if scenario.case == "idle" else used / messages / 1000
    finally:
        server.close()


def prepare(options: argparse.Namespace) -> dict[str, str]:
    """Builds and installs, unless it is there."""
    rust = Path(options.rust or BENCHES / "target" / "release")
    if options.rust is None:
        command = ["cargo", "build", "--release", "--package", "transom-websocket-bench"]
        subprocess.run(command, cwd=BENCHES, check=True)
    library = Path(options.library or ROOT / "target" / "release" / "libtransom.so")
    if options.library is None:
        subprocess.run(["cargo", "build", "--release", "-p", "transom-capi"], cwd=ROOT, check=True)
    cache = BENCHES / ".cache" / "websocket"
    cache.mkdir(parents=True, exist_ok=True)
    program = cache / "serve-transom-c"
    flags = ["-O2", f"-I{ROOT}/include", str(HERE / "servers" / "echo.c"), f"-L{library.parent}", "-ltransom"]
    subprocess.run(["cc", *flags, f"-Wl,-rpath,{library.parent}", "-o", str(program)], check=True)
    python = options.python or environment(cache / "venv", PACKAGES)
    places = {"rust": rust, "library": library, "c": program, "python": python, "apps": HERE / "servers"}
    return {name: str(path) for name, path in places.items()}


def three(value: float) -> str:
    """Three digits, with separators."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def write(
    out: Path, results: dict[str, dict[str, list[float]]], notes: dict[tuple[str, str], str], note: str
) -> None:
    out.mkdir(parents=True, exist_ok=True)
    with (out / "results.csv").open("w", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(["scenario", "server", "metric", "median", "low", "high", "rounds", "note"])
        for name, servers in results.items():
            metric = "bytes" if SCENARIOS[name].case == "idle" else "cpu_us"
            for server, values in servers.items():
                if values:
                    numbers = (f"{pick(values):.6f}" for pick in (statistics.median, min, max))
                    table.writerow([name, server, metric, *numbers, len(values), ""])
                else:
                    table.writerow([name, server, metric, "", "", "", 0, notes.get((name, server), "")])
    lines = [
        "# WebSocket",
        "",
        "The CPU time of the server's processes for each message, user and system, in microseconds;",
        "for idle connections the resident bytes for each. Each number is the median of the rounds, with",
        "the lowest and the highest in brackets; in a round each server has its turn, as a fresh process.",
        "*x peer* is the ratio to the best server that is not ours. Before a run, the load",
        "(`benches/websocket/src`) looks that each connection of an echo sends back what it gets.",
        *(["", note] if note else []),
        "",
    ]
    for name, servers in results.items():
        scenario = SCENARIOS[name]
        unit = "bytes" if scenario.case == "idle" else "CPU µs/message"
        found = {server: statistics.median(values) for server, values in servers.items() if values}
        best = min(
            (value for server, value in found.items() if not server.startswith("transom")), default=None
        )
        lines += [f"## {name}: {scenario.title}", "", f"| server | {unit} | x peer |", "|---|---|---|"]
        for server, value in sorted(found.items(), key=lambda item: item[1]):
            shown = f"**{server}**" if server.startswith("transom") else server
            ratio = "" if best is None else f"{value / best:.2f}"
            span = f"{three(min(servers[server]))}-{three(max(servers[server]))}"
            lines.append(f"| {shown} | {three(value)} ({span}) | {ratio} |")
        for server in servers:
            if server not in found:
                lines += ["", f"{server} is left out: {notes.get((name, server), 'no round')}."]
        lines.append("")
    lines += [f"- {server}: {entry.configuration}" for server, entry in SERVERS.items()]
    cpu = next((line for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line), ":")
    lines += [
        "",
        f"- date: {datetime.datetime.now(tz=datetime.UTC):%Y-%m-%d}",
        f"- CPU: {cpu.partition(':')[2].strip()}; {len(_cores())} cores, the server on one, the load on one",
        f"- kernel: {platform.release().partition('-')[0]}; Python {platform.python_version()}",
        f"- packages: {', '.join(PACKAGES)}",
        f"- load average at the end: {os.getloadavg()[0]:.1f}, of which the bench makes 2 at most",
        "",
    ]
    (out / "README.md").write_text("\n".join(lines))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("scenarios", nargs="*", metavar="SCENARIO", help=", ".join(SCENARIOS))
    parser.add_argument("--servers", help="only these, with commas between them")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2)
    parser.add_argument("--out", type=Path, default=BENCHES / "report" / "websocket")
    parser.add_argument("--rust", help="a folder with the programs of this package, instead of a build")
    parser.add_argument("--library", help="a libtransom.so, instead of a build")
    parser.add_argument("--python", help="an interpreter with the packages, instead of an environment")
    parser.add_argument("--note", default="", help="what the report is to say about this run")
    options = parser.parse_args()
    places = prepare(options)
    chosen = options.servers.split(",") if options.servers else list(SERVERS)
    results: dict[str, dict[str, list[float]]] = {}
    notes: dict[tuple[str, str], str] = {}
    for name in options.scenarios or ALL:
        entries = {server: SERVERS[server] for server in chosen if name in SERVERS[server].scenarios}
        results[name] = {server: [] for server in entries}
        for number in range(options.rounds):
            turns = list(entries.items())
            for server, entry in turns if number % 2 == 0 else turns[::-1]:
                if (name, server) in notes:
                    continue
                try:
                    value = measure(entry, SCENARIOS[name], places, options.seconds)
                except (RuntimeError, subprocess.TimeoutExpired) as error:
                    notes[name, server] = str(error).rstrip(".")
                    results[name][server] = []
                    print(f"{name} {server}: {error}", file=sys.stderr, flush=True)
                    continue
                results[name][server].append(value)
                print(f"{name} {number} {server} {three(value)}", flush=True)
        write(options.out, results, notes, options.note)


if __name__ == "__main__":
    main()
