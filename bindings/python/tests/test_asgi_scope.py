"""The scope that an ASGI application gets for a request."""

import shutil
import ssl
import subprocess
import tempfile
import unittest
from pathlib import Path

from support import LIMIT, Quiet, connect, exchange, fetch, read_all, served

from transom import Server, Tls, serve_asgi


class Telling:
    """An application that keeps the scopes of its requests."""

    def __init__(self):
        self.scopes = []

    async def __call__(self, scope, receive, send):
        if scope["type"] == "http":
            self.scopes.append(scope)
            await send({"type": "http.response.start", "status": 200})
            await send({"type": "http.response.body", "body": b"told"})


def asked(*lines, end=False, **settings):
    """Returns the scope of a request with these lines."""
    application = Telling()
    data = "\r\n".join([*lines, "", ""]).encode("latin-1")
    with serve_asgi(application, "127.0.0.1:0", **settings) as running:
        exchange(running, data, end=end)
    return application.scopes[0]


CLOSE = ("Host: a", "Connection: close")


class TestScope(Quiet, unittest.TestCase):
    def test_what_it_has(self):
        application = Telling()
        with serve_asgi(application, "127.0.0.1:0") as running, connect(running) as client:
            client.sendall(b"GET /a/b?c=%64 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            read_all(client)
            place = client.getsockname()
        scope = application.scopes[0]
        self.assertEqual(
            scope,
            {
                "type": "http",
                "asgi": {"version": "3.0", "spec_version": "2.4"},
                "http_version": "1.1",
                "method": "GET",
                "scheme": "http",
                "path": "/a/b",
                "raw_path": b"/a/b",
                "query_string": b"c=%64",
                "root_path": "",
                "headers": [(b"host", b"x"), (b"connection", b"close")],
                "client": place,
                "server": ("127.0.0.1", running.port),
                "state": {},
                "extensions": {
                    "http.response.trailers": {},
                    "http.response.early_hint": {},
                    "http.response.pathsend": {},
                },
            },
        )
        self.assertEqual([type(scope[name][1]) for name in ("client", "server")], [int, int])

    def test_the_path_is_decoded_and_the_raw_path_is_not(self):
        for target, raw, path in (
            ("/caf%C3%A9%20x", b"/caf%C3%A9%20x", "/caf\xe9 x"),
            ("/a%2Fb", b"/a%2Fb", "/a/b"),
            ("/%FF", b"/%FF", "/\ufffd"),
            ("/a%3Fb?c", b"/a%3Fb", "/a?b"),
            ("//a//", b"//a//", "//a//"),
            ("/a+b%2B", b"/a+b%2B", "/a+b+"),
            ("http://other/x?y=1", b"/x", "/x"),
        ):
            scope = asked(f"GET {target} HTTP/1.1", *CLOSE)
            self.assertEqual((scope["raw_path"], scope["path"]), (raw, path))

    def test_header_names_are_lower_and_order_and_duplicates_are_kept(self):
        scope = asked(
            "GET / HTTP/1.1", *CLOSE, "X-B: 1", "x-a: 2", "X-B:  3 ", "X_C: \xe9", "Cookie: a=1", "Cookie: b"
        )
        self.assertEqual(
            scope["headers"][2:],
            [
                (b"x-b", b"1"),
                (b"x-a", b"2"),
                (b"x-b", b"3"),
                (b"x_c", b"\xe9"),
                (b"cookie", b"a=1"),
                (b"cookie", b"b"),
            ],
        )

    def test_an_old_client(self):
        scope = asked("GET /x HTTP/1.0")
        self.assertEqual((scope["http_version"], scope["headers"]), ("1.0", []))

    def test_each_scope_is_fresh(self):
        async def application(scope, receive, send):
            if scope["type"] == "lifespan":
                scope["state"].update(shared=[], name="first")
                await receive()
                await send({"type": "lifespan.startup.complete"})
                await receive()
                await send({"type": "lifespan.shutdown.complete"})
                return
            seen.append(
                (dict(scope["asgi"]), dict(scope["extensions"]), list(scope["headers"]), dict(scope["state"]))
            )
            scope["asgi"]["version"] = "9"
            scope["extensions"].clear()
            scope["headers"].clear()
            scope["state"]["name"] = "second"
            scope["state"]["shared"].append(1)
            await send({"type": "http.response.start", "status": 200})
            await send({"type": "http.response.body"})

        seen = []
        with serve_asgi(application, "127.0.0.1:0") as running:
            for _ in range(3):
                fetch(running, "/")
        self.assertEqual(seen[0][:3], seen[1][:3])
        self.assertEqual([each[3]["name"] for each in seen], ["first"] * 3)
        # The copy is shallow.
        self.assertEqual([len(each[3]["shared"]) for each in seen], [3] * 3)

    def test_a_unix_socket(self):
        application = Telling()
        folder = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, folder)
        path = f"{folder}/socket"
        import socket

        with serve_asgi(application, f"unix:{path}"), socket.socket(socket.AF_UNIX) as client:
            client.settimeout(LIMIT)
            client.connect(path)
            client.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            read_all(client)
        self.assertEqual(application.scopes[0]["client"], None)
        self.assertEqual(application.scopes[0]["server"], (path, None))

    def test_several_addresses(self):
        application = Telling()
        with serve_asgi(application, ["127.0.0.1:0", "127.0.0.1:0"]) as running:
            fetch(running, "/")
        self.assertEqual(application.scopes[0]["server"], ("127.0.0.1", running.port))

    def test_what_a_trusted_proxy_tells(self):
        scope = asked(
            "GET / HTTP/1.1",
            *CLOSE,
            "X-Forwarded-For: 192.0.2.7",
            "X-Forwarded-Proto: https",
            "X-Forwarded-Host: public",
            forwarded="x-forwarded",
            trusted_proxies=["127.0.0.1"],
            forwarded_host=True,
        )
        self.assertEqual((scope["client"], scope["scheme"]), (("192.0.2.7", 0), "https"))
        self.assertEqual([value for name, value in scope["headers"] if name == b"host"], [b"public"])

    def test_in_a_loop_of_the_host(self):
        application = Telling()
        app = Server()
        app.mount_asgi("/x", application)
        with served(app) as running:
            fetch(running, "/x/y")
        self.assertEqual((application.scopes[0]["root_path"], application.scopes[0]["path"]), ("/x", "/x/y"))

    def test_names_that_clients_choose_do_not_fill_the_memory(self):
        from transom._asgi.scope import _MOST, _Clients, _Names

        names, clients = _Names(), _Clients()
        for number in range(3 * _MOST):
            self.assertEqual(names[b"X-%d" % number], b"x-%d" % number)
            self.assertEqual(clients[b"127.0.0.1:%d" % number], ("127.0.0.1", number))
        self.assertLessEqual(len(names), _MOST)
        self.assertLessEqual(len(clients), _MOST)


