"""The lifespan of an ASGI application, and how a stop ends its requests."""

import asyncio
import threading
import time
import unittest

from support import LIMIT, Program, Quiet, connect, fetch, read_all, served, until

from transom import AddressInUseError, Server, StartupError, serve_asgi

GET = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"


class Lived:
    """An application that notes the events of its lifespan, and answers with its state."""

    def __init__(self, start="complete", stop="complete", message=None):
        self.events = []
        self.start, self.stop = start, stop
        self.more = {} if message is None else {"message": message}

    async def __call__(self, scope, receive, send):
        if scope["type"] != "lifespan":
            await send({"type": "http.response.start", "status": 200})
            await send({"type": "http.response.body", "body": str(scope["state"]).encode()})
            return
        self.scope = dict(scope)
        scope["state"]["a"] = 1
        self.events.append((await receive())["type"])
        await send({"type": f"lifespan.startup.{self.start}", **self.more})
        self.events.append((await receive())["type"])
        await send({"type": f"lifespan.shutdown.{self.stop}", **self.more})
        self.events.append("returned")


async def answer(send):
    await send({"type": "http.response.start", "status": 200})
    await send({"type": "http.response.body", "body": b"served"})


BOTH = ["lifespan.startup", "lifespan.shutdown", "returned"]


