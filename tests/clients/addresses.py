#!/usr/bin/env python3
"""The address of a client arrives through real proxies, and a client cannot choose another.

    tests/clients/addresses.py --binary target/release/examples/test-server

HAProxy (send-proxy, send-proxy-v2 with a checksum, both with health checks, and as an HTTP proxy) and
nginx (proxy_protocol, and as an HTTP proxy) stand before the Rust server in each model, and before the
Python package if it can be imported. The client comes from 127.0.0.5. The server trusts 127.0.0.1, which
is where the proxies connect from; then it trusts another network, and believes nothing.
"""

import argparse
import http.client
import importlib.util
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from programs import PATIENCE, Program, free_port, program

CLIENT = "127.0.0.5"
TRUSTED = "127.0.0.1"
ELSEWHERE = "10.0.0.0/8"
MODELS = ("event", "threads", "sequential")
# What a client writes who would like to be somebody else.
SPOOFED = {
    "X-Forwarded-For": "192.0.2.66",
    "X-Forwarded-Host": "evil.example",
    "X-Forwarded-Proto": "gopher",
    "Forwarded": 'for=192.0.2.66;host=evil.example;proto="',
}
# A failed check takes the server out at once, and HAProxy then answers 503.
CHECKED = "check check-send-proxy inter 50ms fall 1"

HAPROXY = """
defaults
    mode {mode}
    timeout connect 5s
    timeout client 30s
    timeout server 30s
listen app
    bind 127.0.0.1:{listen}
    {fields}
    server app 127.0.0.1:{port} {options}
"""

NGINX = """
daemon off;
master_process off;
pid {folder}/nginx.pid;
error_log {folder}/nginx.log warn;
events {{ }}
"""

NGINX_STREAM = (
    "load_module {module};"
    + NGINX
    + "stream {{ server {{ listen 127.0.0.1:{listen}; proxy_pass 127.0.0.1:{port}; proxy_protocol on; }} }}"
)

NGINX_HTTP = (
    NGINX
    + """
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    upstream app {{ server 127.0.0.1:{port}; keepalive 4; }}
    proxy_http_version 1.1;
    proxy_set_header Connection "";
    {fields}
    server {{ listen 127.0.0.1:{listen}; location / {{ proxy_pass http://app; }} }}
}}
"""
)

STREAM_MODULE = Path("/usr/lib/nginx/modules/ngx_stream_module.so")

PYTHON = """
import sys
from transom import Server

address, model, option, network = sys.argv[1:]
settings = {"proxy_protocol": [network]} if option == "--proxy-protocol" else {
    "forwarded": option[2:], "trusted_proxies": [network], "forwarded_host": True
}
app = Server(model=model, **settings)

@app.get("/origin")
def origin(request):
    client, proxy = (":".join(map(str, it)) for it in (request.client, request.connection_client))
    return f"{client.removesuffix(':0')} {request.scheme} {request.host} {proxy}"

app.run(address, quiet=True)
"""

Made = Callable[[Path, int], Program]
Command = Callable[[int, str, str], list[str]]


def haproxy(mode: str, fields: str = "", options: str = "") -> Made:
    """HAProxy with these lines."""

    def make(folder: Path, port: int) -> Program:
        listen, config = free_port(), folder / "haproxy.conf"
        config.write_text(HAPROXY.format(mode=mode, fields=fields, options=options, port=port, listen=listen))
        return Program([program("haproxy"), "-db", "-f", str(config)], listen, folder / "haproxy.out")

    return make


def nginx(text: str, fields: str = "") -> Made:
    """nginx with this configuration."""

    def make(folder: Path, port: int) -> Program:
        listen, config = free_port(), folder / "nginx.conf"
        values = {"folder": folder, "port": port, "listen": listen, "fields": fields, "module": STREAM_MODULE}
        config.write_text(text.format(**values))
        return Program([program("nginx"), "-p", str(folder), "-c", str(config)], listen, folder / "nginx.out")

    return make


@dataclass(frozen=True)
class Proxy:
    """A proxy, the option that makes the server believe it, and what it tells."""

    name: str
    option: str
    make: Made
    scheme: str
    has_port: bool = False
    is_checked: bool = False


