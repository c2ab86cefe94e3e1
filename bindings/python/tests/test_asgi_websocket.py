"""The scope `websocket` of ASGI: its events, and what an application may do with a connection."""

import asyncio
import socket as sockets
import threading
import unittest

from support import LIMIT, Quiet, receive, until
from websocket_case import HANDSHAKE, frame, opened

from transom import InvalidArgumentError, Server, WebSocketClosed
from transom.testing import TestClient, WebSocketRefused, serve


def mounted(application, path="/", **options):
    """Returns a server with an application that has no lifespan."""
    app = Server()
    app.mount_asgi(path, application, lifespan="off", **options)
    return app


async def accept(receive, send, **options):
    """Accepts the connection."""
    event = await receive()
    if event != {"type": "websocket.connect"}:
        raise AssertionError(event)
    await send({"type": "websocket.accept", **options})


async def echo(scope, receive, send):
    """Sends each message back. Keeps the last event in the scope's state."""
    await accept(receive, send)
    while (event := await receive())["type"] == "websocket.receive":
        await send({**event, "type": "websocket.send"})


class TestScope(Quiet, unittest.TestCase):
    def test_the_entries(self):
        scopes = []

        async def application(scope, receive, send):
            scopes.append(scope)
            await accept(receive, send)

        app = mounted(application, "/app")
        with TestClient(app) as client:
            client.websocket(
                "/app/a%20b", params={"q": "1"}, subprotocols=["one", "two"], headers={"X-A": "b"}
            ).close()
            client.websocket("/app").close()
        scope, second = scopes
        keys = "type asgi http_version scheme path raw_path query_string root_path headers client server"
        self.assertEqual({*keys.split(), "subprotocols", "state", "extensions"}, set(scope))
        self.assertEqual((scope["type"], scope["scheme"], scope["http_version"]), ("websocket", "ws", "1.1"))
        self.assertEqual((scope["path"], scope["raw_path"]), ("/app/a b", b"/app/a%20b"))
        self.assertEqual((scope["query_string"], scope["root_path"]), (b"q=1", "/app"))
        self.assertEqual(scope["subprotocols"], ["one", "two"])
        self.assertEqual(scope["extensions"], {"websocket.http.response": {}})
        self.assertIn((b"x-a", b"b"), scope["headers"])
        self.assertIn((b"upgrade", b"websocket"), scope["headers"])
        self.assertEqual((second["path"], second["subprotocols"]), ("/app", []))

    def test_a_lifespan_leaves_its_state(self):
        seen = []

        async def application(scope, receive, send):
            if scope["type"] == "lifespan":
                scope["state"]["room"] = 7
                while True:
                    event = await receive()
                    await send({"type": f"{event['type']}.complete"})
                    if event["type"] == "lifespan.shutdown":
                        return
            seen.append(scope["state"])
            await accept(receive, send)

        app = Server()
        app.mount_asgi("/", application)
        with TestClient(app) as client:
            client.websocket("/").close()
        self.assertEqual(seen, [{"room": 7}])

    def test_requests_that_are_no_handshakes(self):
        kinds = []

        async def application(scope, receive, send):
            kinds.append(scope["type"])
            if scope["type"] == "websocket":
                await accept(receive, send)
            else:
                await send({"type": "http.response.start", "status": 200})
                await send({"type": "http.response.body"})

        app = mounted(application)
        with app.start("127.0.0.1:0") as running:
            for change, status in (
                ((b"Upgrade: websocket\r\n", b""), b"200"),
                ((b"Upgrade: websocket", b"Upgrade: h2c"), b"200"),
                ((b"GET /echo", b"POST /echo"), b"200"),
                ((b"Version: 13", b"Version: 8"), b"426"),
                ((b"dGhlIHNhbXBsZSBub25jZQ==", b"c2hvcnQ="), b"400"),
                ((b"Host: a\r\n", b"Host: a\r\nOrigin: https://elsewhere\r\n"), b"101"),
                ((b"Upgrade: websocket", b"Upgrade: h2c, WebSocket"), b"101"),
            ):
                with sockets.create_connection(("127.0.0.1", running.port), timeout=LIMIT) as connection:
                    connection.sendall(HANDSHAKE.replace(*change))
                    self.assertEqual(receive(connection, b"\r\n\r\n").split()[1], status, change)
        self.assertEqual(kinds, ["http"] * 3 + ["websocket"] * 2)


