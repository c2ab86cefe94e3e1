"""WebSocket messages in pieces: received as they arrive, and sent one after another."""

import struct
import threading
import unittest

from support import LIMIT, Quiet, receive, until, ways
from websocket_case import frame, opened

from transom import InvalidArgumentError, Server, WebSocketPiece
from transom.testing import TestClient


def piece_routes(app, seen, **options):
    """Adds an asynchronous and a plain handler that send each piece back, and keep what they get."""

    @app.websocket("/pieces", in_pieces=True, **options)
    async def handler(socket):
        while True:
            piece = await socket.receive_piece()
            seen.append(piece)
            await socket.send_piece(piece.payload, piece.is_last)

    @app.websocket("/plain-pieces", in_pieces=True, **options)
    def plain(socket):
        while True:
            piece = socket.receive_piece()
            seen.append(piece)
            socket.send_piece(piece.payload, piece.is_last)


def next_frame(connection):
    """Returns the first byte of the next frame, and its payload."""
    head = connection.recv(2)
    length = head[1]
    if length == 126:
        (length,) = struct.unpack("!H", connection.recv(2))
    payload = b""
    while len(payload) < length:
        payload += connection.recv(length - len(payload))
    return head[0], payload


class TestReceiving(Quiet, unittest.TestCase):
    def test_pieces_come_as_they_arrive_in_each_model_and_each_kind_of_loop(self):
        for name, app, start in ways():
            seen = []
            piece_routes(app, seen)
            with start() as running:
                for path in ("/pieces", "/plain-pieces"):
                    with self.subTest(f"{name}, {path}"), opened(running, path) as connection:
                        # A text is cut between characters, and the message has not ended yet.
                        connection.sendall(frame(1, b"be\xc3", False))
                        self.assertEqual(next_frame(connection), (1, b"be"))
                        connection.sendall(frame(0, b"\xa9", False) + frame(0, b"", True))
                        self.assertEqual(next_frame(connection), (0, "é".encode()))
                        self.assertEqual(next_frame(connection), (0x80, b""))
                        connection.sendall(frame(2, b"\x00" * 1000))
                        self.assertEqual(next_frame(connection), (0x82, b"\x00" * 1000))
                        self.assertEqual(
                            seen,
                            [
                                WebSocketPiece("be", False),
                                WebSocketPiece("é", False),
                                WebSocketPiece("", True),
                                WebSocketPiece(b"\x00" * 1000, True),
                            ],
                        )
                        seen.clear()
        self.assertEqual(self.log, [])

    def test_a_message_that_is_larger_than_memory_should_hold(self):
        app, lengths = Server(), []

        @app.websocket("/", in_pieces=True, message_limit=2**40)
        def handler(socket):
            total, most, is_last = 0, 0, False
            while not is_last:
                payload, is_last = socket.receive_piece(LIMIT)
                total, most = total + len(payload), max(most, len(payload))
            lengths.append((total, most < 2**20))
            socket.send("done")

        with TestClient(app) as client, client.websocket("/") as socket:
            socket.send(bytes(2**24))
            self.assertEqual(socket.receive(), "done")
        self.assertEqual(lengths, [(2**24, True)])

    def test_receive_puts_pieces_together(self):
        for path in ("/async", "/plain"):
            app, seen = Server(), []

            @app.websocket("/async", in_pieces=True)
            async def handler(socket, seen=seen):
                try:
                    await socket.receive(0.01)
                except TimeoutError:
                    await socket.send("late")
                async for message in socket:
                    seen.append(message)
                    await socket.send("got")

            @app.websocket("/plain", in_pieces=True)
            def plain(socket, seen=seen):
                try:
                    socket.receive(0.01)
                except TimeoutError:
                    socket.send("late")
                for message in socket:
                    seen.append(message)
                    socket.send("got")

            with self.subTest(path), app.start("127.0.0.1:0") as running:
                with opened(running, path) as connection:
                    # What has come before a timeout is not lost.
                    connection.sendall(frame(1, b"be", False))
                    self.assertEqual(next_frame(connection), (0x81, b"late"))
                    connection.sendall(frame(0, b"gin", False) + frame(9, b"") + frame(0, b"", True))
                    receive(connection, b"got")
                    connection.sendall(frame(2, b"a", False) + frame(0, b"b") + frame(2, b""))
                    receive(connection, b"got")
                    self.assertTrue(until(lambda seen=seen: len(seen) == 3))
                self.assertEqual(seen, ["begin", b"ab", b""])

    def test_without_in_pieces_each_message_is_one_piece(self):
        app = Server()

        @app.websocket("/")
        async def handler(socket):
            await socket.send(repr(await socket.receive_piece(LIMIT)))

        with TestClient(app) as client, client.websocket("/") as socket:
            socket.send("whole")
            self.assertEqual(socket.receive(), "WebSocketPiece(payload='whole', is_last=True)")


