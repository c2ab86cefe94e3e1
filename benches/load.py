#!/usr/bin/env python3
"""Load on each of the three conformance programs: errors, growth, CPU.

    benches/load.py [--seconds 10] [--connections 64] [rust] [c] [python]

Starts each program with one worker on a free port of the loopback, lets wrk(1) ask for
/plain from another core (Python has both), and
prints requests per second, latency, CPU seconds per 10,000 requests (user and system,
/proc/PID/stat), and resident memory after a warm-up and after the run. Exit status 1
if a request failed or memory grew by more than a tenth and 2 MiB.

The programs must be built: cargo build --release --workspace --examples, and
bindings/c/examples/conformance.c as its first lines say.
"""

import argparse
import os
import re
import socket
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
RELEASE = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "release"
CORES = sorted(os.sched_getaffinity(0))
TICKS = os.sysconf("SC_CLK_TCK")

PROGRAMS = {
    "rust": [str(RELEASE / "examples" / "conformance")],
    "c": [str(RELEASE / "conformance-c")],
    "python": [sys.executable, str(ROOT / "bindings/python/examples/conformance.py")],
}


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def cpu_seconds(pid):
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def resident_kib(pid):
    return int(re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())[1])


def wrk(url, seconds, connections):
    core = ["taskset", "-c", str(CORES[-1])]
    command = [*core, "wrk", "-t1", f"-c{connections}", f"-d{seconds}", "--latency", url]
    text = subprocess.run(command, check=True, capture_output=True, text=True, timeout=seconds + 30).stdout
    errors = [int(n) for line in re.findall(r"Socket errors: (.*)", text) for n in re.findall(r"\d+", line)]
    errors += [int(n) for n in re.findall(r"Non-2xx or 3xx responses: (\d+)", text)]
    return {
        "requests": int(re.search(r"(\d+) requests in", text)[1]),
        "rate": float(re.search(r"Requests/sec:\s+([\d.]+)", text)[1]),
        "p50": re.search(r"^\s+50%\s+(\S+)", text, re.M)[1],
        "p99": re.search(r"^\s+99%\s+(\S+)", text, re.M)[1],
        "errors": sum(errors),
    }


def measure(name, seconds, connections):
    port = free_port()
    paths = {"LD_LIBRARY_PATH": str(RELEASE), "PYTHONPATH": str(ROOT / "bindings/python/src")}
    command = [*PROGRAMS[name], "--port", str(port), "--workers", "1"]
    if name != "python":
        command = ["taskset", "-c", str(CORES[0]), *command]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, env={**os.environ, **paths})
    try:
        if b"listening" not in server.stdout.readline():
            raise SystemExit(f"{name}: did not start")
        url = f"http://127.0.0.1:{port}/plain"
        wrk(url, max(1, seconds // 5), connections)
        before, cpu = resident_kib(server.pid), cpu_seconds(server.pid)
        run = wrk(url, seconds, connections)
        after, cpu = resident_kib(server.pid), cpu_seconds(server.pid) - cpu
    finally:
        server.terminate()
        status = server.wait(timeout=20)
    grown = after - before > max(2048, before // 10)
    bad = run["errors"] > 0 or grown or status != 0
    print(
        f"{name:8} {run['rate']:10.0f} {run['p50']:>9} {run['p99']:>9} {cpu * 10_000 / run['requests']:14.3f}"
        f" {before:9} {after:9} {run['errors']:7} {status:5}{'   <-- bad' if bad else ''}",
        flush=True,
    )
    return bad


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("programs", nargs="*", choices=[[], *PROGRAMS], help="which; all by default")
    parser.add_argument("--seconds", type=int, default=10)
    parser.add_argument("--connections", type=int, default=64)
    options = parser.parse_args()
    print("program       req/s       p50       p99  CPU s/10k req  KiB then  KiB now  errors  exit")
    results = [measure(name, options.seconds, options.connections) for name in options.programs or PROGRAMS]
    sys.exit(any(results))


if __name__ == "__main__":
    main()
