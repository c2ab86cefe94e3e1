#!/usr/bin/env python3
"""What clients do to servers, done to a conformance program on loopback.

    tests/abuse/run.py [--only NAME] -- target/release/examples/conformance

Slow heads, slow bodies, slow readers and range floods (with slowhttptest(1), left out
and said so where it is not installed), a flood past the connection cap, ten thousand
idle connections, clients that leave at every byte of a request, a reader that stops in
the middle of a large answer, a descriptor limit of 64. After each, the server must answer
a health request within 100 ms, and its descriptors must be back. Each is done three
times, and memory must be where it was after the second: an allocator that has seen a crowd
keeps pages for the next one, but nothing may be lost with each.
"""

import argparse
import os
import re
import resource
import shutil
import socket
import struct
import subprocess
import sys
import time
from pathlib import Path

HEALTH = 0.1
CAP = 10_000
ALLOWANCE = 8 << 20
REQUEST = b"POST /echo HTTP/1.1\r\nHost: abuse\r\nContent-Length: 5\r\n\r\nhello"


class Server:
    """A conformance program on a free port, in a process of its own."""

    def __init__(self, command, descriptors=None):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]

        def limit():
            if descriptors:
                resource.setrlimit(resource.RLIMIT_NOFILE, (descriptors, descriptors))

        arguments = [*command, "--port", str(self.port), "--workers", "2"]
        # Large blocks go back to the system when they are freed, so that what is resident
        # is what the server holds: glibc would keep some for later (mallopt(3)).
        environment = {**os.environ, "MALLOC_MMAP_THRESHOLD_": str(1 << 20)}
        self.process = subprocess.Popen(arguments, stdout=subprocess.PIPE, preexec_fn=limit, env=environment)
        if b"listening" not in self.process.stdout.readline():
            raise SystemExit(f"{command[0]} does not start")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        if self.process.wait(timeout=30) != 0:
            raise SystemExit(f"it ended with status {self.process.returncode}")

    def connect(self):
        return socket.create_connection(("127.0.0.1", self.port), timeout=10)

    def health(self):
        """Seconds to an answer on a new connection."""
        begun = time.monotonic()
        with self.connect() as client:
            client.sendall(b"GET /plain HTTP/1.1\r\nHost: abuse\r\nConnection: close\r\n\r\n")
            answer = b"".join(iter(lambda: client.recv(4096), b""))
        if not answer.startswith(b"HTTP/1.1 200 ") or not answer.endswith(b"hello"):
            raise SystemExit(f"not healthy: {answer[:80]!r}")
        return time.monotonic() - begun

    def descriptors(self):
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def resident(self):
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+)", status)[1]) * 1024

    def cpu(self):
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def reset(client):
    """Closes with a reset."""
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()


def slowhttptest(server, *options):
    command = ["slowhttptest", "-u", f"http://127.0.0.1:{server.port}/echo", *options]
    subprocess.run(
        [*command, "-c", "300", "-r", "300", "-l", "4", "-p", "3"], capture_output=True, timeout=60
    )


def slow_head(server):
    slowhttptest(server, "-H", "-i", "2")


def slow_body(server):
    slowhttptest(server, "-B", "-t", "POST", "-i", "2", "-s", "8192")


def slow_read(server):
    slowhttptest(server, "-X", "-n", "1", "-w", "8", "-y", "16", "-z", "4", "-k", "3")


def range_flood(server):
    slowhttptest(server, "-R", "-a", "10", "-b", "3000")


def flood_past_the_cap(server):
    """More connections than the cap: those within it are kept, the others get a 503."""
    clients = [server.connect() for _ in range(CAP + 50)]
    refused = 0
    for client in clients[CAP:]:
        try:
            client.sendall(b"GET /plain HTTP/1.1\r\nHost: abuse\r\n\r\n")
            refused += client.recv(4096).startswith(b"HTTP/1.1 503 ")
        except OSError:
            pass
    clients[0].sendall(b"GET /plain HTTP/1.1\r\nHost: abuse\r\n\r\n")
    if not clients[0].recv(4096).startswith(b"HTTP/1.1 200 ") or refused < 40:
        raise SystemExit(f"past the cap: {refused} of 50 were told")
    for client in clients:
        client.close()


