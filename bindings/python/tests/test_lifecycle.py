"""Starting, stopping and starting again leaves no thread, descriptor or memory behind."""

import gc
import http.client
import os
import signal
import socket
import sys
import tempfile
import threading
import time
import unittest
import warnings

from support import LIMIT, SOON, Quiet, fetch, is_quick, is_refused, until

import transom
from transom import Server


def hello():
    app = Server()
    app.get("/")(lambda request: "hello")
    return app


def threads():
    return len(os.listdir("/proc/self/task"))


def descriptors():
    return len(os.listdir("/proc/self/fd"))


class TestLifecycle(Quiet, unittest.TestCase):
    def test_where_it_listens(self):
        with hello().start("127.0.0.1:0") as running:
            self.assertGreater(running.port, 0)
            self.assertEqual(running.addresses, [f"127.0.0.1:{running.port}"])
            self.assertEqual(running.url, f"http://127.0.0.1:{running.port}")
            self.assertEqual(repr(running), f"<Running {running.url}>")
        self.assertEqual(repr(running), f"<Running {running.url} (stopped)>")

    def test_unix_socket(self):
        with tempfile.TemporaryDirectory() as directory:
            path = os.path.join(directory, "socket")
            app = Server()
            app.get("/")(lambda request: repr(request.client))
            with app.start(f"unix:{path}") as running:
                self.assertEqual((running.url, running.port), (f"unix:{path}", 0))
                with socket.socket(socket.AF_UNIX) as connection:
                    connection.settimeout(LIMIT)
                    connection.connect(path)
                    connection.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
                    response = http.client.HTTPResponse(connection)
                    response.begin()
                    self.assertEqual(response.read(), b"None")

    def test_the_mode_of_a_unix_socket_is_a_setting(self):
        with tempfile.TemporaryDirectory() as directory:
            path = os.path.join(directory, "socket")
            for mode in (0o600, 0o666, 0o660):
                with Server(unix_mode=mode).start(f"unix:{path}"):
                    self.assertEqual(os.stat(path).st_mode & 0o7777, mode)
        for mode in (0o1000, -1, "0660", 1.0):
            with (
                self.subTest(mode=mode),
                self.assertRaisesRegex(transom.InvalidArgumentError, "unix_mode is"),
            ):
                Server(unix_mode=mode)

    @unittest.skipUnless(sys.platform == "linux", "abstract names are Linux's")
    def test_an_abstract_unix_socket(self):
        name = f"transom-python-{os.getpid()}"
        app = Server()
        app.get("/")(lambda request: "hello")
        with app.start(f"unix:@{name}") as running:
            self.assertEqual((running.url, running.port), (f"unix:@{name}", 0))
            with socket.socket(socket.AF_UNIX) as connection:
                connection.settimeout(LIMIT)
                connection.connect(f"\0{name}")
                connection.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
                response = http.client.HTTPResponse(connection)
                response.begin()
                self.assertEqual(response.read(), b"hello")

    def test_a_stop_takes_the_time_that_was_asked_for(self):
        release, begun = threading.Event(), threading.Semaphore(0)
        self.addCleanup(release.set)

        def block():
            begun.release()
            release.wait(2 * LIMIT)
            return "late"

        def stop(app, path):
            running = app.start("127.0.0.1:0")
            with socket.create_connection(("127.0.0.1", running.port), LIMIT) as connection:
                connection.sendall(f"GET {path} HTTP/1.1\r\nHost: h\r\n\r\n".encode())
                self.assertTrue(begun.acquire(timeout=LIMIT))
                start = time.monotonic()
                report = running.stop(0.2)
                self.assertGreater(time.monotonic() - start, 0.15)
            # The stop is bounded: on a busy machine, the library may not have cut the request off by its end.
            self.assertEqual(report.cut + report.pending, 1, report)

        for model in ("event", "threads", "sequential"):
            app = Server(model=model)
            app.get("/pool", blocking=True)(lambda request: block())
            app.get("/place", blocking=False)(lambda request: block())

            @app.get("/loop")
            async def loop(request):
                return block()

            for path in ("/pool", "/place", "/loop"):
                with self.subTest(model=model, path=path):
                    # The start and the request take a part of this time, too.
                    self.assertTrue(is_quick(lambda app=app, path=path: stop(app, path), 0.8))

    def test_it_can_be_started_again(self):
        app = hello()
        for _ in range(3):
            with app.start("127.0.0.1:0") as running:
                self.assertEqual(fetch(running, "/").text, "hello")
        app.get("/more")(lambda request: "more")
        with app.start("127.0.0.1:0") as running:
            self.assertEqual(fetch(running, "/more").text, "more")

    def test_stop_reports_and_may_be_repeated(self):
        running = hello().start("127.0.0.1:0")
        fetch(running, "/")
        report = running.stop()
        # The library may still count a response that the client has just read.
        self.assertLessEqual(report.finished, 1)
        self.assertEqual((report.cut, report.pending), (0, 0))
        self.assertEqual(running.stop(0), report)

    def test_a_stop_needs_a_timeout(self):
        with hello().start("127.0.0.1:0") as running:
            for timeout in (None, "1", True):
                with self.assertRaises(TypeError):
                    running.stop(timeout)
            with self.assertRaises(transom.InvalidArgumentError):
                running.stop(-1)
            self.assertEqual(fetch(running, "/").text, "hello")

    def test_stop_waits_for_requests_under_way(self):
        app = Server()
        entered = threading.Event()

        @app.get("/")
        def handler(request):
            entered.set()
            self.assertTrue(until(lambda: is_refused(running.port)))
            return "done"

        running = app.start("127.0.0.1:0")
        answers = []
        thread = threading.Thread(target=lambda: answers.append(fetch(running, "/").text))
        thread.start()
        self.assertTrue(entered.wait(LIMIT))
        report = running.stop(LIMIT)
        thread.join(LIMIT)
        self.assertEqual(answers, ["done"])
        self.assertEqual((report.finished, report.cut), (1, 0))

    def test_stop_is_bounded_whatever_handlers_do(self):
        release = threading.Event()
        self.addCleanup(release.set)
        for blocking in (True, False):
            app = Server()
            entered = threading.Event()

            @app.get("/", blocking=blocking)
            def handler(request, entered=entered):
                entered.set()
                release.wait(2 * LIMIT)
                return "late"

            running = app.start("127.0.0.1:0")
            with socket.create_connection(("127.0.0.1", running.port)) as connection:
                connection.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
                self.assertTrue(entered.wait(LIMIT))
                begun = time.monotonic()
                report = running.stop(0.2)
                self.assertLess(time.monotonic() - begun, SOON)
            self.assertEqual((report.cut, report.pending), (1, 0))
            # The app can start again, although a handler of the last run has not returned.
            app.start("127.0.0.1:0").stop()
        release.set()

    def test_stop_with_an_idle_client(self):
        running = hello().start("127.0.0.1:0")
        connection = http.client.HTTPConnection("127.0.0.1", running.port, timeout=LIMIT)
        connection.request("GET", "/")
        connection.getresponse().read()
        begun = time.monotonic()
        running.stop(LIMIT)
        self.assertLess(time.monotonic() - begun, SOON)
        connection.close()

    def check_stop_in_a_handler(self, app):
        running = app.start("127.0.0.1:0")
        self.assertEqual(fetch(running, "/").text, "1")
        self.assertTrue(until(lambda: app.running is None))
        self.assertEqual(running.stop().pending, 0)

    def test_stop_in_a_handler(self):
        app = Server()

        @app.get("/")
        def handler(request):
            return str(app.running.stop(LIMIT).pending)

        self.check_stop_in_a_handler(app)

    def test_stop_in_an_asynchronous_handler(self):
        app = Server()

        @app.get("/")
        async def handler(request):
            return str(app.running.stop(LIMIT).pending)

        self.check_stop_in_a_handler(app)

    def test_stop_from_many_threads(self):
        running = hello().start("127.0.0.1:0")
        reports = []
        stoppers = [threading.Thread(target=lambda: reports.append(running.stop())) for _ in range(8)]
        for thread in stoppers:
            thread.start()
        for thread in stoppers:
            thread.join(LIMIT)
        self.assertEqual(len(set(reports)), 1)
        self.assertEqual(len(reports), 8)

    def test_several_servers_at_once(self):
        with hello().start("127.0.0.1:0") as one, hello().start("127.0.0.1:0") as two:
            self.assertNotEqual(one.port, two.port)
            self.assertEqual(fetch(one, "/").text + fetch(two, "/").text, "hellohello")

    @unittest.skipUnless(os.path.isdir("/proc/self/task"), "counts by /proc")
    def test_a_hundred_starts_leave_nothing_behind(self):
        app = Server()
        app.get("/")(lambda request: "hello")
        app.get("/stream")(lambda request: iter("ab"))

        @app.get("/async")
        async def handler(request):
            return "async"

        def once():
            with app.start("127.0.0.1:0") as running:
                for path in ("/", "/stream", "/async"):
                    self.assertEqual(fetch(running, path).status, 200)

        once()
        self.assertTrue(until(lambda: threading.active_count() == 1), threading.enumerate())
        before = threads(), descriptors()
        for _ in range(100):
            once()
        # Not equal: threads of earlier tests may end meanwhile.
        # The next collection frees the objects of a thread that ended late.
        back = until(lambda: gc.collect() >= 0 and threads() <= before[0] and descriptors() <= before[1])
        self.assertTrue(back, (before, threads(), descriptors()))

    @unittest.skipUnless(os.path.isdir("/proc/self/task"), "counts by /proc")
    def test_a_server_that_nobody_keeps_is_freed(self):
        before = threads(), descriptors()
        for _ in range(20):
            Server()
        self.assertTrue(until(lambda: gc.collect() >= 0 and threads() <= before[0]))
        self.assertTrue(until(lambda: gc.collect() >= 0 and descriptors() <= before[1]))

    @unittest.skipUnless(hasattr(os, "fork"), "forks")
    def test_fork(self):
        app = hello()
        other = hello()
        with app.start("127.0.0.1:0") as running:
            self.assertEqual(fetch(running, "/").text, "hello")
            read, write = os.pipe()
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # this test forks with threads on purpose
                child = os.fork()
            if child == 0:
                # Ends a child that hangs.
                signal.alarm(int(LIMIT))
                seen = []
                for use in (
                    running.stop,
                    lambda: app.start("127.0.0.1:0"),
                    lambda: app.get("/x")(lambda request: ""),
                    lambda: other.start("127.0.0.1:0"),
                ):
                    try:
                        use()
                        seen.append("no error")
                    except transom.ForkedError as error:
                        seen.append(f"{isinstance(error, RuntimeError)} {error.code}")
                    except BaseException as error:
                        seen.append(repr(error))
                os.write(write, "\n".join(seen).encode())
                os._exit(0)
            os.close(write)
            seen = b""
            while chunk := os.read(read, 4096):
                seen += chunk
            os.close(read)
            os.waitpid(child, 0)
            self.assertEqual(seen.decode().split("\n"), ["True -19"] * 4)
            self.assertEqual(fetch(running, "/").text, "hello")
