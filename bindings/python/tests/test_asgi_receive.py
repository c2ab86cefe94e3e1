"""The events that an ASGI application gets: the body of a request, and that its client is gone."""

import asyncio
import gc
import hashlib
import socket
import threading
import unittest

from support import LIMIT, Quiet, connect, exchange, fetch, read_all, receive, served, until, ways

from transom import Server, serve_asgi

GET = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"


async def answer(send, body=b"done"):
    await send({"type": "http.response.start", "status": 200})
    await send({"type": "http.response.body", "body": body})


async def read(receive):
    """Reads the body of a request. Returns the events."""
    events = [await receive()]
    while events[-1].get("more_body"):
        events.append(await receive())
    return events


class Noting:
    """An application that calls a coroutine function for a request and notes what it returns or raises."""

    def __init__(self, function):
        self.function = function
        self.notes = []

    async def __call__(self, scope, receive, send):
        try:
            self.notes.append(await self.function(scope, receive, send))
        except BaseException as error:
            self.notes.append(error)
            raise


class TestBody(Quiet, unittest.TestCase):
    def test_a_request_without_a_body(self):
        async def application(scope, receive, send):
            events = await read(receive)
            await answer(send)
            return events

        for name, app, start in ways():
            noting = Noting(application)
            app.mount_asgi("/", noting, lifespan="off")
            with self.subTest(name), start() as running:
                for method in ("GET", "HEAD", "DELETE", "POST", "OPTIONS"):
                    fetch(running, "/", method)
            self.assertEqual(noting.notes, [[{"type": "http.request", "body": b"", "more_body": False}]] * 5)

    def test_a_short_body_that_comes_with_its_head_is_one_event(self):
        async def application(scope, receive, send):
            events = await read(receive)
            await answer(send)
            return events

        head = b"POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 5\r\n\r\n"
        for name, app, start in ways():
            noting = Noting(application)
            app.mount_asgi("/", noting, lifespan="off")
            with self.subTest(name), start() as running:
                exchange(running, head + b"short", end=False)
            self.assertEqual(noting.notes, [[{"type": "http.request", "body": b"short", "more_body": False}]])

    def test_a_body_is_streamed(self):
        body = bytes(range(256)) * 8000
        digest = hashlib.sha256(body).hexdigest()

        async def application(scope, receive, send):
            events = await read(receive)
            whole = b"".join(event["body"] for event in events)
            await answer(send, hashlib.sha256(whole).hexdigest().encode())
            return events

        chunked = b"".join(
            b"%x\r\n%b\r\n" % (len(piece), piece)
            for piece in (body[at : at + 50_000] for at in range(0, len(body), 50_000))
        )
        for name, app, start in ways():
            noting = Noting(application)
            app.mount_asgi("/", noting, lifespan="off")
            with self.subTest(name), start() as running:
                for method in ("POST", "PUT", "GET"):
                    self.assertEqual(fetch(running, "/", method, body).text, digest)
                head = (
                    b"POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
                )
                self.assertTrue(
                    exchange(running, head + chunked + b"0\r\n\r\n", end=False).endswith(digest.encode())
                )
            for events in noting.notes[:2]:
                self.assertGreater(len(events), 10)
                self.assertTrue(all(len(event["body"]) <= 65536 for event in events))
                self.assertEqual(
                    [event["more_body"] for event in events], [True] * (len(events) - 1) + [False]
                )
                # The last part is known as such.
                self.assertTrue(events[-1]["body"])
            self.assertFalse(noting.notes[3][-1]["more_body"])

    def test_a_part_comes_before_the_next_is_sent(self):
        async def application(scope, receive, send):
            first = await receive()
            await send({"type": "http.response.start", "status": 200})
            await send({"type": "http.response.body", "body": first["body"], "more_body": True})
            await send({"type": "http.response.body", "body": (await receive())["body"]})

        with serve_asgi(application, "127.0.0.1:0", lifespan="off") as running, connect(running) as client:
            client.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 6\r\n\r\nabc")
            receive(client, b"abc")
            client.sendall(b"def")
            receive(client, b"def\r\n0\r\n\r\n")

    def test_a_client_is_told_to_continue_at_the_first_receive(self):
        goes = threading.Event()

        async def application(scope, receive, send):
            await asyncio.get_running_loop().run_in_executor(None, goes.wait, LIMIT)
            events = await read(receive) if scope["path"] == "/read" else []
            await answer(send, b"".join(event["body"] for event in events) or b"unread")

        head = (
            b"HTTP/1.1\r\nHost: a\r\nConnection: close\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n"
        )
        with serve_asgi(application, "127.0.0.1:0", lifespan="off") as running:
            with connect(running) as client:
                client.sendall(b"POST /read " + head)
                goes.set()
                self.assertTrue(receive(client, b"\r\n\r\n").startswith(b"HTTP/1.1 100 "))
                client.sendall(b"abc")
                self.assertTrue(read_all(client).endswith(b"\r\n\r\nabc"))
            with connect(running) as client:
                client.sendall(b"POST /unread " + head)
                self.assertTrue(receive(client, b"unread").startswith(b"HTTP/1.1 200 "))

    def test_a_body_that_cannot_be_read_gets_its_status_and_the_application_is_told(self):
        async def application(scope, receive, send):
            events = await read(receive)
            try:
                await answer(send)
            except OSError as error:
                return [event["type"] for event in events], str(error)
            return events

        for data, status in (
            (b"Content-Length: 20\r\n\r\n" + bytes(20), b"413"),
            (b"Transfer-Encoding: chunked\r\n\r\n14\r\n" + bytes(20) + b"\r\n0\r\n\r\n", b"413"),
            (b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nzz\r\n", b"400"),
        ):
            noting = Noting(application)
            with serve_asgi(noting, "127.0.0.1:0", lifespan="off", limits={"body": 10}) as running:
                head = b"POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n"
                received = exchange(running, head + data, end=False)
                self.assertTrue(received.startswith(b"HTTP/1.1 " + status), received)
            for note in noting.notes:
                self.assertEqual(note[0][-1:], ["http.disconnect"])
                self.assertEqual(note[1], "the client has disconnected")
            self.assertEqual(self.log, [])

    def test_a_client_that_leaves_within_its_body_is_told(self):
        async def application(scope, receive, send):
            events = [await receive()]
            there.set()
            while events[-1]["type"] != "http.disconnect":
                events.append(await receive())
            return [event["type"] for event in events]

        for name, app, start in ways():
            there = threading.Event()
            noting = Noting(application)
            app.mount_asgi("/", noting, lifespan="off")
            with self.subTest(name), start() as running:
                with connect(running) as client:
                    client.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nabc")
                    self.assertTrue(there.wait(LIMIT))
                self.assertTrue(until(lambda noting=noting: noting.notes))
                self.assertEqual(noting.notes, [["http.request", "http.disconnect"]])

    def test_two_tasks_cannot_wait_for_the_body_at_once(self):
        async def application(scope, receive, send):
            first = asyncio.ensure_future(receive())
            await asyncio.sleep(0)
            with self.assertRaisesRegex(RuntimeError, "two tasks wait in receive"):
                await receive()
            first.cancel()
            await answer(send)

        with serve_asgi(application, "127.0.0.1:0", lifespan="off") as running, connect(running) as client:
            client.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n")
            receive(client, b"done")


class TestDisconnect(Quiet, unittest.TestCase):
    def test_an_application_that_only_waits_is_told_at_once(self):
        there = threading.Event()

        async def application(scope, receive, send):
            await receive()
            there.set()
            return await receive()

        for name, app, start in ways():
            there.clear()
            noting = Noting(application)
            app.mount_asgi("/", noting, lifespan="off")
            with self.subTest(name), start() as running:
                with connect(running) as client:
                    client.sendall(GET)
                    self.assertTrue(there.wait(LIMIT))
                self.assertTrue(until(lambda noting=noting: noting.notes))
                self.assertEqual(noting.notes, [{"type": "http.disconnect"}])
        self.assertEqual(self.log, [])

    def test_an_application_that_streams_is_told_while_it_sends_nothing(self):
        async def application(scope, receive, send):
            await receive()
            await send({"type": "http.response.start", "status": 200})
            await send({"type": "http.response.body", "body": b"first", "more_body": True})
            event = await receive()
            try:
                while True:
                    await send({"type": "http.response.body", "body": bytes(1000), "more_body": True})
            except OSError as error:
                return event["type"], str(error)

        for name, app, start in ways():
            noting = Noting(application)
            app.mount_asgi("/", noting, lifespan="off")
            with self.subTest(name), start() as running:
                with connect(running) as client:
                    client.sendall(GET)
                    receive(client, b"first")
                self.assertTrue(until(lambda noting=noting: noting.notes))
                self.assertEqual(noting.notes, [("http.disconnect", "the client has disconnected")])
        self.assertEqual(self.log, [])

    def test_send_raises_an_os_error_and_the_log_stays_silent(self):
        async def application(scope, receive, send):
            await send({"type": "http.response.start", "status": 200})
            try:
                while True:
                    await send({"type": "http.response.body", "body": bytes(1000), "more_body": True})
                    await asyncio.sleep(0)
            except OSError as error:
                if scope["path"] == "/own":
                    raise LookupError("the application's own") from error
                raise

        with serve_asgi(noting := Noting(application), "127.0.0.1:0", lifespan="off") as running:
            for path in (b"/", b"/own"):
                noting.notes.clear()
                with connect(running) as client:
                    client.sendall(b"GET " + path + b" HTTP/1.1\r\nHost: a\r\n\r\n")
                    receive(client, b"\r\n\r\n")
                self.assertTrue(until(lambda noting=noting: noting.notes))
                self.assertIsInstance(noting.notes[0], OSError if path == b"/" else LookupError)
        self.assertEqual(self.log, [])

    def test_receive_after_the_response(self):
        async def application(scope, receive, send):
            waiting = asyncio.ensure_future(receive()) if scope["path"] == "/early" else None
            await asyncio.sleep(0)
            await answer(send)
            events = [await receive(), await receive()]
            if waiting is not None:
                events.append(await waiting)
            return [event["type"] for event in events]

        for name, app, start in ways():
            noting = Noting(application)
            app.mount_asgi("/", noting, lifespan="off")
            with self.subTest(name), start() as running:
                self.assertEqual(fetch(running, "/").text, "done")
                self.assertEqual(fetch(running, "/", "POST", b"abc").text, "done")
                with connect(running) as client:
                    # A task that waits for a body that does not come.
                    client.sendall(b"POST /early HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n")
                    receive(client, b"done")
                    self.assertTrue(until(lambda noting=noting: len(noting.notes) == 3))
            self.assertEqual(noting.notes[:2], [["http.disconnect"] * 2] * 2)
            self.assertEqual(noting.notes[2], ["http.disconnect"] * 3)

    def test_several_tasks_may_wait_for_the_end(self):
        async def application(scope, receive, send):
            await receive()
            tasks = [asyncio.ensure_future(receive()) for _ in range(3)]
            await asyncio.sleep(0)
            tasks[0].cancel()
            await answer(send)
            return [event["type"] for event in await asyncio.gather(*tasks[1:])]

        with serve_asgi(noting := Noting(application), "127.0.0.1:0", lifespan="off") as running:
            self.assertEqual(fetch(running, "/").text, "done")
            self.assertTrue(until(lambda: noting.notes))
        self.assertEqual(noting.notes, [["http.disconnect"] * 2])

    def test_a_client_that_only_closes_its_sending_side_gets_its_response(self):
        async def application(scope, receive, send):
            await receive()
            await receive()
            await answer(send)

        with serve_asgi(application, "127.0.0.1:0", lifespan="off") as running, connect(running) as client:
            client.sendall(GET)
            client.shutdown(socket.SHUT_WR)
            self.assertTrue(read_all(client).endswith(b"done"))

    def test_the_stream_of_an_application_ends_at_once_though_a_variable_keeps_its_task(self):
        ended = threading.Event()

        async def pieces():
            try:
                while True:
                    yield bytes(1000)
            finally:
                ended.set()

        async def stream(send):
            content = pieces()
            await send({"type": "http.response.start", "status": 200})
            async for piece in content:
                await send({"type": "http.response.body", "body": piece, "more_body": True})

        async def application(scope, receive, send):
            # The task, its exception and this frame refer to each other, as in the handler of Django.
            task = asyncio.create_task(stream(send))
            await asyncio.wait([task])
            task.result()

        gc.disable()
        self.addCleanup(gc.enable)
        for name, app, start in ways():
            ended.clear()
            app.mount_asgi("/", application, lifespan="off")
            with self.subTest(name), start() as running:
                with connect(running) as client:
                    client.sendall(GET)
                    receive(client, b"\0" * 1000)
                self.assertTrue(ended.wait(LIMIT), "the client has left, and the stream goes on")
        self.assertEqual(self.log, [])

    def test_a_task_is_not_cancelled_when_its_client_leaves(self):
        there, goes = threading.Event(), threading.Event()

        async def application(scope, receive, send):
            there.set()
            await asyncio.get_running_loop().run_in_executor(None, goes.wait, LIMIT)
            for _ in range(10):
                await asyncio.sleep(0)
            return "went on"

        for name, app, start in ways():
            there.clear(), goes.clear()
            noting = Noting(application)
            app.mount_asgi("/", noting, lifespan="off")
            with self.subTest(name), start() as running:
                with connect(running) as client:
                    client.sendall(GET)
                    self.assertTrue(there.wait(LIMIT))
                goes.set()
                self.assertTrue(until(lambda noting=noting: noting.notes))
            self.assertEqual(noting.notes, ["went on"])


class TestTasks(Quiet, unittest.TestCase):
    def test_a_coroutine_that_cancels_itself_is_a_500_and_is_logged(self):
        async def application(scope, receive, send):
            raise asyncio.CancelledError

        with serve_asgi(application, "127.0.0.1:0", lifespan="off") as running:
            self.assertTrue(exchange(running, GET, end=False).startswith(b"HTTP/1.1 500 "))
        self.assertIn("CancelledError", self.log[0])

    def test_timeouts_and_groups_of_asyncio_work_in_an_application(self):
        async def application(scope, receive, send):
            try:
                await asyncio.wait_for(asyncio.Event().wait(), 0.001)
            except asyncio.TimeoutError:
                await answer(send, b"late")

        with serve_asgi(application, "127.0.0.1:0", lifespan="off") as running:
            self.assertEqual(fetch(running, "/").text, "late")

    def test_requests_run_at_the_same_time(self):
        waiting = []

        async def application(scope, receive, send):
            event = asyncio.Event()
            waiting.append(event)
            if len(waiting) == 10:
                for each in waiting:
                    each.set()
            await event.wait()
            await answer(send)

        app = Server()
        app.mount_asgi("/", application, lifespan="off")
        with served(app) as running:
            clients = [connect(running) for _ in range(10)]
            for client in clients:
                client.sendall(GET)
            for client in clients:
                with client:
                    self.assertTrue(read_all(client).endswith(b"done"))


if __name__ == "__main__":
    unittest.main()
