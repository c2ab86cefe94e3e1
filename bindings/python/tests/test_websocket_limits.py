"""The limits of WebSocket connections."""

import asyncio
import struct
import time
import unittest

from support import Quiet, plain_route, receive, until
from websocket_case import echo_routes, frame, opened

from transom import InvalidArgumentError, Server, WebSocketClosed
from transom.testing import TestClient, WebSocketRefused, serve


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


if __name__ == "__main__":
    unittest.main()
