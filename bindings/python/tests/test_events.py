"""Server-sent events, and streams that end when the server stops."""

import asyncio
import contextvars
import json
import queue
import threading
import unittest
from datetime import timezone

from support import LIMIT, Quiet, connect, fetch, read_all, receive, until, ways

from transom import HTTPError, Response, Server, ServerSentEvent, ServerSentEvents


def begin(running, path, headers=""):
    """Sends a request and returns the connection."""
    connection = connect(running)
    connection.sendall(f"GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{headers}\r\n".encode())
    return connection


class TestServerSentEvents(Quiet, unittest.TestCase):
    def test_the_lines_of_an_event(self):
        for event, lines in (
            (ServerSentEvent("a"), "data: a\n\n"),
            (ServerSentEvent("a\r\nb\rc\n"), "data: a\ndata: b\ndata: c\ndata: \n\n"),
            (ServerSentEvent(""), "data: \n\n"),
            (ServerSentEvent({"a": "\u2028\u00e9"}), 'data: {"a":"\u2028\u00e9"}\n\n'),
            (ServerSentEvent({"a": "\ud800\u00e9"}), 'data: {"a":"\\ud800\u00e9"}\n\n'),
            (ServerSentEvent(retry=1.5), "retry: 1500\n\n"),
            (ServerSentEvent("x", event="e", id="7"), "event: e\nid: 7\ndata: x\n\n"),
        ):
            self.assertEqual(event.encoded().decode(), lines)
        for wrong in ({"event": "a\nb"}, {"id": "a\0"}, {"id": 7}, {"retry": -1}, {"data": object()}):
            self.assertRaises((ValueError, TypeError), ServerSentEvent(**wrong).encoded)
        for wrong in ("text", 7):
            self.assertRaises(TypeError, ServerSentEvents, wrong)

    def test_plain_and_asynchronous_events(self):
        app = Server()

        @app.get("/plain")
        def plain(request):
            def events():
                yield request.headers.get("last-event-id", "none")
                yield None
                yield ServerSentEvent({"a": 1}, id="1")

            return ServerSentEvents(events(), headers={"x-a": "b"})

        @app.get("/async/{keep}")
        async def waits(request):
            async def events():
                yield "a"
                await asyncio.sleep(0)
                yield ["b"]

            keep = request.params["keep"]
            return ServerSentEvents(events(), keep_alive=None if keep == "none" else 15)

        with app.start("127.0.0.1:0") as running:
            answer = fetch(running, "/plain", headers={"Last-Event-ID": "5"})
            self.assertEqual(answer.text, 'data: 5\n\n: keep-alive\n\nid: 1\ndata: {"a":1}\n\n')
            self.assertEqual(answer.headers["content-type"], "text/event-stream")
            self.assertEqual((answer.headers["cache-control"], answer.headers["x-a"]), ("no-store", "b"))
            for keep in ("none", "some"):
                self.assertEqual(fetch(running, f"/async/{keep}").text, 'data: a\n\ndata: ["b"]\n\n')
        self.assertEqual(self.log, [])

    def test_a_quiet_stream_is_kept_alive_and_ends_with_its_client(self):
        app = Server()
        ended = []

        @app.get("/")
        async def quiet(request):
            async def events():
                word = contextvars.ContextVar("word", default="lost")
                try:
                    word.set("kept")
                    yield "a"
                    yield word.get()
                    await asyncio.sleep(LIMIT)
                    yield "never"
                finally:
                    await asyncio.sleep(0)
                    ended.append(True)

            return ServerSentEvents(events(), keep_alive=0.01)

        with app.start("127.0.0.1:0") as running:
            with begin(running, "/") as connection:
                receive(connection, b"data: kept\n\n")
                for _ in range(3):
                    receive(connection, b": keep-alive\n\n")
            self.assertTrue(until(lambda: ended))
        self.assertEqual(self.log, [])

    def test_comments_while_a_plain_iterator_has_nothing(self):
        for threads in (None, 1):
            with self.subTest(threads=threads):
                app = Server(threads=threads)
                news, closed = queue.SimpleQueue(), []

                @app.get("/")
                def plain(request, news=news, closed=closed):
                    request.on_gone(lambda: news.put(None))

                    def events():
                        try:
                            while (item := news.get()) is not None:
                                yield item
                        finally:
                            closed.append(True)

                    return ServerSentEvents(events(), keep_alive=0.01)

                @app.get("/none")
                def none(request):
                    return ServerSentEvents(iter("ab"), keep_alive=None)

                with app.start("127.0.0.1:0") as running:
                    self.assertEqual(fetch(running, "/none").text, "data: a\n\ndata: b\n\n")
                    with begin(running, "/") as connection:
                        received = b""
                        while received.count(b": keep-alive\n\n") < 3:
                            received += connection.recv(65536)
                        news.put("x" * 100_000)
                        while received.count(b"x") < 100_000:
                            received += connection.recv(65536)
                        count = received.count(b": keep-alive\n\n")
                        while received.count(b": keep-alive\n\n") < count + 2:
                            received += connection.recv(65536)
                    # Each event is whole.
                    self.assertIn(b"data: " + b"x" * 100_000 + b"\n\n", received)
                    self.assertTrue(until(lambda closed=closed: closed))
        self.assertEqual(self.log, [])


