"""Bodies in pieces: every kind of handler, limits and timeouts of a route, clients that leave."""

import asyncio
import hashlib
import os
import socket
import threading
import unittest
from pathlib import Path

from support import LIMIT, Program, Quiet, connect, exchange, fetch, read_all, receive, until, ways

import transom
from transom import BodyError, ClientGoneError, HTTPError, Server

MIB = 1024 * 1024
HEAD = b"POST %s HTTP/1.1\r\nHost: a\r\nConnection: close\r\n"


def digest(pieces):
    """Returns the digest of the pieces of a body."""
    return hashlib.sha256(b"".join(pieces)).hexdigest()


def add_counters(app):
    """Adds a route for each kind of handler. Each answers with the digest of the body."""

    @app.post("/plain", stream=True)
    def plain(request):
        return digest(request.stream())

    @app.post("/async", stream=True)
    async def asynchronous(request):
        return digest([piece async for piece in request.stream()])

    @app.post("/generator", stream=True)
    def generator(request):
        yield digest(request.stream())

    @app.post("/async-generator", stream=True)
    async def async_generator(request):
        yield digest([piece async for piece in request.stream()])

    @app.post("/decorated", stream=True)
    def decorated(request):
        return asynchronous(request)

    @app.post("/whole")
    def whole(request):
        return digest(request.stream())

    @app.post("/async-whole")
    async def async_whole(request):
        return digest([piece async for piece in request.stream()])

    return ("plain", "async", "generator", "async-generator", "decorated", "whole", "async-whole")


def pieces_of(body, size):
    """Yields a body in pieces, which `http.client` sends as chunks."""
    for at in range(0, len(body), size):
        yield body[at : at + size]


class TestPieces(Quiet, unittest.TestCase):
    def test_a_body_comes_whole_in_every_kind_of_handler(self):
        bodies = [b"", b"x", bytes(range(256)) * 1024]
        for name, app, start in ways():
            paths = add_counters(app)
            with start() as running:
                for path in paths:
                    for body in bodies:
                        with self.subTest(way=name, path=path, length=len(body)):
                            answer = fetch(running, f"/{path}", "POST", body)
                            self.assertEqual((answer.status, answer.text), (200, digest([body])))
                            answer = fetch(running, f"/{path}", "POST", pieces_of(body, 10_000))
                            self.assertEqual((answer.status, answer.text), (200, digest([body])))
        self.assertEqual(self.log, [])

    def test_a_body_is_sent_back_while_it_comes(self):
        app = Server()

        @app.post("/plain", stream=True)
        def plain(request):
            yield from request.stream()

        @app.post("/async", stream=True)
        async def asynchronous(request):
            async for piece in request.stream():
                yield piece

        with app.start("127.0.0.1:0") as running:
            for path in (b"/plain", b"/async"):
                with self.subTest(path=path), connect(running) as client:
                    client.sendall(HEAD % path + b"Transfer-Encoding: chunked\r\n\r\n")
                    received = b""
                    for word in (b"one", b"two", b"three"):
                        client.sendall(b"%x\r\n%s\r\n" % (len(word), word))
                        received += receive(client, word)
                    client.sendall(b"0\r\n\r\n")
                    received += read_all(client)
                    self.assertTrue(received.endswith(b"5\r\nthree\r\n0\r\n\r\n"), received)
        self.assertEqual(self.log, [])

    def test_pieces_have_a_size_and_come_one_at_a_time(self):
        app = Server()
        kept = []

        @app.post("/", stream=True)
        def handler(request):
            stream = request.stream()
            self.assertIs(stream, request.stream())
            kept.append(next(stream))
            kept.extend(request.stream())
            self.assertEqual(list(stream), [])
            return "read"

        def sizes(running, data):
            kept.clear()
            self.assertEqual(fetch(running, "/", "POST", data).text, "read")
            self.assertTrue(b"".join(kept) == data, "a piece that is kept has changed")
            return [len(piece) for piece in kept]

        with app.start("127.0.0.1:0") as running:
            small = sizes(running, os.urandom(MIB))
            self.assertLessEqual(small[0], 64 * 1024)
            self.assertGreater(min(small), 0)
            # Pieces grow while a client sends as fast as they are read.
            data = os.urandom(8 * MIB)
            self.assertTrue(until(lambda: 64 * 1024 < max(sizes(running, data)) <= 256 * 1024))

    def test_wrong_uses_are_told(self):
        app = Server()

        @app.post("/body", stream=True)
        def body(request):
            return request.body

        @app.post("/json", stream=True)
        def parsed(request):
            return request.json()

        @app.post("/for", stream=True)
        async def plain_for(request):
            return digest(request.stream())

        @app.post("/twice", stream=True)
        async def twice(request):
            async def read():
                return [piece async for piece in request.stream()]

            await asyncio.gather(read(), read())

        with app.start("127.0.0.1:0") as running:
            for path, said in (
                ("/body", "the route has stream=True, so the body is read with request.stream()"),
                ("/json", "the route has stream=True"),
                ("/for", "read the body with `async for`"),
            ):
                self.assertEqual(fetch(running, path, "POST", b"x").status, 500)
                self.assertIn(said, self.log.pop())
            with connect(running) as client:
                client.sendall(HEAD % b"/twice" + b"Content-Length: 5\r\n\r\n12")
                self.assertIn(b" 500 ", client.recv(100))
            self.assertIn("two threads or tasks read the body", self.log.pop())

    def test_a_body_cannot_be_read_after_the_answer(self):
        app = Server()
        kept = []

        @app.post("/", stream=True)
        def handler(request):
            kept.append(request.stream())
            return "early"

        with app.start("127.0.0.1:0") as running:
            self.assertEqual(fetch(running, "/", "POST", b"x").text, "early")
            for _ in range(2):
                with self.assertRaisesRegex(RuntimeError, "the request was answered"):
                    next(kept[0])

    def test_an_early_answer_leaves_the_body(self):
        # The client may need a while for the body, and gets the answer only after it.
        for name, app, start in ways(timeouts={"drain": LIMIT}):

            @app.post("/plain", stream=True)
            def plain(request):
                return "no", 403

            @app.post("/async", stream=True, max_body=100 * MIB)
            async def asynchronous(request):
                async for _ in request.stream():
                    return "enough", 403

            with start() as running:
                for path in ("/plain", "/async"):
                    with self.subTest(way=name, path=path):
                        self.assertEqual(fetch(running, path, "POST", b"x" * 60_000).status, 403)


