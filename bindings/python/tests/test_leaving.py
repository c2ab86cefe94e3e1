"""Streams and handlers end when their client disconnects or their deadline passes."""

import asyncio
import contextlib
import queue
import resource
import socket
import struct
import threading
import time
import unittest

from support import LIMIT, Quiet, connect, exchange, fetch, read_all, receive, until, ways

from transom import Response, Server

#: Without these deadlines, only the news that its client has left ends a stream or a handler.
NO_DEADLINES = {"write": None, "handler": None, "body": None, "idle": None}
GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


def leave(connection, orderly=True):
    """Closes the connection, orderly or by a reset."""
    if not orderly:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


class TestAsynchronousStreams(Quiet, unittest.TestCase):
    def test_one_that_waits_for_news_is_closed_when_its_client_leaves(self):
        for way, app, start in ways(timeouts=NO_DEADLINES):
            ends = queue.SimpleQueue()

            @app.get("/")
            async def handler(request, ends=ends):
                try:
                    yield "first"
                    await asyncio.Event().wait()
                finally:
                    # The clean-up of the generator may wait.
                    await asyncio.sleep(0.01)
                    ends.put(request.is_gone)

            with start() as running:
                for orderly in (True, False):
                    with self.subTest(way=way, orderly=orderly):
                        connection = connect(running)
                        connection.sendall(GET)
                        receive(connection, b"first")
                        leave(connection, orderly)
                        self.assertTrue(ends.get(timeout=LIMIT))
        self.assertEqual(self.log, [])

    def test_one_without_a_first_chunk_is_closed_too(self):
        for way, app, start in ways(timeouts=NO_DEADLINES):
            begun, ended = queue.SimpleQueue(), queue.SimpleQueue()

            @app.get("/")
            async def handler(request, begun=begun, ended=ended):
                try:
                    begun.put(None)
                    await asyncio.Event().wait()
                    yield "never"
                finally:
                    ended.put(None)

            with start() as running:
                for orderly in (True, False):
                    with self.subTest(way=way, orderly=orderly):
                        connection = connect(running)
                        connection.sendall(GET)
                        begun.get(timeout=LIMIT)
                        leave(connection, orderly)
                        ended.get(timeout=LIMIT)
        self.assertEqual(self.log, [])

    def test_a_client_that_only_closes_its_sending_side_gets_all_of_it(self):
        for way, app, start in ways(timeouts=NO_DEADLINES):

            @app.get("/")
            async def handler(request):
                for _ in range(3):
                    await asyncio.sleep(0.1)
                    yield "news"

            with start() as running, self.subTest(way=way):
                answer = exchange(running, b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
                self.assertEqual(answer.count(b"news"), 3)
                self.assertTrue(answer.endswith(b"0\r\n\r\n"), answer)
        self.assertEqual(self.log, [])

    def test_an_iterator_and_a_prompt_response_end_with_their_client(self):
        ended = queue.SimpleQueue()

        class News:
            def __aiter__(self):
                return self

            async def __anext__(self):
                try:
                    await asyncio.Event().wait()
                finally:
                    ended.put(None)

        app = Server(timeouts=NO_DEADLINES)
        app.get("/")(lambda request: Response.stream(News(), content_type="text/event-stream"))
        with app.start("127.0.0.1:0") as running:
            with connect(running) as connection:
                connection.sendall(GET)
                receive(connection, b"text/event-stream")
            ended.get(timeout=LIMIT)

    def test_a_stream_that_is_cut_by_a_stop_is_closed(self):
        for way, app, start in ways():
            ended = threading.Event()

            @app.get("/")
            async def handler(request, ended=ended):
                try:
                    yield "first"
                    await asyncio.Event().wait()
                finally:
                    ended.set()

            with self.subTest(way=way), start() as running, connect(running) as connection:
                connection.sendall(GET)
                receive(connection, b"first")
                running.stop(0.1)
                self.assertTrue(ended.wait(LIMIT))


class TestPlainStreams(Quiet, unittest.TestCase):
    def test_those_that_wait_in_code_of_their_own_hold_up_no_other_handler(self):
        for model in ("event", "threads"):
            app = Server(model=model, threads=2, timeouts=NO_DEADLINES)
            go, ended = threading.Event(), queue.SimpleQueue()
            self.addCleanup(go.set)

            @app.get("/{when}")
            def stream(request, go=go, ended=ended):
                try:
                    if request.params["when"] == "late":
                        go.wait(LIMIT)
                    yield "first"
                    go.wait(LIMIT)
                    yield "second"
                finally:
                    ended.put(None)

            @app.post("/", blocking=True)
            def other(request):
                time.sleep(0.01)
                return "other"

            with app.start("127.0.0.1:0") as running, self.subTest(model=model):
                threads = threading.active_count()
                for when in (b"late", b"early"):
                    connection = connect(running)
                    connection.sendall(b"GET /%s HTTP/1.1\r\nHost: a\r\n\r\n" % when)
                    if when == b"early":
                        receive(connection, b"first")
                    connection.close()
                for _ in range(3):
                    self.assertEqual(fetch(running, "/", "POST").text, "other")
                go.set()
                for _ in range(2):
                    ended.get(timeout=LIMIT)
                self.assertTrue(until(lambda threads=threads: threading.active_count() <= threads + 2))
                self.assertEqual(fetch(running, "/early").text, "firstsecond")
        self.assertEqual(self.log, [])

    def test_one_is_woken_by_its_own_news(self):
        app = Server(threads=2, timeouts=NO_DEADLINES)
        ended = queue.SimpleQueue()

        @app.get("/")
        def handler(request):
            news = queue.SimpleQueue()
            news.put("first")
            request.on_gone(lambda: news.put(None))
            while (item := news.get()) is not None:
                yield item
            ended.put(request.is_gone)

        with app.start("127.0.0.1:0") as running:
            for orderly in (True, False):
                connection = connect(running)
                connection.sendall(GET)
                receive(connection, b"first")
                leave(connection, orderly)
                self.assertTrue(ended.get(timeout=LIMIT))
        self.assertEqual(self.log, [])

    def test_one_may_ask_whether_its_client_is_there(self):
        app = Server(timeouts=NO_DEADLINES)
        answers = queue.SimpleQueue()

        @app.get("/")
        def handler(request):
            yield "first"
            answers.put(request.is_gone)
            while not request.is_gone:
                time.sleep(0.01)
            answers.put(True)

        with app.start("127.0.0.1:0") as running:
            with connect(running) as connection:
                connection.sendall(GET)
                receive(connection, b"first")
                self.assertFalse(answers.get(timeout=LIMIT))
            self.assertTrue(answers.get(timeout=LIMIT))


class TestHandlers(Quiet, unittest.TestCase):
    def test_an_asynchronous_one_is_cancelled_at_its_deadline_and_not_before(self):
        for way, app, start in ways():
            begun, cancelled, ends = queue.SimpleQueue(), queue.SimpleQueue(), queue.SimpleQueue()

            @app.get("/", timeout=0.1)
            async def handler(request, begun=begun, cancelled=cancelled):
                begun.put(None)
                try:
                    await asyncio.sleep(2 * LIMIT)
                except asyncio.CancelledError:
                    cancelled.put("cancelled")
                    raise

            @app.get("/leaves")
            async def leaves(request, ends=ends):
                await request.gone()
                ends.put(request.is_gone)
                await asyncio.sleep(0.05)
                ends.put("not cancelled")

            with self.subTest(way=way), start() as running:
                # The deadline may pass before the handler begins.
                while begun.empty():
                    self.assertEqual(fetch(running, "/").status, 503)
                self.assertEqual(cancelled.get(timeout=LIMIT), "cancelled")
                with connect(running) as connection:
                    connection.sendall(b"GET /leaves HTTP/1.1\r\nHost: a\r\n\r\n")
                    connection.shutdown(socket.SHUT_WR)
                    self.assertIs(ends.get(timeout=LIMIT), True)
                    self.assertEqual(ends.get(timeout=LIMIT), "not cancelled")
                    self.assertIn(b" 204 ", read_all(connection))
        self.assertEqual([line for line in self.log if "Traceback" in line], [])

    def test_functions_for_a_client_that_left(self):
        app = Server()
        told = queue.SimpleQueue()
        kept = []

        @app.get("/", blocking=True)
        def handler(request):
            kept.append(request)
            request.on_gone(lambda: told.put("first"))
            request.on_gone(lambda: 1 / 0)
            request.on_gone(lambda: told.put("last"))
            self.assertEqual([told.get(timeout=LIMIT) for _ in range(2)], ["first", "last"])
            request.on_gone(lambda: told.put("at once"))
            told.put(told.get_nowait())
            return "late"

        with app.start("127.0.0.1:0") as running:
            answer = exchange(running, GET)
            self.assertTrue(answer.endswith(b"late"))
            self.assertEqual(told.get_nowait(), "at once")
            with self.assertRaises(TypeError):
                kept[0].on_gone(7)
            kept[0].on_gone(lambda: told.put("answered"))
        self.assertIn("ZeroDivisionError", self.log[0])
        self.assertTrue(told.empty() or told.get() == "answered")


class TestRoom(Quiet, unittest.TestCase):
    def test_readers_that_stop_cost_nothing(self):
        def spent():
            usage = resource.getrusage(resource.RUSAGE_SELF)
            return usage.ru_utime + usage.ru_stime

        def is_quiet():
            before = spent()
            time.sleep(0.2)
            return spent() - before < 0.01

        for way, app, start in ways(timeouts=NO_DEADLINES):
            if "sequential" in way:
                continue

            @app.get("/")
            async def handler(request):
                while True:
                    yield b"x" * 1_000_000

            with self.subTest(way=way), start() as running, contextlib.ExitStack() as clients:
                for _ in range(20):
                    client = clients.enter_context(connect(running))
                    client.sendall(GET)
                    receive(client, b"x")
                # Once the kernel's buffers are full, the stream waits.
                self.assertTrue(until(is_quiet))

    def test_a_reader_that_goes_on_gets_the_rest(self):
        for way, app, start in ways():
            chunk = bytes(range(256)) * 1024

            @app.get("/")
            async def handler(request, chunk=chunk):
                for _ in range(64):
                    yield chunk

            with self.subTest(way=way), start() as running, connect(running) as connection:
                connection.sendall(b"GET / HTTP/1.0\r\n\r\n")
                received = b""
                # With HTTP/1.0, the body ends when the connection ends.
                while piece := connection.recv(1 << 20):
                    received += piece
                    time.sleep(0.005)
                self.assertEqual(received.partition(b"\r\n\r\n")[2], chunk * 64)

    def test_chunks_that_are_all_at_hand_keep_no_other_handler_from_the_loop(self):
        app = Server(timeouts=NO_DEADLINES)

        @app.get("/")
        async def endless(request):
            while True:
                yield "x"

        @app.get("/other")
        async def other(request):
            return "other"

        with app.start("127.0.0.1:0") as running, connect(running) as connection:
            connection.sendall(GET)
            read = threading.Thread(target=read_all, args=(connection,))
            read.start()
            self.assertEqual(fetch(running, "/other").text, "other")
            running.stop(0)
            read.join(LIMIT)