class TestEvents(Quiet, unittest.TestCase):
    def test_messages_in_each_model(self):
        for model in ("event", "threads", "sequential"):
            app = Server(model=model)
            app.mount_asgi("/", echo, lifespan="off")
            for make in (TestClient, serve):
                with self.subTest(model), make(app) as client, client.websocket("/") as socket:
                    for message in ("", "grüße", b"", b"\x00\xff", "a" * 100000, b"b" * 1000000):
                        socket.send(message)
                        self.assertEqual(socket.receive(), message)
        self.assertEqual(self.log, [])

    def test_both_keys_of_a_message(self):
        async def application(scope, receive, send):
            await accept(receive, send)
            await send({"type": "websocket.send", "text": "a", "bytes": None})
            await send({"type": "websocket.send", "text": None, "bytes": b"b"})
            for wrong in ({}, {"text": None}, {"text": b"a"}, {"bytes": "b"}):
                try:
                    await send({"type": "websocket.send", **wrong})
                except TypeError as error:
                    await send({"type": "websocket.send", "text": str(error)})

        with TestClient(mounted(application)) as client, client.websocket("/") as socket:
            self.assertEqual([socket.receive() for _ in range(2)], ["a", b"b"])
            self.assertEqual(
                list(socket),
                [
                    "websocket.send has bytes, or a text that is a str, got None",
                    "websocket.send has bytes, or a text that is a str, got None",
                    "websocket.send has bytes, or a text that is a str, got bytes b'a'",
                    "the bytes of websocket.send are bytes, got str 'b'",
                ],
            )

    def test_codes_and_reasons(self):
        events = []

        async def application(scope, receive, send):
            await accept(receive, send)
            if scope["path"] == "/closes":
                await send({"type": "websocket.close", "code": 4000, "reason": "enough"})
            elif scope["path"] == "/closes-plainly":
                await send({"type": "websocket.close"})
            events.append(await receive())
            events.append(await receive())

        with TestClient(mounted(application)) as client:
            for path, code, reason in (("/closes", 4000, "enough"), ("/closes-plainly", 1000, "")):
                events.clear()
                with self.assertRaises(WebSocketClosed) as caught:
                    client.websocket(path).receive()
                self.assertEqual((caught.exception.code, caught.exception.reason), (code, reason))
                self.assertTrue(until(lambda: len(events) == 2))
                self.assertEqual([event["type"] for event in events], ["websocket.disconnect"] * 2)
                self.assertEqual(events[0]["code"], code)
            events.clear()
            client.websocket("/").close(4321, "tschüß")
            self.assertTrue(until(lambda: len(events) == 2))
            self.assertEqual(events, [{"type": "websocket.disconnect", "code": 4321, "reason": "tschüß"}] * 2)
            events.clear()
            client.websocket("/").leave()
            self.assertTrue(until(lambda: len(events) == 2))
            self.assertEqual(events[0]["code"], 1006)
        self.assertEqual(self.log, [])

    def test_after_the_client_has_left_send_raises_an_oserror(self):
        errors = []

        async def application(scope, receive, send):
            await accept(receive, send)
            await receive()
            for kind in ("websocket.send", "websocket.send", "websocket.close"):
                try:
                    await send({"type": kind, "text": "late"})
                except OSError as error:
                    errors.append(str(error))
            # Not caught: the log has no line for it.
            await send({"type": "websocket.send", "text": "late"})

        with serve(mounted(application)) as client:
            client.websocket("/").leave()
            self.assertTrue(until(lambda: len(errors) == 2))
        self.assertEqual(errors, ["the client has disconnected"] * 2)
        self.assertEqual(self.log, [])

    def test_send_waits_until_the_client_reads(self):
        sent = []

        async def application(scope, receive, send):
            await accept(receive, send)
            for number in range(200):
                await send({"type": "websocket.send", "bytes": b"x" * 60000})
                sent.append(number)
            await send({"type": "websocket.send", "text": "the last"})

        app = mounted(application, websocket={"queue_limit": 1000})
        with app.start("127.0.0.1:0") as running, opened(running, "/") as connection:
            self.assertTrue(until(lambda: len(sent) > 3))
            self.assertFalse(until(lambda: len(sent) == 200, 0.3))
            receive(connection, b"the last")
        self.assertEqual(len(sent), 200)

    def test_a_stop_tells_1001(self):
        events, there = [], threading.Event()

        async def application(scope, receive, send):
            await accept(receive, send)
            there.set()
            events.append(await receive())
            await asyncio.sleep(0.02)
            events.append("cleaned up")

        app = mounted(application)
        with app.start("127.0.0.1:0") as running, opened(running, "/") as connection:
            self.assertTrue(there.wait(LIMIT))
            stop = threading.Thread(target=running.stop, args=(LIMIT,))
            stop.start()
            receive(connection, b"\x03\xe9")
            connection.sendall(frame(8, b"\x03\xe9"))
            stop.join(LIMIT)
        self.assertEqual(events, [{"type": "websocket.disconnect", "code": 1001, "reason": ""}, "cleaned up"])
        self.assertEqual(self.log, [])

    def test_message_limit_and_other_settings(self):
        app = mounted(echo, websocket={"message_limit": 10, "compression": False, "ping_interval": None})
        with TestClient(app) as client:
            socket = client.websocket("/", headers={"sec-websocket-extensions": "permessage-deflate"})
            self.assertNotIn("sec-websocket-extensions", socket.headers)
            socket.send("a" * 11)
            with self.assertRaises(WebSocketClosed) as caught:
                socket.receive()
            self.assertEqual(caught.exception.code, 1009)
            with TestClient(mounted(echo)) as other:
                socket = other.websocket("/", headers={"sec-websocket-extensions": "permessage-deflate"})
                self.assertIn("permessage-deflate", socket.headers["sec-websocket-extensions"])
                socket.close()
        with self.assertRaisesRegex(InvalidArgumentError, "there is no setting 'origins' of WebSocket"):
            mounted(echo, websocket={"origins": ["https://a"]})
        with self.assertRaisesRegex(TypeError, "websocket is a mapping from names of settings to values"):
            mounted(echo, websocket=7)


