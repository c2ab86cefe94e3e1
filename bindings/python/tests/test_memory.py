"""A server with little memory refuses the requests that it has no memory for, and goes on."""

import socket
import threading
import unittest
from contextlib import suppress

from support import LIMIT, Program, at_once, until

#: The size of a body. All bodies together need more memory than the server has.
CLIENTS = 40
BODY = 9 << 20
PIECE = bytes(64 << 10)

SERVER = """
import resource, sys
import transom

# A client may wait for the others for as long as it takes.
app = transom.Server(model=sys.argv[1], workers=2, timeouts={"body": None})

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

#: Says how many of six jobs that wait for each other a pool of six threads begins.
POOL = """
import resource, sys, threading
from transom._pool import Pool

begun, held = threading.Semaphore(0), threading.Event()

def job():
    begun.release()
    held.wait()

pool = Pool(6, 6, lambda: None)
pool.start()
with open("/proc/self/statm") as statm:
    pages = int(statm.read().split()[0])
resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + (int(sys.argv[1]) << 20),) * 2)
for _ in range(6):
    assert pool.submit(job)
threads = threading.active_count() - 1
for _ in range(threads):
    begun.acquire()
print(threads)
held.set()
for _ in range(6 - threads):
    begun.acquire()
"""


def visit(port, pieces, all_there):
    """Returns the status of the response, or 0. The last piece is sent when all clients are ready for it."""
    *start, end = pieces
    with socket.create_connection(("127.0.0.1", port), LIMIT) as client:
        # A client in the backlog waits as long as the others are connected.
        client.settimeout(1)
        is_blocked = False
        # The response may have come although the client could not send everything.
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
                # A handler that runs out of memory gets a 500.
                self.assertLessEqual(set(statuses), {0, 200, 500, 503})
                self.assertNotEqual(set(statuses), {200}, "there was memory for all")
                self.assertTrue(until(lambda: is_well(port)), program.process.poll())
            program.process.stdin.close()
            program.process.stdin = None
            code, out, _ = program.end()
            self.assertEqual((code, out), (0, "stopped\n"))

    def test_a_pool_starts_a_thread_only_if_there_is_room_for_all_that_it_may_take(self):
        # A thread that starts takes 72 MiB, or 8 if glibc has an arena for it; 8 MiB are left.
        for space, expected in ((79, {1}), (120, {2, 3, 4, 5, 6}), (1000, {6})):
            with self.subTest(space), Program(POOL, str(space)) as program:
                code, out, _ = program.end()
                self.assertEqual(code, 0)
                self.assertIn(int(out), expected)

    def test_without_memory_requests_are_refused_and_the_process_lives(self):
        for model in ("event", "threads"):
            with self.subTest(model):
                self.check(model)
