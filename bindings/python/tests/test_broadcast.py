"""A group of WebSocket connections that get the same messages."""

import contextlib
import re
import threading
import unittest

from support import LIMIT, Quiet, receive, until
from websocket_case import opened

from transom import Broadcast, InvalidArgumentError, Server
from transom.testing import TestClient, serve


def chat_routes(app, room, **options):
    """Adds an asynchronous and a plain handler whose connections are members."""

    @app.websocket("/async", **options)
    async def member(socket):
        room.add(socket)
        async for message in socket:
            room.send(message)

    @app.websocket("/plain", **options)
    def plain_member(socket):
        room.add(socket)
        for message in socket:
            room.send(message)


class TestBroadcast(Quiet, unittest.TestCase):
    def test_all_members_get_a_message_in_each_model(self):
        for model in ("event", "threads"):
            app, room = Server(model=model), Broadcast()
            chat_routes(app, room)
            with self.subTest(model), serve(app) as client:
                members = [client.websocket(path) for path in ("/async", "/plain") * 3]
                self.assertTrue(until(lambda room=room: len(room) == 6))
                for message in ("grüße", b"\x00\xff", "x" * 100_000):
                    members[0].send(message)
                    self.assertEqual([member.receive() for member in members], [message] * 6)
                self.assertEqual(room.send("from another thread"), 6)
                self.assertEqual([member.receive() for member in members], ["from another thread"] * 6)
                for member in members:
                    member.close()
                self.assertTrue(until(lambda room=room: len(room) == 0))
                self.assertEqual(room.send("nobody"), 0)
        self.assertEqual(self.log, [])

    def test_a_member_leaves(self):
        app, room = Server(), Broadcast()

        @app.websocket("/")
        async def member(socket):
            room.add(socket)
            room.add(socket)
            await socket.send(str(room.send("to all")))
            room.remove(socket)
            room.remove(socket)
            await socket.send(str(room.send("to nobody")))

        with TestClient(app) as client, client.websocket("/") as socket:
            self.assertEqual(list(socket), ["to all", "1", "0"])

    @contextlib.contextmanager
    def unread(self, policy):
        """A room with one member, and the connection of its client, who has not read yet."""
        app, room = Server(), Broadcast(policy)
        chat_routes(app, room, queue_limit=1000)
        with app.start("127.0.0.1:0") as running, opened(running, "/async") as connection:
            self.assertTrue(until(lambda: len(room) == 1))
            yield room, connection

    def slow(self, policy, end):
        """Returns what a client gets, up to `end`, who did not read while 200 large messages were sent."""
        with self.unread(policy) as (room, connection):
            for number in range(200):
                room.send(b"%03d" % number + b"x" * 60_000)
            return receive(connection, end)

    def test_a_member_that_reads_too_slowly_misses_messages(self):
        with self.unread("drop") as (room, connection):
            sent = [room.send(b"%05dx" % number + b"x" * 60_000) for number in range(1000)]
            got = [b"%05dx" % number for number, reached in enumerate(sent) if reached]
            received = b""
            while b"the last" not in received:
                room.send("the last")
                received += connection.recv(65536)
        self.assertEqual(re.findall(rb"\d{5}x", received), got)
        self.assertLess(len(got), 1000)

    def test_a_member_that_reads_too_slowly_gets_the_newest(self):
        self.assertIn(b"199x", self.slow("coalesce", b"199x"))

    def test_a_member_that_reads_too_slowly_is_closed(self):
        self.assertIn(b"\x88", self.slow("close", b"\x03\xf0"))

    def test_threads_send_at_once(self):
        app, room = Server(), Broadcast()
        chat_routes(app, room)
        with serve(app) as client, client.websocket("/async") as first, client.websocket("/plain") as second:
            self.assertTrue(until(lambda: len(room) == 2))
            threads = [threading.Thread(target=room.send, args=(f"{n}",)) for n in range(20)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(LIMIT)
            # All members get the messages in the same order.
            got = [first.receive() for _ in range(20)]
            self.assertEqual([second.receive() for _ in range(20)], got)
            self.assertEqual(sorted(got, key=int), [f"{n}" for n in range(20)])

    def test_mistakes(self):
        with self.assertRaisesRegex(
            InvalidArgumentError, "slow is 'drop', 'coalesce' or 'close', got 'wait'"
        ):
            Broadcast("wait")
        room = Broadcast()
        with self.assertRaisesRegex(TypeError, "a member of a Broadcast is a WebSocket or an AsyncWebSocket"):
            room.add("socket")
        with self.assertRaisesRegex(TypeError, "a message is str or bytes, got int 7"):
            room.send(7)
        self.assertEqual((len(room), bool(room), repr(room)), (0, True, "<Broadcast to 0 connections>"))


if __name__ == "__main__":
    unittest.main()
