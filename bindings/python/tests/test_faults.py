"""The system refuses threads, descriptors or memory: only the request that needs them fails."""

import asyncio
import contextlib
import errno
import functools
import gc
import logging
import os
import socket
import struct
import threading
import time
import types
import unittest
from unittest import mock

from support import LIMIT, Quiet, connect, fetch, own_host, read_all, until

import transom
from transom import Response, Server, _batch, _puller
from transom._native import quick

REFUSED = "can't start new thread"


def no_threads(prefix, after=0):
    """Makes `Thread.start` fail for threads with a name prefix, after a number of starts."""
    real = threading.Thread.start
    left = [after]

    def start(thread):
        if thread.name.startswith(prefix):
            if not left[0]:
                raise RuntimeError(REFUSED)
            left[0] -= 1
        real(thread)

    return mock.patch.object(threading.Thread, "start", start)


def no_event_loop():
    return mock.patch.object(
        asyncio, "new_event_loop", side_effect=OSError(errno.EMFILE, "Too many open files")
    )


def no_event_descriptor():
    return mock.patch.object(quick, "server_event_fd", return_value=-1)


def plain():
    app = Server()
    app.get("/")(lambda request: "hello")
    return app


def asynchronous():
    app = Server()

    @app.get("/")
    async def handler(request):
        return "hello"

    return app


@unittest.skipUnless(os.path.isdir("/proc/self/fd"), "counts by /proc")
class TestStart(Quiet, unittest.TestCase):
    """A start that fails raises an error, and leaves no thread or descriptor behind."""

    def setUp(self):
        super().setUp()
        with socket.create_server((own_host(), 0)) as free:
            self.address = free.getsockname()
        # The garbage collector must not free what was left behind.
        gc.collect()
        gc.disable()
        self.addCleanup(gc.enable)

    def place(self):
        return "{}:{}".format(*self.address)

    def check(self, app, fault, kind, start=None):
        """Checks that `start` fails under the fault and leaves nothing behind, and works without it."""
        before = len(os.listdir("/proc/self/fd")), set(threading.enumerate())
        start = start or (lambda: app.start(self.place()))
        with fault, self.assertRaises(kind) as caught:
            start()
        with self.assertRaises(ConnectionRefusedError):
            socket.create_connection(self.address, LIMIT).close()
        self.assertIsNone(app.running)
        # A thread that has been told to end may need a moment. The library frees its descriptors then.
        self.assertTrue(until(lambda: set(threading.enumerate()) <= before[1]), threading.enumerate())
        # Not equal: threads of earlier tests may end meanwhile.
        self.assertTrue(until(lambda: len(os.listdir("/proc/self/fd")) <= before[0]))
        with app.start(self.place()) as running:
            self.assertEqual(fetch(running, "/", host=self.address[0]).text, "hello")
        self.assertEqual(self.log, [])
        return caught.exception

    def check_refused_thread(self, app, fault):
        error = self.check(app, fault, transom.SystemCallError)
        self.assertIn(REFUSED, str(error))
        self.assertIsInstance(error.__cause__, RuntimeError)

    def test_without_a_thread_that_pulls(self):
        self.check_refused_thread(plain(), no_threads("transom-puller"))

    def test_without_a_thread_that_watches(self):
        self.check_refused_thread(plain(), no_threads("transom-puller", after=1))

    def test_without_a_thread_for_the_pool(self):
        self.check_refused_thread(plain(), no_threads("transom-pool"))

    def test_without_a_loop_beside_plain_handlers(self):
        app = asynchronous()
        app.get("/plain")(lambda request: "")
        self.check_refused_thread(app, no_threads("transom-loop"))
        self.check(app, no_event_loop(), OSError)

    def test_without_a_thread_for_the_loop(self):
        loops = []
        real = asyncio.new_event_loop

        def new_event_loop():
            loops.append(real())
            return loops[-1]

        with mock.patch.object(asyncio, "new_event_loop", new_event_loop):
            self.check_refused_thread(asynchronous(), no_threads("transom-loop"))
        self.assertEqual([loop.is_closed() for loop in loops], [True, True])

    def test_without_a_loop(self):
        error = self.check(asynchronous(), no_event_loop(), OSError)
        self.assertEqual(error.errno, errno.EMFILE)

    def test_without_an_event_descriptor(self):
        self.check(asynchronous(), no_event_descriptor(), transom.SystemCallError)

    def test_a_loop_that_takes_no_descriptor(self):
        fault = mock.patch.object(
            asyncio.SelectorEventLoop, "add_reader", side_effect=OSError(errno.ENOSPC, "full")
        )
        self.assertEqual(self.check(asynchronous(), fault, OSError).errno, errno.ENOSPC)

    def test_serve_without_an_event_descriptor(self):
        for make in (plain, asynchronous):
            app = make()
            loop = asyncio.new_event_loop()
            self.addCleanup(loop.close)

            def serve(app=app, loop=loop):
                loop.run_until_complete(asyncio.wait_for(app.serve(self.place()), LIMIT))

            # The loop has opened its own descriptors by now.
            loop.run_until_complete(asyncio.sleep(0))
            self.check(app, no_event_descriptor(), transom.SystemCallError, serve)
            serving = app.serve(self.place(), ready=lambda running: running._hurry())
            self.assertEqual(loop.run_until_complete(serving).pending, 0)

    def test_whatever_is_raised_meanwhile(self):
        fault = mock.patch.object(_puller.Pullers, "start", side_effect=KeyboardInterrupt)
        self.check(plain(), fault, KeyboardInterrupt)

    def test_an_address_in_use(self):
        app = plain()
        with socket.create_server((self.address[0], 0)) as taken:
            place = "{}:{}".format(*taken.getsockname())
            start = functools.partial(app.start, place)
            self.check(app, contextlib.nullcontext(), transom.AddressInUseError, start)