class TestContinue(unittest.TestCase):
    def test_the_client_is_asked_at_the_first_read(self):
        app = Server()
        add_counters(app)

        @app.post("/unread", stream=True)
        def unread(request):
            return "unread"

        expecting = b"Expect: 100-continue\r\nContent-Length: 4\r\n\r\n"
        with app.start("127.0.0.1:0") as running:
            for path in (b"/plain", b"/async", b"/generator", b"/async-generator"):
                with self.subTest(path=path), connect(running) as client:
                    client.sendall(HEAD % path + expecting)
                    self.assertEqual(client.recv(1000), b"HTTP/1.1 100 Continue\r\n\r\n")
                    client.sendall(b"body")
                    self.assertIn(digest([b"body"]).encode(), read_all(client))
            answer = exchange(running, HEAD % b"/unread" + expecting, end=False)
            self.assertTrue(answer.startswith(b"HTTP/1.1 200 "), answer)


class TestLimits(Quiet, unittest.TestCase):
    def seen(self, app, path):
        """Adds a plain and an asynchronous handler that note the exceptions of a body."""
        errors = []
        options = {"stream": True, "max_body": 1000}

        @app.post(f"{path}/plain", **options)
        def plain(request):
            try:
                return digest(request.stream())
            except HTTPError as error:
                errors.append(error)
                raise

        @app.post(f"{path}/async", **options)
        async def asynchronous(request):
            try:
                return digest([piece async for piece in request.stream()])
            except HTTPError as error:
                errors.append(error)
                raise

        return errors

    def test_a_body_over_the_limit_of_its_route_gets_a_413(self):
        app = Server(limits={"body": 10})
        errors = self.seen(app, "")

        @app.post("/more", max_body=2000)
        def more(request):
            return str(len(request.body))

        @app.post("/usual")
        def usual(request):
            return "usual"

        with app.start("127.0.0.1:0") as running:
            self.assertEqual(fetch(running, "/more", "POST", b"x" * 2000).text, "2000")
            self.assertEqual(fetch(running, "/more", "POST", b"x" * 2001).status, 413)
            self.assertEqual(fetch(running, "/usual", "POST", b"x" * 11).status, 413)
            for path in ("/plain", "/async"):
                self.assertEqual(fetch(running, path, "POST", b"x" * 1000).status, 200)
                self.assertEqual(fetch(running, path, "POST", b"x" * 1001).status, 413)
                self.assertEqual(errors, [])
                self.assertEqual(fetch(running, path, "POST", pieces_of(b"x" * 1001, 100)).status, 413)
                error = errors.pop()
                self.assertIsInstance(error, BodyError)
                self.assertEqual(str(error), "413 the body is larger than the limit")
        self.assertEqual(self.log, [])

    def test_a_body_that_comes_too_slowly_gets_a_408(self):
        app = Server(timeouts={"body": 0.1})
        errors = self.seen(app, "")
        with app.start("127.0.0.1:0") as running:
            for path in (b"/plain", b"/async"):
                with connect(running) as client:
                    client.sendall(HEAD % path + b"Content-Length: 10\r\n\r\n12")
                    self.assertTrue(read_all(client).startswith(b"HTTP/1.1 408 "))
                self.assertTrue(until(lambda: errors))
                self.assertEqual(str(errors.pop()), "408 the body came too slowly")
        self.assertEqual(self.log, [])

    def test_malformed_chunks_get_a_400(self):
        app = Server()
        errors = self.seen(app, "")
        with app.start("127.0.0.1:0") as running:
            for path in (b"/plain", b"/async"):
                with connect(running) as client:
                    client.sendall(HEAD % path + b"Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\nzz\r\n")
                    self.assertTrue(read_all(client).startswith(b"HTTP/1.1 400 "))
                self.assertTrue(until(lambda: errors))
                self.assertEqual(str(errors.pop()), "400 the chunks of the body are malformed")
        self.assertEqual(self.log, [])

    def test_the_timeout_of_a_route_is_in_place_of_the_servers(self):
        app = Server(timeouts={"handler": 0.05})
        go_on = threading.Event()

        @app.get("/short")
        def short(request):
            go_on.wait(LIMIT)
            return "late"

        @app.get("/endless", timeout=None)
        async def endless(request):
            await asyncio.sleep(0.2)
            return "in time"

        @app.get("/long", timeout=LIMIT)
        async def long(request):
            await asyncio.sleep(0.2)
            return "in time"

        with app.start("127.0.0.1:0") as running:
            self.assertEqual(fetch(running, "/endless").text, "in time")
            self.assertEqual(fetch(running, "/long").text, "in time")
            self.assertGreaterEqual(fetch(running, "/short").status, 500)
            go_on.set()
        app = Server()
        app.get("/", timeout=0.05)(lambda request: go_on.wait(LIMIT) and "late")
        go_on.clear()
        with app.start("127.0.0.1:0") as running:
            self.assertGreaterEqual(fetch(running, "/").status, 500)
            go_on.set()

    def test_wrong_options_are_told(self):
        app = Server()
        for options, kind, said in (
            ({"max_body": -1}, transom.InvalidArgumentError, "max_body is 0 to"),
            ({"max_body": "1"}, transom.InvalidArgumentError, "max_body is an int from"),
            ({"timeout": 0}, transom.InvalidArgumentError, "timeout of a route is"),
            ({"timeout": "1"}, transom.InvalidArgumentError, "timeout of a route is"),
            ({"stream": 1}, TypeError, "stream is True or False, got int 1"),
            ({"stream": True, "blocking": False}, transom.InvalidArgumentError, "cannot have blocking=False"),
            ({"coffee": 1}, TypeError, "coffee"),
        ):
            for decorate in (lambda o: app.get("/", **o), lambda o: app.fallback(**o)):
                with self.assertRaises(kind) as caught:
                    decorate(options)
                self.assertIn(said, str(caught.exception))