class TestSending(Quiet, unittest.TestCase):
    def test_other_messages_wait_for_the_last_piece_and_pings_do_not(self):
        app = Server()

        def send(socket):
            self.assertTrue(socket.try_send_piece("a", False))
            self.assertTrue(socket.try_send("other"))
            socket.ping(b"p")
            self.assertTrue(socket.try_send_piece("b", True))

        @app.websocket("/async")
        async def handler(socket):
            await socket.receive()
            send(socket)
            await socket.wait_closed()

        @app.websocket("/plain")
        def plain(socket):
            socket.receive()
            send(socket)
            socket.wait_closed()

        with app.start("127.0.0.1:0") as running:
            for path in ("/async", "/plain"):
                with opened(running, path) as connection:
                    connection.sendall(frame(1, b"go"))
                    frames = [next_frame(connection) for _ in range(4)]
                    self.assertEqual(frames, [(1, b"a"), (0x89, b"p"), (0x80, b"b"), (0x81, b"other")])

    def test_what_is_no_piece(self):
        app, seen = Server(), []

        @app.websocket("/")
        def handler(socket):
            socket.send_piece("text", False)
            for call in (
                lambda: socket.send_piece(b"bytes", True),
                lambda: socket.try_send_piece(b"bytes", True),
                lambda: socket.send_piece(5, True),
                lambda: socket.send_piece("a", 1),
                lambda: socket.try_send_piece("a", None),
                lambda: socket.send_piece("a", True, timeout=-1),
                lambda: socket.receive_piece("1"),
            ):
                try:
                    call()
                except (TypeError, ValueError) as error:
                    seen.append(str(error))
            socket.send_piece("", True)

        with TestClient(app) as client, client.websocket("/") as socket:
            self.assertEqual(socket.receive(), "text")
        self.assertEqual(
            seen,
            [
                "the pieces of a message are all str, or all bytes",
                "the pieces of a message are all str, or all bytes",
                "a message is str or bytes, got int 5",
                "is_last is True or False, got int 1",
                "is_last is True or False, got None",
                "timeout is 0 to 1000000000 seconds, or None for none, got -1",
                "timeout is 0 to 1000000000 seconds, or None for none, as int or float, got str '1'",
            ],
        )
        with self.assertRaisesRegex(TypeError, "in_pieces is True or False, got int 1"):
            app.websocket("/1", in_pieces=1)
        with self.assertRaisesRegex(InvalidArgumentError, "there is no setting 'in_pieces'"):
            app.mount_asgi("/2", lambda *_: None, websocket={"in_pieces": True})

    def test_pieces_wait_for_room_and_time_out(self):
        app, seen = Server(), []
        read = threading.Event()
        piece = bytes(2**16)

        @app.websocket("/async", queue_limit=1000, compression=False)
        async def handler(socket):
            await socket.receive()
            try:
                # The kernel takes some of them.
                while True:
                    await socket.send_piece(piece, False, timeout=0.05)
            except TimeoutError as error:
                seen.append(str(error))
            read.set()
            await socket.send_piece(piece, True, timeout=LIMIT)
            await socket.wait_closed()

        @app.websocket("/plain", queue_limit=1000, compression=False)
        def plain(socket):
            socket.receive()
            try:
                while True:
                    socket.send_piece(piece, False, timeout=0.05)
            except TimeoutError as error:
                seen.append(str(error))
            read.set()
            socket.send_piece(piece, True, timeout=LIMIT)
            socket.wait_closed()

        with app.start("127.0.0.1:0") as running:
            for path in ("/async", "/plain"):
                with opened(running, path) as connection:
                    read.clear()
                    connection.sendall(frame(1, b"go"))
                    self.assertTrue(read.wait(LIMIT))
                    received = b""
                    while (
                        not received.endswith(piece) or b"\x80\x7f" + struct.pack("!Q", 2**16) not in received
                    ):
                        received = received[-(2**17) :] + connection.recv(2**20)
        self.assertEqual(seen, ["the peer has read too little within 0.05 s"] * 2)


if __name__ == "__main__":
    unittest.main()
