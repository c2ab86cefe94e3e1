"""A server behind proxies: the client is the one that a trusted proxy names."""

import contextlib
import unittest

from support import Quiet, connect, exchange

from transom import BadAddressError, InvalidArgumentError, Server

REQUEST = b"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"
LINE = b"PROXY TCP4 192.0.2.7 198.51.100.1 4711 443\r\n"
BINARY = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c" + bytes([192, 0, 2, 7, 198, 51, 100, 1, 0x12, 0x67, 1, 0xBB])


def body(response):
    """The body of a response that ends with its connection."""
    return response.partition(b"\r\n\r\n")[2].decode()


class TestProxyProtocol(Quiet, unittest.TestCase):
    def start(self, **settings):
        app = Server(**settings)
        app.get("/")(lambda request: repr(request.client))
        return app.start("127.0.0.1:0")

    def assert_closed(self, running, data):
        with connect(running) as connection:
            # The connection may be closed before all is sent.
            with contextlib.suppress(OSError):
                connection.sendall(data)
            with contextlib.suppress(ConnectionResetError):
                self.assertEqual(connection.recv(1), b"")

    def test_the_client_is_the_one_that_the_header_names(self):
        for model in ("event", "threads", "sequential"):
            with self.start(model=model, proxy_protocol=["10.0.0.0/8", "127.0.0.1"]) as running:
                for header in (LINE, BINARY):
                    self.assertEqual(body(exchange(running, header + REQUEST)), "('192.0.2.7', 4711)")
                self.assert_closed(running, REQUEST)

    def test_a_connection_that_is_not_from_a_trusted_proxy_is_closed(self):
        with self.start(proxy_protocol=["10.0.0.0/8", "unix"]) as running:
            self.assert_closed(running, LINE + REQUEST)

    def test_networks_are_checked_at_once(self):
        for network in ("nobody", "10.0.0.1/8", "10.0.0.0/8,unix", "a\0b", ""):
            with self.assertRaises((BadAddressError, InvalidArgumentError)):
                Server(proxy_protocol=[network])
        with self.assertRaises(InvalidArgumentError):
            Server(proxy_protocol=[])
        for wrong in ("127.0.0.1", 1, [1]):
            with self.assertRaises(TypeError):
                Server(proxy_protocol=wrong)


if __name__ == "__main__":
    unittest.main()
