"""The CPU that files, compressed JSON and uploaded forms cost, beside nginx and other libraries.

Run it with `python3 benches/content/run.py`. It builds the servers, prints a table, and writes
`benches/report/content`. All servers of a row run at the same time; the rounds go through them in turn.
"""

import argparse
import csv
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path.append(str(HERE.parent))

from peers import answers, environment  # noqa: E402

REPORT = ROOT / "benches" / "report" / "content"
CACHE = ROOT / "benches" / ".cache" / "content"
PACKAGES = ["httptools==0.9.0", "python-multipart==0.0.34", "uvicorn==0.54.0", "uvloop==0.23.0"]
MIB = 1 << 20
UPLOAD = 100 * MIB
BOUNDARY = "a-boundary-of-a-form-that-a-browser-would-make"


class Entry(NamedTuple):
    """A server. In its command, words in braces stand for places."""

    name: str
    command: tuple[str, ...]


TRANSOM = Entry(
    "Transom",
    ("{target}/serve-transom-content", "--port", "{port}", "--folder", "{work}", "--level", "{level}"),
)
NGINX = Entry("nginx, open_file_cache off", ("nginx", "off"))
CACHED = Entry("nginx, open_file_cache on", ("nginx", "max=1000 inactive=60s"))
AXUM = (
    "{target}/serve-axum-content",
    "--port",
    "{port}",
    "--folder",
    "{work}",
    "--level",
    "{level}",
    "--write",
)
TOWER = Entry("tower-http on axum", (*AXUM, "tokio"))
FILES = (TRANSOM, NGINX, CACHED, TOWER)
FORMS = (
    TRANSOM,
    Entry("multer on axum, tokio::fs", (*AXUM, "tokio")),
    Entry("multer on axum, std::fs in the handler", (*AXUM, "std")),
    Entry("Transom from Python", ("{python}", f"{HERE}/transom_app.py", "{port}", "{work}")),
    Entry("python-multipart on uvicorn", ("{python}", f"{HERE}/multipart_app.py", "{port}", "{work}")),
)


class Row(NamedTuple):
    """A request that servers get again and again."""

    title: str
    servers: tuple[Entry, ...]
    path: str
    fields: str = ""
    count: int = 0
    status: int = 200
    #: The level of compression, in all servers, and the coding of the answers.
    level: int = 1
    coding: str | None = None


ROWS = {
    "1k": Row("file of 1 KiB", FILES, "/files/1k.txt", count=8_000),
    "100k": Row("file of 100 KiB", FILES, "/files/100k.bin", count=2_000),
    "10m": Row("file of 10 MiB", FILES, "/files/10m.bin", count=60),
    "304": Row("304, by If-None-Match", FILES, "/files/1k.txt", "tag", 8_000, 304),
    "range": Row(
        "1 KiB of 10 MiB, by Range", FILES, "/files/10m.bin", "range: bytes=5000000-5001023\r\n", 8_000, 206
    ),
    "gzip": Row(
        "10 KiB of JSON, gzip level 1",
        (TRANSOM, NGINX, CACHED, TOWER),
        "/json",
        "accept-encoding: gzip\r\n",
        4_000,
        coding="gzip",
    ),
    "zstd": Row(
        "10 KiB of JSON, zstd level 3",
        (TRANSOM, TOWER),
        "/json",
        "accept-encoding: zstd\r\n",
        4_000,
        level=3,
        coding="zstd",
    ),
    "brotli": Row(
        "10 KiB of JSON, brotli level 4",
        (TRANSOM, TOWER),
        "/json",
        "accept-encoding: br\r\n",
        4_000,
        level=4,
        coding="br",
    ),
    "upload": Row("form with a file of 100 MiB, to disk", FORMS, "/upload"),
}
CONNECTIONS = 16
CORES = sorted(os.sched_getaffinity(0))


class Result(NamedTuple):
    """The CPU of a server for a request, in us: the median of the rounds, and the extremes."""

    median: float
    lowest: float
    highest: float