def idle_connections(server):
    before = server.resident()
    clients = [server.connect() for _ in range(CAP - 100)]
    for client in clients:
        client.sendall(b"GET /plain HTTP/1.1\r\nHost: abuse\r\n\r\n")
        client.recv(4096)
    time.sleep(2)
    print(f"    {(server.resident() - before) // len(clients)} bytes for each idle connection", flush=True)
    alone = server.health()
    print(f"    a request beside them takes {alone * 1000:.1f} ms", flush=True)
    for client in clients:
        client.close()


def leave_at_every_byte(server):
    for end in range(len(REQUEST) + 1):
        for leave in (reset, socket.socket.close):
            client = server.connect()
            client.sendall(REQUEST[:end])
            leave(client)


def reader_that_stops(server):
    """Clients that ask for large answers, read a little, and then nothing."""
    clients = []
    for _ in range(20):
        client = server.connect()
        client.settimeout(30)
        body = b"x" * (9 << 20)
        head = f"POST /echo HTTP/1.1\r\nHost: abuse\r\nContent-Length: {len(body)}\r\n\r\n"
        client.sendall(head.encode() + body)
        client.recv(1000)
        clients.append(client)
    print(f"    {server.resident() >> 20} MiB while 20 of them hold answers of 9 MiB", flush=True)
    if min(server.health() for _ in range(5)) > HEALTH:
        raise SystemExit("they hold up others")
    for client in clients:
        reset(client)


def few_descriptors(server):
    """More clients than there are descriptors: served when others leave, without spinning."""
    clients = [server.connect() for _ in range(100)]
    before = server.cpu()
    time.sleep(2)
    spent = server.cpu() - before
    if spent > 0.5:
        raise SystemExit(f"it spins: {spent:.2f} s of CPU in 2 s")
    for client in clients:
        client.close()
    time.sleep(0.5)


ABUSES = [
    slow_head,
    slow_body,
    slow_read,
    range_flood,
    leave_at_every_byte,
    reader_that_stops,
    flood_past_the_cap,
    idle_connections,
    few_descriptors,
]


def recover(server, descriptors, resident=None):
    """Waits until the server is as it was; says what is not."""
    for _ in range(100):
        grown = 0 if resident is None else server.resident() - resident
        if server.descriptors() <= descriptors and grown < ALLOWANCE:
            break
        time.sleep(0.1)
    else:
        return f"{server.descriptors() - descriptors} descriptors and {grown >> 10} KiB are not back"
    fastest = min(server.health() for _ in range(3))
    print(f"    health in {fastest * 1000:.1f} ms, {grown >> 10:+} KiB", flush=True)
    return None if fastest <= HEALTH else f"health takes {fastest:.3f} s"


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--only", default="", help="abuses whose name holds this")
    parser.add_argument("command", nargs="+", help="the program, behind --")
    options = parser.parse_args()
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    failed = 0
    for abuse in [abuse for abuse in ABUSES if options.only in abuse.__name__]:
        name = abuse.__name__.replace("_", " ")
        if abuse in (slow_head, slow_body, slow_read, range_flood) and not shutil.which("slowhttptest"):
            print(f"{name}: left out, slowhttptest is not installed", flush=True)
            continue
        print(f"{name}", flush=True)
        with Server(options.command, descriptors=64 if abuse is few_descriptors else None) as server:
            for _ in range(20):
                server.health()
            time.sleep(0.2)
            descriptors = server.descriptors()
            resident = fault = None
            for last in (False, False, True):
                abuse(server)
                fault = fault or recover(server, descriptors, resident if last else None)
                resident = server.resident()
            if fault:
                failed += 1
                print(f"    FAILED: {fault}", flush=True)
    print(f"{failed} abuses left a trace" if failed else "no abuse left a trace")
    sys.exit(failed > 0)


if __name__ == "__main__":
    main()