class TestLeaving(Quiet, unittest.TestCase):
    def test_a_client_that_leaves_in_a_body_is_told_to_the_handler(self):
        for name, app, start in ways():
            begun, seen = threading.Semaphore(0), []

            def note(kind, pieces, seen=seen):
                seen.append((kind, b"".join(pieces)))

            @app.post("/plain", stream=True)
            def plain(request, note=note, begun=begun):
                begun.release()
                pieces = []
                try:
                    for piece in request.stream():
                        pieces.append(piece)
                except ClientGoneError as error:
                    self.assertIsInstance(error, ConnectionError)
                    note("plain", pieces)
                    raise

            @app.post("/generator", stream=True)
            def generator(request, note=note, begun=begun):
                begun.release()
                # One that is asked for no more is closed; one that reads gets the error.
                try:
                    yield b"begun"
                    yield from request.stream()
                except (ClientGoneError, GeneratorExit):
                    note("generator", [])
                    raise

            @app.post("/async", stream=True)
            async def asynchronous(request, note=note, begun=begun):
                begun.release()
                pieces = []
                try:
                    async for piece in request.stream():
                        pieces.append(piece)
                except ClientGoneError:
                    # The handler is not cancelled as well.
                    await asyncio.sleep(0.01)
                    note("async", pieces)
                    raise

            @app.post("/async-generator", stream=True)
            async def async_generator(request, note=note, begun=begun):
                begun.release()
                try:
                    yield b"begun"
                    async for piece in request.stream():
                        yield piece
                except (ClientGoneError, GeneratorExit):
                    note("async-generator", [])
                    raise

            with start() as running:
                for path in ("plain", "async", "generator", "async-generator"):
                    for reset in (False, True):
                        with self.subTest(way=name, path=path, reset=reset):
                            client = connect(running)
                            client.sendall(HEAD % f"/{path}".encode() + b"Content-Length: 10\r\n\r\n12")
                            if "generator" in path:
                                receive(client, b"12")
                            # A reset that comes earlier takes the request with it.
                            self.assertTrue(begun.acquire(timeout=LIMIT), path)
                            if reset:
                                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
                            client.close()
                            self.assertTrue(until(lambda seen=seen: seen), path)
                            kind, pieces = seen.pop()
                            self.assertEqual(kind, path)
                            self.assertIn(pieces, (b"", b"12"))
        # The library says which responses it has cut.
        self.assertEqual([line for line in self.log if not line.startswith("a response body broke off")], [])

    def test_a_client_that_closes_its_sending_side_too_early_gets_a_400(self):
        app = Server()
        add_counters(app)
        with app.start("127.0.0.1:0") as running:
            for path in (b"/plain", b"/async"):
                answer = exchange(running, HEAD % path + b"Content-Length: 10\r\n\r\n12")
                self.assertTrue(answer.startswith(b"HTTP/1.1 400 ") or not answer, answer)

    def test_a_stop_ends_a_body(self):
        for path in ("plain", "async"):
            app = Server()
            seen = []
            begun = threading.Event()

            @app.post("/plain", stream=True)
            def plain(request, seen=seen, begun=begun):
                begun.set()
                try:
                    list(request.stream())
                except ClientGoneError as error:
                    seen.append(error)
                    raise

            @app.post("/async", stream=True)
            async def asynchronous(request, seen=seen, begun=begun):
                begun.set()
                try:
                    async for _ in request.stream():
                        pass
                except ClientGoneError as error:
                    seen.append(error)
                    raise

            with app.start("127.0.0.1:0") as running, connect(running) as client:
                client.sendall(HEAD % f"/{path}".encode() + b"Content-Length: 10\r\n\r\n12")
                self.assertTrue(begun.wait(LIMIT))
                running.stop(0.05)
                self.assertTrue(until(lambda seen=seen: seen), path)