class Server:
    """A server process on the first core."""

    def __init__(self, entry: Entry, level: int, target: Path, work: Path, python: str) -> None:
        self.entry = entry
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        places = {"level": level, "target": target, "port": self.port, "work": work, "python": python}
        if entry.command[0] == "nginx":
            command = self._nginx(work, entry.command[1], level)
        else:
            command = [word.format_map(places) for word in entry.command]
        env = dict(os.environ, PYTHONPATH=f"{ROOT}/bindings/python/src")
        env.setdefault("TRANSOM_LIBRARY", str(target / "libtransom.so"))
        core, *_ = CORES
        self.process = subprocess.Popen(
            ["taskset", "-c", str(core), *command], env=env, stdout=subprocess.DEVNULL
        )
        if not answers(self.process, lambda: self.connect().close()):
            self.close()
            raise RuntimeError(f"{entry.name} has not started")

    def _nginx(self, work: Path, cache: str, level: int) -> list[str]:
        user = "user root;" if os.geteuid() == 0 else ""
        text = (HERE / "nginx.conf").read_text()
        for name, value in {
            "user": user,
            "work": work,
            "port": self.port,
            "cache": cache,
            "level": level,
        }.items():
            text = text.replace("{" + name + "}", str(value))
        (path := work / f"nginx-{self.port}.conf").write_text(text)
        program = shutil.which("nginx", path=os.environ["PATH"] + ":/usr/sbin")
        if program is None:
            sys.exit("nginx is not there")
        return [program, "-e", "stderr", "-p", str(work), "-c", str(path)]

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=120)

    def ask(self, path: str, fields: str = "", method: str = "HEAD") -> tuple[dict[str, str], bytes]:
        """Returns the fields of an answer, and its content as it came."""
        with self.connect() as connection:
            request = f"{method} {path} HTTP/1.1\r\nhost: a\r\n{fields}connection: close\r\n\r\n"
            connection.sendall(request.encode())
            head, _, content = b"".join(iter(lambda: connection.recv(65536), b"")).partition(b"\r\n\r\n")
        lines = (line.partition(":") for line in head.decode().splitlines()[1:])
        return {name.lower(): value.strip() for name, _, value in lines}, content

    def check_coding(self, row: Row) -> None:
        """Fails unless the server compresses the answer as the row says, and tells its length."""
        fields, content = self.ask(row.path, row.fields, "GET")
        assert fields.get("content-encoding") == row.coding, f"{self.entry.name}: {fields}"
        print(f"{row.title}: {len(content):,} bytes from {self.entry.name}", flush=True)

    def cpu(self) -> int:
        """The CPU time of the process and its children so far, in ns. Threads that have ended count."""
        pids = [self.process.pid]
        children = Path(f"/proc/{pids[0]}/task/{pids[0]}/children").read_text()
        pids += [int(pid) for pid in children.split()]
        # The clock of a process, as clock_getcpuclockid(3) makes its number.
        return sum(time.clock_gettime_ns((~pid << 3) | 2) for pid in pids)

    def close(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def load(server: Server, row: Row, target: Path) -> float:
    """Returns the CPU for a request, in us."""
    fields = row.fields
    if fields == "tag":
        known, _ = server.ask(row.path)
        fields = f"if-modified-since: {known['last-modified']}\r\n"
        if "etag" in known:
            fields = f"if-none-match: {known['etag']}\r\n"
    request = f"GET {row.path} HTTP/1.1\r\nhost: 127.0.0.1\r\n{fields}\r\n"
    command = [target / "transom-content-bench", str(server.port), str(CONNECTIONS), str(row.count)]
    before = server.cpu()
    done = subprocess.run(command, input=request.encode(), capture_output=True, check=True)
    used = server.cpu() - before
    status, _ = done.stdout.split()
    assert int(status) == row.status, f"{server.entry.name}: {done.stdout!r}"
    return used / row.count / 1e3


def upload(server: Server, row: Row, content: bytes) -> float:
    """Returns the CPU for a form, in us."""
    start = (
        f"--{BOUNDARY}\r\ncontent-disposition: form-data; name=file; filename=a.bin\r\n"
        "content-type: application/octet-stream\r\n\r\n"
    ).encode()
    end = f"\r\n--{BOUNDARY}--\r\n".encode()
    length = len(start) + len(content) + len(end)
    head = (
        f"POST {row.path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: {length}\r\n"
        f"content-type: multipart/form-data; boundary={BOUNDARY}\r\n\r\n"
    )
    view = memoryview(content)
    before = server.cpu()
    with server.connect() as client:
        client.sendall(head.encode() + start)
        for at in range(0, len(view), MIB):
            client.sendall(view[at : at + MIB])
        client.sendall(end)
        answer = b"".join(iter(lambda: client.recv(65536), b""))
    used = server.cpu() - before
    assert answer.startswith(b"HTTP/1.1 200"), answer
    assert answer.endswith(b"%d" % UPLOAD), answer
    return used / 1e3


def build() -> Path:
    """Builds the servers, and returns where they are."""
    target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "benches" / "target"))
    env = dict(os.environ, CARGO_TARGET_DIR=str(target))
    manifest = f"--manifest-path={ROOT}/benches/Cargo.toml"
    command = ["cargo", "build", "--release", "--quiet"]
    subprocess.run([*command, manifest, "-p", "transom-content-bench"], env=env, check=True)
    if "TRANSOM_LIBRARY" not in os.environ:
        manifest = f"--manifest-path={ROOT}/Cargo.toml"
        subprocess.run([*command, manifest, "-p", "transom-capi"], env=env, check=True)
    return target / "release"


