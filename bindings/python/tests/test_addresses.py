"""Where a server listens: several addresses, sockets of the program's, and ports that are shared."""

import http.client
import os
import socket
import tempfile
import unittest
from unittest.mock import patch

from support import LIMIT, fetch, is_refused, own_host, served, until, ways

from transom import AddressInUseError, BadAddressError, InvalidArgumentError, Server
from transom._handle import Handle
from transom._shared_sockets import SharedSockets


def app(**settings):
    server = Server(**settings)
    server.get("/")(lambda request: "well")
    return server


def ask_unix(path):
    """Asks a server on a Unix socket. Returns the body."""
    connection = http.client.HTTPConnection("localhost", timeout=LIMIT)
    connection.sock = socket.socket(socket.AF_UNIX)
    try:
        connection.sock.connect(path)
        connection.request("GET", "/")
        return connection.getresponse().read()
    finally:
        connection.close()


class At:
    """A server on one of several ports."""

    def __init__(self, address):
        self.port = int(address.rpartition(":")[2])


class SeveralAddresses(unittest.TestCase):
    def test_each_address_of_a_list_is_served(self):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "socket")
            with app().start(["127.0.0.1:0", f"unix:{path}", "localhost:0"]) as running:
                first, unix, second = running.addresses
                self.assertEqual((unix, running.url), (f"unix:{path}", f"http://{first}"))
                self.assertEqual(running.port, At(first).port)
                self.assertEqual(fetch(At(first), "/").text, "well")
                self.assertEqual(fetch(At(second), "/").text, "well")
                self.assertEqual(ask_unix(path), b"well")
            self.assertFalse(os.path.exists(path))

    def test_every_way_to_run_a_server_takes_a_list(self):
        for name, server, _ in ways():
            server.get("/")(lambda request: "well")
            with self.subTest(name), server.start(("127.0.0.1:0", "127.0.0.1:0")) as running:
                for address in running.addresses:
                    self.assertEqual(fetch(At(address), "/").text, "well")

    def test_a_server_that_cannot_have_one_address_has_none(self):
        host = own_host()
        taken = socket.create_server((host, 0))
        free = socket.create_server((host, 0))
        port = free.getsockname()[1]
        free.close()
        server = app()
        with taken, self.assertRaises(AddressInUseError):
            server.start([f"{host}:{port}", f"{host}:{taken.getsockname()[1]}"])
        self.assertTrue(until(lambda: is_refused(port, host)))
        with server.start("127.0.0.1:0") as running:
            self.assertEqual(fetch(running, "/").text, "well")

    def test_wrong_addresses(self):
        for wrong in (7, None, b"127.0.0.1:0", ["127.0.0.1:0", None], [["127.0.0.1:0"]]):
            with self.assertRaisesRegex(TypeError, "an address is a str"):
                app().start(wrong)
        with self.assertRaisesRegex(InvalidArgumentError, "no address"):
            app().start([])


class Sockets(unittest.TestCase):
    def test_a_socket_that_listens_is_an_address(self):
        for make in (lambda one: one, lambda one: f"fd:{one.fileno()}"):
            with socket.create_server(("127.0.0.1", 0)) as own:
                port = own.getsockname()[1]
                with app().start([make(own), "127.0.0.1:0"]) as running:
                    self.assertEqual(running.port, port)
                    self.assertEqual([fetch(At(one), "/").text for one in running.addresses], ["well"] * 2)
                # It stays the program's, who may give it to another server.
                with app().start(own) as running:
                    self.assertEqual(fetch(running, "/").text, "well")
            self.assertTrue(until(lambda port=port: is_refused(port)))

    def test_a_socket_from_which_a_server_accepts_does_not_become_blocking(self):
        with socket.create_server(("127.0.0.1", 0)) as own, app().start(own):
            self.assertFalse(os.get_blocking(own.fileno()))
            seen = []

            def listen(handle, descriptor):
                seen.append(os.get_blocking(descriptor))
                return real(handle, descriptor)

            real = Handle.listen_fd
            for address in (own, f"fd:{own.fileno()}"):
                with patch.object(Handle, "listen_fd", listen), app().start(address):
                    pass
                SharedSockets([address], None).close()
                seen.append(os.get_blocking(own.fileno()))
            self.assertEqual(seen, [False] * 4)

    def test_a_loop_of_the_hosts_takes_a_socket(self):
        with socket.create_server(("127.0.0.1", 0)) as own:
            server = app()
            serve = server.serve
            with (
                patch.object(server, "serve", lambda _, **more: serve([own], **more)),
                served(server) as running,
            ):
                self.assertEqual(fetch(running, "/").text, "well")

    def test_what_does_not_listen_is_refused(self):
        packets = socket.SOCK_DGRAM
        with tempfile.TemporaryFile() as file, socket.socket() as quiet, socket.socket(type=packets) as udp:
            numbers = [f"fd:{each.fileno()}" for each in (file, quiet, udp)]
            for wrong in (quiet, udp, *numbers, "fd:", "fd:-1", "fd:x", "fd:9999"):
                with self.subTest(wrong), self.assertRaisesRegex(BadAddressError, "^bad address"):
                    app().start(wrong)
        with self.assertRaises(BadAddressError):
            app().start(quiet)


class ReusePort(unittest.TestCase):
    def test_servers_share_a_port_if_each_asks_for_it(self):
        with app(reuse_port=True).start("127.0.0.1:0") as first:
            address = first.addresses[0]
            with self.assertRaises(AddressInUseError):
                app().start(address)
            with app(reuse_port=True).start(address) as second:
                self.assertEqual(second.addresses, first.addresses)
                self.assertEqual(fetch(second, "/").text, "well")
            self.assertEqual(fetch(first, "/").text, "well")

    def test_it_is_a_bool(self):
        with self.assertRaisesRegex(TypeError, "reuse_port is True or False"):
            Server(reuse_port=1)


if __name__ == "__main__":
    unittest.main()
