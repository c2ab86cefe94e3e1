#!/usr/bin/env python3
"""A Prometheus server scrapes servers in Rust, C and Python, in each model: the sums are those of the load.

    tests/clients/metrics.py target/release/examples/metrics-server target/release/metrics-c \\
        'python3 tests/clients/metrics_server.py'

Clients ask, leave in the middle of an answer, are refused, and get 503s. `promtool` finds nothing to say
about the text. Then Prometheus is asked for the sums, which it has from its own scrapes.
"""

import argparse
import json
import shlex
import socket
import struct
import subprocess
import tempfile
import time
import urllib.parse
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

from programs import PATIENCE, Program, free_port, program

MODELS = ("event", "threads", "sequential")
CLIENTS = 4
TIMES = 25
# What the clients ask for: the request, the status, and the labels under which it counts.
LOAD = (
    ("GET /users/7 HTTP/1.1\r\nHost: h", 200, ("GET", "/users/{id}", "200", "")),
    ("GET /users/8?x=1 HTTP/1.0", 200, ("GET", "/users/{id}", "200", "")),
    ("GET /busy HTTP/1.1\r\nHost: h", 503, ("GET", "/busy", "503", "503")),
    ("GET /none HTTP/1.1\r\nHost: h", 404, ("GET", "", "404", "")),
    ("BREW /none HTTP/1.1\r\nHost: h", 404, ("_OTHER", "", "404", "")),
    ("GET / HTTP/1.1", 400, ("_OTHER", "", "400", "missing-host")),
    ("GET /endless HTTP/1.1\r\nHost: h", 200, ("GET", "/endless", "200", "left")),
)
LABELS = ("http_request_method", "http_route", "http_response_status_code", "error_type")

CONFIG = """
global: {{ scrape_interval: 200ms, scrape_timeout: 200ms }}
scrape_configs:
  - job_name: transom
    static_configs: [{{ targets: [{targets}] }}]
"""


def ask(port: int, head: str, status: int) -> None:
    """Sends a request and leaves when the status has come, with a reset if the body does not end."""
    with socket.create_connection(("127.0.0.1", port), PATIENCE) as client:
        client.sendall(f"{head}\r\nConnection: close\r\n\r\n".encode())
        answer = client.recv(4096)
        assert answer.split(b" ")[1] == str(status).encode(), (head, answer[:100])
        if "/endless" in head:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        else:
            while client.recv(65536):
                pass


def load(port: int) -> None:
    for _ in range(TIMES):
        for head, status, _ in LOAD:
            ask(port, head, status)


def sums(prometheus: int, instance: str) -> dict[tuple[str, ...], float]:
    """Returns the counts that Prometheus has of a server, without its own scrapes."""
    query = f'http_server_request_duration_seconds_count{{instance="{instance}",http_route!="/metrics"}}'
    query = f"sum by ({','.join(LABELS)}) ({query})"
    url = f"http://127.0.0.1:{prometheus}/api/v1/query?" + urllib.parse.urlencode({"query": query})
    with urllib.request.urlopen(url, timeout=PATIENCE) as answer:
        rows = json.load(answer)["data"]["result"]
    return {tuple(row["metric"].get(label, "") for label in LABELS): float(row["value"][1]) for row in rows}


def check_text(port: int) -> None:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=PATIENCE) as answer:
        text = answer.read()
    told = subprocess.run([program("promtool"), "check", "metrics"], input=text, capture_output=True)
    assert told.returncode == 0, told
    assert not told.stdout + told.stderr, told


def compare(prometheus: int, name: str, port: int, clients: int) -> None:
    expected: dict[tuple[str, ...], float] = {}
    for _, _, labels in LOAD:
        expected[labels] = expected.get(labels, 0) + clients * TIMES
    deadline = time.monotonic() + PATIENCE
    while (found := sums(prometheus, f"127.0.0.1:{port}")) != expected:
        assert time.monotonic() < deadline, f"{name}: {found}, not {expected}"
        time.sleep(0.1)
    print(f"{name}: {int(sum(expected.values()))} requests, all counted", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("servers", nargs="+", help="commands, which take --port and --model")
    servers = parser.parse_args().servers
    with ExitStack() as running, tempfile.TemporaryDirectory() as folder:
        ports = {}
        for command in servers:
            for model in MODELS:
                words, port = shlex.split(command), free_port()
                running.enter_context(Program([*words, "--port", str(port), "--model", model], port))
                ports[f"{Path(words[-1]).name}, {model}"] = port
        config, listen = Path(folder) / "prometheus.yml", free_port()
        config.write_text(CONFIG.format(targets=", ".join(f"'127.0.0.1:{port}'" for port in ports.values())))
        address = f"--web.listen-address=127.0.0.1:{listen}"
        files = [f"--config.file={config}", f"--storage.tsdb.path={folder}/data"]
        running.enter_context(
            Program([program("prometheus"), address, *files], listen, Path(folder) / "prometheus.log")
        )
        for name, port in ports.items():
            clients = 1 if name.endswith("sequential") else CLIENTS
            with ThreadPoolExecutor(clients) as pool:
                for done in [pool.submit(load, port) for _ in range(clients)]:
                    done.result()
            check_text(port)
            compare(listen, name, port, clients)


if __name__ == "__main__":
    main()
