"""Static files beside nginx and Apache, under a linter, and with clients that fetch parts.

    python tests/files/run.py

Needs the package `transom` with its library (`PYTHONPATH`, `TRANSOM_LIBRARY`) and `httplint`. What is not on
this machine is left out, and said: nginx, Apache, curl, wget, aria2 and Chromium.
"""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import http.server
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
import wave
from pathlib import Path
from typing import TYPE_CHECKING

import httplint
import transom

if TYPE_CHECKING:
    from collections.abc import Iterator

HERE = Path(__file__).parent
# Longer than anything takes on a machine with other work to do.
PATIENCE = 60
SECRET = b"this is nobody's business"
CHANGED = 784_111_777
DATE, EARLIER, LATER = (f"Sun, 06 Nov 1994 08:49:{second} GMT" for second in (37, 36, 38))

#: Requests for a file of 10,000 bytes. `TAG` is the tag of each server.
REQUESTS: list[tuple[str, list[str]]] = [
    ("GET", []),
    ("HEAD", []),
    ("GET", ["Range: bytes=0-99"]),
    ("GET", ["Range: bytes=9900-"]),
    ("GET", ["Range: bytes=-100"]),
    ("GET", ["Range: bytes=-20000"]),
    ("GET", ["Range: bytes=0-20000"]),
    ("GET", ["Range: bytes=10000-"]),
    ("GET", ["Range: bytes=-0"]),
    ("GET", ["Range: bytes=5-1"]),
    ("GET", ["Range: bytes=x-y"]),
    ("GET", ["Range: lines=0-1"]),
    ("GET", ["Range: bytes=0-0,5000-5000"]),
    ("GET", ["Range: bytes=0-0,20000-"]),
    ("GET", ["Range: bytes=0-99,50-149"]),
    ("HEAD", ["Range: bytes=0-99"]),
    ("GET", ["If-None-Match: TAG"]),
    ("GET", ["If-None-Match: W/TAG"]),
    ("GET", ["If-None-Match: *"]),
    ("GET", ['If-None-Match: "other", TAG']),
    ("GET", ['If-None-Match: "other"', f"If-Modified-Since: {LATER}"]),
    ("GET", ["If-None-Match: TAG", f"If-Modified-Since: {EARLIER}"]),
    ("GET", [f"If-Modified-Since: {DATE}"]),
    ("GET", [f"If-Modified-Since: {EARLIER}"]),
    ("GET", [f"If-Modified-Since: {LATER}"]),
    ("GET", ["If-Modified-Since: yesterday"]),
    ("GET", ["If-Match: TAG"]),
    ("GET", ["If-Match: *"]),
    ("GET", ['If-Match: "other"']),
    ("GET", ["If-Match: W/TAG"]),
    ("GET", [f"If-Unmodified-Since: {EARLIER}"]),
    ("GET", [f"If-Unmodified-Since: {DATE}"]),
    ("GET", ["If-Match: TAG", f"If-Unmodified-Since: {EARLIER}"]),
    ("GET", ['If-Match: "other"', "Range: bytes=0-0"]),
    ("GET", ["If-None-Match: TAG", "Range: bytes=0-0"]),
    ("GET", ["If-Range: TAG", "Range: bytes=0-0"]),
    ("GET", ['If-Range: "other"', "Range: bytes=0-0"]),
    ("GET", [f"If-Range: {DATE}", "Range: bytes=0-0"]),
    ("GET", [f"If-Range: {EARLIER}", "Range: bytes=0-0"]),
]
#: Why an answer differs from that of another server. Others must be the same.
ARGUED = {
    "Range: bytes=-0": "no byte is asked for: RFC 9110 14.1.2 calls that unsatisfiable",
    "Range: bytes=5-1": "RFC 9110 14.1.1: such a range is invalid, and 14.2 has it ignored",
    "Range: bytes=x-y": "the same",
    "Range: lines=0-1": "RFC 9110 14.2: a unit that is not known is ignored",
    "Range: bytes=0-99,50-149": "RFC 9110 15.3.7.2: parts that overlap are sent once, as one",
    "Range: bytes=0-99": "RFC 9110 14.2: Range is for GET alone",
    "Range: bytes=10000-": "RFC 9110 14.4: a 416 tells the length in Content-Range",
    "If-None-Match: TAG; If-Modified-Since: "
    + EARLIER: "RFC 9110 13.1.3: the date does not count beside the tag",
    "If-Modified-Since: "
    + LATER: "RFC 9110 13.1.3: not changed since then, nor before the date of the field",
    "If-Match: TAG; If-Unmodified-Since: "
    + EARLIER: "RFC 9110 13.2.2: If-Match decides, and the date does not count",
}


