"""WebSocket and server-sent events behind nginx and HAProxy, with TLS in front of the proxy and behind it.

    python tests/websocket/proxies.py --binary target/debug/examples/websocket-server [--npm FOLDER]

Needs what `run.py` needs, and nginx and HAProxy.
"""

from __future__ import annotations

import argparse
import asyncio
import http.client
import shutil
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent / "clients")]

from programs import Program, free_port, program  # noqa: E402
from run import PATIENCE, aiohttp_client, curl, javascript, server, websockets_client  # noqa: E402

CERTIFICATES = HERE.parent / "certificates"
#: The proxy and the server have the certificate of localhost, by the authority of the tests.
CERTIFICATE, KEY = CERTIFICATES / "localhost.pem", CERTIFICATES / "localhost.key"
AUTHORITY = CERTIFICATES / "authority.pem"
MODELS = ("event", "threads", "sequential")

NGINX = """
daemon off;
master_process off;
pid {folder}/nginx.pid;
error_log {folder}/nginx.log warn;
events {{ }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    map $http_upgrade $hop {{ default upgrade; "" ""; }}
    proxy_http_version 1.1;
    proxy_set_header Host $http_host;
    proxy_set_header Upgrade $http_upgrade;
    proxy_set_header Connection $hop;
    server {{
        listen 127.0.0.1:{listen}{front};
        location / {{ proxy_pass {scheme}://127.0.0.1:{port}; {behind} }}
    }}
}}
"""

HAPROXY = """
defaults
    mode http
    timeout connect 5s
    timeout client 30s
    timeout server 30s
    timeout tunnel 1h
listen app
    bind 127.0.0.1:{listen}{front}
    server app 127.0.0.1:{port}{behind}
"""

Proxy = Callable[[Path, int, bool, bool], Program]


def nginx(folder: Path, port: int, front: bool, behind: bool) -> Program:
    """nginx, with TLS for its clients and to the server."""
    listen, config = free_port(), folder / "nginx.conf"
    lines = f" ssl; ssl_certificate {CERTIFICATE.resolve()}; ssl_certificate_key {KEY.resolve()}"
    authority = f"proxy_ssl_trusted_certificate {AUTHORITY.resolve()};"
    trust = f"proxy_ssl_verify on; proxy_ssl_name localhost; {authority}"
    config.write_text(
        NGINX.format(
            folder=folder,
            port=port,
            listen=listen,
            front=lines if front else "",
            scheme="https" if behind else "http",
            behind=trust if behind else "",
        )
    )
    return Program([program("nginx"), "-p", str(folder), "-c", str(config)], listen, folder / "nginx.out")


def haproxy(folder: Path, port: int, front: bool, behind: bool) -> Program:
    """HAProxy, with TLS for its clients and to the server."""
    listen, config = free_port(), folder / "haproxy.conf"
    whole = folder / "whole.pem"
    whole.write_text(CERTIFICATE.read_text() + KEY.read_text())
    trust = f" ssl verify required verifyhost localhost ca-file {AUTHORITY.resolve()}"
    config.write_text(
        HAPROXY.format(
            port=port,
            listen=listen,
            front=f" ssl crt {whole}" if front else "",
            behind=trust if behind else "",
        )
    )
    return Program([program("haproxy"), "-db", "-f", str(config)], listen, folder / "haproxy.out")


PROXIES: tuple[Proxy, ...] = (nginx, haproxy)


def events(port: int, context: ssl.SSLContext | None) -> None:
    """Events come while the response goes on, after the one that the client got last."""
    if context is None:
        connection = http.client.HTTPConnection("localhost", port, timeout=PATIENCE)
    else:
        connection = http.client.HTTPSConnection("localhost", port, timeout=PATIENCE, context=context)
    connection.request("GET", "/events", headers={"Last-Event-ID": "6"})
    response = connection.getresponse()
    assert response.headers["content-type"] == "text/event-stream", response.headers
    lines = [response.readline() for _ in range(9)]
    assert b"".join(lines) == b"".join(b"id: %d\ndata: tick\n\n" % number for number in (7, 8, 9)), lines
    # Then there are none: the comments come through.
    assert response.readline() == b": keep-alive\n"
    connection.close()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--binary", required=True)
    parser.add_argument("--npm")
    options = parser.parse_args()
    begun = time.monotonic()
    trusted = ssl.create_default_context(cafile=str(AUTHORITY))
    for proxy in PROXIES:
        for front, behind in ((False, False), (True, False), (False, True), (True, True)):
            for model in MODELS:
                words = [model, "--tls"] if behind else [model]
                with tempfile.TemporaryDirectory() as folder, server(options.binary, *words) as inner:
                    port = int(inner.rpartition(":")[2])
                    with proxy(Path(folder), port, front, behind) as outer:
                        url = f"{'wss' if front else 'ws'}://localhost:{outer.port}"
                        context = trusted if front else None
                        for client in (websockets_client, aiohttp_client):
                            asyncio.run(asyncio.wait_for(client(url, context), 3 * PATIENCE))
                        curl(url)
                        events(outer.port, context)
                        # Two pages at once need two connections to the server.
                        if options.npm and model == "event" and shutil.which("node"):
                            javascript(url, options.npm)
                told = f"TLS in front: {front}, behind: {behind}"
                print(f"{proxy.__name__}, {model}, {told}", flush=True)
    print(f"{time.monotonic() - begun:.0f} s")


if __name__ == "__main__":
    try:
        main()
    except subprocess.CalledProcessError as error:
        raise SystemExit(f"{error}: {error.stdout}") from None
