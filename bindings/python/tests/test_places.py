"""The threads on which handlers run: in place, on the thread pool, one at a time."""

import asyncio
import re
import socket
import threading
import time
import unittest

from support import LIMIT, SOON, Quiet, at_once, connect, exchange, fetch, until

from transom import HTTPError, Server


class TestPlaces(Quiet, unittest.TestCase):
    """In these tests, the name of its thread says where a handler runs."""

    def test_blocking_handlers_do_not_wait_for_each_other(self):
        app = Server(threads=50)
        all_there = threading.Barrier(50)

        @app.get("/", blocking=True)
        def handler(request):
            all_there.wait(LIMIT)
            return "done"

        with app.start("127.0.0.1:0") as running:
            answers = at_once(lambda _: fetch(running, "/").text, 50)
        self.assertEqual(answers, ["done"] * 50)

    def test_sync_async_and_blocking_together(self):
        app = Server(threads=20)
        app.get("/quick")(lambda request: "quick")
        all_there = threading.Barrier(20)
        tasks = []

        @app.get("/slow")
        def slow(request):
            all_there.wait(LIMIT)
            return "slow"

        @app.get("/async")
        async def waits(request):
            tasks.append(request)
            while len(tasks) < 20:
                await asyncio.sleep(0.01)
            return "async"

        with app.start("127.0.0.1:0") as running:
            names = ["quick", "slow", "async"] * 20
            answers = at_once(lambda number: fetch(running, f"/{names[number]}").text, 60)
        self.assertEqual(answers, names)

    def test_a_quick_handler_moves_in_place_and_a_slow_one_back(self):
        app = Server()
        pause = 0.0

        @app.get("/")
        def handler(request):
            time.sleep(pause) if pause else None
            return threading.current_thread().name

        def place():
            return fetch(running, "/").text.rsplit("-", 1)[0]

        with app.start("127.0.0.1:0") as running:
            self.assertEqual(place(), "transom-pool")
            self.assertTrue(until(lambda: place() == "transom-puller"))
            pause = 0.1
            place()
            self.assertEqual(place(), "transom-pool")
            pause = 0.0
            # This takes more short runs than the first time.
            self.assertEqual([place() for _ in range(16)], ["transom-pool"] * 16)
            self.assertTrue(until(lambda: place() == "transom-puller"))
            pause = 0.004
            self.assertTrue(until(lambda: place() == "transom-pool"))

    def test_fixed_places(self):
        app = Server()

        @app.get("/pool", blocking=True)
        def pool(request):
            return threading.current_thread().name

        @app.get("/here", blocking=False)
        def here(request):
            time.sleep(0.002)
            return threading.current_thread().name

        with app.start("127.0.0.1:0") as running:
            for _ in range(40):
                self.assertTrue(fetch(running, "/pool").text.startswith("transom-pool"))
                self.assertTrue(fetch(running, "/here").text.startswith("transom-puller"))

    def test_a_handler_that_blocks_in_place_is_left_behind(self):
        app = Server(threads=4)
        release, entered = threading.Event(), threading.Semaphore(0)
        self.addCleanup(release.set)

        @app.get("/stuck", blocking=False)
        def stuck(request):
            entered.release()
            release.wait(2 * LIMIT)
            return "free"

        @app.get("/quick", blocking=False)
        def quick(request):
            return "quick"

        with app.start("127.0.0.1:0") as running:
            late = []
            threads = [
                threading.Thread(target=lambda: late.append(fetch(running, "/stuck").text)) for _ in range(3)
            ]
            for thread in threads:
                thread.start()
                self.assertTrue(entered.acquire(timeout=LIMIT))
                begun = time.monotonic()
                self.assertEqual(fetch(running, "/quick").text, "quick")
                self.assertLess(time.monotonic() - begun, SOON)
            release.set()
            for thread in threads:
                thread.join(LIMIT)
            self.assertEqual(late, ["free"] * 3)
            self.assertEqual(fetch(running, "/quick").text, "quick")

    def test_the_rest_of_a_batch_is_not_lost_to_a_handler_that_blocks(self):
        app = Server(threads=4)
        release = threading.Event()
        self.addCleanup(release.set)

        @app.get("/stuck/{s}", blocking=False)
        def stuck(request):
            release.wait(float(request.params["s"]))
            return "free"

        @app.get("/quick", blocking=False)
        def quick(request):
            return "quick"

        paths = ["/stuck/0.02", *["/quick"] * 5, f"/stuck/{2 * LIMIT}", *["/quick"] * 5]
        with app.start("127.0.0.1:0") as running:
            for _ in range(5):
                release.clear()
                quick_ones = []

                def once(number, quick_ones=quick_ones):
                    # The first request occupies the leader while the others are queued.
                    time.sleep(0.005 if number else 0.0)
                    quick_ones.append(fetch(running, paths[number]).text)

                threads = [threading.Thread(target=once, args=(n,)) for n in range(len(paths))]
                begun = time.monotonic()
                for thread in threads:
                    thread.start()
                self.assertTrue(until(lambda: quick_ones.count("quick") == 10))  # noqa: B023
                self.assertLess(time.monotonic() - begun, SOON)
                release.set()
                for thread in threads:
                    thread.join(LIMIT)
                self.assertEqual(quick_ones.count("free"), 2)

    def test_a_handler_that_is_too_late(self):
        app = Server(timeouts={"handler": 0.2})
        done = threading.Event()

        @app.get("/")
        def handler(request):
            self.assertTrue(until(lambda: request.is_gone))
            done.set()
            return "late"

        with app.start("127.0.0.1:0") as running:
            self.assertEqual(fetch(running, "/").status, 503)
            self.assertTrue(done.wait(LIMIT))
            self.assertTrue(until(lambda: self.log))
        self.assertEqual(self.log, ["a handler did not answer in time (GET /, route /)"])

    def test_a_body_beyond_the_limit(self):
        app = Server(limits={"body": 10})
        app.post("/")(lambda request: request.body)
        with app.start("127.0.0.1:0") as running:
            self.assertEqual(fetch(running, "/", "POST", body=b"0123456789").body, b"0123456789")
            self.assertEqual(fetch(running, "/", "POST", body=b"0123456789x").status, 413)

    def test_a_body_larger_than_the_buffer_among_others(self):
        app = Server()
        app.post("/")(lambda request: str(len(request.body)))
        sizes = [3_000_000, 5, 300_000, 0, 262_144, 7] * 2
        with app.start("127.0.0.1:0") as running:
            answers = at_once(lambda n: fetch(running, "/", "POST", body=b"x" * sizes[n]).text, len(sizes))
        self.assertEqual(answers, [str(size) for size in sizes])

    def test_pipelined_requests_are_answered_in_order(self):
        app = Server()
        app.get("/{n}", blocking=False)(lambda request: request.params["n"])
        count = 200
        data = b"".join(b"GET /%d HTTP/1.1\r\nHost: a\r\n\r\n" % number for number in range(count))
        with app.start("127.0.0.1:0") as running:
            received = exchange(running, data)
        bodies = [part.split(b"\r\n\r\n")[1] for part in received.split(b"HTTP/1.1 200 OK\r\n")[1:]]
        self.assertEqual(bodies, [b"%d" % number for number in range(count)])

    def test_too_much_waiting_is_503(self):
        app = Server(threads=1, limits={"pool_queue": 2})
        release = threading.Event()
        self.addCleanup(release.set)

        @app.get("/", blocking=True)
        def handler(request):
            release.wait(LIMIT)
            return "done"

        with app.start("127.0.0.1:0") as running:
            statuses = []
            threads = [
                threading.Thread(target=lambda: statuses.append(fetch(running, "/").status)) for _ in range(8)
            ]
            for thread in threads:
                thread.start()
            # Up to three requests are accepted, and fewer if several are in the queue at once.
            self.assertTrue(until(lambda: len(statuses) >= 5))
            release.set()
            for thread in threads:
                thread.join(LIMIT)
            # One line a second at most, and the test may take longer than that.
            self.assertTrue(until(lambda: self.log))
        self.assertEqual(set(statuses), {200, 503})
        self.assertEqual(len(statuses), 8)
        # The library logs the requests that its own queue refuses.
        refused = re.compile("had no thread: (the pool is full|pool-full) [(]GET /, route /[)]")
        self.assertTrue(all(refused.search(line) for line in self.log), self.log)

    def test_many_quick_errors_stay_in_place(self):
        app = Server()

        @app.get("/")
        def handler(request):
            raise HTTPError(404, threading.current_thread().name)

        with app.start("127.0.0.1:0") as running:
            self.assertTrue(until(lambda: fetch(running, "/").text.startswith("transom-puller")))

    def test_a_client_that_leaves_is_noticed(self):
        app = Server()
        noticed = threading.Event()
        entered = threading.Event()

        @app.get("/", blocking=True)
        def handler(request):
            entered.set()
            if until(lambda: request.is_gone):
                noticed.set()
            return "to nobody"

        app.get("/alive")(lambda request: str(request.is_gone))
        with app.start("127.0.0.1:0") as running:
            with socket.create_connection(("127.0.0.1", running.port)) as connection:
                connection.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
                self.assertTrue(entered.wait(LIMIT))
            self.assertTrue(noticed.wait(LIMIT))
            self.assertEqual(fetch(running, "/alive").text, "False")
        self.assertEqual(self.log, [])


