"""WebSocket with what others wrote: Autobahn's cases, clients in Python and JavaScript, a page in Chromium.

    python tests/websocket/run.py --binary target/debug/examples/websocket-server [--cases all] [--npm FOLDER]
        [--c PROGRAM] [--crowd]

`--c` names the program that `echo.c` compiles to, and `--crowd` adds 10,000 idle connections (`crowd.py`).
Needs `kosoku`, `websockets` and `aiohttp`, which the Python that runs this has, and from npm, if `--npm`
names a folder of modules, `ws` and `playwright-core`, with `node` and `chromium`.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import shutil
import ssl
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import crowd

if TYPE_CHECKING:
    from collections.abc import Iterator

HERE = Path(__file__).parent
# Longer than anything takes on a machine with other work to do.
PATIENCE = 120
# The 301 cases without compression, and some of those with it: not those that take long, since the smallest
# have a minute for 1,000 messages.
CHOICE = ["1.*", "2.*", "3.*", "4.*", "5.*", "6.*", "7.*", "9.*", "10.*"]
COMPRESSED = ["12.1.1", "12.1.4", "12.2.3", "12.5.1", "13.1.1", "13.2.1", "13.3.1", "13.5.1", "13.7.1"]
GOOD = {"OK", "INFORMATIONAL"}


@contextlib.contextmanager
def server(binary: str, *options: str) -> Iterator[str]:
    """Runs the server, and gives its address with the scheme of WebSocket."""
    with program(binary, *options) as (url, _):
        yield url


@contextlib.contextmanager
def program(binary: str, *options: str) -> Iterator[tuple[str, int]]:
    """Runs the server, and gives its address, and the number of its process."""
    process = subprocess.Popen([binary, *options], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield process.stdout.readline().strip().replace("http", "ws", 1), process.pid
        process.terminate()
        assert process.wait(PATIENCE) == 0, f"the server ended with {process.returncode}"
    finally:
        process.kill()
        process.wait()


def autobahn(url: str, cases: list[str] | None) -> None:
    """Runs cases; each must be OK, and none merely not strict."""
    with tempfile.TemporaryDirectory() as folder:
        chosen = [word for case in cases or [] for word in ("-i", case)]
        command = [str(Path(sys.executable).parent / "kosoku"), "-p", "8", *chosen, "-o", folder, url]
        ran = subprocess.run(command, timeout=1800, capture_output=True, text=True, check=False)
        results = [json.loads(path.read_text()) for path in Path(folder).glob("*.json")]
        results = [result for result in results if "behavior" in result]
        bad = [
            (result["id"], result["behavior"], result.get("behaviorClose"))
            for result in results
            if not {result["behavior"], result.get("behaviorClose", "OK")} <= GOOD
        ]
        assert results, ran.stdout + ran.stderr
        assert not bad, bad
        if cases is None:
            assert len(results) == 517, len(results)
        print(f"{url}: {len(results)} cases are OK", flush=True)


async def websockets_client(url: str, context: ssl.SSLContext | None) -> None:
    """The library `websockets`, with and without compression."""
    import websockets

    for compression in ("deflate", None):
        options = {} if context is None else {"ssl": context}
        async with websockets.connect(
            url + "/echo", compression=compression, max_size=None, **options
        ) as socket:
            extensions = [extension.name for extension in socket.protocol.extensions]
            assert extensions == (["permessage-deflate"] if compression else []), extensions
            for message in ("hello", "", "ä" * 100_000, b"\x00\xff", os.urandom(1 << 20)):
                await socket.send(message)
                assert await socket.recv() == message
            # In fragments.
            await socket.send(["a", "b" * 1000, "c"])
            assert await socket.recv() == "a" + "b" * 1000 + "c"
            await asyncio.wait_for(await socket.ping(), PATIENCE)
        assert socket.close_code == 1000, socket.close_code
    options = {} if context is None else {"ssl": context}
    status = 101
    try:
        async with websockets.connect(url + "/echo", origin="https://evil.example", **options):
            pass
    except websockets.exceptions.InvalidStatus as error:
        status = error.response.status_code
    assert status == 403, f"a page of another origin got {status}"
    async with websockets.connect(url + "/spoken", subprotocols=["x", "superchat"], **options) as socket:
        assert socket.subprotocol == "superchat"


async def aiohttp_client(url: str, context: ssl.SSLContext | None) -> None:
    """The client of aiohttp, with and without compression, and with windows that are kept."""
    import aiohttp

    async with aiohttp.ClientSession() as session:
        for path, compress in (("/echo", 15), ("/echo", 0), ("/keeping", 15), ("/echo", 9), ("/pieces", 15)):
            options = {} if context is None else {"ssl": context}
            async with session.ws_connect(url + path, compress=compress, max_msg_size=0, **options) as socket:
                assert bool(socket.compress) == bool(compress)
                for message in ("hello", "hello", "ä" * 100_000):
                    await socket.send_str(message)
                    assert await socket.receive_str() == message
                await socket.send_bytes(b"x" * (1 << 20))
                assert await socket.receive_bytes() == b"x" * (1 << 20)
            assert socket.close_code == 1000, socket.close_code


def curl(url: str) -> None:
    """A plain request gets a 426 that says what is spoken."""
    address = url.replace("ws", "http", 1) + "/echo"
    command = ["curl", "--silent", "--insecure", "--include", "--max-time", str(PATIENCE), address]
    answer = subprocess.run(command, capture_output=True, text=True, check=True).stdout.lower()
    assert answer.startswith("http/1.1 426 "), answer
    assert "\nsec-websocket-version: 13\n" in answer.replace("\r", ""), answer
    assert "\nupgrade: websocket\n" in answer.replace("\r", ""), answer


def javascript(url: str, modules: str) -> None:
    """The package `ws`, and two pages in Chromium that chat."""
    command = ["node", str(HERE / "clients.js"), url, modules]
    subprocess.run(command, timeout=3 * PATIENCE, check=True)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--binary", required=True)
    parser.add_argument("--cases", choices=["none", "some", "all"], default="some")
    parser.add_argument("--npm")
    parser.add_argument("--c")
    parser.add_argument("--crowd", action="store_true")
    options = parser.parse_args()
    begun = time.monotonic()
    for binary in filter(None, (options.binary, options.c)):
        with server(binary) as url:
            if options.cases == "some":
                autobahn(url + "/echo", CHOICE)
                autobahn(url + "/echo", COMPRESSED)
                autobahn(url + "/keeping", COMPRESSED)
            elif options.cases == "all":
                autobahn(url + "/echo", None)
                autobahn(url + "/keeping", ["12.*", "13.*"])
            if binary == options.c and options.cases != "none":
                autobahn(url + "/thread", CHOICE)
            curl(url)
    context = ssl.create_default_context(cafile=str(HERE.parent / "certificates" / "authority.pem"))
    for model in ("event", "threads", "sequential"):
        for words in ([], ["--tls"]):
            with server(options.binary, model, *words) as url:
                url = url.replace("127.0.0.1", "localhost") if words else url
                asyncio.run(
                    asyncio.wait_for(websockets_client(url, context if words else None), 3 * PATIENCE)
                )
                asyncio.run(asyncio.wait_for(aiohttp_client(url, context if words else None), 3 * PATIENCE))
                print(f"{model}{' with TLS' if words else ''}: clients in Python", flush=True)
    if options.crowd:
        crowd.raise_limit()
        with program(options.binary) as (url, process):
            crowd.crowd(int(url.rpartition(":")[2]), process)
        if options.c:
            with program(options.c) as (url, process):
                crowd.few(int(url.rpartition(":")[2]), process)
    if options.npm and shutil.which("node"):
        with server(options.binary) as url:
            javascript(url, options.npm)
    print(f"{time.monotonic() - begun:.0f} s")


if __name__ == "__main__":
    main()
