"""The environment that a WSGI application gets."""

import http.client
import json
import logging
import os
import shutil
import socket
import ssl
import subprocess
import tempfile
import threading
import unittest
from pathlib import Path

from support import LIMIT, Quiet, at_once, connect, exchange, fetch, read_all, until

import transom
from transom import Server, Tls, serve_wsgi


def telling(environ, start_response):
    """Answers with the environment as JSON, as far as it is text or numbers."""
    start_response("200 OK", [("Content-Type", "application/json")])
    known = {name: value for name, value in environ.items() if isinstance(value, (str, bool, tuple))}
    return [json.dumps(known).encode()]


def asked(*lines, body=b"", old=False, running=None, **settings):
    """Returns the environment of a request with these lines."""
    last = [] if old else ["Host: a", "Connection: close"]
    data = "\r\n".join([lines[0], *last, *lines[1:], "", ""]).encode("latin-1") + body
    if running is not None:
        return json.loads(exchange(running, data, end=False).partition(b"\r\n\r\n")[2])
    with serve_wsgi(telling, "127.0.0.1:0", **settings) as running:
        return asked(*lines, body=body, old=old, running=running)


class TestEnviron(Quiet, unittest.TestCase):
    def test_the_variables_of_cgi(self):
        with serve_wsgi(telling, "127.0.0.1:0") as running, connect(running) as client:
            client.sendall(b"GET /a/b?c=d%20e HTTP/1.1\r\nHost: example.org:80\r\nConnection: close\r\n\r\n")
            port = client.getsockname()[1]
            environ = json.loads(read_all(client).partition(b"\r\n\r\n")[2])
            expected = {
                "REQUEST_METHOD": "GET",
                "SCRIPT_NAME": "",
                "PATH_INFO": "/a/b",
                "QUERY_STRING": "c=d%20e",
                "RAW_URI": "/a/b?c=d%20e",
                "REQUEST_URI": "/a/b?c=d%20e",
                "SERVER_NAME": "127.0.0.1",
                "SERVER_PORT": str(running.port),
                "SERVER_PROTOCOL": "HTTP/1.1",
                "SERVER_SOFTWARE": "transom",
                "REMOTE_ADDR": "127.0.0.1",
                "REMOTE_PORT": str(port),
                "HTTP_HOST": "example.org:80",
                "HTTP_CONNECTION": "close",
                "wsgi.version": [1, 0],
                "wsgi.url_scheme": "http",
                "wsgi.multithread": True,
                "wsgi.multiprocess": False,
                "wsgi.run_once": False,
                "wsgi.input_terminated": True,
            }
            self.assertEqual(environ, expected)

    def test_nothing_of_the_process_is_in_it(self):
        os.environ["TRANSOM_TEST_SECRET"] = "secret"
        self.addCleanup(os.environ.pop, "TRANSOM_TEST_SECRET")
        environ = asked("GET / HTTP/1.1")
        self.assertNotIn("TRANSOM_TEST_SECRET", environ)
        self.assertNotIn("PATH", environ)

    def test_the_path_is_decoded_to_latin_1(self):
        for target, path in (
            ("/caf%C3%A9", "/caf\xc3\xa9"),
            ("/%E9%ff", "/\xe9\xff"),
            ("/a%2Fb%20c", "/a/b c"),
            ("/a+b", "/a+b"),
            ("/a//b/./../c", "/a//b/./../c"),
            ("/%25zz", "/%zz"),
            ("/\xc3\xa9", "/\xc3\xa9"),
        ):
            environ = asked(f"GET {target}?%C3%A9+ HTTP/1.1")
            self.assertEqual(environ["PATH_INFO"], path)
            self.assertEqual(environ["QUERY_STRING"], "%C3%A9+")

    def test_a_mounted_path_is_decoded_too(self):
        app = Server()
        app.mount_wsgi("/caf\xe9", telling)
        with app.start("127.0.0.1:0") as running:
            environ = asked("GET /caf%C3%A9/%C3%A9 HTTP/1.1", running=running)
            self.assertEqual(environ["SCRIPT_NAME"], "/caf\xc3\xa9")
            self.assertEqual(environ["PATH_INFO"], "/\xc3\xa9")
            self.assertEqual(environ["RAW_URI"], "/caf%C3%A9/%C3%A9")

    def test_fields_are_latin_1(self):
        environ = asked("GET / HTTP/1.1", "X-A: caf\xe9", "X-B:  a b \t", "X-Empty:", "x-c-d: 1: 2")
        self.assertEqual(environ["HTTP_X_A"], "caf\xe9")
        self.assertEqual(environ["HTTP_X_B"], "a b")
        self.assertEqual(environ["HTTP_X_EMPTY"], "")
        self.assertEqual(environ["HTTP_X_C_D"], "1: 2")

    def test_fields_that_repeat_are_joined(self):
        environ = asked("GET / HTTP/1.1", "X-A: 1", "Cookie: a=1", "x-a: 2", "cookie: b=2; c=3", "X-A:")
        self.assertEqual(environ["HTTP_X_A"], "1,2,")
        self.assertEqual(environ["HTTP_COOKIE"], "a=1; b=2; c=3")

    def test_names_with_an_underscore_are_dropped(self):
        fields = "X_Forwarded_For: evil", "X-Real-IP: 1", "X_Real-IP: 2", "Content_Length: 9", "_: 1"
        environ = asked("GET / HTTP/1.1", *fields)
        self.assertEqual(environ["HTTP_X_REAL_IP"], "1")
        for name in ("HTTP_X_FORWARDED_FOR", "CONTENT_LENGTH", "HTTP_CONTENT_LENGTH", "HTTP__"):
            self.assertNotIn(name, environ)

    def test_the_body_of_a_request_is_described(self):
        environ = asked("POST / HTTP/1.1", "Content-Type: a/b", "Content-Length: 3", body=b"abc")
        self.assertEqual((environ["CONTENT_TYPE"], environ["CONTENT_LENGTH"]), ("a/b", "3"))
        self.assertNotIn("HTTP_CONTENT_TYPE", environ)
        self.assertNotIn("HTTP_CONTENT_LENGTH", environ)
        for method in ("GET", "POST"):
            data = b"3\r\nabc\r\n0\r\n\r\n"
            environ = asked(f"{method} / HTTP/1.1", "Transfer-Encoding: chunked", body=data)
            self.assertNotIn("CONTENT_LENGTH", environ)
            self.assertEqual(environ["HTTP_TRANSFER_ENCODING"], "chunked")
            environ = asked(f"{method} / HTTP/1.1", "Content-Length: 3", "Content-Length: 3", body=b"abc")
            self.assertEqual(environ["CONTENT_LENGTH"], "3")
        self.assertNotIn("CONTENT_LENGTH", asked("POST / HTTP/1.1"))

    def test_requests_with_equal_heads_have_their_own_bodies(self):
        """What is kept of the first, with the place of its body, serves those that follow."""

        def application(environ, start_response):
            start_response("200 OK", [])
            environ["QUERY_STRING"] += "changed"
            return [environ.pop("PATH_INFO").encode(), b" ", environ["wsgi.input"].read()]

        cases = [
            (path, letter * size)
            for size in (3, 3000)
            for path in ("/a", "/a", "/long/er", "/a")
            for letter in (b"x", b"y")
        ]
        with serve_wsgi(application, "127.0.0.1:0") as running:
            # One connection, so that the client has the same address each time.
            client = http.client.HTTPConnection("127.0.0.1", running.port, timeout=LIMIT)
            self.addCleanup(client.close)
            for path, body in cases:
                client.request("POST", path + "?q", body)
                self.assertEqual(client.getresponse().read(), path.encode() + b" " + body)

    def test_an_old_client(self):
        environ = asked("GET / HTTP/1.0", old=True)
        self.assertEqual(environ["SERVER_PROTOCOL"], "HTTP/1.0")
        self.assertEqual(environ["SERVER_NAME"], "127.0.0.1")
        self.assertNotIn("HTTP_HOST", environ)

    def test_a_target_with_a_host(self):
        environ = asked("GET http://example.org/a?b HTTP/1.1")
        self.assertEqual((environ["PATH_INFO"], environ["QUERY_STRING"]), ("/a", "b"))
        self.assertEqual(environ["RAW_URI"], "http://example.org/a?b")
        # The target goes before the field (RFC 9112 3.2.2).
        self.assertEqual(environ["HTTP_HOST"], "example.org")

    def test_each_request_has_a_fresh_one(self):
        seen = []

        def application(environ, start_response):
            seen.append("mark" in environ or environ["SCRIPT_NAME"])
            environ["mark"] = environ["SCRIPT_NAME"] = "x"
            environ.pop("wsgi.version")
            start_response("200 OK", [])
            return []

        with serve_wsgi(application, "127.0.0.1:0") as running:
            for _ in range(40):
                self.assertEqual(fetch(running, "/").status, 200)
        self.assertEqual(seen, [""] * 40)

    def test_many_names_are_not_kept(self):
        from transom._wsgi.environ import _MOST_KEYS, _keys

        with serve_wsgi(telling, "127.0.0.1:0") as running:
            for turn in range(20):
                names = [f"X-{turn}-{number}: 1" for number in range(60)]
                environ = asked("GET / HTTP/1.1", *names, running=running)
                self.assertEqual(environ[f"HTTP_X_{turn}_59"], "1")
        self.assertLessEqual(len(_keys), _MOST_KEYS)

    def test_one_thread_says_so(self):
        self.assertIs(asked("GET / HTTP/1.1", threads=1)["wsgi.multithread"], False)

    def test_with_one_thread_the_application_runs_once_at_a_time(self):
        running_now, most = [0], [0]

        def application(environ, start_response):
            running_now[0] += 1
            most[0] = max(most[0], running_now[0])
            start_response("200 OK", [])
            yield b"a"
            threading.Event().wait(0.001)
            yield b"b"
            running_now[0] -= 1

        with serve_wsgi(application, "127.0.0.1:0", threads=1) as running:
            at_once(lambda number: fetch(running, "/", ("GET", "POST")[number % 2]), 8)
        self.assertEqual(most, [1])


