"""The programs that take part: the server, and nginx and HAProxy in front of it."""

import os
import shutil
import socket
import subprocess
import time
from pathlib import Path

PATIENCE = 20.0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def program(name: str) -> str:
    """The path of a program; Debian has some where only root looks."""
    found = shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
    if not found:
        raise SystemExit(f"{name} is not installed")
    return found


class Program:
    """A process that listens, ended with its block."""

    def __init__(self, command: list[str], port: int, log: Path | None = None) -> None:
        self.name, self.port = Path(command[0]).name, port
        with open(log or os.devnull, "wb") as output:
            # A handler that fails on purpose says so in a line.
            environment = {**os.environ, "RUST_BACKTRACE": "0"}
            errors = output if log else None
            self.process = subprocess.Popen(command, stdout=output, stderr=errors, env=environment)

    def __enter__(self) -> "Program":
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), PATIENCE).close()
                return self
            except ConnectionRefusedError:
                if self.process.poll() is not None or time.monotonic() > deadline:
                    self.process.kill()
                    raise SystemExit(f"{self.name} does not listen") from None
                time.sleep(0.02)

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        try:
            status = self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise SystemExit(f"{self.name} does not end") from None
        if status not in (0, -15, 128 + 15):
            raise SystemExit(f"{self.name} ended with status {status}")


def server(binary: str, model: str, *options: str) -> Program:
    port = free_port()
    command = [binary, "--port", str(port), "--workers", "2", "--model", model, *options]
    return Program(command, port)


NGINX = """
daemon off;
master_process off;
pid {folder}/nginx.pid;
error_log {folder}/nginx.log warn;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    client_max_body_size 0;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    upstream app {{ server 127.0.0.1:{port}; keepalive 16; }}
    proxy_http_version 1.1;
    proxy_set_header Connection "";
    proxy_next_upstream off;
    proxy_request_buffering {buffering};
    server {{ listen 127.0.0.1:{listen}; location / {{ proxy_pass http://app; }} }}
}}
"""

HAPROXY = """
defaults
    mode http
    timeout connect 5s
    timeout client 30s
    timeout server 30s
    option http-keep-alive
    http-reuse always
listen app
    bind 127.0.0.1:{listen}
    server app 127.0.0.1:{port}
"""


def nginx(folder: Path, port: int, *, buffers: bool) -> Program:
    """nginx; if it buffers it sends a request on when it has all of it."""
    listen = free_port()
    config = folder / "nginx.conf"
    buffering = "on" if buffers else "off"
    config.write_text(NGINX.format(folder=folder, port=port, listen=listen, buffering=buffering))
    return Program([program("nginx"), "-p", str(folder), "-c", str(config)], listen, folder / "nginx.out")


def haproxy(folder: Path, port: int) -> Program:
    listen = free_port()
    config = folder / "haproxy.conf"
    config.write_text(HAPROXY.format(port=port, listen=listen))
    return Program([program("haproxy"), "-db", "-f", str(config)], listen, folder / "haproxy.out")
