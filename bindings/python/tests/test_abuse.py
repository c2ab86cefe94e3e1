"""What clients and applications do to a server: leaving at every point, and raising in every place.

`TRANSOM_TEST_ABUSE` is how thorough the tests are: 1 by default, 10 tries every point.
"""

import asyncio
import contextlib
import gc
import http.client
import os
import socket
import struct
import sys
import threading
import unittest
from unittest.mock import patch

from support import LIMIT, Quiet, connect, fetch, until, ways

from transom import Response, Server

SCALE = int(os.environ.get("TRANSOM_TEST_ABUSE", "1"))

PIECES = [b"piece %d of the body" % number for number in range(6)]
CHUNKED = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in PIECES) + b"0\r\nTrailer: t\r\n\r\n"
PLAIN = b"".join(PIECES)


class Counter:
    """Counts the handlers that have begun and ended, from any thread."""

    def __init__(self):
        self._lock = threading.Lock()
        self.begun = self.ended = 0

    @contextlib.contextmanager
    def one(self):
        with self._lock:
            self.begun += 1
        try:
            yield
        finally:
            with self._lock:
                self.ended += 1

    def at_rest(self):
        """Returns `True` if as many have ended as have begun."""
        # A generator that was never begun has no end but its collection.
        gc.collect()
        with self._lock:
            return self.begun == self.ended


