"""A server behind proxies: the client is the one that a trusted proxy names."""

import contextlib
import json
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


class TestForwarded(Quiet, unittest.TestCase):
    FIELDS = (
        b"X-Forwarded-For: 1.1.1.1, 192.0.2.7\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: a.example\r\n"
        b'Forwarded: for="[2001:db8::7]:4711";proto=http;host=b.example\r\n'
    )

    def ask(self, fields, target=b"/", **settings):
        app = Server(**settings)

        @app.get("/")
        def tell(request):
            proxy = request.connection_client and request.connection_client[0]
            return {"client": request.client, "scheme": request.scheme, "host": request.host, "proxy": proxy}

        with app.start("127.0.0.1:0") as running:
            head = b"GET " + target + b" HTTP/1.1\r\nHost: h\r\nConnection: close\r\n"
            return json.loads(body(exchange(running, head + fields + b"\r\n")))

    def test_the_client_is_the_one_that_a_trusted_proxy_names(self):
        for model in ("event", "threads", "sequential"):
            told = self.ask(
                self.FIELDS, model=model, forwarded="x-forwarded", trusted_proxies=["127.0.0.0/8", "unix"]
            )
            told_too = self.ask(
                self.FIELDS, forwarded="forwarded", trusted_proxies=["127.0.0.1"], forwarded_host=True
            )
            self.assertEqual(
                told, {"client": ["192.0.2.7", 0], "scheme": "https", "host": "h", "proxy": "127.0.0.1"}
            )
            self.assertEqual(
                told_too,
                {
                    "client": ["2001:db8::7", 4711],
                    "scheme": "http",
                    "host": "b.example",
                    "proxy": "127.0.0.1",
                },
            )

    def test_an_ipv6_client_may_have_no_port(self):
        told = self.ask(
            b"X-Forwarded-For: 2001:db8::7\r\n", forwarded="x-forwarded", trusted_proxies=["127.0.0.1"]
        )
        self.assertEqual(told["client"], ["2001:db8::7", 0])

    def test_fields_of_others_are_only_fields(self):
        settings = {"forwarded": "x-forwarded", "trusted_proxies": ["10.0.0.0/8"], "forwarded_host": True}
        for told in (self.ask(self.FIELDS, **settings), self.ask(self.FIELDS)):
            self.assertEqual(told["client"][0], "127.0.0.1")
            self.assertEqual((told["scheme"], told["host"], told["proxy"]), ("http", "h", "127.0.0.1"))

    def test_the_host_may_be_in_the_target(self):
        self.assertEqual(self.ask(b"", target=b"http://a.example:80?x=1")["host"], "a.example:80")

    def test_settings_are_checked_at_once(self):
        for settings in (
            {"forwarded": "via", "trusted_proxies": ["unix"]},
            {"forwarded": "forwarded"},
            {"trusted_proxies": ["unix"]},
            {"forwarded": "forwarded", "trusted_proxies": []},
            {"forwarded_host": True},
        ):
            with self.assertRaises(InvalidArgumentError):
                Server(**settings)
        with self.assertRaises(BadAddressError):
            Server(forwarded="forwarded", trusted_proxies=["10.0.0.1/8"])
        for settings in ({"forwarded": 1, "trusted_proxies": ["unix"]}, {"forwarded_host": 1}):
            with self.assertRaises(TypeError):
                Server(**settings)


if __name__ == "__main__":
    unittest.main()
