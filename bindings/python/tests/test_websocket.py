"""WebSocket connections: handlers, refusals, closing, stopping, limits."""

import asyncio
import contextlib
import socket as sockets
import struct
import threading
import time
import unittest

from support import LIMIT, SOON, Program, Quiet, fetch, plain_route, receive, served, until, ways

from transom import (
    AsyncWebSocket,
    BadRouteError,
    HTTPError,
    InvalidArgumentError,
    Response,
    Server,
    WebSocket,
    WebSocketClosed,
)
from transom.testing import TestClient, WebSocketRefused, serve

HANDSHAKE = (
    b"GET /echo HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)


def frame(opcode, payload, is_last=True):
    """Returns a frame of a client, with a mask of zeros."""
    head = struct.pack("!B", 0x80 * is_last | opcode)
    if len(payload) < 126:
        head += struct.pack("!B", 0x80 | len(payload))
    elif len(payload) < 65536:
        head += struct.pack("!BH", 0x80 | 126, len(payload))
    else:
        head += struct.pack("!BQ", 0x80 | 127, len(payload))
    return head + bytes(4) + payload


def echo_routes(app, **options):
    """Adds an asynchronous and a plain handler that send each message back."""

    @app.websocket("/echo", **options)
    async def echo(socket):
        async for message in socket:
            await socket.send(message)

    @app.websocket("/plain-echo", **options)
    def plain_echo(socket):
        for message in socket:
            socket.send(message)


def opened(running, path="/echo"):
    """Opens a raw connection."""
    connection = sockets.create_connection(("127.0.0.1", running.port), timeout=LIMIT)
    connection.sendall(HANDSHAKE.replace(b"/echo", path.encode()))
    receive(connection, b"\r\n\r\n")
    return connection


class TestMessages(Quiet, unittest.TestCase):
    def test_both_kinds_of_handlers_in_each_model_and_each_kind_of_loop(self):
        for name, app, start in ways():
            echo_routes(app)
            with start() as running:
                for path in ("/echo", "/plain-echo"):
                    with self.subTest(f"{name}, {path}"), opened(running, path) as connection:
                        connection.sendall(frame(1, "grüße".encode()) + frame(2, b"\x00\xff"))
                        self.assertEqual(receive(connection, b"\x00\xff")[:2], b"\x81\x07")
                        connection.sendall(frame(8, b"\x03\xe8"))
                        self.assertEqual(receive(connection, b"\x88\x02\x03\xe8"), b"\x88\x02\x03\xe8")
                        self.assertEqual(connection.recv(1), b"")
        self.assertEqual(self.log, [])

    def test_texts_are_str_and_binaries_are_bytes_of_any_length(self):
        app = Server()
        echo_routes(app)
        with TestClient(app) as client:
            for path in ("/echo", "/plain-echo"):
                with client.websocket(path) as socket:
                    for message in ("", b"", "a" * 125, "ä" * 63, b"b" * 65535, "c" * 65536, b"d" * 1000000):
                        socket.send(message)
                        self.assertEqual(socket.receive(), message)

    def test_messages_over_sockets_and_over_none(self):
        app = Server()
        echo_routes(app)
        for make in (TestClient, serve):
            with make(app) as client, client.websocket("/echo") as socket:
                socket.ping(b"there?")
                socket.send("a")
                self.assertEqual(socket.receive(), "a")

    def test_a_timeout_of_receive(self):
        app = Server()
        seen = []

        @app.websocket("/plain")
        def plain(socket):
            for timeout in (0, 0.01):
                try:
                    socket.receive(timeout)
                except TimeoutError as error:
                    seen.append(str(error))
            socket.send("waited")

        @app.websocket("/async")
        async def waits(socket):
            for timeout in (0, 0.01):
                try:
                    await socket.receive(timeout)
                except TimeoutError as error:
                    seen.append(str(error))
            await socket.send("waited")
            # A wait that has timed out leaves nothing behind.
            await socket.send(await socket.receive())

        with TestClient(app) as client:
            with client.websocket("/plain") as socket:
                self.assertEqual(socket.receive(), "waited")
            with client.websocket("/async") as socket:
                self.assertEqual(socket.receive(), "waited")
                socket.send("b")
                self.assertEqual(socket.receive(), "b")
        self.assertEqual(seen, ["no message has come within 0 s", "no message has come within 0.01 s"] * 2)

    def test_other_threads_and_tasks_send(self):
        app = Server()

        @app.websocket("/plain")
        def plain(socket):
            threads = [threading.Thread(target=socket.send, args=(f"{n}",)) for n in range(8)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(LIMIT)
            socket.wait_closed()

        @app.websocket("/async")
        async def tasks(socket):
            await asyncio.gather(*(socket.send(f"{n}") for n in range(8)))
            await socket.wait_closed()

        with TestClient(app) as client:
            for path in ("/plain", "/async"):
                with client.websocket(path) as socket:
                    self.assertEqual(sorted(socket.receive() for _ in range(8)), [f"{n}" for n in range(8)])

    def test_what_is_sent_in_one_turn_of_the_loop_leaves_at_its_end_in_order(self):
        app = Server()
        seen = []

        @app.websocket("/turn")
        async def turn(socket):
            await socket.receive()
            events = socket._events
            # As when several connections have messages at once.
            events.websockets.gather(events.loop)
            for n in range(3):
                await socket.send(f"{n}")
            socket.try_send("3")
            await asyncio.sleep(0)
            await socket.send("4")
            try:
                await socket.receive()
            except WebSocketClosed:
                events.websockets.gather(events.loop)
                try:
                    await socket.send("5")
                except WebSocketClosed as closed:
                    seen.append(closed.code)

        @app.websocket("/last")
        async def last(socket):
            await socket.receive()
            socket._events.websockets.gather(socket._events.loop)
            await socket.send("last")

        with TestClient(app) as client:
            with client.websocket("/turn") as socket:
                socket.send("go")
                self.assertEqual([socket.receive() for _ in range(5)], [f"{n}" for n in range(5)])
                socket.close(4000)
            self.assertTrue(until(lambda: seen))
            self.assertEqual(seen, [4000])
            with client.websocket("/last") as socket:
                socket.send("go")
                self.assertEqual(socket.receive(), "last")

    def test_many_connections_that_send_at_once_get_their_answers_in_order(self):
        app = Server()
        echo_routes(app)
        with app.start("127.0.0.1:0") as running, contextlib.ExitStack() as stack:
            connections = [stack.enter_context(opened(running)) for _ in range(24)]
            for connection in connections:
                connection.sendall(b"".join(frame(2, bytes([n])) for n in range(40)))
            for connection in connections:
                answers = receive(connection, b"\x82\x01\x27")
                self.assertEqual(answers, b"".join(b"\x82\x01" + bytes([n]) for n in range(40)))

    def test_what_is_no_message(self):
        app = Server()
        seen = []

        @app.websocket("/")
        def handler(socket):
            for call in (
                lambda: socket.send(7),
                lambda: socket.send(None),
                lambda: socket.try_send(["a"]),
                lambda: socket.ping("text"),
                lambda: socket.ping(b"x" * 126),
                lambda: socket.send("a", timeout=-1),
                lambda: socket.receive("1"),
                lambda: socket.close(1005),
                lambda: socket.close(999),
                lambda: socket.close(1000, b"reason"),
                lambda: socket.accept(),
            ):
                try:
                    call()
                except (TypeError, ValueError, RuntimeError) as error:
                    seen.append(str(error))
            socket.send("done")

        with TestClient(app) as client, client.websocket("/") as socket:
            self.assertEqual(socket.receive(), "done")
        self.assertEqual(
            seen,
            [
                "a message is str or bytes, got int 7",
                "a message is str or bytes, got None",
                "a message is str or bytes, got list ['a']",
                "the payload of a Ping is bytes, got str 'text'",
                "the payload of a Ping has at most 125 bytes, got 126",
                "timeout is 0 to 1000000000 seconds, or None for none, got -1",
                "timeout is 0 to 1000000000 seconds, or None for none, as int or float, got str '1'",
                "1005 is not a code that a Close may have (RFC 6455 7.4)",
                "the code of a Close is 1000 to 4999, got 999",
                "the reason of a Close is a str, got bytes b'reason'",
                "the handshake was answered before",
            ],
        )

    def test_two_tasks_do_not_receive_at_once(self):
        app = Server()

        @app.websocket("/")
        async def handler(socket):
            tasks = [asyncio.create_task(socket.receive()) for _ in range(2)]
            # Nothing comes before the client is told.
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            await socket.send("one waits")
            results = await asyncio.gather(*tasks, return_exceptions=True)
            await socket.send(str(sorted(type(result).__name__ for result in results)))

        with TestClient(app) as client, client.websocket("/") as socket:
            self.assertEqual(socket.receive(), "one waits")
            socket.send("a")
            self.assertEqual(socket.receive(), "['RuntimeError', 'str']")


class TestHandshakes(Quiet, unittest.TestCase):
    def test_a_handler_looks_at_the_request_and_refuses(self):
        app = Server(error_format="json")

        def check(socket):
            if socket.request.query.get("token") != "secret":
                raise HTTPError(403, "no token", headers={"x-why": "token"})
            socket.accept(headers=[("set-cookie", "room=7"), ("x-room", socket.request.params["room"])])

        @app.websocket("/async/{room}")
        async def handler(socket):
            check(socket)
            await socket.send(socket.request.params["room"])

        @app.websocket("/plain/{room}")
        def plain(socket):
            check(socket)
            socket.send(socket.request.params["room"])

        with TestClient(app) as client:
            for kind in ("async", "plain"):
                with self.assertRaises(WebSocketRefused) as caught:
                    client.websocket(f"/{kind}/7")
                response = caught.exception.response
                self.assertEqual((response.status, response.headers["x-why"]), (403, "token"))
                self.assertEqual(response.json()["detail"], "no token")
                with client.websocket(f"/{kind}/7", params={"token": "secret"}) as socket:
                    self.assertEqual((socket.receive(), socket.headers["x-room"]), ("7", "7"))
                    self.assertEqual(socket.headers["set-cookie"], "room=7")

    def test_converters_and_routers_and_the_state(self):
        from transom import Router

        rooms = Router()

        @rooms.websocket("/{number:int}")
        async def room(socket):
            await socket.send(repr((socket.request.params["number"], socket.request.state.user)))

        app = Server()
        app.mount("/rooms", rooms)

        @app.before
        def sign_in(request):
            request.state.user = request.cookies.get("user")
            if request.state.user is None:
                return "sign in", 401

        with TestClient(app, cookies={"user": "ada"}) as client:
            with client.websocket("/rooms/7") as socket:
                self.assertEqual(socket.receive(), "(7, 'ada')")
            with self.assertRaises(WebSocketRefused) as caught:
                client.websocket("/rooms/seven")
            self.assertEqual(caught.exception.response.status, 404)
        with TestClient(app) as client, self.assertRaises(WebSocketRefused) as caught:
            client.websocket("/rooms/7")
        self.assertEqual((caught.exception.response.status, caught.exception.response.text), (401, "sign in"))

    def test_middleware_adds_fields_to_the_answer_and_has_ended_before_the_handler(self):
        app = Server()
        order = []

        @app.middleware
        async def around(request, next):
            response = await next(request)
            order.append(response.status)
            response.set_header("x-trace", "7")
            response.headers["content-type"] = "text/plain"
            return response

        @app.websocket("/async")
        async def handler(socket):
            order.append("handler")

        @app.websocket("/plain")
        def plain(socket):
            order.append("handler")

        with TestClient(app) as client:
            for path in ("/async", "/plain"):
                with client.websocket(path) as socket:
                    self.assertEqual(socket.headers["x-trace"], "7")
                    self.assertNotIn("content-type", socket.headers)
        self.assertEqual(order, [101, "handler"] * 2)

    def test_requests_that_ask_for_no_websocket(self):
        app = Server()
        runs = []

        @app.websocket("/echo")
        async def echo(socket):
            runs.append(socket)

        with app.start("127.0.0.1:0") as running:
            answer = fetch(running, "/echo")
            self.assertEqual((answer.status, answer.headers["upgrade"]), (426, "websocket"))
            self.assertEqual(answer.headers["sec-websocket-version"], "13")
            self.assertEqual(fetch(running, "/echo", "POST").status, 405)
            for change, status in (
                ((b"Version: 13", b"Version: 8"), b"426"),
                ((b"dGhlIHNhbXBsZSBub25jZQ==", b"c2hvcnQ="), b"400"),
                ((b"dGhlIHNhbXBsZSBub25jZQ==", b"!!!!!!!!!!!!!!!!!!!!!!!="), b"400"),
                ((b"Host: a\r\n", b"Host: a\r\nOrigin: https://elsewhere\r\n"), b"403"),
            ):
                with sockets.create_connection(("127.0.0.1", running.port), timeout=LIMIT) as connection:
                    connection.sendall(HANDSHAKE.replace(*change))
                    self.assertEqual(receive(connection, b"\r\n\r\n").split()[1], status, change)
        # The handler that was called before its handshake was refused did not hear of a connection.
        self.assertTrue(all(socket.is_closed and socket.close_code == 1006 for socket in runs))

    def test_subprotocols_and_origins(self):
        app = Server()
        names = []

        @app.websocket("/", subprotocols=["chat.v2", "chat.v1"], origins=["https://app.example.com"])
        async def handler(socket):
            names.append(socket.subprotocol)

        @app.websocket("/chosen")
        def chosen(socket):
            socket.accept("own")
            names.append(socket.subprotocol)

        @app.websocket("/any", any_origin=True)
        def any_origin(socket):
            pass

        with TestClient(app) as client:
            for listed, expected in ((["chat.v1", "chat.v2"], "chat.v1"), (["other"], None), ([], None)):
                with client.websocket("/", subprotocols=listed) as socket:
                    self.assertEqual(socket.subprotocol, expected)
            with client.websocket("/chosen", subprotocols=["a", "own"]) as socket:
                self.assertEqual(socket.subprotocol, "own")
            client.websocket("/", headers={"origin": "https://app.example.com"}).close()
            client.websocket("/any", headers={"origin": "https://elsewhere"}).close()
            with self.assertRaises(WebSocketRefused) as caught:
                client.websocket("/", headers={"origin": "https://elsewhere"})
            self.assertEqual(caught.exception.response.status, 403)
        self.assertEqual(names, ["chat.v1", None, None, "own", None])

    def test_a_handler_that_never_uses_its_connection_opens_and_closes_it(self):
        app = Server()
        app.websocket("/async")(AsyncNothing())
        app.websocket("/plain")(lambda socket: None)
        with TestClient(app) as client:
            for path in ("/async", "/plain"):
                socket = client.websocket(path)
                with self.assertRaises(WebSocketClosed) as caught:
                    socket.receive()
                self.assertEqual(caught.exception.code, 1000)

    def test_mistakes_in_the_definition(self):
        app = Server()
        for options, text in (
            ({"message_limit": 0}, "message_limit is 1 to 1099511627776, got 0"),
            ({"message_limit": "1"}, "message_limit is an int from 1 to 1099511627776, got str '1'"),
            (
                {"ping_timeout": None},
                "ping_timeout is 0.001 to 1000000000 seconds, as int or float, got None",
            ),
            ({"compression": 1}, "compression is True or False, got int 1"),
            ({"subprotocols": "chat"}, "subprotocols are several str, such as ['chat'], got str 'chat'"),
            ({"subprotocols": ["a b"]}, "a subprotocol is a token (RFC 6455 4.1), got 'a b'"),
            ({"origins": ["example.com"]}, "an origin is such as 'https://example.com', got 'example.com'"),
            ({"origins": ["http://a"], "any_origin": True}, "origins and any_origin=True exclude each other"),
        ):
            with self.subTest(text), self.assertRaises((TypeError, InvalidArgumentError)) as caught:
                app.websocket("/", **options)
            self.assertEqual(str(caught.exception), text)
        with self.assertRaisesRegex(
            InvalidArgumentError, "there is no setting 'size' of WebSocket; there are: m"
        ):
            app.websocket("/", size=7)
        with self.assertRaisesRegex(TypeError, "cannot be called with one connection"):
            app.websocket("/")(lambda: None)
        with self.assertRaisesRegex(TypeError, "a handler is a function that takes a connection, got int"):
            app.websocket("/")(7)
        with self.assertRaises(BadRouteError):
            app.websocket("no-slash")(lambda socket: None)
        app.websocket("/")(lambda socket: None)
        with self.assertRaises(BadRouteError):
            app.get("/")(lambda request: "")
        app.websocket("/", replace=True)(lambda socket: None)


class AsyncNothing:
    """An asynchronous handler that is an object."""

    async def __call__(self, socket):
        pass


class TestEnds(Quiet, unittest.TestCase):
    def test_an_exception_closes_with_1011_and_is_logged(self):
        app = Server()

        @app.websocket("/async")
        async def handler(socket):
            await socket.receive()
            raise ValueError("broken")

        @app.websocket("/plain")
        def plain(socket):
            socket.receive()
            raise ValueError("broken")

        @app.websocket("/late-refusal")
        def late(socket):
            socket.receive()
            raise HTTPError(403)

        @app.websocket("/value")
        def value(socket):
            socket.receive()
            return "done"

        with TestClient(app, raise_errors=False) as client:
            for path in ("/async", "/plain", "/late-refusal", "/value"):
                socket = client.websocket(path)
                socket.send("a")
                with self.assertRaises(WebSocketClosed) as caught:
                    socket.receive()
                self.assertEqual(caught.exception.code, 1011, path)
                self.assertTrue(until(lambda path=path: any(f"route {path}" in line for line in self.log)))
        self.assertIn("handler test_websocket.TestEnds", self.log[0])
        self.assertIn("failed on GET /async, route /async: broken", self.log[0])
        self.assertIn("has returned str: it returns None", self.log[3])
        self.assertEqual(len(self.log), 4)

    def test_an_exception_before_the_handshake_is_a_500_or_what_an_error_handler_says(self):
        app = Server()

        @app.websocket("/")
        async def handler(socket):
            raise LookupError("nothing")

        with TestClient(app, raise_errors=False) as client, self.assertRaises(WebSocketRefused) as caught:
            client.websocket("/")
        self.assertEqual(caught.exception.response.status, 500)
        self.assertEqual(len(self.log), 1)

        @app.error(LookupError)
        def answer(request, error):
            return {"error": str(error)}, 404

        with TestClient(app) as client, self.assertRaises(WebSocketRefused) as caught:
            client.websocket("/")
        self.assertEqual(caught.exception.response.json(), {"error": "nothing"})

    def test_the_test_client_raises_the_exception_of_the_handler(self):
        app = Server()

        @app.websocket("/")
        def handler(socket):
            socket.receive()
            raise ValueError("broken")

        with TestClient(app) as client:
            socket = client.websocket("/")
            socket.send("a")
            with self.assertRaisesRegex(ValueError, "broken"):
                socket.receive()

    def test_codes_and_reasons_in_both_directions(self):
        app = Server()
        ends = []

        @app.websocket("/async")
        async def handler(socket):
            async for message in socket:
                await socket.send(message)
            ends.append((socket.close_code, socket.close_reason, socket.is_closed))
            try:
                await socket.send("late")
            except WebSocketClosed as closed:
                ends.append((closed.code, closed.reason))

        @app.websocket("/plain")
        def plain(socket):
            self.assertIsNone(socket.close_code)
            for message in socket:
                socket.send(message)
            ends.append((socket.close_code, socket.close_reason, socket.is_closed))
            try:
                socket.try_send("late")
            except WebSocketClosed as closed:
                ends.append((closed.code, closed.reason))

        @app.websocket("/closes")
        def closes(socket):
            socket.close(4000, "ä" * 100)
            socket.close(4001)
            socket.wait_closed()
            ends.append((socket.close_code, socket.close_reason, socket.is_closed))

        with TestClient(app) as client:
            for path in ("/async", "/plain"):
                ends.clear()
                with client.websocket(path) as socket:
                    socket.close(4321, "tschüß")
                self.assertTrue(until(lambda: len(ends) == 2))
                self.assertEqual(ends, [(4321, "tschüß", True), (4321, "tschüß")])
            ends.clear()
            with self.assertRaises(WebSocketClosed) as caught:
                client.websocket("/closes").receive()
            self.assertEqual((caught.exception.code, caught.exception.reason), (4000, "ä" * 61))
            self.assertTrue(until(lambda: ends))
        self.assertEqual(ends[0][0], 4000)

    def test_what_came_before_a_broken_frame_is_answered_first(self):
        app = Server()
        echo_routes(app)
        broken = frame(3, b"")
        with app.start("127.0.0.1:0") as running:
            for path in ("/echo", "/plain-echo"):
                for data in (frame(1, b"a") + broken, frame(1, b"a") + frame(1, b"b") + broken):
                    with self.subTest(path), opened(running, path) as connection:
                        connection.sendall(data)
                        received = receive(connection, b"\x03\xea")
                        self.assertTrue(received.startswith(b"\x81\x01a"), received)
                        self.assertEqual(b"\x81\x01b" in received, b"b" in data)

    def test_a_receiver_that_never_asks_again_delays_the_end_no_longer_than_a_close_may_take(self):
        app = Server()
        end = threading.Event()

        @app.websocket("/echo", close_timeout=0.05)
        def handler(socket):
            socket.receive()
            end.wait(LIMIT)

        with app.start("127.0.0.1:0") as running, opened(running) as connection:
            connection.sendall(frame(1, b"a") + frame(3, b""))
            receive(connection, b"\x03\xea")
            end.set()

    def test_a_client_that_leaves_ends_the_handler_without_a_line_in_the_log(self):
        for name, app, start in ways():
            ends = []

            @app.websocket("/echo")
            async def handler(socket, ends=ends):
                try:
                    while True:
                        await socket.receive()
                finally:
                    ends.append(socket.close_code)

            @app.websocket("/plain-socket")
            def plain(socket, ends=ends):
                try:
                    while True:
                        socket.send("x" * 1000)
                        time.sleep(0.001)
                finally:
                    ends.append(socket.close_code)

            with self.subTest(name), start() as running:
                for path in ("/echo", "/plain-socket"):
                    ends.clear()
                    opened(running, path).close()
                    self.assertTrue(until(lambda ends=ends: ends), path)
                    self.assertEqual(ends, [1006])
        self.assertEqual(self.log, [])

    def test_a_stop_closes_with_1001_and_waits_for_the_handlers(self):
        for name, app, start in ways():
            ends, there = [], []

            @app.websocket("/echo")
            async def handler(socket, ends=ends, there=there):
                there.append(socket)
                async for message in socket:
                    await socket.send(message)
                await asyncio.sleep(0.05)
                ends.append(socket.close_code)

            @app.websocket("/plain-socket")
            def plain(socket, ends=ends, there=there):
                there.append(socket)
                socket.wait_closed()
                time.sleep(0.05)
                ends.append(socket.close_code)

            paths = ("/echo",) if "sequential" in name else ("/echo", "/plain-socket")
            with self.subTest(name), start() as running:
                connections = [opened(running, path) for path in paths]
                self.assertTrue(until(lambda there=there, paths=paths: len(there) == len(paths)))
                stop = threading.Thread(target=running.stop, args=(LIMIT,))
                stop.start()
                for connection in connections:
                    close = receive(connection, b"\x03\xe9")
                    self.assertEqual((close[:1], close[2:4]), (b"\x88", b"\x03\xe9"))
                    connection.sendall(frame(8, b"\x03\xe9"))
                    self.assertEqual(connection.recv(1), b"")
                    connection.close()
                stop.join(LIMIT)
                self.assertEqual(ends, [1001] * len(paths))
        self.assertEqual(self.log, [])

    def test_a_stop_does_not_wait_beyond_its_deadline(self):
        app = Server()
        there = []

        @app.websocket("/echo")
        async def handler(socket):
            socket.accept()
            there.append(socket)
            await asyncio.sleep(LIMIT)

        @app.websocket("/plain")
        def plain(socket):
            socket.accept()
            there.append(socket)
            end.wait(LIMIT)

        end = threading.Event()
        with app.start("127.0.0.1:0") as running, opened(running), opened(running, "/plain"):
            self.assertTrue(until(lambda: len(there) == 2))
            begun = time.monotonic()
            running.stop(0.2)
            self.assertLess(time.monotonic() - begun, SOON)
        end.set()

    def test_a_program_ends_with_open_connections(self):
        code = (
            "import socket, sys, threading\n"
            "from transom import Server\n"
            "app = Server()\n"
            "there = threading.Barrier(3)\n"
            "@app.websocket('/plain')\n"
            "def plain(socket):\n"
            "    socket.accept()\n"
            "    there.wait()\n"
            "    socket.wait_closed()\n"
            "@app.websocket('/echo')\n"
            "async def echo(socket):\n"
            "    socket.accept()\n"
            "    there.wait()\n"
            "    await socket.wait_closed()\n"
            "running = app.start('127.0.0.1:0')\n"
            "for path in ('/plain', '/echo'):\n"
            "    it = socket.create_connection(('127.0.0.1', running.port))\n"
            f"    it.sendall({HANDSHAKE!r}.replace(b'/echo', path.encode()))\n"
            "    globals()[path] = it\n"
            "there.wait()\n"
            # The sockets of the client are left open, which is not what the test is about.
            "import warnings\n"
            "warnings.simplefilter('ignore', ResourceWarning)\n"
        )
        with Program(code) as program:
            self.assertEqual(program.end(), (0, "", ""))


class TestLimits(Quiet, unittest.TestCase):
    def closed_by(self, options, data):
        """Returns the code with which the server closes after a client has sent bytes."""
        app = Server()
        echo_routes(app, **options)
        with app.start("127.0.0.1:0") as running, opened(running) as connection:
            connection.sendall(data)
            received = b""
            while chunk := connection.recv(65536):
                received += chunk
            self.assertEqual(received[:1], b"\x88", received)
            return struct.unpack_from("!H", received, 2)[0]

    def test_message_limit(self):
        self.assertEqual(self.closed_by({"message_limit": 10}, frame(1, b"a" * 11)), 1009)
        pieces = frame(1, b"a" * 10, False) + frame(0, b"a")
        self.assertEqual(self.closed_by({"message_limit": 10}, pieces), 1009)

    def test_frame_limit(self):
        self.assertEqual(self.closed_by({"frame_limit": 10}, frame(1, b"a" * 11)[:6]), 1009)

    def test_message_rate_and_message_timeout(self):
        app = Server()
        limits = {"message_rate": 2**20, "message_timeout": 0.05}
        echo_routes(app, **limits)
        with app.start("127.0.0.1:0") as running:
            for path in ("/echo", "/plain-echo"):
                with opened(running, path) as connection:
                    connection.sendall(frame(1, b"a", False) + frame(0, b"b", False))
                    self.assertIn(b"\x03\xf0a message comes too slowly", receive(connection, b"slowly"))
        for options, text in (
            ({"message_rate": 2**32}, "message_rate is 0 to 4294967295, got 4294967296"),
            (
                {"message_timeout": 0},
                "message_timeout is 0.001 to 1000000000 seconds, or None for none, got 0",
            ),
        ):
            with self.assertRaises(InvalidArgumentError) as caught:
                app.websocket("/", **options)
            self.assertEqual(str(caught.exception), text)
        app.websocket("/", message_rate=0, message_timeout=None)(lambda socket: None)

    def test_ping_interval_and_ping_timeout(self):
        app = Server()
        codes = []

        @app.websocket("/echo", ping_interval=0.05, ping_timeout=0.05)
        async def handler(socket):
            await socket.wait_closed()
            codes.append(socket.close_code)

        with app.start("127.0.0.1:0") as running, opened(running) as connection:
            receive(connection, b"\x89")
            self.assertTrue(until(lambda: codes))
        self.assertEqual(codes, [1006])

    def test_close_timeout(self):
        app = Server()
        codes = []

        @app.websocket("/echo", close_timeout=0.05)
        async def handler(socket):
            socket.close()
            await socket.wait_closed()
            codes.append(socket.close_code)

        with app.start("127.0.0.1:0") as running, opened(running):
            self.assertTrue(until(lambda: codes))
        self.assertEqual(codes, [1006])

    def test_queue_limit_makes_senders_wait_until_the_peer_reads(self):
        app = Server()
        sent = {"/async": 0, "/gathered": 0, "/plain": 0}
        outcomes = []

        @app.websocket("/async", queue_limit=1000)
        async def handler(socket):
            try:
                while True:
                    await socket.send(b"x" * 60000, timeout=0.2)
                    sent["/async"] += 1
            except TimeoutError as error:
                outcomes.append((str(error), socket.queued >= 1000))
            socket.try_send("this does not fit")
            await socket.send("the peer has read")

        @app.websocket("/gathered", queue_limit=1000)
        async def gathered(socket):
            socket.accept()
            events = socket._events
            try:
                while True:
                    events.websockets.gather(events.loop)
                    await socket.send(b"x" * 60000, timeout=0.2)
                    sent["/gathered"] += 1
            except TimeoutError as error:
                outcomes.append((str(error), socket.queued >= 1000))
            events.websockets.gather(events.loop)
            await socket.send("the peer has read")

        @app.websocket("/plain", queue_limit=1000)
        def plain(socket):
            try:
                while True:
                    socket.send(b"x" * 60000, timeout=0.2)
                    sent["/plain"] += 1
            except TimeoutError as error:
                outcomes.append((str(error), socket.queued >= 1000))
            socket.send("the peer has read")

        with app.start("127.0.0.1:0") as running:
            for path in sent:
                outcomes.clear()
                with opened(running, path) as connection:
                    self.assertTrue(until(lambda: outcomes))
                    self.assertEqual(outcomes, [("the peer has read too little within 0.2 s", True)])
                    receive(connection, b"the peer has read")
        self.assertLess(sum(sent.values()), 1000)

    def test_websocket_threads(self):
        app = Server(websocket_threads=2)
        echo_routes(app)
        plain_route(app)
        with serve(app) as client:
            first, second = client.websocket("/plain-echo"), client.websocket("/plain-echo")
            for socket in (first, second):
                socket.send("a")
                self.assertEqual(socket.receive(), "a")
            with self.assertRaises(WebSocketRefused) as caught:
                client.websocket("/plain-echo")
            self.assertEqual(caught.exception.response.status, 503)
            # Others need no thread of these.
            self.assertEqual(client.get("/plain").text, "plain")
            with client.websocket("/echo") as socket:
                socket.send("b")
                self.assertEqual(socket.receive(), "b")
            first.close()

            def is_served():
                try:
                    client.websocket("/plain-echo").close()
                except WebSocketRefused:
                    return False
                return True

            self.assertTrue(until(is_served))
            second.close()
        with self.assertRaisesRegex(InvalidArgumentError, "websocket_threads is 1 to 1024, got 0"):
            Server(websocket_threads=0)

    def test_one_thread_runs_one_plain_handler_at_a_time_that_gives_way_while_it_waits(self):
        app = Server(threads=1)
        runs = []

        @app.websocket("/echo")
        def handler(socket):
            for message in socket:
                runs.append(message)
                count = len(runs)
                time.sleep(0.001)
                self.assertEqual(len(runs), count)
                socket.send(message)

        plain_route(app)
        with serve(app) as client, client.websocket("/echo") as first, client.websocket("/echo") as second:
            for _ in range(20):
                first.send("a")
                second.send("b")
                self.assertEqual(client.get("/plain").text, "plain")
                self.assertEqual((first.receive(), second.receive()), ("a", "b"))

    def test_the_handler_timeout_bounds_the_time_before_the_handshake_is_answered(self):
        app = Server(timeouts={"handler": 0.1})
        seen = []

        @app.websocket("/")
        async def handler(socket):
            await asyncio.sleep(0.3)
            try:
                socket.accept()
            except WebSocketClosed as closed:
                seen.append(closed.code)

        with TestClient(app) as client, self.assertRaises(WebSocketRefused) as caught:
            client.websocket("/")
        self.assertEqual(caught.exception.response.status, 503)
        self.assertTrue(until(lambda: seen))
        self.assertEqual(seen, [1006])


class TestTestClient(Quiet, unittest.TestCase):
    def test_a_handshake_that_meets_no_websocket(self):
        app = Server()
        app.get("/")(lambda request: Response("page"))
        with TestClient(app) as client, self.assertRaises(WebSocketRefused) as caught:
            client.websocket("/")
        self.assertEqual(str(caught.exception), "the handshake was refused: 200 OK: 'page'")
        self.assertEqual(caught.exception.response.text, "page")

    def test_pings_of_the_server_are_answered_and_a_leaving_client_is_gone(self):
        app = Server()
        codes = []

        @app.websocket("/", ping_interval=0.02, ping_timeout=LIMIT)
        async def handler(socket):
            await asyncio.sleep(0.1)
            await socket.send("still there")
            await socket.wait_closed()
            codes.append(socket.close_code)

        with serve(app) as client:
            with client.websocket("/") as socket:
                self.assertEqual(socket.receive(), "still there")
                socket.leave()
            self.assertTrue(until(lambda: codes))
        self.assertEqual(codes, [1006])
        self.assertIsInstance(AsyncWebSocket, type)
        self.assertIsInstance(WebSocket, type)

    def test_served_in_the_loop_of_the_host(self):
        app = Server()
        echo_routes(app)
        with served(app) as running, opened(running) as connection:
            connection.sendall(frame(1, b"a"))
            receive(connection, b"\x81\x01a")


if __name__ == "__main__":
    unittest.main()
