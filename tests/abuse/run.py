#!/usr/bin/env python3
"""What clients do to servers, done to a conformance program on loopback.

    tests/abuse/run.py [--only NAME] [--test-server PATH] [--library PATH]
        -- target/release/examples/conformance

Slow heads, slow bodies, slow readers and range floods (with slowhttptest(1), left out
and said so where it is not installed), a flood past the connection cap, ten thousand
idle connections, clients that leave at every byte of a request, a reader that stops in
the middle of a large answer, a descriptor limit of 64, an address space of 256 MiB and
clients that send more. After each, the server must answer a health request within 100 ms,
and its descriptors must be back. Each is done three times, and memory must be where it was
after the second: an allocator that has seen a crowd keeps pages for the next one, but nothing
may be lost with each.

With the example test-server also clients that dribble, in each model; with the shared library
a Python host that forks while it serves.
"""

import argparse
import resource
import shutil
import socket
import subprocess
import sys
import time

from dribble import dribbles
from forking import fork_and_stop
from memory import ADDRESS_SPACE, more_than_there_is_memory_for
from server import HEALTH, Server, reset

CAP = 10_000
REQUEST = b"POST /echo HTTP/1.1\r\nHost: abuse\r\nContent-Length: 5\r\n\r\nhello"


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
    more_than_there_is_memory_for,
]

LIMITS = {
    few_descriptors: {"descriptors": 64},
    more_than_there_is_memory_for: {"address_space": ADDRESS_SPACE},
}


def warm_up(server):
    """Has the server make what it then keeps: each worker a timer, when it first has to sleep."""
    for _ in range(20):
        server.health()
    clients = [server.connect() for _ in range(20)]
    for client in clients:
        client.sendall(b"POST /hold/100 HTTP/1.1\r\nHost: abuse\r\nContent-Length: 0\r\n\r\n")
    for client in clients:
        client.recv(4096)
        client.close()
    time.sleep(0.2)


def commit(abuse, command):
    """Three times to one server; says what is not as it was."""
    with Server(command, **LIMITS.get(abuse, {})) as server:
        warm_up(server)
        descriptors = server.descriptors()
        resident = fault = None
        for last in (False, False, True):
            abuse(server)
            # Who was refused, and so what an allocator keeps, differs when there is little memory.
            is_compared = last and abuse is not more_than_there_is_memory_for
            fault = fault or server.recovered(descriptors, resident if is_compared else None)
            resident = server.resident()
        return fault


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--only", default="", help="abuses whose name holds this")
    parser.add_argument("--test-server", help="the example test-server, for clients that dribble")
    parser.add_argument("--library", help="the shared library, for a host that forks")
    parser.add_argument("command", nargs="+", help="the program, behind --")
    options = parser.parse_args()
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    faults = []
    for abuse in ABUSES:
        name = abuse.__name__.replace("_", " ")
        if options.only not in name:
            continue
        if abuse in (slow_head, slow_body, slow_read, range_flood) and not shutil.which("slowhttptest"):
            print(f"{name}: left out, slowhttptest is not installed", flush=True)
            continue
        print(name, flush=True)
        fault = commit(abuse, options.command)
        faults += [f"{name}: {fault}"] if fault else []
    if options.test_server and options.only in "dribble":
        print("dribble", flush=True)
        faults += dribbles([options.test_server])
    if options.library and options.only in "fork and stop":
        print("fork and stop", flush=True)
        faults += fork_and_stop(options.library)
    for fault in faults:
        print(f"FAILED: {fault}", flush=True)
    print(f"{len(faults)} abuses left a trace" if faults else "no abuse left a trace")
    sys.exit(bool(faults))


if __name__ == "__main__":
    main()
