#!/usr/bin/env python3
"""Multipart forms of real clients arrive as they were sent.

    tests/forms/run.py [--binary target/debug/examples/forms-server] [--only TEXT] [--large MIB]
        [--large-only]

curl, Python's requests and httpx, Node, Java and Chromium each send a field and a file whose name has a
quote and a character that is not ASCII, and the server must see the same. A client that is not there is
told and left out. With --large, curl uploads so many MiB, which the server writes to disk, in 16 MiB of
memory at most; a server in Python may have 16 MiB more than it has before. The servers in C and Python,
server.c and server.py, know only that upload: for them, there is --large-only.
"""

import argparse
import importlib.util
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
NAME = 'na"me \u20ac.bin'
CONTENT = bytes(at % 251 for at in range(100_000))
MOST_MEMORY_MIB = 16


def total(data: bytes) -> int:
    """Returns the sum that the server tells."""
    result = 7
    for byte in data:
        result = (result * 31 + byte) % 2**32
    return result


@contextmanager
def server(binary: Path, folder: Path) -> Iterator[tuple[str, int]]:
    """Runs the server, and returns its address and the number of its process."""
    command = [sys.executable, binary] if binary.suffix == ".py" else [binary]
    process = subprocess.Popen([*command, folder], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield process.stdout.readline().strip(), process.pid
    finally:
        process.kill()
        process.wait()


def run(*command: str | Path) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=True)
    return done.stdout


def curl(url: str, path: Path) -> str:
    name = NAME.replace('"', '\\"')
    file = f'file=@{path};type=application/x-test;filename="{name}"'
    return run("curl", "-sS", "-F", "text=h\u00e9llo", "-F", file, url + "/form")


def requests(url: str, path: Path) -> str:
    return python("requests", url, path)


def httpx(url: str, path: Path) -> str:
    return python("httpx", url, path)


def python(module: str, url: str, path: Path) -> str:
    code = f"""
import sys, {module} as client
files = {{"file": ({NAME!r}, open(sys.argv[2], "rb"), "application/x-test")}}
answer = client.post(sys.argv[1] + "/form", data={{"text": "h\\u00e9llo"}}, files=files)
sys.stdout.buffer.write(answer.content)
"""
    return run(sys.executable, "-c", code, url, path)


def node(url: str, path: Path) -> str:
    code = """
const [url, path, name] = process.argv.slice(1);
const form = new FormData();
form.append("text", "h\\u00e9llo");
form.append("file", new File([require("fs").readFileSync(path)], name, {type: "application/x-test"}));
fetch(url + "/form", {method: "POST", body: form}).then(it => it.text()).then(it => process.stdout.write(it));
"""
    return run("node", "-e", code, url, path, NAME)


def java(url: str, path: Path) -> str:
    return run(
        "java", "-Dfile.encoding=UTF-8", "-Dstdout.encoding=UTF-8", HERE / "Send.java", url + "/form", path
    )


def chromium(url: str, path: Path) -> str:
    with tempfile.TemporaryDirectory() as profile:
        options = ["--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={profile}"]
        page = run("chromium", *options, "--virtual-time-budget=10000", "--dump-dom", url + "/")
    found = re.search(r'<pre id="answer">(.*?)</pre>', page, re.DOTALL)
    return found[1].replace("&quot;", '"') if found else page


CLIENTS = (curl, requests, httpx, node, java, chromium)
PACKAGES = ("requests", "httpx")


def is_there(name: str) -> bool:
    return importlib.util.find_spec(name) is not None if name in PACKAGES else shutil.which(name) is not None


def check_clients(url: str, folder: Path, only: str) -> int:
    path = folder / "upload"
    path.write_bytes(CONTENT)
    failures = 0
    for client in CLIENTS:
        name = client.__name__
        if only not in name:
            continue
        if not is_there(name):
            print(f"{name}: not there")
            continue
        # Browsers, and what follows them, write a quote as %22 (RFC 7578 4.2); others escape it.
        names = (NAME, NAME.replace('"', "%22"))
        about = f"{len(CONTENT)} {total(CONTENT)}"
        expected = [f"field text=h\u00e9llo\nfile file {name} application/x-test {about}\n" for name in names]
        seen = client(url, path)
        is_right = seen in expected
        failures += not is_right
        print(f"{name}: {'as sent' if is_right else repr(seen)}")
    return failures


def memory_mib(process: int) -> float:
    """Returns the most memory that a process has had, without that of the kernel."""
    status = Path(f"/proc/{process}/status").read_text()
    found = re.search(r"VmHWM:\s+(\d+) kB", status)
    assert found is not None
    return int(found[1]) / 1024


def check_large(url: str, process: int, folder: Path, mib: int, is_python: bool) -> int:
    path = folder / "large"
    before = memory_mib(process) if is_python else 0
    with path.open("wb") as file:
        file.truncate(mib << 20)
    began = time.monotonic()
    answer = run("curl", "-sS", "-F", f"file=@{path}", url + "/save")
    seconds, peak = time.monotonic() - began, memory_mib(process)
    memory = peak - before
    saved = folder / "saved"
    is_right = answer == f"{mib << 20}\n" and saved.stat().st_size == mib << 20 and memory <= MOST_MEMORY_MIB
    own = f", of which {before:.1f} before" if is_python else ""
    print(f"{mib} MiB to disk: {seconds:.1f} s, {peak:.1f} MiB of memory{own}, answer {answer.strip()}")
    return int(not is_right)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--binary", type=Path)
    parser.add_argument("--only", default="")
    parser.add_argument("--large", type=int, default=64)
    parser.add_argument("--large-only", action="store_true")
    options = parser.parse_args()
    binary = options.binary
    if binary is None:
        build = ["cargo", "build", "--quiet", "--example", "forms-server", "--features", "forms"]
        subprocess.run(build, cwd=ROOT, check=True)
        binary = ROOT / "target/debug/examples/forms-server"
    with tempfile.TemporaryDirectory() as made, server(binary, Path(made)) as (address, process):
        folder, url = Path(made), f"http://{address}"
        failures = check_large(url, process, folder, options.large, binary.suffix == ".py")
        if not options.large_only:
            failures += check_clients(url, folder, options.only)
    return int(failures > 0)


if __name__ == "__main__":
    sys.exit(main())