def leave(connection, number):
    """Ends a connection: in order, or with a reset."""
    if number % 2:
        with contextlib.suppress(OSError):
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def points(length, way):
    """Returns the numbers of bytes after which clients leave, others for each way to run a server."""
    step = max(1, 10 // SCALE)
    return range(way % step, length + 1, step)


class TestLeaving(Quiet, unittest.TestCase):
    def test_clients_leave_at_every_point_of_an_upload(self):
        for way, (name, app, start) in enumerate(ways()):
            counter = Counter()
            paths = self.upload_handlers(app, counter, plain=not name.startswith("all"))
            with self.subTest(name), start() as running:
                for path in paths:
                    for head, body in (
                        (b"Transfer-Encoding: chunked", CHUNKED),
                        (b"Content-Length: %d" % len(PLAIN), PLAIN),
                    ):
                        head = b"POST %b HTTP/1.1\r\nHost: h\r\n%b\r\n\r\n" % (path.encode(), head)
                        for sent in points(len(head + body), way):
                            connection = connect(running)
                            connection.sendall((head + body)[:sent])
                            leave(connection, sent // 2)
                # A whole request arrives in between and after all that.
                for path in paths:
                    self.assertEqual(fetch(running, path, "POST", PLAIN).body, PLAIN)
                self.assertTrue(until(counter.at_rest), vars(counter))
                self.assertTrue(until(lambda running=running: not running.connections()))
        self.assertEqual(self.log, [])

    @staticmethod
    def upload_handlers(app, counter, plain):
        """Adds handlers that send a body back. Returns their paths."""

        @app.post("/async", stream=True)
        async def asynchronous(request):
            with counter.one():
                return b"".join([piece async for piece in request.stream()])

        @app.post("/async-whole")
        async def whole(request):
            with counter.one():
                return request.body

        if not plain:
            return ["/async", "/async-whole"]

        @app.post("/plain", stream=True)
        def pieces(request):
            with counter.one():
                return b"".join(request.stream())

        @app.post("/plain-whole")
        def body(request):
            with counter.one():
                return request.body

        return ["/async", "/async-whole", "/plain", "/plain-whole"]

    def test_clients_leave_at_every_point_of_a_stream(self):
        for way, (name, app, start) in enumerate(ways()):
            counter = Counter()
            paths = self.stream_handlers(app, counter, plain=not name.startswith("all"))
            with self.subTest(name), start() as running:
                for path in paths:
                    whole = fetch(running, path).body
                    self.assertEqual(whole, PLAIN)
                    # The head has about 100 bytes, and each chunk some more than its piece.
                    for received in points(100 + len(CHUNKED), way):
                        self.leave_stream(running, path, received)
                    self.assertEqual(fetch(running, path).body, PLAIN)
                self.assertTrue(until(counter.at_rest), vars(counter))
                self.assertTrue(until(lambda running=running: not running.connections()))
        self.assertEqual(self.log, [])

    @staticmethod
    def leave_stream(running, path, received):
        """Reads some bytes of a response, and leaves."""
        connection = connect(running)
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n".encode())
        left = received
        while left > 0 and (chunk := connection.recv(left)):
            left -= len(chunk)
        leave(connection, received // 2)

    @staticmethod
    def stream_handlers(app, counter, plain):
        """Adds handlers that stream the pieces. Returns their paths."""

        async def asynchronous():
            with counter.one():
                for piece in PIECES:
                    await asyncio.sleep(0)
                    yield piece

        def iterator():
            with counter.one():
                yield from PIECES

        @app.get("/async")
        async def stream(request):
            return asynchronous()

        if not plain:
            return ["/async"]
        app.get("/on-the-pool", blocking=True)(lambda request: iterator())
        app.get("/in-place", blocking=False)(lambda request: iterator())
        return ["/async", "/on-the-pool", "/in-place"]


class Oops(Exception):
    """The exception of these tests."""


class Raises:
    """An iterator that raises in a place: its start, a step, its end."""

    def __init__(self, place):
        self._place = place
        self._steps = 0

    def __iter__(self):
        if self._place == "iter":
            raise Oops
        return self

    def __next__(self):
        self._steps += 1
        if self._place == self._steps:
            raise Oops
        if self._steps > 3:
            raise StopIteration
        return b"piece"

    def close(self):
        if self._place == "close":
            raise Oops


class RaisesLater:
    """The same for `async for`."""

    def __init__(self, place):
        self._there = Raises(place)

    def __aiter__(self):
        iter(self._there)
        return self

    async def __anext__(self):
        await asyncio.sleep(0)
        try:
            return next(self._there)
        except StopIteration:
            raise StopAsyncIteration from None

    async def aclose(self):
        self._there.close()


class Finalized:
    """An object that raises when it is freed."""

    def __del__(self):
        raise Oops


class TestRaising(Quiet, unittest.TestCase):
    def test_a_stream_that_raises_in_any_place_harms_nobody_else(self):
        for name, app, start in ways():
            plain = not name.startswith("all")
            kinds = {"a": RaisesLater, **({"p": Raises} if plain else {})}
            places = {str(place): place for place in ("iter", 1, 2, 3, 4, "close", None)}

            async def handler(request, kinds=kinds, places=places):
                return kinds[request.params["kind"]](places[request.params["place"]])

            app.get("/{kind}/{place}")(handler)
            with self.subTest(name), start() as running:
                for kind in kinds:
                    for text, place in places.items():
                        with self.subTest(kind=kind, place=place):
                            self.assertEqual(self.outcome(running, f"/{kind}/{text}"), self.expected(place))
                self.assertEqual(self.outcome(running, f"/{kind}/None"), (200, True))
        self.assertTrue(any("Oops" in line for line in self.log))

    @staticmethod
    def outcome(running, path):
        """Returns the status of a response, and `True` if the response is whole."""
        connection = http.client.HTTPConnection("127.0.0.1", running.port, timeout=LIMIT)
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            response.read()
            return response.status, True
        except (http.client.IncompleteRead, http.client.RemoteDisconnected, ConnectionResetError):
            return None, False
        finally:
            connection.close()

    @staticmethod
    def expected(place):
        """Before the first piece an exception is an answer, later it cuts the response off."""
        if place in ("iter", 1):
            return 500, True
        return (None, False) if place in (2, 3, 4) else (200, True)

    def test_an_application_that_raises_in_any_place_serves_on(self):
        for name, app, start in ways():
            self.raise_everywhere(app)
            unraisable = []
            # What a finalizer raises reaches this hook, which would print it.
            hook = patch.object(sys, "unraisablehook", unraisable.append)
            with self.subTest(name), hook, start() as running:
                for path in ("/handler", "/middleware", "/value", "/header", "/error"):
                    self.assertEqual(fetch(running, path).status, 500, path)
                for path in ("/background", "/finalizer", "/well"):
                    self.assertEqual(fetch(running, path).status, 200, path)
                for _ in range(3):
                    self.assertEqual(fetch(running, "/well").text, "well")
                leaver = connect(running)
                leaver.sendall(b"GET /gone HTTP/1.1\r\nHost: h\r\n\r\n")
                self.assertTrue(until(lambda: self.gone.get("begun")))
                leaver.close()
                self.assertTrue(until(lambda: self.gone.get("called")))
                self.assertEqual(fetch(running, "/well").text, "well")
                self.assertTrue(until(lambda unraisable=unraisable: gc.collect() >= 0 and unraisable))
                unraisable.clear()
        self.assertTrue(until(lambda: any("Oops" in line for line in self.log)))

    def raise_everywhere(self, app):
        self.gone = gone = {}

        @app.middleware
        async def around(request, call_next):
            if request.path == "/middleware":
                raise Oops
            return await call_next(request)

        @app.error(ValueError)
        def failing(request, error):
            raise Oops

        @app.get("/handler")
        async def handler(request):
            raise Oops

        @app.get("/error")
        async def error(request):
            raise ValueError("for the error handler")

        @app.get("/value")
        async def value(request):
            return object()

        @app.get("/header")
        async def header(request):
            return Response("x", headers={"x": "\r\n"})

        def later():
            raise Oops

        @app.get("/background")
        async def background(request):
            request.background(later)
            return "answered"

        @app.get("/finalizer")
        async def finalizer(request):
            request.state.there = Finalized()
            return "answered"

        @app.get("/gone")
        async def left(request):
            def tell():
                gone["called"] = True
                raise Oops

            request.on_gone(tell)
            gone["begun"] = True
            await request.gone()

        @app.get("/well")
        async def well(request):
            return "well"


@unittest.skipUnless(os.path.isdir("/proc/self/task"), "counts by /proc")
class TestRestarts(unittest.TestCase):
    def test_restarts_take_no_memory_no_thread_and_no_descriptor(self):
        app = Server()
        app.get("/")(lambda request: "hello")

        @app.get("/async")
        async def handler(request):
            return "async"

        def live(count):
            for _ in range(count):
                with app.start("127.0.0.1:0") as running:
                    fetch(running, "/")
                    fetch(running, "/async")
                # What waits for a collection is no leak, and event loops have circles.
                gc.collect()
            return resident()

        warm = live(30)
        before = entries("task"), entries("fd")
        grown = live(100 * SCALE) - warm
        self.assertLess(grown, 2000)
        # The last threads may end a moment later, and those of earlier tests too.
        back = until(lambda: entries("task") <= before[0] and entries("fd") <= before[1])
        self.assertTrue(back, (before, entries("task"), entries("fd")))


def entries(folder):
    """Returns the number of threads ("task") or of descriptors ("fd") of this process."""
    return len(os.listdir(f"/proc/self/{folder}"))


def resident():
    """Returns the memory of this process in KiB."""
    with open("/proc/self/smaps_rollup") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("Rss:"))


if __name__ == "__main__":
    unittest.main()
