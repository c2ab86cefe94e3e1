"""Work after a response: when it runs, where, and how a stop waits for it."""

import asyncio
import contextvars
import functools
import http.client
import socket
import tempfile
import threading
import time
import unittest

from support import LIMIT, fetch, until

from transom import HTTPError, Response, Router, Server

WHO = contextvars.ContextVar("WHO", default="nobody")
PATIENCE = LIMIT
#: What the work of `/response` notes.
ALL = [(1, ("two", 2)), (3, ("loop", True)), (4, ("loop", True)), (5,)]


def leave(address, path):
    """Sends a request and closes the connection at once."""
    with socket.create_connection(address) as client:
        client.sendall(f"GET {path} HTTP/1.1\r\nHost: h\r\n\r\n".encode())


class TestBackground(unittest.TestCase):
    def setUp(self):
        self.done = []
        self.gate = threading.Event()
        self.addCleanup(self.gate.set)

    def note(self, *arguments, **named):
        self.done.append((*arguments, *named.items()))

    async def note_async(self, *arguments, **named):
        await asyncio.sleep(0)
        self.note(*arguments, **named, loop=asyncio.get_running_loop() is not None)

    def wait_for(self, expected):
        self.assertTrue(until(lambda: len(self.done) >= len(expected), PATIENCE), self.done)
        self.assertEqual(self.done, expected)

    def app(self, **settings):
        app = Server(**settings)

        @app.get("/response")
        def response(request):
            response = Response("hello")
            response.background(self.note, 1, two=2)
            response.background(self.note_async, 3)
            response.background(functools.partial(self.note_async, 4))
            response.background(self.note, 5)
            return response

        @app.get("/async-response")
        async def async_response(request):
            return response(request)

        @app.get("/request")
        def plain(request):
            request.background(self.note, "request")
            return {"hello": 1}

        @app.get("/async-request")
        async def asynchronous(request):
            request.background(self.note_async, "request")
            return "hello"

        return app

    def test_functions_run_in_order_with_their_arguments(self):
        for settings in ({}, {"threads": 1}, {"model": "threads"}):
            for path in ("/response", "/async-response"):
                with self.subTest(settings=settings, path=path):
                    self.done.clear()
                    with self.app(**settings).start("127.0.0.1:0") as running:
                        self.assertEqual(fetch(running, path).text, "hello")
                        self.wait_for(ALL)

    def test_a_request_adds_them_for_any_response(self):
        with self.app().start("127.0.0.1:0") as running:
            self.assertEqual(fetch(running, "/request").text, '{"hello":1}')
            self.wait_for([("request",)])
            fetch(running, "/async-request")
            self.wait_for([("request",), ("request", ("loop", True))])

    def test_all_handlers_on_one_loop(self):
        app = Server()

        @app.get("/")
        async def handler(request):
            request.background(self.note_async, 1)
            request.background(self.note, 2)
            return "hello"

        async def main():
            served = asyncio.Event()
            serving = asyncio.ensure_future(app.serve("127.0.0.1:0", ready=lambda running: served.set()))
            await served.wait()
            running = app.running
            answer = await asyncio.to_thread(fetch, running, "/")
            self.assertEqual(answer.text, "hello")
            running.stop(PATIENCE)
            await serving

        asyncio.run(main())
        # The stop has waited for them.
        self.assertEqual(self.done, [(1, ("loop", True)), (2,)])
        self.done.clear()
        with app.start("127.0.0.1:0") as running:
            fetch(running, "/")
            self.wait_for([(1, ("loop", True)), (2,)])

    def test_they_run_after_the_response(self):
        app = Server()
        bodies = {"/plain": "hello", "/chunks": "abc", "/async-chunks": "abc", "/file": "in a file"}
        file = tempfile.NamedTemporaryFile()  # noqa: SIM115 - closed by the clean-up
        self.addCleanup(file.close)
        file.write(b"in a file")
        file.flush()

        def wait():
            self.gate.wait(PATIENCE)
            self.note("after")

        @app.get("/plain")
        def plain(request):
            response = Response("hello")
            response.background(wait)
            return response

        @app.get("/chunks")
        def chunks(request):
            request.background(wait)
            return iter("abc")

        @app.get("/async-chunks")
        async def async_chunks(request):
            async def generate():
                for letter in "abc":
                    yield letter

            response = Response.stream(generate())
            response.background(wait)
            return response

        @app.get("/file")
        def from_file(request):
            response = Response.file(file.name)
            response.background(wait)
            return response

        with app.start("127.0.0.1:0") as running:
            for path, body in bodies.items():
                # The work waits, and the client has its response.
                self.gate.clear()
                self.assertEqual(fetch(running, path).text, body)
                self.assertEqual(self.done, [])
                self.gate.set()
                self.wait_for([("after",)])
                self.done.clear()

    def test_they_run_whatever_the_response_is(self):
        app = Server()

        @app.get("/fails")
        def fails(request):
            request.background(self.note, "fails")
            raise ValueError("on purpose")

        @app.get("/refuses")
        async def refuses(request):
            request.background(self.note, "refuses")
            raise HTTPError(409)

        @app.get("/breaks-off")
        def breaks_off(request):
            request.background(self.note, "breaks off")
            yield "begun"
            raise ValueError("on purpose")

        with app.start("127.0.0.1:0") as running, self.assertLogs("transom", "ERROR"):
            self.assertEqual(fetch(running, "/fails").status, 500)
            self.assertEqual(fetch(running, "/refuses").status, 409)
            with self.assertRaises(http.client.HTTPException):
                fetch(running, "/breaks-off")
            self.assertTrue(until(lambda: len(self.done) == 3, PATIENCE), self.done)
            self.assertEqual(sorted(self.done), [("breaks off",), ("fails",), ("refuses",)])

    def test_they_run_though_the_client_has_left(self):
        app = Server()

        @app.get("/plain", blocking=True)
        def plain(request):
            request.background(self.note, "plain")
            while not request.is_gone:
                time.sleep(0.001)
            return "hello"

        @app.get("/async")
        async def asynchronous(request):
            request.background(self.note, "async")
            await request.gone()
            return "hello"

        @app.get("/stream")
        async def stream(request):
            response = Response.stream(endless())
            response.background(self.note, "stream")
            return response

        async def endless():
            while True:
                yield b"x" * 1000
                await asyncio.sleep(0.001)

        with app.start("127.0.0.1:0") as running:
            for name in ("plain", "async", "stream"):
                leave(("127.0.0.1", running.port), f"/{name}")
                self.wait_for([(name,)])
                self.done.clear()

    def test_middleware_and_error_handlers_add_them(self):
        app = Server()

        @app.middleware
        def around(request, next):
            response = next(request)
            response.background(self.note, "middleware")
            return response

        @app.error(KeyError)
        def missing(request, error):
            response = Response("missing", status=404)
            response.background(self.note, "error handler")
            return response

        api = Router()

        @api.get("/x")
        def handler(request):
            raise KeyError("x")

        app.mount("/api", api)
        with app.start("127.0.0.1:0") as running:
            self.assertEqual(fetch(running, "/api/x").status, 404)
            self.wait_for([("error handler",), ("middleware",)])

    def test_a_response_that_is_returned_again_keeps_its_work(self):
        app = Server()
        kept = Response("hello")
        kept.background(self.note, 1)
        app.get("/")(lambda request: kept)
        app.get("/tuple")(lambda request: (kept, 201))
        with app.start("127.0.0.1:0") as running:
            fetch(running, "/")
            fetch(running, "/")
            self.assertEqual(fetch(running, "/tuple").status, 201)
            self.wait_for([(1,)] * 3)

    def test_they_see_the_context_and_may_add_more(self):
        app = Server()

        @app.get("/")
        def handler(request):
            WHO.set("ada")
            request.background(self.more, request)
            return "hello"

        with app.start("127.0.0.1:0") as running:
            fetch(running, "/")
            self.wait_for([("ada",), ("more",)])

    def more(self, request):
        self.note(WHO.get())
        request.background(self.note, "more")

    def test_exceptions_are_logged_and_the_next_one_runs(self):
        app = Server()

        def fail():
            raise ValueError("on purpose")

        async def fail_async():
            raise ValueError("on purpose too")

        @app.get("/")
        def handler(request):
            request.background(fail)
            request.background(fail_async)
            request.background(self.note, "next")
            return "hello"

        with app.start("127.0.0.1:0") as running, self.assertLogs("transom", "ERROR") as logs:
            fetch(running, "/")
            self.wait_for([("next",)])
        text = "\n".join(logs.output)
        self.assertRegex(text, r"background work \S+fail failed: on purpose\n")
        self.assertRegex(text, r"background work \S+fail_async failed: on purpose too\n")

    def test_a_stop_waits_for_them(self):
        for path in ("/plain", "/async"):
            app = Server()
            begun = threading.Event()

            def plain(begun=begun):
                begun.set()
                self.gate.wait(PATIENCE)
                self.note("plain")

            async def asynchronous(begun=begun):
                begun.set()
                while not self.gate.is_set():
                    await asyncio.sleep(0.001)
                self.note("async")

            @app.get("/plain")
            def handler(request, work=plain):
                request.background(work)
                return "hello"

            @app.get("/async")
            def async_handler(request, work=asynchronous):
                request.background(work)
                return "hello"

            self.gate.clear()
            running = app.start("127.0.0.1:0")
            fetch(running, path)
            self.assertTrue(begun.wait(PATIENCE))
            threading.Timer(0.2, self.gate.set).start()
            running.stop(PATIENCE)
            self.wait_for([(path[1:],)])
            self.done.clear()

    def test_a_stop_does_not_wait_beyond_its_deadline(self):
        app = Server()
        begun = threading.Event()

        def work():
            begun.set()
            self.gate.wait(10 * PATIENCE)

        @app.get("/")
        def handler(request):
            request.background(work)
            return "hello"

        running = app.start("127.0.0.1:0")
        fetch(running, "/")
        self.assertTrue(begun.wait(PATIENCE))
        with self.assertLogs("transom", "WARNING") as logs:
            running.stop(0.1)
        self.assertIn("background work of 1 requests unfinished", "\n".join(logs.output))

    def test_a_job_may_stop_the_server(self):
        app = Server()

        @app.get("/")
        def handler(request):
            request.background(app.running.stop, PATIENCE)
            request.background(self.note, "last")
            return "hello"

        running = app.start("127.0.0.1:0")
        self.assertEqual(fetch(running, "/").text, "hello")
        self.assertTrue(until(lambda: app.running is None, PATIENCE))
        self.assertEqual(self.done, [("last",)])
        running.stop()

    def test_what_cannot_be_called_is_refused(self):
        response = Response()
        coroutine = self.note_async()
        for wrong in (coroutine, "text", None):
            with self.assertRaisesRegex(TypeError, "background work is a function and its arguments"):
                response.background(wrong)

    def test_many_of_them(self):
        with self.app().start("127.0.0.1:0") as running:
            for _ in range(50):
                fetch(running, "/request")
            self.wait_for([("request",)] * 50)


if __name__ == "__main__":
    unittest.main()
