"""Response bodies in chunks."""

import asyncio
import threading
import time
import unittest

from support import LIMIT, SOON, Quiet, connect, exchange, fetch, read_all, receive, until

from transom import HTTPError, Response, Server


class TestStreams(Quiet, unittest.TestCase):
    def reports(self):
        """Returns the log lines about handlers, without those of the library."""
        return [line for line in self.log if line.startswith("handler ")]

    def test_what_is_streamed(self):
        app = Server()

        @app.get("/generator")
        def generator(request):
            yield "a"
            yield b"bb"
            yield ""
            yield bytearray(b"ccc")

        @app.get("/async-generator")
        async def async_generator(request):
            for chunk in ("a", b"bb", "", "ccc"):
                await asyncio.sleep(0.001)
                yield chunk

        @app.get("/returned")
        def returned(request):
            return iter(["a", "bb", "ccc"])

        @app.get("/sync-of-async")
        async def sync_of_async(request):
            return iter(["a", "bb", "ccc"])

        @app.get("/async-of-sync")
        def async_of_sync(request):
            return async_generator(request)

        @app.get("/response")
        def response(request):
            return Response.stream(["a", "bb", "ccc"], status=201, headers={"X-A": "b"}, content_type="a/b")

        class Chunks:
            async def __aiter__(self):
                for chunk in ("a", "bb", "ccc"):
                    yield chunk

        @app.get("/async-iterable")
        def async_iterable(request):
            return Response.stream(Chunks(), status=203, headers={"X-A": "b"})

        @app.get("/tuple", blocking=False)
        def with_status(request):
            return iter(["a", "bb", "ccc"]), 202, {"X-A": "b"}

        with app.start("127.0.0.1:0") as running:
            for _ in range(3):
                for path in ("generator", "async-generator", "returned", "sync-of-async", "async-of-sync"):
                    with self.subTest(path=path):
                        answer = fetch(running, f"/{path}")
                        self.assertEqual((answer.status, answer.body), (200, b"abbccc"))
                        self.assertEqual(answer.headers["transfer-encoding"], "chunked")
                for path, status in (("response", 201), ("tuple", 202), ("async-iterable", 203)):
                    answer = fetch(running, f"/{path}")
                    self.assertEqual(
                        (answer.status, answer.body, answer.headers["x-a"]), (status, b"abbccc", "b")
                    )
            self.assertEqual(fetch(running, "/generator", "HEAD").body, b"")
        self.assertEqual(self.log, [])

    def test_a_stream_is_held_to_its_length(self):
        app = Server()
        ended = []

        def chunks(name, total):
            try:
                yield "0123"
                yield "4567890"[: total - 4]
            finally:
                ended.append(name)

        async def chunks_async(name, total):
            for chunk in chunks(name, total):
                yield chunk

        kinds = {"sync": chunks, "async": chunks_async}

        @app.get("/{kind}/{announced}/{total}")
        def sized(request):
            kind, announced, total = (request.params[name] for name in ("kind", "announced", "total"))
            stream = kinds[kind](request.path, int(total))
            return Response.stream(stream, headers={"Content-Length": announced})

        request = "GET {} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
        with app.start("127.0.0.1:0") as running:
            for kind in kinds:
                for announced, total, sent in ((8, 8, 8), (9, 7, 7), (6, 8, 4)):
                    with self.subTest(kind=kind, announced=announced, total=total):
                        self.log.clear()
                        path = f"/{kind}/{announced}/{total}"
                        answer = exchange(running, request.format(path).encode(), end=False)
                        self.assertEqual(answer.partition(b"\r\n\r\n")[2], b"012345678"[:sent])
                        self.assertTrue(until(lambda path=path: path in ended))
                        wrong = int(announced != total)
                        self.assertTrue(until(lambda wrong=wrong: len(self.reports()) == wrong), self.log)
                        self.assertTrue(all("the length of the body" in line for line in self.reports()))
                for method, path in (("HEAD", f"/{kind}/8/8"), ("HEAD", f"/{kind}/9/7")):
                    self.log.clear()
                    self.assertEqual(fetch(running, path, method).body, b"")
        self.assertEqual(self.reports(), [])

    def test_an_empty_stream(self):
        app = Server()
        app.get("/")(lambda request: iter(()))
        with app.start("127.0.0.1:0") as running:
            answer = fetch(running, "/")
        self.assertEqual((answer.status, answer.body), (200, b""))

    def test_chunks_leave_when_they_are_there(self):
        app = Server()
        go = threading.Event()
        self.addCleanup(go.set)

        @app.get("/")
        def handler(request):
            yield "first"
            go.wait(LIMIT)
            yield "second"

        with app.start("127.0.0.1:0") as running, connect(running) as connection:
            connection.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            receive(connection, b"first")
            go.set()
            received = read_all(connection)
        self.assertIn(b"second", received)
        self.assertTrue(received.endswith(b"0\r\n\r\n"))

    def test_a_failure_before_the_first_chunk_is_an_answer(self):
        app = Server()

        @app.get("/missing")
        def missing(request):
            raise HTTPError(404, "nothing")
            yield ""

        @app.get("/broken")
        async def broken(request):
            raise KeyError("lost")
            yield ""

        with app.start("127.0.0.1:0") as running:
            self.assertEqual(fetch(running, "/missing").status, 404)
            self.assertEqual(self.log, [])
            self.assertEqual(fetch(running, "/broken").status, 500)
        self.assertIn("KeyError: 'lost'", self.log[0])

    def test_a_failure_later_cuts_the_answer_off(self):
        app = Server()

        @app.get("/sync")
        def plain(request):
            yield "part"
            raise KeyError("lost")

        @app.get("/async")
        async def asynchronous(request):
            yield "part"
            yield 7

        @app.get("/refused")
        async def refused(request):
            yield "part"
            raise HTTPError(404, "too late")

        with app.start("127.0.0.1:0") as running:
            for path, error in (
                ("sync", "KeyError: 'lost'"),
                ("async", "a chunk of a stream is str or bytes, got int"),
                ("refused", "HTTPError: 404 too late"),
            ):
                self.log.clear()
                answer = exchange(running, b"GET /%s HTTP/1.1\r\nHost: a\r\n\r\n" % path.encode(), end=False)
                self.assertIn(b"part", answer)
                self.assertFalse(answer.endswith(b"0\r\n\r\n"))
                self.assertTrue(until(lambda error=error: any(error in line for line in self.log)), self.log)

    def test_a_client_that_leaves_ends_the_iterator(self):
        for asynchronous in (False, True):
            closed = threading.Event()
            app = Server()
            if asynchronous:

                @app.get("/")
                async def handler(request, closed=closed):
                    try:
                        while True:
                            yield "x" * 10_000
                            await asyncio.sleep(0.001)
                    finally:
                        closed.set()
            else:

                @app.get("/")
                def handler(request, closed=closed):
                    try:
                        while True:
                            yield "x" * 10_000
                            time.sleep(0.001)
                    finally:
                        closed.set()

            with app.start("127.0.0.1:0") as running:
                with connect(running) as connection:
                    connection.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
                    connection.recv(4096)
                self.assertTrue(closed.wait(LIMIT), f"asynchronous={asynchronous}")
        self.assertEqual(self.log, [])

    def test_a_slow_reader_gets_everything(self):
        app = Server()
        chunk = bytes(range(256)) * 256

        @app.get("/sync")
        def plain(request):
            for _ in range(100):
                yield chunk

        @app.get("/async")
        async def asynchronous(request):
            for _ in range(100):
                yield chunk

        with app.start("127.0.0.1:0") as running:
            for path in ("/sync", "/async"):
                with connect(running) as connection:
                    connection.sendall(f"GET {path} HTTP/1.0\r\n\r\n".encode())
                    time.sleep(0.2)
                    received = read_all(connection)
                self.assertEqual(received.partition(b"\r\n\r\n")[2], chunk * 100)

    def test_a_stop_cuts_an_endless_stream(self):
        for asynchronous in (False, True):
            app = Server()
            if asynchronous:

                @app.get("/")
                async def handler(request):
                    while True:
                        yield "x"
                        await asyncio.sleep(0.01)
            else:

                @app.get("/")
                def handler(request):
                    while True:
                        yield "x"
                        time.sleep(0.01)

            running = app.start("127.0.0.1:0")
            with connect(running) as connection:
                connection.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
                connection.recv(4096)
                begun = time.monotonic()
                report = running.stop(0.1)
                self.assertLess(time.monotonic() - begun, SOON)
                self.assertEqual((report.cut, report.pending), (1, 0))
                self.assertFalse(read_all(connection).endswith(b"0\r\n\r\n"))