@unittest.skipUnless(shutil.which("openssl"), "needs openssl")
class TestTls(Quiet, unittest.TestCase):
    def test_the_extension_tells_the_version_and_the_cipher(self):
        folder = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, folder)
        certificate, key = Path(folder, "c.pem"), Path(folder, "k.pem")
        subprocess.run(
            [
                "openssl",
                "req",
                "-x509",
                "-newkey",
                "ec",
                "-pkeyopt",
                "ec_paramgen_curve:P-256",
                "-nodes",
                "-keyout",
                key,
                "-out",
                certificate,
                "-days",
                "2",
                "-subj",
                "/CN=localhost",
                "-addext",
                "subjectAltName=DNS:localhost",
            ],
            check=True,
            capture_output=True,
        )
        application = Telling()
        context = ssl.create_default_context(cafile=certificate)
        with (
            serve_asgi(application, "127.0.0.1:0", tls=Tls(certificate, key)) as running,
            connect(running) as plain,
            context.wrap_socket(plain, server_hostname="localhost") as client,
        ):
            client.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            read_all(client)
            cipher = client.cipher()[0]
        scope = application.scopes[0]
        self.assertEqual(scope["scheme"], "https")
        tls = scope["extensions"]["tls"]
        self.assertEqual((tls["tls_version"], tls["client_cert_chain"]), (0x0304, []))
        numbers = {"TLS_AES_128_GCM_SHA256": 0x1301, "TLS_AES_256_GCM_SHA384": 0x1302}
        self.assertEqual(tls["cipher_suite"], numbers.get(cipher, 0x1303))


if __name__ == "__main__":
    unittest.main()
