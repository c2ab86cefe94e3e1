"""Serving in an event loop of the host."""

import asyncio
import socket
import threading
import time
import unittest

from support import LIMIT, SOON, Quiet, at_once, fetch, is_quick

from transom import Response, Server


class TestServe(Quiet, unittest.TestCase):
    def serve(self, app, use, **options):
        """Serves in a loop on this thread while `use(running)` runs on another. Returns its result."""

        async def main():
            listening = asyncio.get_running_loop().create_future()
            task = asyncio.create_task(app.serve("127.0.0.1:0", ready=listening.set_result, **options))
            running = await listening
            try:
                return await asyncio.to_thread(use, running)
            finally:
                task.cancel()
                with self.assertRaises(asyncio.CancelledError):
                    await task

        return asyncio.run(asyncio.wait_for(main(), 2 * LIMIT))

    def test_handlers_run_in_the_hosts_loop(self):
        app = Server()
        main = threading.current_thread().name

        @app.get("/async")
        async def asynchronous(request):
            await asyncio.sleep(0.001)
            return threading.current_thread().name

        @app.get("/at-once")
        async def at_once_(request):
            return threading.current_thread().name

        @app.get("/here", blocking=False)
        def here(request):
            return threading.current_thread().name

        @app.get("/pool")
        def pool(request):
            return threading.current_thread().name

        @app.get("/stream")
        async def stream(request):
            yield threading.current_thread().name

        def use(running):
            return [fetch(running, path).text for path in ("/async", "/at-once", "/here", "/stream") * 3], [
                fetch(running, "/pool").text for _ in range(40)
            ]

        in_loop, on_pool = self.serve(app, use)
        self.assertEqual(set(in_loop), {main})
        self.assertTrue(all(name.startswith("transom-pool") for name in on_pool))
        self.assertEqual(self.log, [])

    def test_a_stop_takes_the_time_that_was_asked_for_though_the_loop_is_blocked(self):
        app = Server()
        release, begun = threading.Event(), threading.Event()

        @app.get("/")
        async def block(request):
            begun.set()
            release.wait(2 * LIMIT)
            return "late"

        async def main():
            listening = asyncio.get_running_loop().create_future()
            task = asyncio.create_task(app.serve("127.0.0.1:0", ready=listening.set_result))
            await asyncio.to_thread(self.stop, await listening, begun, release)
            await task

        def once():
            release.clear()
            begun.clear()
            asyncio.run(main())

        # The start and the request take a part of this time, too.
        self.assertTrue(is_quick(once, 0.8))

    def stop(self, running, begun, release):
        with socket.create_connection(("127.0.0.1", running.port), LIMIT) as connection:
            connection.sendall(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
            begun.wait(LIMIT)
            start = time.monotonic()
            running.stop(0.2)
            took = time.monotonic() - start
            release.set()
        self.assertGreater(took, 0.15)

    def test_no_threads_for_asynchronous_handlers(self):
        app = Server()

        @app.get("/")
        async def handler(request):
            return str([name for name in (t.name for t in threading.enumerate()) if "transom" in name])

        self.assertEqual(self.serve(app, lambda running: fetch(running, "/").text), "[]")

    def test_many_at_once(self):
        app = Server()
        tasks = []

        @app.get("/{n}")
        async def handler(request):
            tasks.append(request)
            while len(tasks) < 50:
                await asyncio.sleep(0.01)
            return request.params["n"]

        answers = self.serve(app, lambda running: at_once(lambda n: fetch(running, f"/{n}").text, 50))
        self.assertEqual(answers, [str(n) for n in range(50)])

    def test_tasks_know_their_task(self):
        app = Server()

        @app.get("/")
        async def handler(request):
            await asyncio.wait_for(asyncio.sleep(0), LIMIT)
            return str(asyncio.current_task() is not None)

        self.assertEqual(self.serve(app, lambda running: fetch(running, "/").text), "True")
        with app.start("127.0.0.1:0") as running:
            self.assertEqual(fetch(running, "/").text, "True")

    def test_a_cancellation_finishes_what_is_under_way(self):
        app = Server()
        entered = asyncio.Event()

        @app.get("/")
        async def handler(request):
            entered.set()
            await request.stopping()
            return "done"

        async def main():
            listening = asyncio.get_running_loop().create_future()
            task = asyncio.create_task(app.serve("127.0.0.1:0", ready=listening.set_result))
            running = await listening
            answer = asyncio.create_task(asyncio.to_thread(fetch, running, "/"))
            await asyncio.wait_for(entered.wait(), LIMIT)
            task.cancel()
            with self.assertRaises(asyncio.CancelledError):
                await task
            return (await answer).text

        self.assertEqual(asyncio.run(main()), "done")
        self.assertIsNone(app.running)

    def test_a_second_cancellation_cuts(self):
        app = Server()
        cancelled = []
        entered = asyncio.Event()

        @app.get("/")
        async def handler(request):
            entered.set()
            try:
                await asyncio.sleep(2 * LIMIT)
            except asyncio.CancelledError:
                cancelled.append(True)
                raise

        async def main():
            listening = asyncio.get_running_loop().create_future()
            task = asyncio.create_task(app.serve("127.0.0.1:0", ready=listening.set_result))
            running = await listening
            _, writer = await asyncio.open_connection("127.0.0.1", running.port)
            writer.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            await asyncio.wait_for(entered.wait(), LIMIT)
            begun = time.monotonic()
            for _ in range(2):
                task.cancel()
                await asyncio.sleep(0.05)
            with self.assertRaises(asyncio.CancelledError):
                await task
            writer.close()
            return time.monotonic() - begun

        self.assertLess(asyncio.run(main()), SOON)
        self.assertEqual(cancelled, [True])
        self.assertEqual(self.log, [])

    def test_stop_ends_it_from_a_handler_and_from_a_thread(self):
        app = Server()

        @app.get("/")
        async def handler(request):
            app.running.stop()
            return "stopping"

        async def main(use):
            listening = asyncio.get_running_loop().create_future()
            task = asyncio.create_task(app.serve("127.0.0.1:0", ready=listening.set_result))
            used = await asyncio.to_thread(use, await listening)
            return used, await task

        used, report = asyncio.run(main(lambda running: fetch(running, "/").text))
        self.assertEqual((used, report.finished, report.pending), ("stopping", 1, 0))
        used, report = asyncio.run(main(lambda running: running.stop()))
        self.assertEqual(used, report)

    def test_exceptions_of_ready_are_raised(self):
        def ready(running):
            raise ValueError("not ready")

        with self.assertRaisesRegex(ValueError, "not ready"):
            asyncio.run(Server().serve("127.0.0.1:0", ready=ready))

    def test_a_handler_that_ends_the_program(self):
        app = Server()

        @app.get("/")
        async def handler(request):
            raise SystemExit(3)

        def ready(running):
            threading.Thread(target=fetch, args=(running, "/")).start()

        with self.assertRaises(SystemExit):
            asyncio.run(app.serve("127.0.0.1:0", ready=ready))

    def test_a_response_object_from_an_async_handler(self):
        app = Server()

        @app.get("/")
        async def handler(request):
            return Response.json({"a": 1}, status=201)

        answer = self.serve(app, lambda running: fetch(running, "/"))
        self.assertEqual((answer.status, answer.body), (201, b'{"a":1}'))