class TestLifespan(Quiet, unittest.TestCase):
    def test_an_application_starts_up_and_shuts_down(self):
        for mode in ("auto", "on"):
            application = Lived()
            app = Server()
            app.mount_asgi("/", application, lifespan=mode)
            for start in (lambda app=app: app.start("127.0.0.1:0"), lambda app=app: served(app)):
                application.events.clear()
                with start() as running:
                    self.assertEqual(application.events, ["lifespan.startup"])
                    self.assertEqual(fetch(running, "/").text, "{'a': 1}")
                self.assertEqual(application.events, BOTH)
            self.assertEqual(application.scope["asgi"], {"version": "3.0", "spec_version": "2.0"})
        self.assertEqual(self.log, [])

    def test_start_up_and_shutdown_are_in_one_task_of_the_loop_of_the_requests(self):
        seen = []

        async def application(scope, receive, send):
            seen.append((asyncio.get_running_loop(), asyncio.current_task()))
            if scope["type"] == "http":
                return await answer(send)
            await receive()
            await send({"type": "lifespan.startup.complete"})
            await receive()
            seen.append((asyncio.get_running_loop(), asyncio.current_task()))
            await send({"type": "lifespan.shutdown.complete"})

        with serve_asgi(application, "127.0.0.1:0") as running:
            fetch(running, "/")
        self.assertEqual(len({id(loop) for loop, _ in seen}), 1)
        self.assertIs(seen[0][1], seen[2][1])

    def test_a_start_up_that_fails_raises_the_message(self):
        application = Lived(start="failed", message="no data base")
        with self.assertRaisesRegex(StartupError, "^no data base$"):
            serve_asgi(application, "127.0.0.1:0")
        with self.assertRaisesRegex(StartupError, "Lived.* could not start"):
            serve_asgi(Lived(start="failed"), "127.0.0.1:0")
        app = Server()
        app.mount_asgi("/", application)
        with self.assertRaisesRegex(StartupError, "^no data base$"):
            asyncio.run(app.serve("127.0.0.1:0"))
        # The server may be started again, when the application can start.
        application.start = "complete"
        application.more = {}
        with app.start("127.0.0.1:0") as running:
            self.assertEqual(fetch(running, "/").status, 200)

    def test_an_exception_during_the_start_up_is_a_failure(self):
        async def application(scope, receive, send):
            await receive()
            raise LookupError("no data base")

        for mode in ("auto", "on"):
            with self.assertRaisesRegex(StartupError, "no data base") as caught:
                serve_asgi(application, "127.0.0.1:0", lifespan=mode)
            self.assertIsInstance(caught.exception.__cause__, LookupError)

    def test_an_application_without_a_lifespan_is_served(self):
        async def asserts(scope, receive, send):
            assert scope["type"] == "http"
            await answer(send)

        async def ignores(scope, receive, send):
            if scope["type"] == "http":
                await answer(send)

        async def naive(scope, receive, send):
            await receive()
            await answer(send)

        for application in (asserts, ignores, naive):
            with serve_asgi(application, "127.0.0.1:0") as running:
                self.assertEqual(fetch(running, "/").text, "served")
            with serve_asgi(application, "127.0.0.1:0", lifespan="off") as running:
                self.assertEqual(fetch(running, "/").text, "served")
            with self.assertRaises(StartupError):
                serve_asgi(application, "127.0.0.1:0", lifespan="on")
        self.assertEqual(self.log, [])

    def test_no_lifespan_if_it_is_off(self):
        application = Lived()
        with serve_asgi(application, "127.0.0.1:0", lifespan="off") as running:
            self.assertEqual(fetch(running, "/").text, "{}")
        self.assertEqual(application.events, [])

    def test_a_start_up_has_a_timeout(self):
        cancelled = threading.Event()

        async def application(scope, receive, send):
            try:
                await asyncio.sleep(LIMIT)
            finally:
                cancelled.set()

        with self.assertRaisesRegex(StartupError, "did not start within 0.05 seconds"):
            serve_asgi(application, "127.0.0.1:0", startup_timeout=0.05)
        self.assertTrue(cancelled.is_set())

    def test_the_shutdown_is_delivered_if_the_server_cannot_listen(self):
        application = Lived()
        with serve_asgi(Lived(), "127.0.0.1:0") as running, self.assertRaises(AddressInUseError):
            serve_asgi(application, f"127.0.0.1:{running.port}")
        self.assertEqual(application.events, BOTH)

    def test_a_shutdown_that_fails_is_logged(self):
        with serve_asgi(Lived(stop="failed", message="no peace"), "127.0.0.1:0"):
            pass
        self.assertIn("failed to shut down: no peace", self.log[0])

        async def application(scope, receive, send):
            await receive()
            await send({"type": "lifespan.startup.complete"})
            await receive()
            raise LookupError("late")

        with serve_asgi(application, "127.0.0.1:0"):
            pass
        self.assertIn("the lifespan of", self.log[1])
        self.assertIn("LookupError: late", self.log[1])

    def test_a_wrong_message_is_an_error(self):
        errors = []

        async def application(scope, receive, send):
            if scope["type"] == "http":
                return await answer(send)
            await receive()
            await send({"type": "lifespan.startup.complete"})
            for kind in ("lifespan.startup.complete", "lifespan.x"):
                try:
                    await send({"type": kind})
                except RuntimeError as error:
                    errors.append(str(error))
            await receive()
            await send({"type": "lifespan.shutdown.complete"})

        with serve_asgi(application, "127.0.0.1:0") as running:
            self.assertEqual(fetch(running, "/").text, "served")
        self.assertEqual(len(errors), 2)
        self.assertIn("'lifespan.x' in its lifespan", errors[1])

    def test_two_applications_have_states_of_their_own(self):
        first, second = Lived(), Lived()
        app = Server()
        app.mount_asgi("/a", first)
        app.mount_asgi("/b", second)
        with app.start("127.0.0.1:0") as running:
            self.assertEqual(fetch(running, "/a").text, "{'a': 1}")
            self.assertEqual(fetch(running, "/b").text, "{'a': 1}")
        self.assertEqual((first.events, second.events), (BOTH, BOTH))
        self.assertIsNot(first.scope["state"], second.scope["state"])

    def test_a_signal_delivers_the_shutdown(self):
        code = """
import transom
async def application(scope, receive, send):
    if scope["type"] == "lifespan":
        await receive()
        await send({"type": "lifespan.startup.complete"})
        print((await receive())["type"], flush=True)
        await send({"type": "lifespan.shutdown.complete"})
app = transom.Server()
app.mount_asgi("/", application)
app.run("127.0.0.1:0")
"""
        with Program(code) as program:
            program.port()
            program.process.terminate()
            returned, out, err = program.end()
        self.assertEqual((returned, out, err), (0, "lifespan.shutdown\n", ""))