class TestStop(Quiet, unittest.TestCase):
    """A stop in a handler, while no thread can be started to wait for its end."""

    def app(self, timeout=LIMIT, pause=0.0):
        app = Server()

        @app.get("/")
        def handler(request):
            pending = app.running.stop(timeout).pending
            time.sleep(pause)
            return str(pending)

        @app.get("/async")
        async def waits(request):
            return str(app.running.stop(timeout).pending)

        return app

    def test_run_returns(self):
        for path in ("/", "/async"):
            app = self.app(pause=0.3)
            reports = []
            runner = threading.Thread(
                target=lambda app=app, reports=reports: reports.append(
                    # The timeout in the handler is longer.
                    app.run("127.0.0.1:0", quiet=True, stop_timeout=0)
                )
            )
            runner.start()
            self.assertTrue(until(lambda app=app: app.running is not None))
            with no_threads("transom-stop"):
                self.assertEqual(fetch(app.running, path).text, "1")
                runner.join(LIMIT)
            self.assertEqual([(report.cut, report.pending) for report in reports], [(0, 0)])
            self.assertIsNone(app.running)
            self.assertIn(REFUSED, "\n".join(self.log))

    def test_it_can_be_started_again(self):
        for path, timeout in (("/", LIMIT), ("/async", LIMIT), ("/", 0)):
            app = self.app(timeout)
            running = app.start("127.0.0.1:0")
            with no_threads("transom-stop"), connect(running) as connection:
                connection.sendall(f"GET {path} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
                read_all(connection)
                self.assertTrue(until(lambda app=app: app.running is None))
            app.get("/more")(lambda request: "more")
            with app.start("127.0.0.1:0") as again:
                self.assertEqual(fetch(again, "/more").text, "more")
            self.assertEqual(running.stop().pending, 0)

    def test_a_stop_from_elsewhere_ends_it(self):
        app = self.app()
        with no_threads("transom-stop"), app.start("127.0.0.1:0") as running:
            self.assertEqual(fetch(running, "/").text, "1")
            self.assertEqual(running.stop().pending, 0)
        self.assertTrue(
            until(lambda: not [t.name for t in threading.enumerate() if t.name.startswith("transom")])
        )

    def test_a_third_cancellation_does_not_keep_the_server(self):
        app = Server()

        async def main():
            entered, cancelled, end = asyncio.Event(), asyncio.Event(), asyncio.Event()

            @app.get("/")
            async def handler(request):
                entered.set()
                try:
                    await asyncio.sleep(LIMIT)
                except asyncio.CancelledError:
                    cancelled.set()
                    await end.wait()
                    raise

            listening = asyncio.get_running_loop().create_future()
            task = asyncio.create_task(app.serve("127.0.0.1:0", ready=listening.set_result))
            running = await listening
            _, writer = await asyncio.open_connection("127.0.0.1", running.port)
            writer.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            await asyncio.wait_for(entered.wait(), LIMIT)
            task.cancel()
            # The server's task runs in this loop, so it has seen the cancellation after a wait.
            await asyncio.sleep(0.01)
            task.cancel()
            await asyncio.wait_for(cancelled.wait(), LIMIT)
            task.cancel()
            await asyncio.sleep(0.01)
            end.set()
            with self.assertRaises(asyncio.CancelledError):
                await task
            writer.close()

        asyncio.run(main())
        self.assertIsNone(app.running)


class TestNeighbours(Quiet, unittest.TestCase):
    """A request that fails does not affect the other requests of its batch."""

    def setUp(self):
        super().setUp()
        # No thread takes over while the requests of the batch are queued.
        patch = mock.patch.object(_puller, "STUCK", LIMIT)
        patch.start()
        self.addCleanup(patch.stop)

    def app(self):
        # With one worker, requests are queued in the order in which they are counted.
        app = Server(threads=2, workers=1)
        self.release = threading.Event()
        self.addCleanup(self.release.set)

        @app.get("/hold", blocking=False)
        def hold(request):
            self.release.wait(LIMIT)
            return "held"

        app.get("/quick/{n}", blocking=False)(lambda request: request.params["n"])
        app.get("/pool/{n}", blocking=True)(lambda request: request.params["n"])

        # Only the return value shows that these handlers need a loop.
        async def waits(request):
            return request.params["n"]

        app.get("/async/{n}", blocking=False)(lambda request: waits(request))

        @app.get("/chunks", blocking=True)
        def chunks(request):
            async def two():
                yield "a"
                yield "b"

            return two()

        return app

    def batch(self, running, paths):
        """Sends all requests while the leader is occupied, then releases it. Returns each status and body."""
        connections = []
        for count, path in enumerate(["/hold", *paths], 1):
            connections.append(connect(running))
            connections[-1].sendall(f"GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".encode())
            self.assertTrue(until(lambda count=count: running.stats().pending == count), path)
        self.release.set()
        answers = []
        for connection in connections:
            with connection:
                head, _, body = read_all(connection).partition(b"\r\n\r\n")
            answers.append((int(head.split()[1]), body.decode()))
        self.assertEqual(answers.pop(0), (200, "held"))
        return answers

    def check(self, running, paths, faulty):
        """Checks that the faulty requests get a 500 and a log line, and all others their responses."""
        expected = [path.rsplit("/")[-1] for path in paths]
        answers = self.batch(running, paths)
        self.assertTrue(until(lambda: len(self.log) >= len(faulty)), answers)
        for number in range(len(paths)):
            if number in faulty:
                self.assertEqual(answers[number][0], 500, (paths[number], answers))
                self.assertIn(paths[number], "\n".join(self.log))
            else:
                self.assertEqual(answers[number], (200, expected[number]), answers)
        self.assertEqual(len(self.log), len(faulty), self.log)

    def test_no_loop_for_coroutines(self):
        kinds = ("quick", "quick", "async", "pool", "async", "quick", "async", "quick")
        paths = [f"/{kind}/{number}" for number, kind in enumerate(kinds)]
        for fault in (no_event_loop(), no_threads("transom-loop")):
            self.log.clear()
            with self.app().start("127.0.0.1:0") as running:
                with fault:
                    self.check(running, paths, {2, 4, 6})
                self.assertEqual(fetch(running, "/async/1").text, "1")

    def test_the_last_of_a_batch(self):
        with self.app().start("127.0.0.1:0") as running, no_event_loop():
            self.check(running, ["/quick/1", "/async/2"], {1})

    def test_no_loop_for_chunks(self):
        with self.app().start("127.0.0.1:0") as running, no_event_loop():
            self.check(running, ["/quick/1", "/chunks", "/quick/3"], {1})

    def test_an_answer_too_large_for_a_record(self):
        packer = _puller.RESPONSE

        def pack(*fields):
            if fields[4] == len("large"):
                raise struct.error("argument out of range")
            return packer.pack(*fields)

        with (
            mock.patch.object(_puller, "RESPONSE", types.SimpleNamespace(pack=pack)),
            self.app().start("127.0.0.1:0") as running,
        ):
            self.check(running, ["/quick/1", "/quick/large", "/quick/3", "/pool/4"], {1})
        self.assertIn("too large", self.log[0])

    def test_no_thread_for_the_pool(self):
        app = Server()

        @app.get("/")
        async def iterator(request):
            return iter("body")

        with app.start("127.0.0.1:0") as running:
            with no_threads("transom-pool"):
                self.assertEqual(fetch(running, "/").status, 503)
            self.assertEqual(fetch(running, "/").text, "body")

    def test_no_further_thread_for_the_pool(self):
        paths = ["/quick/1", "/pool/2", "/pool/3", "/pool/4", "/quick/5"]
        with self.app().start("127.0.0.1:0") as running, no_threads("transom-pool"):
            self.check(running, paths, set())

    def test_a_pool_that_fails(self):
        app = self.app()
        with app.start("127.0.0.1:0") as running:
            real = running._pool.submit
            failing = mock.Mock(side_effect=[MemoryError("none left"), mock.DEFAULT], wraps=real)
            with mock.patch.object(running._pool, "submit", failing):
                self.check(running, ["/quick/1", "/pool/2", "/quick/3", "/pool/4"], {1})

    def test_no_thread_to_take_over(self):
        app = self.app()
        with (
            mock.patch.object(_puller, "STUCK", 0.03),
            no_threads("transom-puller", after=2),
            app.start("127.0.0.1:0") as running,
        ):
            # The watcher takes over, and answers while the first handler still waits.
            with connect(running) as held:
                held.sendall(b"GET /hold HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
                for number in ("1", "2"):
                    self.assertEqual(fetch(running, f"/quick/{number}").text, number)
                self.release.set()
                self.assertTrue(read_all(held).endswith(b"held"))
            self.assertEqual(fetch(running, "/quick/3").text, "3")

    def test_a_log_that_raises(self):
        handler = logging.Handler()
        handler.emit = mock.Mock(side_effect=ValueError("no log"))
        app = self.app()

        @app.get("/fails", blocking=False)
        def fails(request):
            raise KeyError

        logger = logging.getLogger("transom")
        logger.addHandler(handler)
        self.addCleanup(logger.removeHandler, handler)
        with app.start("127.0.0.1:0") as running:
            answers = self.batch(running, ["/quick/1", "/fails", "/quick/3"])
            self.assertEqual([status for status, _ in answers], [200, 500, 200])
            self.assertEqual(fetch(running, "/quick/4").text, "4")


class TestOutbox(Quiet, unittest.TestCase):
    def test_answers_that_do_not_fit_memory_together(self):
        """They are sent one at a time; one that needs too much memory by itself is a 500."""
        sent = []

        def send(_pointer, records, length, results, _most, done):
            sent.append(bytes(records))
            return 0

        outbox = _batch.Outbox(types.SimpleNamespace(pointer=0))
        for token in range(1, 41):
            parts = Response(str(token))._parts
            outbox.pieces.extend(_batch.record(token, parts))
        whole = [b"".join(outbox.pieces[at : at + 4]) for at in range(0, 160, 4)]
        refusal = b"".join(_batch.encode(7, *_batch.SERVER_ERROR))

        def join(pieces):
            if len(pieces) > 4 or pieces[2] == b"7":
                raise MemoryError
            return b"".join(pieces)

        with (
            mock.patch.object(quick, "server_respond_batch", send),
            mock.patch.object(_batch, "_join", join),
        ):
            outbox.flush()
        self.assertEqual(sent, [*whole[:6], refusal, *whole[7:]])
        self.assertEqual(outbox.pieces, [])
        self.assertEqual(len(self.log), 1)
