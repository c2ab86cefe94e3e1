"""The counters of a server, and what each connection does."""

import http.client
import socket
import threading
import unittest

from support import LIMIT, Quiet, fetch, until

import transom
from transom import Server


class TestStats(Quiet, unittest.TestCase):
    def test_counters(self):
        app = Server()
        app.get("/")(lambda request: "hello")
        with app.start("127.0.0.1:0") as running:
            stats = running.stats()
            self.assertEqual((stats.connections, stats.requests, stats.refused), (0, 0, 0))
            self.assertEqual((stats.refusals, set(stats.expired.values())), ({}, {0}))
            fetch(running, "/")
            with socket.create_connection(("127.0.0.1", running.port), timeout=LIMIT) as client:
                client.sendall(b"GET / HTTP/1.1\r\n\r\n")
                self.assertIn(b" 400 ", client.recv(100))
            self.assertTrue(until(lambda: running.stats().connections == 0))
            stats = running.stats()
            self.assertEqual((stats.accepted, stats.requests, stats.pending), (2, 1, 0))
            self.assertEqual((stats.refused, stats.refusals), (1, {"missing-host": 1}))
            self.assertEqual(set(stats.states.values()), {0})
            self.assertGreater(stats.bytes_in, 0)
            self.assertGreater(stats.bytes_out, 0)
            self.assertEqual((stats.opening, stats.tls_handshakes, stats.tls_failures), (0, 0, 0))
        with self.assertRaisesRegex(transom.Error, "the server has stopped"):
            running.stats()
        with self.assertRaisesRegex(transom.Error, "the server has stopped"):
            running.connections()

    def test_the_names_are_those_of_the_documentation(self):
        with Server().start("127.0.0.1:0") as running:
            stats = running.stats()
        names = ["idle", "reading-head", "reading-body", "handling", "answering", "lingering", "upgraded"]
        self.assertEqual(list(stats.states), names)
        names = ["handshake", "idle", "head", "body", "handler", "write", "linger"]
        self.assertEqual(list(stats.expired), names)

    def test_connections_show_what_they_do(self):
        for model in "threads", "event":
            with self.subTest(model=model):
                self.show_a_connection(model, threading.Event())

    def show_a_connection(self, model, go_on):
        app = Server(model=model)
        app.get("/")(lambda request: "hello")
        app.get("/waits/{id}")(lambda request: str(go_on.wait(LIMIT)))
        with app.start("127.0.0.1:0") as running:
            self.assertEqual(running.connections(), [])
            client = http.client.HTTPConnection("127.0.0.1", running.port, timeout=LIMIT)
            client.request("GET", "/")
            client.getresponse().read()
            self.assertTrue(until(lambda: [one.state for one in running.connections()] == ["idle"]))
            (idle,) = running.connections()
            self.assertEqual((idle.route, idle.requests), (None, 1))
            self.assertTrue(idle.peer.startswith("127.0.0.1:"), idle.peer)
            client.request("GET", "/waits/7")
            self.assertTrue(until(lambda: [one.state for one in running.connections()] == ["handling"]))
            (busy,) = running.connections()
            self.assertEqual(busy.route, "/waits/{id}")
            self.assertLessEqual(0, busy.lasted)
            self.assertLess(0, busy.deadline)
            self.assertEqual(running.stats().states["handling"], 1)
            go_on.set()
            self.assertEqual(client.getresponse().read(), b"True")
            client.close()
            self.assertTrue(until(lambda: running.connections() == []))

    def test_more_connections_than_there_was_room_for(self):
        app = Server()
        app.get("/")(lambda request: "hello")
        with app.start("127.0.0.1:0") as running:
            clients = [
                socket.create_connection(("127.0.0.1", running.port), timeout=LIMIT) for _ in range(150)
            ]
            self.assertTrue(until(lambda: len(running.connections()) == 150))
            for client in clients:
                client.close()


if __name__ == "__main__":
    unittest.main()
