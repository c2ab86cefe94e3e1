"""The ends of WebSocket connections: exceptions, closing, stopping."""

import asyncio
import threading
import time
import unittest

from support import LIMIT, SOON, Program, Quiet, receive, until, ways
from websocket_case import HANDSHAKE, echo_routes, frame, opened

from transom import HTTPError, Server, WebSocketClosed
from transom.testing import TestClient, WebSocketRefused


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
        self.assertIn("handler test_websocket_ends.TestEnds", self.log[0])
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


if __name__ == "__main__":
    unittest.main()