class Answer:
    """An answer as it came."""

    def __init__(self, raw: bytes) -> None:
        head, _, self.body = raw.partition(b"\r\n\r\n")
        lines = head.split(b"\r\n")
        self.version, self.phrase = lines[0][:8], lines[0][13:]
        self.status = int(lines[0][9:12])
        self.fields = [
            (name.strip(), value.strip()) for name, _, value in (line.partition(b":") for line in lines[1:])
        ]

    def get(self, name: str) -> str:
        return next((value.decode() for key, value in self.fields if key.lower() == name.encode()), "")

    def outline(self) -> tuple[object, ...]:
        kind = self.get("content-type").split(";")[0]
        multipart = kind == "multipart/byteranges"
        length = len(self.body) if self.status in (200, 206) and not multipart else 0
        return self.status, length, self.get("content-range"), multipart


def ask(port: int, target: bytes, method: str = "GET", fields: list[str] | tuple[()] = ()) -> Answer:
    lines = [b"%s %s HTTP/1.1" % (method.encode(), target), b"Host: h", *(field.encode() for field in fields)]
    with socket.create_connection(("127.0.0.1", port), PATIENCE) as connection:
        connection.sendall(b"\r\n".join([*lines, b"Connection: close\r\n\r\n"]))
        return Answer(b"".join(iter(lambda: connection.recv(65536), b"")))


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


@contextlib.contextmanager
def process(command: list[str], port: int) -> Iterator[int]:
    """Runs another server, and waits until it listens."""
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as running:
        try:
            end = time.monotonic() + PATIENCE
            while True:
                with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                    break
                assert running.poll() is None, f"{command[0]} has ended"
                assert time.monotonic() < end, f"{command[0]} does not listen"
                time.sleep(0.05)
            yield port
        finally:
            running.terminate()


def nginx(folder: Path, root: Path) -> contextlib.AbstractContextManager[int]:
    port, config = free_port(), folder / "nginx.conf"
    config.write_text(f"""
        daemon off; pid {folder}/nginx.pid; error_log {folder}/nginx.log; worker_processes 1; user root;
        events {{}}
        http {{
            access_log off; sendfile on; default_type application/octet-stream; types {{ text/plain txt; }}
            client_body_temp_path {folder}/a; proxy_temp_path {folder}/b; fastcgi_temp_path {folder}/c;
            uwsgi_temp_path {folder}/d; scgi_temp_path {folder}/e;
            server {{ listen 127.0.0.1:{port}; location /static/ {{ alias {root}/; }} }}
        }}""")
    return process(["nginx", "-p", str(folder), "-c", str(config)], port)


def apache(folder: Path, root: Path) -> contextlib.AbstractContextManager[int]:
    port, config = free_port(), folder / "apache.conf"
    (folder / "mime.types").write_text("text/plain txt\n")
    modules = "\n".join(
        f"LoadModule {name}_module /usr/lib/apache2/modules/mod_{name}.so"
        for name in ("mpm_event", "authz_core", "alias", "mime")
    )
    config.write_text(f"""{modules}
        ServerName h
        Listen 127.0.0.1:{port}
        PidFile {folder}/apache.pid
        ErrorLog {folder}/apache.log
        TypesConfig {folder}/mime.types
        DefaultRuntimeDir {folder}
        Alias /static {root}
        <Directory {root}>
            Require all granted
        </Directory>""")
    return process(["apache2", "-X", "-d", str(folder), "-f", str(config)], port)