class TestOneThread(Quiet, unittest.TestCase):
    """With `threads=1`, one plain handler runs at a time."""

    def app(self, model="event"):
        app = Server(threads=1, model=model)
        self.running, self.most = 0, 0
        self.entered, self.free = threading.Event(), threading.Event()
        self.addCleanup(self.free.set)

        def alone(seconds):
            self.running += 1
            self.most = max(self.most, self.running)
            self.entered.set()
            self.free.wait(seconds)
            self.running -= 1
            return "done"

        for name, blocking in (("pool", True), ("in-place", False), ("adaptive", None)):
            app.get(f"/{name}/{{ms}}", blocking=blocking)(
                lambda request: alone(int(request.params["ms"]) / 1000)
            )

        @app.get("/steps/{ms}")
        def steps(request):
            try:
                for _ in range(5):
                    yield alone(int(request.params["ms"]) / 1000)
            finally:
                alone(0.001)

        @app.get("/async")
        async def asynchronous(request):
            await asyncio.sleep(0)
            return "async"

        return app

    def ask(self, running):
        # Quick enough to run in place.
        for _ in range(20):
            fetch(running, "/adaptive/0")
        paths = ("/pool/20", "/in-place/20", "/adaptive/20", "/steps/10", "/in-place/0", "/adaptive/0") * 4
        answers = at_once(lambda n: fetch(running, paths[n]).text.replace("done", ""), len(paths))
        self.assertEqual(answers, [""] * len(paths))
        self.assertTrue(until(lambda: self.running == 0))
        self.assertEqual((self.most, self.log), (1, []))

    def test_one_plain_handler_runs_at_a_time(self):
        for model in ("event", "threads"):
            with self.app(model).start("127.0.0.1:0") as running:
                self.ask(running)

    def test_nor_do_two_in_the_event_loop_of_the_host(self):
        app = self.app()

        async def host():
            listening = asyncio.Queue()
            serving = asyncio.ensure_future(app.serve("127.0.0.1:0", ready=listening.put_nowait))
            running = await listening.get()
            await asyncio.to_thread(self.ask, running)
            running.stop(0)
            await serving

        asyncio.run(host())

    def test_asynchronous_handlers_do_not_wait_for_it(self):
        with self.app().start("127.0.0.1:0") as running:
            for place in ("pool", "in-place"):
                self.entered.clear()
                self.free.clear()
                slow = threading.Thread(target=fetch, args=(running, f"/{place}/{int(LIMIT) * 1000}"))
                slow.start()
                self.assertTrue(self.entered.wait(LIMIT))
                begun = time.perf_counter()
                self.assertEqual(fetch(running, "/async").text, "async")
                self.assertLess(time.perf_counter() - begun, SOON)
                self.free.set()
                slow.join(LIMIT)

    def test_a_stream_whose_client_has_left_keeps_nobody_from_a_turn(self):
        app = self.app()
        release = threading.Event()
        self.addCleanup(release.set)

        @app.get("/news")
        def news(request):
            yield "begun"
            release.wait(2 * LIMIT)
            yield "end"

        with app.start("127.0.0.1:0") as running:
            with connect(running) as connection:
                connection.sendall(b"GET /news HTTP/1.1\r\nHost: a\r\n\r\n")
                self.assertIn(b"200 OK", connection.recv(4096))
            begun = time.perf_counter()
            for place in ("pool", "in-place", "adaptive"):
                self.assertEqual(fetch(running, f"/{place}/1").text, "done")
            self.assertLess(time.perf_counter() - begun, SOON)
            release.set()
            self.ask(running)