class TestHandshakes(Quiet, unittest.TestCase):
    def test_accept_with_a_subprotocol_and_fields(self):
        async def application(scope, receive, send):
            headers = [(b"X-Room", b"7"), (b"set-cookie", b"a=b")]
            await accept(receive, send, subprotocol=scope["subprotocols"][-1], headers=headers)

        with TestClient(mounted(application)) as client:
            socket = client.websocket("/", subprotocols=["one", "two"])
            self.assertEqual((socket.subprotocol, socket.headers["x-room"]), ("two", "7"))
            socket.close()

    def test_a_close_before_accept_is_a_403(self):
        events = []

        async def application(scope, receive, send):
            await receive()
            await send({"type": "websocket.close", "code": 4000, "reason": "no"})
            events.append(await receive())

        with TestClient(mounted(application)) as client, self.assertRaises(WebSocketRefused) as caught:
            client.websocket("/")
        self.assertEqual(caught.exception.response.status, 403)
        self.assertEqual(events, [{"type": "websocket.disconnect", "code": 1006, "reason": ""}])

    def test_a_denial_response(self):
        async def application(scope, receive, send):
            await receive()
            headers = [(b"content-type", b"application/json"), (b"x-why", b"none")]
            await send({"type": "websocket.http.response.start", "status": 401, "headers": headers})
            if scope["path"] == "/parts":
                await send({"type": "websocket.http.response.body", "body": b'{"a"', "more_body": True})
                await send({"type": "websocket.http.response.body", "body": b":7}", "more_body": False})
            else:
                await send({"type": "websocket.http.response.body", "body": b'{"a":7}'})

        with TestClient(mounted(application)) as client:
            for path in ("/", "/parts"):
                with self.assertRaises(WebSocketRefused) as caught:
                    client.websocket(path)
                response = caught.exception.response
                self.assertEqual((response.status, response.json()), (401, {"a": 7}))
                self.assertEqual(response.headers["x-why"], "none")
        self.assertEqual(self.log, [])

    def test_receive_before_the_decision_waits_for_it(self):
        async def application(scope, receive, send):
            await receive()
            next_event = asyncio.ensure_future(receive())
            await asyncio.sleep(0.01)
            await send({"type": "websocket.accept"})
            event = await next_event
            await send({"type": "websocket.send", "text": event["text"]})

        with TestClient(mounted(application)) as client, client.websocket("/") as socket:
            socket.send("a")
            self.assertEqual(socket.receive(), "a")

    def test_a_client_that_leaves_before_the_decision(self):
        events = []

        async def application(scope, receive, send):
            await receive()
            events.append("connect")
            events.append(await receive())

        with mounted(application).start("127.0.0.1:0") as running:
            with sockets.create_connection(("127.0.0.1", running.port), timeout=LIMIT) as connection:
                connection.sendall(HANDSHAKE)
                self.assertTrue(until(lambda: events))
            self.assertTrue(until(lambda: len(events) == 2))
        self.assertEqual(events[1], {"type": "websocket.disconnect", "code": 1006, "reason": ""})