def site(work: Path) -> None:
    """Writes the files that are served. They are older than a second, so that their tags are strong."""
    (folder := work / "site").mkdir()
    for name, size in (("1k.txt", 1024), ("100k.bin", 100 * 1024), ("10m.bin", 10 * MIB)):
        (folder / name).write_bytes(os.urandom(size))
    item = '{{"number": {0}, "name": "lamp {0}", "price": {1}.50, "tags": ["home", "light"], "stock": {2}}}'
    items = ", ".join(item.format(at, at * 37 % 101, at * 7919 % 1000) for at in range(200))
    (folder / "10k.json").write_text(f"[{items}]"[: 10 * 1024])
    then = time.time() - 3600
    for path in folder.iterdir():
        os.utime(path, (then, then))


def measure(name: str, rounds: int, target: Path, work: Path, python: str, only: str) -> dict[str, Result]:
    row = ROWS[name]
    with ExitStack() as stack:
        servers = []
        for entry in row.servers:
            if only in entry.name:
                server = Server(entry, row.level, target, work, python)
                stack.callback(server.close)
                servers.append(server)
                if row.coding is not None:
                    server.check_coding(row)
        content = os.urandom(UPLOAD) if name == "upload" else b""
        found: dict[str, list[float]] = {server.entry.name: [] for server in servers}
        for number in range(-1, rounds):
            for server in servers if number % 2 == 0 else servers[::-1]:
                used = upload(server, row, content) if content else load(server, row, target)
                # The first round warms the servers and the cache of pages.
                if number >= 0:
                    found[server.entry.name].append(used)
    return {server: Result(statistics.median(used), min(used), max(used)) for server, used in found.items()}


def table(results: dict[str, dict[str, Result]]) -> str:
    lines = ["| request | server | CPU, µs | lowest to highest | Transom / server |", "|---|---|---|---|---|"]
    for name, found in results.items():
        for server, used in found.items():
            base = found.get("Transom from Python" if server.startswith("python-") else "Transom")
            is_peer = base is not None and not server.startswith("Transom")
            ratio = f"{base.median / used.median:.2f}" if is_peer else ""
            title = ROWS[name].title if server == next(iter(found)) else ""
            spread = f"{used.lowest:,.1f} to {used.highest:,.1f}"
            lines.append(f"| {title} | {server} | {used.median:,.1f} | {spread} | {ratio} |")
    return "\n".join(lines) + "\n"


ABOUT = """# Files, compression and forms

The CPU time of the server for each request, user and system, from `benches/content/run.py`: medians of
rounds in which all servers of a request have their turn. Each server has one worker and
one core; the load has {connections} connections that are kept alive, and one for a form. A ratio under 1
means that Transom needs less.

"""


def read() -> dict[str, dict[str, Result]]:
    """Returns the results of the report: rows that are not measured stay in it."""
    results: dict[str, dict[str, Result]] = {}
    if (path := REPORT / "results.csv").exists():
        with path.open(newline="") as file:
            for line in csv.DictReader(file):
                used = Result(*(float(line[f"{name}_us"]) for name in Result._fields))
                results.setdefault(line["row"], {})[line["server"]] = used
    return results


def write(results: dict[str, dict[str, Result]]) -> None:
    REPORT.mkdir(parents=True, exist_ok=True)
    results = {name: results[name] for name in ROWS if name in results}
    (REPORT / "README.md").write_text(ABOUT.format(connections=CONNECTIONS) + table(results))
    with (REPORT / "results.csv").open("w", newline="") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(["row", "server", *(f"{name}_us" for name in Result._fields)])
        for name, found in results.items():
            for server, used in found.items():
                rows.writerow([name, server, *(f"{value:.1f}" for value in used)])


def main() -> None:
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    parser.add_argument("--python", help="an interpreter with the peers, instead of one of this script's own")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--only", default="", help="only servers with this in their name; writes no report")
    parser.add_argument("rows", nargs="*", metavar="row", help=" ".join(ROWS))
    options = parser.parse_args()
    unknown = set(options.rows) - set(ROWS)
    if unknown:
        parser.error(f"the rows are {', '.join(ROWS)}")
    if len(CORES) < 2:
        sys.exit("the servers need one core, and the clients another")
    target, names = build(), options.rows or list(ROWS)
    python = (options.python or environment(CACHE, PACKAGES)) if "upload" in names else ""
    os.sched_setaffinity(0, CORES[1:])
    results = read()
    with tempfile.TemporaryDirectory(prefix="transom-content-") as made:
        work = Path(made)
        work.chmod(0o755)
        site(work)
        for name in names:
            results[name] = measure(name, options.rounds, target, work, python, options.only)
            print(table({name: results[name]}), flush=True)
            if not options.only:
                write(results)


if __name__ == "__main__":
    main()