class TestWhere(Quiet, unittest.TestCase):
    """How the server and the client are reached."""

    def test_a_unix_socket(self):
        with tempfile.TemporaryDirectory() as folder:
            path = f"{folder}/socket"
            with serve_wsgi(telling, f"unix:{path}"), socket.socket(socket.AF_UNIX) as client:
                client.settimeout(LIMIT)
                client.connect(path)
                client.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
                environ = json.loads(read_all(client).partition(b"\r\n\r\n")[2])
        self.assertEqual((environ["SERVER_NAME"], environ["SERVER_PORT"]), ("localhost", "80"))
        self.assertEqual(environ["REMOTE_ADDR"], "")
        self.assertNotIn("REMOTE_PORT", environ)

    def test_any_address_and_several_addresses(self):
        for address in ("0.0.0.0:0", ["127.0.0.1:0", "127.0.0.1:0"]):
            with serve_wsgi(telling, address) as running:
                for place in running.addresses:
                    port = int(place.rpartition(":")[2])
                    with socket.create_connection(("127.0.0.1", port), LIMIT) as client:
                        client.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
                        environ = json.loads(read_all(client).partition(b"\r\n\r\n")[2])
                    self.assertEqual(environ["SERVER_NAME"], "127.0.0.1")
                    self.assertEqual(environ["SERVER_PORT"], str(port))

    def test_ipv6(self):
        try:
            running = serve_wsgi(telling, "[::1]:0")
        except OSError:
            self.skipTest("this machine has no IPv6")
        with running, socket.create_connection(("::1", running.port), LIMIT) as client:
            client.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            environ = json.loads(read_all(client).partition(b"\r\n\r\n")[2])
            self.assertEqual((environ["SERVER_NAME"], environ["REMOTE_ADDR"]), ("::1", "::1"))
            self.assertEqual(environ["REMOTE_PORT"], str(client.getsockname()[1]))

    def test_behind_a_proxy(self):
        settings = {"forwarded": "x-forwarded", "trusted_proxies": ["127.0.0.0/8"], "forwarded_host": True}
        fields = "X-Forwarded-For: 192.0.2.7", "X-Forwarded-Proto: https", "X-Forwarded-Host: example.org"
        environ = asked("GET / HTTP/1.1", *fields, **settings)
        self.assertEqual(environ["REMOTE_ADDR"], "192.0.2.7")
        self.assertNotIn("REMOTE_PORT", environ)
        self.assertEqual(environ["wsgi.url_scheme"], "https")
        self.assertEqual(environ["HTTPS"], "on")
        self.assertEqual(environ["HTTP_HOST"], "example.org")
        for client, address, port in (
            ("192.0.2.7:99", "192.0.2.7", "99"),
            ("[2001:db8::1]:99", "2001:db8::1", "99"),
            ("2001:db8::1", "2001:db8::1", None),
        ):
            environ = asked("GET / HTTP/1.1", f"X-Forwarded-For: {client}", **settings)
            self.assertEqual((environ["REMOTE_ADDR"], environ.get("REMOTE_PORT")), (address, port))
        # Nobody else is believed.
        environ = asked("GET / HTTP/1.1", *fields)
        self.assertEqual((environ["REMOTE_ADDR"], environ["wsgi.url_scheme"]), ("127.0.0.1", "http"))
        self.assertEqual(environ["HTTP_HOST"], "a")

    @unittest.skipUnless(shutil.which("openssl"), "needs openssl")
    def test_tls(self):
        with tempfile.TemporaryDirectory() as folder:
            made = Path(folder) / "certificate", Path(folder) / "key"
            command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=localhost"]
            subprocess.run([*command, "-out", made[0], "-keyout", made[1]], check=True, capture_output=True)
            tls = Tls(*map(str, made))
            context = ssl.create_default_context(cafile=made[0])
            context.check_hostname = False
            with (
                serve_wsgi(telling, "127.0.0.1:0", tls=tls) as running,
                context.wrap_socket(connect(running)) as client,
            ):
                client.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
                environ = json.loads(read_all(client).partition(b"\r\n\r\n")[2])
        self.assertEqual((environ["wsgi.url_scheme"], environ["HTTPS"]), ("https", "on"))

    def test_one_of_several_processes_says_so(self):
        with transom.Processes(processes_app, "127.0.0.1:0", count=1).start() as running:
            environ = asked("GET / HTTP/1.1", running=running)
        self.assertIs(environ["wsgi.multiprocess"], True)


def processes_app():
    app = Server()
    app.mount_wsgi("/", telling)
    return app


class TestErrors(Quiet, unittest.TestCase):
    def test_what_an_application_writes_is_logged(self):
        def application(environ, start_response):
            errors = environ["wsgi.errors"]
            errors.write("one\ntw")
            errors.writelines(["o\n", "three"])
            print("!", file=errors)
            errors.write("four")
            errors.flush()
            errors.flush()
            start_response("200 OK", [])
            return []

        records = []
        handler = logging.Handler()
        handler.emit = records.append
        logger = logging.getLogger("transom.wsgi")
        logger.addHandler(handler)
        self.addCleanup(logger.removeHandler, handler)
        with serve_wsgi(application, "127.0.0.1:0") as running:
            fetch(running, "/")
        self.assertTrue(until(lambda: len(records) == 4))
        self.assertEqual([record.getMessage() for record in records], ["one", "two", "three!", "four"])
        self.assertEqual({record.levelno for record in records}, {logging.ERROR})


if __name__ == "__main__":
    unittest.main()
