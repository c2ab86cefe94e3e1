"""A server whose process has little memory refuses requests that it has none for, and lives."""

import socket
import threading
import unittest
from contextlib import suppress

from support import LIMIT, Program, at_once, until

#: Their bodies together are more than the server has memory for.
CLIENTS = 20
BODY = 9 << 20
PIECE = bytes(64 << 10)

SERVER = """
import resource, sys
import transom

app = transom.Server(model=sys.argv[1], workers=2)

@app.get("/")
def hello(request):
    return "hello"

@app.post("/echo")
def echo(request):
    return request.body

with app.start("127.0.0.1:0") as running:
    # Each thread has set address space aside by now, glibc 64 MiB for most of them.
    with open("/proc/self/statm") as statm:
        pages = int(statm.read().split()[0])
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + (128 << 20),) * 2)
    print(running.url, flush=True)
    sys.stdin.read()
print("stopped")
"""


def visit(port, pieces, all_there):
    """The status that came, or 0; the last piece is sent when all clients have got so far."""
    *start, end = pieces
    with socket.create_connection(("127.0.0.1", port), LIMIT) as client:
        # One that waits in the backlog does so while the others are there.
        client.settimeout(1)
        is_blocked = False
        # The answer may be there though not all could be sent.
        with suppress(ConnectionError):
            try:
                for piece in start:
                    client.sendall(piece)
            except TimeoutError:
                is_blocked = True
        all_there.wait(LIMIT)
        if is_blocked:
            return 0
        client.settimeout(LIMIT)
        with suppress(ConnectionError):
            client.sendall(end)
        try:
            return int(client.recv(12, socket.MSG_WAITALL)[9:] or 0)
        except ConnectionError:
            return 0


def is_well(port):
    try:
        with socket.create_connection(("127.0.0.1", port), LIMIT) as client:
            client.sendall(b"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
            return client.recv(12, socket.MSG_WAITALL).endswith(b" 200")
    except OSError:
        return False


class TestMemory(unittest.TestCase):
    def check(self, model):
        count = BODY // len(PIECE)
        by_length = f"POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: {BODY}\r\n\r\n".encode()
        chunked = b"POST /echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
        chunk = b"10000\r\n" + PIECE + b"\r\n"
        with Program(SERVER, model) as program:
            port = program.port()
            for pieces in ([by_length, *[PIECE] * count], [chunked, *[chunk] * count, b"0\r\n\r\n"]):
                all_there = threading.Barrier(CLIENTS)
                statuses = at_once(
                    lambda _, pieces=pieces, all_there=all_there: visit(port, pieces, all_there), CLIENTS
                )
                # A handler that has no memory left is one that failed.
                self.assertLessEqual(set(statuses), {0, 200, 500, 503})
                self.assertNotEqual(set(statuses), {200}, "there was memory for all")
                self.assertTrue(until(lambda: is_well(port)), program.process.poll())
            program.process.stdin.close()
            program.process.stdin = None
            code, out, _ = program.end()
            self.assertEqual((code, out), (0, "stopped\n"))

    def test_without_memory_requests_are_refused_and_the_process_lives(self):
        for model in ("event", "threads"):
            with self.subTest(model):
                self.check(model)