class TestStopping(Quiet, unittest.TestCase):
    def test_streams_end_when_a_stop_begins(self):
        for way, app, start in ways():
            with self.subTest(way=way):
                begun = threading.Event()

                @app.get("/")
                async def stream(request, begun=begun):
                    yield "begun "
                    begun.set()
                    await request.stopping()
                    yield f"stopping {request.is_stopping}"

                with start() as running:
                    with begin(running, "/") as connection:
                        self.assertTrue(begun.wait(LIMIT))
                        stopper = threading.Thread(target=running.stop, args=(LIMIT,))
                        stopper.start()
                        received = read_all(connection)
                    stopper.join(LIMIT)
                self.assertIn(b"stopping True", received)
                self.assertTrue(received.endswith(b"0\r\n\r\n"), received)
        self.assertEqual(self.log, [])

    def test_functions_are_called_once_or_forgotten(self):
        app = Server()
        called = []

        @app.get("/")
        def handler(request):
            request.on_stopping(lambda: called.append("kept"))
            request.on_stopping(lambda: called.append("forgotten"))()
            request.on_stopping(lambda: 1 / 0)
            self.assertFalse(request.is_stopping)

        with app.start("127.0.0.1:0") as running:
            self.assertEqual(fetch(running, "/").status, 204)
            self.assertEqual(called, [])
        self.assertTrue(until(lambda: called and self.log))
        self.assertEqual(called, ["kept"])
        self.assertIn("ZeroDivisionError", self.log[0])


class TestResponses(unittest.TestCase):
    def test_fields_and_status_can_be_changed(self):
        response = Response("x", headers=[("X-A", "1"), ("x-a", "2")])
        headers = response.headers
        self.assertEqual((headers["x-A"], headers.get_all("x-a"), len(headers)), ("1", ["1", "2"], 2))
        headers["X-a"] = "3"
        self.assertEqual(headers.get_all("x-a"), ["3"])
        del headers["X-A"]
        self.assertNotIn("x-a", headers)
        self.assertNotIn(7, headers)
        self.assertRaises(KeyError, headers.pop, "x-a")
        with self.assertRaises(ValueError):
            headers["transfer-encoding"] = "chunked"
        response.status = 404
        self.assertEqual((response.status, response.body), (404, b"x"))
        for wrong in (99, "200", 600):
            with self.assertRaises((TypeError, ValueError)):
                response.status = wrong

    def test_json_options(self):
        value = {"b": {1}, "a": "\u00e9"}
        self.assertRaises(TypeError, Response.json, value)
        response = Response.json(value, default=list, sort_keys=True, ensure_ascii=True)
        self.assertEqual(response.body, b'{"a":"\\u00e9","b":[1]}')
        self.assertEqual(Response.json([1], indent=1).body, b"[\n 1\n]")

    def test_json_of_a_client_can_be_sent_back(self):
        value = json.loads(r'["\ud800\u00e9", "\udcff", "\ud83d\ude00"]')
        self.assertEqual(json.loads(Response.json(value[:1]).body), value[:1])
        self.assertEqual(Response.json(value).body, b'["\\ud800\xc3\xa9","\xff","\xf0\x9f\x98\x80"]')
        self.assertEqual(json.loads(Response.json(value[:1], indent=1).body), value[:1])

        app = Server(error_format="json")

        @app.post("/")
        def fail(request):
            raise HTTPError(422, request.json()[0])

        with app.start("127.0.0.1:0") as running:
            answer = fetch(running, "/", "POST", body='["\\ud800"]')
            self.assertEqual((answer.status, json.loads(answer.body)["detail"]), (422, "\ud800"))

    def test_cookies_expire(self):
        from datetime import datetime

        response = Response()
        response.set_cookie("a", "b", expires=datetime(2030, 1, 2, tzinfo=timezone.utc), path=None)
        self.assertIn("Expires=Wed, 02 Jan 2030 00:00:00 GMT", response.headers["set-cookie"])
        for wrong in (datetime(2030, 1, 2), 7):
            self.assertRaises(TypeError, response.set_cookie, "a", "b", expires=wrong)


if __name__ == "__main__":
    unittest.main()
