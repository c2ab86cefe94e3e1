"""WebSocket connections: messages, and the client for tests."""

import asyncio
import contextlib
import threading
import unittest

from support import LIMIT, Quiet, receive, served, until, ways
from websocket_case import echo_routes, frame, opened

from transom import AsyncWebSocket, Response, Server, WebSocket, WebSocketClosed
from transom.testing import TestClient, WebSocketRefused, serve


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