UPLOAD = """
import sys
from pathlib import Path
from transom import Server

app = Server()
total = int(sys.argv[2])


@app.post("/plain", stream=True, max_body=total)
def plain(request):
    return str(sum(len(piece) for piece in request.stream()))


@app.post("/async", stream=True, max_body=total)
async def asynchronous(request):
    return str(sum([len(piece) async for piece in request.stream()]))


@app.get("/other")
def other(request):
    return "other"


def resident():
    return int(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0]) * 1024


with app.start("127.0.0.1:0") as running:
    print(running.url, flush=True)
    sys.stdin.readline()
    print(resident(), flush=True)
    sys.stdin.readline()
    print(resident(), flush=True)
"""


@unittest.skipUnless(Path("/proc/self/status").exists(), "memory is read from /proc")
class TestMemory(unittest.TestCase):
    def test_a_large_body_takes_little_memory_and_another_client_is_answered(self):
        total = 32 * MIB
        for path in ("/plain", "/async"):
            with self.subTest(path=path), Program(UPLOAD, path, str(total)) as program:
                port = program.port()

                class Running:
                    """The server, as the client code takes it."""

                    def __init__(self, port):
                        self.port = port

                running = Running(port)
                self.assertEqual(fetch(running, path, "POST", b"x" * 1000).text, "1000")
                program.write("\n")
                before = int(program.process.stdout.readline())
                with connect(running) as client:
                    client.sendall(HEAD % path.encode() + b"Content-Length: %d\r\n\r\n" % total)
                    piece = b"x" * MIB
                    for number in range(32):
                        client.sendall(piece)
                        if number % 16 == 0:
                            self.assertEqual(fetch(running, "/other").text, "other")
                    self.assertTrue(read_all(client).endswith(str(total).encode()))
                program.write("\n")
                after = int(program.process.stdout.readline())
                self.assertLess(after - before, 12 * MIB)
                self.assertEqual(program.end()[0], 0)


if __name__ == "__main__":
    unittest.main()