class TestFaults(Quiet, unittest.TestCase):
    def refused(self, application):
        with (
            TestClient(mounted(application), raise_errors=False) as client,
            self.assertRaises(WebSocketRefused) as caught,
        ):
            client.websocket("/")
        return caught.exception.response.status

    def test_exceptions(self):
        async def before(scope, receive, send):
            await receive()
            raise ValueError("broken")

        async def after(scope, receive, send):
            await accept(receive, send)
            raise ValueError("broken")

        self.assertEqual(self.refused(before), 500)
        with TestClient(mounted(after), raise_errors=False) as client:
            with self.assertRaises(WebSocketClosed) as caught:
                client.websocket("/").receive()
            self.assertEqual(caught.exception.code, 1011)
        self.assertEqual(len(self.log), 2)
        self.assertIn("broken", self.log[0])
        self.assertIn("broken", self.log[1])

    def test_an_application_that_returns_too_early(self):
        async def nothing(scope, receive, send):
            pass

        async def half(scope, receive, send):
            await send({"type": "websocket.http.response.start", "status": 401})

        self.assertEqual(self.refused(nothing), 500)
        self.assertIn("has returned without an answer to the handshake", self.log[0])
        self.assertEqual(self.refused(half), 500)
        self.assertIn("has returned before the end of the response", self.log[1])

    def test_messages_out_of_order(self):
        seen = []

        async def application(scope, receive, send):
            async def attempt(message):
                try:
                    await send(message)
                except (RuntimeError, TypeError, ValueError) as error:
                    seen.append(str(error))

            await attempt({"type": "websocket.send", "text": "early"})
            await attempt({"type": "http.response.start", "status": 200})
            await attempt({"type": "websocket.accept", "headers": [(b"sec-websocket-protocol", b"a")]})
            await attempt({"type": "websocket.accept", "headers": [(b"a\n", b"a")]})
            await attempt({"type": "websocket.accept", "subprotocol": "a b"})
            await attempt({"type": "websocket.accept"})
            await attempt({"type": "websocket.accept"})
            await attempt({"type": "websocket.close", "code": 1006})
            await attempt({"type": "websocket.close"})
            await attempt({"type": "websocket.send", "text": "late"})

        with TestClient(mounted(application)) as client:
            client.websocket("/").close()
            self.assertTrue(until(lambda: len(seen) == 8))
        before = "websocket.accept, websocket.close or websocket.http.response.start"
        what = "the application sent the message"
        self.assertEqual(
            seen,
            [
                f"{what} 'websocket.send', and what comes next is {before}",
                f"{what} 'http.response.start', and what comes next is {before}",
                "the server sets the field sec-websocket-protocol of websocket.accept",
                "header name 'a\\n': character '\\n' at 1 is not allowed in a name",
                "a subprotocol is a token (RFC 6455 4.1), got 'a b'",
                f"{what} 'websocket.accept', and what comes next is websocket.send or websocket.close",
                "1006 is not a code that a Close may have (RFC 6455 7.4)",
                f"{what} 'websocket.send', and what comes next is no message, "
                "because the application has ended the connection",
            ],
        )


if __name__ == "__main__":
    unittest.main()