PROXIES = [
    Proxy(
        "HAProxy, send-proxy",
        "--proxy-protocol",
        haproxy("tcp", options=f"send-proxy {CHECKED}"),
        "http",
        has_port=True,
        is_checked=True,
    ),
    Proxy(
        "HAProxy, send-proxy-v2",
        "--proxy-protocol",
        haproxy("http", options=f"send-proxy-v2 proxy-v2-options crc32c,unique-id {CHECKED}"),
        "http",
        has_port=True,
        is_checked=True,
    ),
    Proxy(
        "HAProxy, X-Forwarded-For",
        "--x-forwarded",
        haproxy(
            "http",
            "option forwardfor\n    http-request set-header X-Forwarded-Proto https\n"
            "    http-request set-header X-Forwarded-Host %[req.hdr(host)]",
        ),
        "https",
    ),
    Proxy(
        "HAProxy, Forwarded",
        "--forwarded",
        haproxy("http", "http-request add-header Forwarded for=%[src];proto=https;host=%[req.hdr(host)]"),
        "https",
    ),
    Proxy(
        "nginx, X-Forwarded-For",
        "--x-forwarded",
        nginx(
            NGINX_HTTP,
            "proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;"
            "proxy_set_header X-Forwarded-Proto $scheme; proxy_set_header X-Forwarded-Host $host;",
        ),
        "http",
    ),
    Proxy(
        "nginx, Forwarded",
        "--forwarded",
        nginx(
            NGINX_HTTP,
            'proxy_set_header Forwarded "$http_forwarded, for=\\"$remote_addr:$remote_port\\";'
            'proto=https;host=$host";',
        ),
        "https",
        has_port=True,
    ),
]
if STREAM_MODULE.exists():
    make = nginx(NGINX_STREAM)
    PROXIES.append(Proxy("nginx, proxy_protocol", "--proxy-protocol", make, "http", has_port=True))


def servers(binary: str) -> Iterator[tuple[str, Command]]:
    """The servers in each model, by the command that starts one."""
    for model in MODELS:

        def rust(port: int, option: str, network: str, model: str = model) -> list[str]:
            return [binary, "--port", str(port), "--model", model, option, network]

        yield f"Rust, {model}", rust
    if importlib.util.find_spec("transom") is None:
        print("left out, there is no package transom: Python")
        return
    for model in MODELS:

        def python(port: int, option: str, network: str, model: str = model) -> list[str]:
            return [sys.executable, "-c", PYTHON, f"127.0.0.1:{port}", model, option, network]

        yield f"Python, {model}", python


def ask(port: int) -> tuple[str, str]:
    """Sends a request from the client's address, and returns that address and the answer."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE, source_address=(CLIENT, 0))
    try:
        connection.request("GET", "/origin", headers={"Host": "h", **SPOOFED})
        own = f"{CLIENT}:{connection.sock.getsockname()[1]}"
        return own, connection.getresponse().read().decode()
    finally:
        connection.close()


def faults(proxy: Proxy, port: int) -> list[str]:
    """What is wrong with the answers through a proxy that the server trusts."""
    found = []
    for _ in range(3):
        own, answer = ask(port)
        client, *rest = [*answer.split(" "), "", "", ""]
        expected = own if proxy.has_port else CLIENT
        if [client, *rest[:2]] != [expected, proxy.scheme, "h"] or not rest[2].startswith(TRUSTED + ":"):
            found.append(f"{answer!r} for {expected} {proxy.scheme} h")
    return found


def tried(command: Command, proxy: Proxy, network: str, ask_it: Callable[[int], list[str]]) -> list[str]:
    """Puts a proxy before a server that trusts a network, and asks."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        port = free_port()
        stack.enter_context(Program(command(port, proxy.option, network), port))
        listen = stack.enter_context(proxy.make(folder, port)).port
        if proxy.is_checked and network == TRUSTED:
            # Several health checks pass meanwhile.
            time.sleep(0.3)
        return ask_it(listen)


def stranger(proxy: Proxy, port: int) -> list[str]:
    """What is wrong with the answer of a server that does not trust the proxy."""
    try:
        answer = ask(port)[1]
    except (OSError, http.client.HTTPException):
        answer = ""
    if proxy.option == "--proxy-protocol":
        is_right = "http h" not in answer
    else:
        is_right = answer.startswith(TRUSTED + ":") and " http " in answer
    return [] if is_right else [f"not trusted, but {answer!r}"]


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--binary", required=True, help="the test-server")
    binary = parser.parse_args().binary
    wrong = count = 0
    for language, command in servers(binary):
        for proxy in PROXIES:
            found = tried(command, proxy, TRUSTED, partial(faults, proxy))
            found += tried(command, proxy, ELSEWHERE, partial(stranger, proxy))
            for fault in found:
                print(f"WRONG {language}, behind {proxy.name}: {fault}", flush=True)
            wrong, count = wrong + len(found), count + 1
    print(f"{count} proxies before servers, {wrong} wrong answers")
    return 1 if wrong or not count else 0


if __name__ == "__main__":
    sys.exit(main())