def write(path: Path, contents: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(contents)
    os.utime(path, (CHANGED, CHANGED))


def compare(ours: int, others: dict[str, int]) -> None:
    """Asks each server the same, and says where they differ."""
    ports = {"transom": ours, **others}
    tags = {name: ask(port, b"/static/a.txt").get("etag") for name, port in ports.items()}
    faults = []
    print(f"{'request':78}", *(f"{name:>10}" for name in ports))
    for method, fields in REQUESTS:
        answers = {
            name: ask(
                port, b"/static/a.txt", method, [field.replace("TAG", tags[name]) for field in fields]
            ).outline()
            for name, port in ports.items()
        }
        shown = "; ".join(fields)
        why = ARGUED.get(shown, "")
        differs = len(set(answers.values())) > 1
        cells = (f"{answer[0]}{'m' if answer[3] else ''}/{answer[1]}" for answer in answers.values())
        print(
            f"{method} {shown:{77 - len(method)}}", *(f"{cell:>10}" for cell in cells), why if differs else ""
        )
        if differs and not why:
            faults.append((method, shown, answers))
    assert not faults, faults


def traverse(ours: int, other: int | None) -> None:
    """Sends the corpus of paths to both servers: this one serves nothing of what is secret."""
    lines = (HERE / "traversal.txt").read_bytes().split(b"\n")
    targets = [b"/static" + line for line in lines if line and not line.startswith(b"# ")]
    counts = {}
    for name, port in (("transom", ours), ("nginx", other)):
        if port is None:
            continue
        served = [target for target in targets if SECRET in ask(port, target).body]
        counts[name] = served
        print(f"{name}: serves what is secret for {len(served)} of {len(targets)} paths", *served[:8])
    assert not counts["transom"]


def lint(port: int) -> None:
    """Each kind of answer is well formed, for a linter of HTTP."""
    tag = ask(port, b"/static/a.txt").get("etag")
    requests: list[tuple[str, bytes, list[str]]] = [
        ("GET", b"/static/a.txt", []),
        ("HEAD", b"/static/a.txt", []),
        ("GET", b"/static/a.txt", ["Range: bytes=0-99"]),
        ("GET", b"/static/a.txt", ["Range: bytes=0-9,5000-5009"]),
        ("GET", b"/static/a.txt", ["Range: bytes=20000-"]),
        ("GET", b"/static/a.txt", [f"If-None-Match: {tag}"]),
        ("GET", b"/static/a.txt", ['If-Match: "other"']),
        ("GET", b"/static/sub/app.js", ["Accept-Encoding: gzip"]),
        ("GET", b"/static/sub", []),
        ("GET", b"/static/sub/", []),
        ("GET", b"/static/none", []),
        ("POST", b"/static/a.txt", ["Content-Length: 0"]),
    ]
    bad = []
    for method, target, fields in requests:
        answer = ask(port, target, method, fields)
        linter = httplint.HttpResponseLinter(start_time=time.time())
        linter.is_head_response = method == "HEAD"
        linter.process_response_topline(answer.version, b"%d" % answer.status, answer.phrase)
        linter.process_headers(answer.fields)
        linter.feed_content(answer.body)
        linter.finish_content(True)
        for note in linter.notes:
            # The head of an answer with many parts has no Content-Range (RFC 9110 15.3.7.2).
            is_argued = answer.outline()[3] and "Content-Range" in str(note.summary)
            if note.level in (httplint.levels.BAD, httplint.levels.WARN) and not is_argued:
                bad.append(
                    f"{method} {target.decode()} {fields} {answer.status}: {note.level} {note.summary}"
                )
    print(f"httplint: {len(requests)} answers, {len(bad)} findings", *bad, sep="\n  ")
    assert not bad


def fetch(port: int, root: Path, folder: Path) -> None:
    """Programs that fetch a file in parts get it whole."""
    url = f"http://127.0.0.1:{port}/static/large.bin"
    wanted = hashlib.sha256((root / "large.bin").read_bytes()).hexdigest()
    half = (root / "large.bin").read_bytes()[:5_000_000]
    for name, command in {
        "curl": ["curl", "-sS", "-C", "-", "-o", "curl", url],
        "wget": ["wget", "-q", "-c", "-O", "wget", url],
        "aria2c": ["aria2c", "-q", "-x16", "-s16", "-k1M", "--file-allocation=none", "-o", "aria2c", url],
    }.items():
        if shutil.which(name) is None:
            print(f"{name} is not on this machine")
            continue
        if name != "aria2c":
            (folder / name).write_bytes(half)
        subprocess.run(command, cwd=folder, timeout=PATIENCE, check=True)
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == wanted, name
        print(f"{name}: the file is whole")


PAGE = """<!doctype html><audio id="a" preload="metadata" src="http://127.0.0.1:%d/static/long.wav"></audio><script>
a.onloadedmetadata = () => { a.currentTime = 500; };
a.onseeked = () => fetch("/seeked/" + a.currentTime);
a.onerror = () => fetch("/failed/" + a.error.message);
</script>"""


def browse(port: int, folder: Path) -> None:
    """Chromium seeks in a long recording, without fetching all of it."""
    if shutil.which("chromium") is None:
        print("chromium is not on this machine")
        return
    told: list[str] = []
    arrived = threading.Event()

    class Page(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("content-type", "text/html")
            self.end_headers()
            self.wfile.write((PAGE % port).encode())
            if self.path.startswith(("/seeked/", "/failed/")):
                told.append(self.path)
                arrived.set()

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page) as page:
        threading.Thread(target=page.serve_forever, daemon=True).start()
        options = ["--headless=new", "--no-sandbox", "--disable-gpu", f"--user-data-dir={folder}/profile"]
        command = ["chromium", *options, f"http://127.0.0.1:{page.server_address[1]}/"]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as browser:
            arrived.wait(PATIENCE)
            browser.terminate()
        page.shutdown()
    assert told == ["/seeked/500"], told
    print("chromium: has sought to the middle of a recording")


def main() -> None:
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(ignore_cleanup_errors=True)))
        folder.chmod(0o755)
        root = folder / "public"
        for secret in (
            "outside/secret.txt",
            "publicx/secret.txt",
            "public/.env",
            "public/.git/config",
            "public.txt",
        ):
            write(folder / secret, SECRET)
        for secret in (
            "sub/.htpasswd",
            ".well-known/.hidden",
            "back\\slash.txt",
            "\\..\\outside\\secret.txt",
        ):
            write(root / secret, SECRET)
        for link, to in {
            "link-out": "../outside",
            "link-parent": "..",
            "link-neighbour": "../publicx",
        }.items():
            (root / link).symlink_to(to)
        (root / "link-file-out").symlink_to("../outside/secret.txt")
        write(root / "a.txt", bytes(range(32, 82)) * 200)
        write(root / "sub/app.js", b"let a = 1;\n" * 100)
        write(root / "sub/app.js.gz", gzip.compress(b"let a = 1;\n" * 100))
        write(root / "large.bin", os.urandom(17 * 1024 * 1024))
        with wave.open(str(root / "long.wav"), "wb") as sound:
            sound.setparams((1, 2, 8000, 0, "NONE", ""))
            sound.writeframes(bytes(16_000 * 1000))
        app = transom.Server(access_log=transom.AccessLog(folder / "log", format="%s %{Range}i"))
        app.static("/static", root, precompressed=True, listing=True, cache_control={"**": "max-age=60"})
        running = stack.enter_context(app.start("127.0.0.1:0"))
        port = running.port
        others = {}
        for name, program, start in (("nginx", "nginx", nginx), ("apache", "apache2", apache)):
            if shutil.which(program) is None:
                print(f"{name} is not on this machine")
            else:
                others[name] = stack.enter_context(start(folder, root))
        compare(port, others)
        traverse(port, others.get("nginx"))
        lint(port)
        fetch(port, root, folder)
        browse(port, folder)
    print("static files: all is well")


if __name__ == "__main__":
    os.environ["PATH"] += ":/usr/sbin"
    sys.exit(main())
