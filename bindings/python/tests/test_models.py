"""The three connection models run the same handlers."""

import asyncio
import http.client
import re
import threading
import time
import unittest
from contextlib import closing
from pathlib import Path

from support import LIMIT, SOON, Quiet, at_once, connect, fetch, is_refused, read_all, until

import transom
from transom import Server

MODELS = ("sequential", "threads", "event")
#: In the model `sequential`, a client that pauses must not lose its connection to one that waits.
PATIENT = {"drain": LIMIT}
HEADER = Path(__file__).resolve().parents[3] / "include" / "transom.h"


class Meter:
    """A counter of the handlers that run at the same time."""

    def __init__(self):
        self._lock = threading.Lock()
        self.inside = self.most = self.total = 0

    def __enter__(self):
        with self._lock:
            self.inside += 1
            self.total += 1
            self.most = max(self.most, self.inside)

    def __exit__(self, *_):
        with self._lock:
            self.inside -= 1


class TestModels(Quiet, unittest.TestCase):
    def each(self, **settings):
        """Yields a server of each model, without handlers."""
        for model in MODELS:
            with self.subTest(model=model):
                yield model, Server(model=model, **settings)

    def test_every_kind_of_handler(self):
        for _, app in self.each():
            app.get("/plain")(lambda request: "plain")
            app.get("/pool", blocking=True)(lambda request: "pool")
            app.get("/here", blocking=False)(lambda request: "here")
            app.get("/stream")(lambda request: iter(["x" * 100_000] * 10))
            app.post("/echo")(lambda request: request.body)

            @app.get("/async")
            async def waits(request):
                await asyncio.sleep(0.01)
                return "async"

            with app.start("127.0.0.1:0") as running:
                for name in ("plain", "pool", "here", "async"):
                    self.assertEqual(fetch(running, f"/{name}").text, name)
                self.assertEqual(len(fetch(running, "/stream").body), 1_000_000)
                self.assertEqual(fetch(running, "/echo", "POST", body=b"b" * 100_000).body, b"b" * 100_000)

    def test_by_default_a_silent_connection_holds_up_nobody(self):
        app = Server(timeouts={"drain": 2 * LIMIT})
        app.get("/")(lambda request: "hello")
        with app.start("127.0.0.1:0") as running, connect(running):
            self.assertEqual(fetch(running, "/").text, "hello")

    def test_it_runs_in_a_loop_of_the_hosts(self):
        for _, app in self.each(timeouts=PATIENT):
            meter = Meter()

            @app.get("/")
            async def handler(request, meter=meter):
                with meter:
                    await asyncio.sleep(0.001)
                return "hello"

            async def main(app=app):
                ready = asyncio.Event()
                serving = asyncio.ensure_future(app.serve("127.0.0.1:0", ready=lambda _: ready.set()))
                await ready.wait()
                texts = await asyncio.to_thread(at_once, lambda _: fetch(app.running, "/").text, 4)
                app.running.stop(1.0)
                return texts, (await serving).cut

            self.assertEqual(asyncio.run(main()), (["hello"] * 4, 0))
            self.assertEqual(meter.total, 4)

    def overlap(self, model):
        """Returns the most handlers that ran at once, of each kind and in each place, with many clients."""
        app = Server(model=model, threads=8, timeouts=PATIENT)
        meter = Meter()
        places = set()
        pause = 0.0

        def handler(request):
            with meter:
                time.sleep(pause) if pause else None
            return "done"

        @app.get("/adaptive")
        def adaptive(request):
            places.add(threading.current_thread().name.rsplit("-", 1)[0])
            return handler(request)

        @app.get("/async")
        async def waits(request):
            with meter:
                await asyncio.sleep(0.002)
            return "done"

        @app.get("/stream")
        def stream(request):
            with meter:
                yield "do"
                time.sleep(0.002)
                yield "ne"

        app.get("/pool", blocking=True)(handler)
        app.get("/here", blocking=False)(handler)
        kinds = ("adaptive", "async", "pool", "here", "stream")

        def client(number):
            connection = http.client.HTTPConnection("127.0.0.1", running.port, timeout=LIMIT)
            texts = []
            for turn in range(10):
                connection.request("GET", f"/{kinds[(number + turn) % len(kinds)]}")
                texts.append(connection.getresponse().read())
            connection.close()
            return texts

        with app.start("127.0.0.1:0") as running:
            # Short at first, so that the handler runs in place, then long, so that it is sent back.
            for clients, seconds in ((8, 0.002), (20, 0.0), (4, 0.06)):
                pause = seconds
                self.assertEqual(at_once(client, clients), [[b"done"] * 10] * clients)
            asked, pause = 320, 0.0
            # The handler runs in place after enough short runs in a row.
            while "transom-puller" not in places and asked < 10_000:
                self.assertEqual(fetch(running, "/adaptive").text, "done")
                asked += 1
        self.assertEqual(meter.total, asked)
        self.assertEqual(places, {"transom-pool", "transom-puller"})
        return meter.most

    def test_in_sequential_no_two_handlers_run_at_the_same_time(self):
        self.assertEqual(self.overlap("sequential"), 1)

    def test_in_the_others_they_do(self):
        self.assertGreater(self.overlap("threads"), 1)
        self.assertGreater(self.overlap("event"), 1)

    def test_in_sequential_only_one_that_outlives_its_request_meets_the_next(self):
        app = Server(model="sequential")
        meter = Meter()
        release = threading.Event()
        self.addCleanup(release.set)

        @app.get("/late", timeout=0.5)
        def late(request):
            with meter:
                release.wait(2 * LIMIT)
            return "late"

        @app.get("/")
        def handler(request):
            with meter:
                return "done"

        with app.start("127.0.0.1:0") as running:
            # The deadline may pass before the handler begins.
            while not meter.inside:
                begun = time.monotonic()
                # Its client has disconnected, and the next one still waits.
                with connect(running) as connection:
                    connection.sendall(b"GET /late HTTP/1.1\r\nHost: a\r\n\r\n")
                    until(lambda: meter.inside == 1, 1.0)
            self.assertEqual(fetch(running, "/").text, "done")
            self.assertGreater(time.monotonic() - begun, 0.49)
            self.assertGreaterEqual(meter.most, 2)
            release.set()

    def test_a_client_that_waits_gets_its_turn(self):
        for model, limits in (("sequential", {}), ("threads", {"connection_threads": 1})):
            app = Server(model=model, limits=limits, timeouts={"drain": 0.2})
            app.get("/")(lambda request: "hello")
            with (
                self.subTest(model=model),
                app.start("127.0.0.1:0") as running,
                closing(http.client.HTTPConnection("127.0.0.1", running.port, timeout=LIMIT)) as first,
            ):
                for _ in range(2):
                    first.request("GET", "/")
                    self.assertEqual(first.getresponse().read(), b"hello")
                # The connection is kept alive only until another client comes.
                self.assertEqual(fetch(running, "/").text, "hello")
                self.assertEqual(first.sock.recv(1), b"")

    def set_when_refused(self, event, port):
        """Sets an event once the server on a port has begun to stop."""
        until(lambda: is_refused(port))
        event.set()

    def test_stop_finishes_what_is_under_way_and_cuts_what_is_late(self):
        for _, app in self.each():
            entered, release = threading.Event(), threading.Event()
            self.addCleanup(release.set)

            @app.get("/")
            def handler(request, entered=entered, release=release):
                entered.set()
                release.wait(2 * LIMIT)
                return "done"

            for timeout, answer, report in ((LIMIT, b"done", (1, 0)), (0.2, b"", (0, 1))):
                entered.clear()
                release.clear()
                running = app.start("127.0.0.1:0")
                with connect(running) as connection:
                    connection.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
                    self.assertTrue(entered.wait(LIMIT))
                    if answer:
                        threading.Thread(target=self.set_when_refused, args=(release, running.port)).start()
                    begun = time.monotonic()
                    ended = running.stop(timeout)
                    self.assertLess(time.monotonic() - begun, SOON)
                    self.assertEqual((ended.finished, ended.cut, ended.pending), (*report, 0))
                    self.assertTrue(read_all(connection).endswith(answer))
                release.set()

    def test_names(self):
        for name in ("Event", "", "event\0", "thread"):
            with self.assertRaises(transom.InvalidArgumentError) as caught:
                Server(model=name)
            self.assertIn("model: it is sequential, threads or event, got '", str(caught.exception))
            self.assertIn(name.rstrip("\0"), str(caught.exception))
        for value in (None, 1):
            with self.assertRaises(transom.InvalidArgumentError) as caught:
                Server(model=value)
            self.assertEqual(str(caught.exception).partition(", got ")[0], "model is a str")

    @unittest.skipUnless(HEADER.is_file(), "the header is in the source tree")
    def test_the_docstring_names_every_limit(self):
        text = HEADER.read_text()
        table = text[text.index("Sets one limit") : text.index("transom_server_set_limit(")]
        names = re.findall(r'^ \*     "(\w+)"', table, flags=re.MULTILINE)
        # This limit is about the library's own threads for handlers, which the package does not use.
        names.remove("pool_threads")
        listed = re.search(r"- limits:(.*?)- timeouts:", Server.__doc__, flags=re.DOTALL)[1]
        self.assertEqual(re.findall(r"`(\w+)`", listed), names)
        Server(limits=dict.fromkeys(names, 65_536))