class TestStop(Quiet, unittest.TestCase):
    def starts(self, application):
        app = Server()
        app.mount_asgi("/", application)
        yield lambda: app.start("127.0.0.1:0")
        yield lambda: served(app)

    def test_a_stop_waits_for_requests(self):
        there, goes = threading.Event(), threading.Event()
        order = []

        async def application(scope, receive, send):
            if scope["type"] == "lifespan":
                await receive()
                await send({"type": "lifespan.startup.complete"})
                await receive()
                order.append("shutdown")
                return await send({"type": "lifespan.shutdown.complete"})
            there.set()
            await asyncio.get_running_loop().run_in_executor(None, goes.wait, LIMIT)
            await answer(send)
            order.append("served")

        for start in self.starts(application):
            there.clear(), goes.clear(), order.clear()
            with start() as running, connect(running) as client:
                client.sendall(GET)
                self.assertTrue(there.wait(LIMIT))
                stop = threading.Thread(target=running.stop, args=(LIMIT,))
                stop.start()
                goes.set()
                self.assertTrue(read_all(client).endswith(b"served"))
                stop.join(LIMIT)
            self.assertTrue(until(lambda: len(order) == 2))
            self.assertEqual(order, ["served", "shutdown"])

    def test_open_streams_are_told_at_the_deadline_and_have_time(self):
        notes = []

        async def application(scope, receive, send):
            if scope["type"] == "lifespan":
                await receive()
                await send({"type": "lifespan.startup.complete"})
                await receive()
                notes.append("shutdown")
                return await send({"type": "lifespan.shutdown.complete"})
            await receive()
            if scope["path"] == "/stream":
                await send({"type": "http.response.start", "status": 200})
                await send({"type": "http.response.body", "body": b"first", "more_body": True})
            there.set()
            notes.append((await receive())["type"])
            for _ in range(20):
                await asyncio.sleep(0.001)
            notes.append("cleaned")

        for path in (b"/stream", b"/wait"):
            for start in self.starts(application):
                there = threading.Event()
                notes.clear()
                with start() as running, connect(running) as client:
                    client.sendall(GET.replace(b"/ ", path + b" ", 1))
                    self.assertTrue(there.wait(LIMIT))
                    running.stop(0)
                self.assertTrue(until(lambda: len(notes) == 3), notes)
                self.assertEqual(notes, ["http.disconnect", "cleaned", "shutdown"])
        self.assertEqual(self.log, [])

    def test_a_task_that_goes_on_is_cancelled_and_the_log_says_so(self):
        notes = []

        async def application(scope, receive, send):
            if scope["type"] == "lifespan":
                await receive()
                await send({"type": "lifespan.startup.complete"})
                await receive()
                notes.append("shutdown")
                return await send({"type": "lifespan.shutdown.complete"})
            there.set()
            try:
                await asyncio.sleep(LIMIT)
            except asyncio.CancelledError:
                notes.append("cancelled")
                raise

        for start in self.starts(application):
            there = threading.Event()
            notes.clear()
            self.log.clear()
            with start() as running, connect(running) as client:
                client.sendall(GET)
                self.assertTrue(there.wait(LIMIT))
                running.stop(0)
            self.assertTrue(until(lambda: len(notes) == 2), notes)
            self.assertEqual(notes, ["cancelled", "shutdown"])
            self.assertTrue(until(lambda: self.log))
            self.assertIn("cancelled the application at <Request GET />", self.log[0])

    def test_a_stop_is_bounded_although_an_application_is_stubborn(self):
        async def application(scope, receive, send):
            if scope["type"] == "lifespan":
                await receive()
                await send({"type": "lifespan.startup.complete"})
                await asyncio.sleep(10 * LIMIT)

        with serve_asgi(application, "127.0.0.1:0"):
            begun = time.monotonic()
        self.assertLess(time.monotonic() - begun, LIMIT)
        self.assertIn("did not shut down within 3 seconds", self.log[0])


if __name__ == "__main__":
    unittest.main()
