"""The test client, without sockets and with them, and the fixture for pytest."""

import asyncio
import importlib.util
import io
import os
import socket
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
import unittest
from pathlib import Path
from unittest import mock

from support import LIMIT, SOURCE, Quiet, until

from transom import (
    AlreadyStartedError,
    BadAddressError,
    Error,
    HTTPError,
    Response,
    Server,
    ServerSentEvents,
)
from transom.testing import CookieJar, TestClient, serve

MAKERS = (TestClient, serve)


def application():
    app = Server(error_format="json", limits={"head": 4096})

    @app.any("/echo")
    def echo(request):
        return {
            "method": request.method,
            "query": request.query.pairs,
            "headers": [[name.lower(), value] for name, value in request.headers.pairs],
            "cookies": dict(request.cookies),
            "body": request.body.decode("latin-1"),
            "client": request.client,
            "host": request.host,
            "path": request.path,
        }

    @app.post("/form")
    def form(request):
        form = request.form()
        files = {
            name: [file.filename, file.content_type, file.read().decode()]
            for name, file in form.files.items()
        }
        return {"fields": form.pairs, "files": files}

    @app.post("/upload", stream=True, max_body=2**40)
    async def upload(request):
        return str(sum([len(piece) async for piece in request.stream()]))

    @app.post("/back", stream=True, max_body=2**40)
    def back(request):
        yield from request.stream()

    @app.post("/small", max_body=10)
    def small(request):
        return "taken"

    @app.get("/fails")
    def fails(request):
        raise ValueError("on purpose")

    @app.get("/fails-late")
    async def fails_late(request):
        yield "begun"
        raise ValueError("too late")

    @app.get("/refuses")
    def refuses(request):
        raise HTTPError(409, "not now")

    @app.get("/letters")
    def letters(request):
        yield from "abc"

    @app.get("/endless")
    async def endless(request):
        async def generate():
            while True:
                yield f"{'x' * 100}\n"
                await asyncio.sleep(0.001)

        request.background(app.left.set)
        return Response.stream(generate())

    @app.get("/in")
    def sign_in(request):
        response = Response("in")
        response.set_cookie("session", "s7")
        response.set_cookie("narrow", "n", path="/echo")
        response.set_cookie("short", "x", max_age=1000)
        return response

    @app.get("/out")
    def sign_out(request):
        response = Response("out")
        response.delete_cookie("session")
        return response

    @app.get("/moved")
    def moved(request):
        return Response.redirect("/echo?from=moved")

    @app.any("/again")
    def again(request):
        return Response.redirect("/echo", status=307)

    @app.get("/away")
    def away(request):
        return Response.redirect("http://example.org/")

    @app.get("/round")
    def around(request):
        return Response.redirect("/round")

    app.left = threading.Event()
    return app


class TestTestClient(Quiet, unittest.TestCase):
    def clients(self, **options):
        for make in MAKERS:
            with make(application(), **options) as client:
                yield client

    def test_requests(self):
        for client in self.clients():
            answer = client.get(
                "/echo?a=1",
                params={"b": ["2", 3], "c": True, "d": None},
                headers={"X-A": "b"},
                cookies={"k": "v"},
            )
            self.assertEqual((answer.status, answer.reason), (200, "OK"))
            self.assertEqual(answer.headers["CONTENT-TYPE"], "application/json")
            told = answer.json()
            self.assertEqual(told["query"], [["a", "1"], ["b", "2"], ["b", "3"], ["c", "true"], ["d", ""]])
            self.assertIn(["x-a", "b"], told["headers"])
            self.assertEqual(told["cookies"], {"k": "v"})
            self.assertEqual(client.cookies, {})
            for method in ("post", "put", "patch", "delete", "options"):
                self.assertEqual(getattr(client, method)("/echo").json()["method"], method.upper())
            head = client.head("/echo")
            self.assertEqual((head.status, head.body), (200, b""))
            self.assertEqual(
                client.get("/echo", headers={"host": "example.org"}).json()["host"], "example.org"
            )
            missing = client.get("/none")
            self.assertEqual((missing.status, missing.json()), (404, {"status": 404, "title": "Not Found"}))
            self.assertEqual(client.get("/refuses").json()["detail"], "not now")
            self.assertIn("409", repr(client.get("/refuses")))
            # The server refuses what it refuses from the network.
            self.assertEqual(client.get("/echo", headers={"x": "y" * 5000}).status, 431)
            self.assertEqual(client.get("/echo", headers=[("host", "a"), ("host", "b")]).status, 400)

    def test_a_path_of_any_text(self):
        for client in self.clients():
            self.assertEqual(client.get("/echo/\u00e9").status, 404)
            self.assertEqual(client.get("/%65cho").json()["path"], "/echo")
            self.assertEqual(client.request("OPTIONS", "*").status, 204)
            self.assertEqual(client.get("/echo#part").status, 200)

    def test_bodies(self):
        def pieces():
            yield b"ab"
            yield b""
            yield b"c"

        for client in self.clients():
            for given, body, media in (
                ({"json": {"a": "\u00e9"}}, '{"a":"\u00e9"}'.encode().decode("latin-1"), "application/json"),
                ({"json": None}, "null", "application/json"),
                ({"data": {"a": "1 2", "b": [3, 4]}}, "a=1+2&b=3&b=4", "application/x-www-form-urlencoded"),
                ({"data": [("a", "1"), ("a", "2")]}, "a=1&a=2", "application/x-www-form-urlencoded"),
                ({"data": "text"}, "text", "text/plain; charset=utf-8"),
                ({"data": b"\xff"}, "\xff", "application/octet-stream"),
                ({"data": pieces()}, "abc", "application/octet-stream"),
                ({"data": "<a/>", "headers": {"content-type": "text/xml"}}, "<a/>", "text/xml"),
            ):
                told = client.post("/echo", **given).json()
                self.assertEqual(told["body"], body)
                self.assertIn(["content-type", media], told["headers"])
            file = io.BytesIO(b"of a file")
            file.name = "/tmp/named.txt"
            told = client.post(
                "/form",
                data={"title": "\u00e9"},
                files=[("a", b"bytes"), ("b", ("b.txt", "text", "text/plain")), ("c", file)],
            ).json()
            self.assertEqual(told["fields"], [["title", "\u00e9"]])
            octets = "application/octet-stream"
            self.assertEqual(
                told["files"],
                {
                    "a": ["file", octets, "bytes"],
                    "b": ["b.txt", "text/plain", "text"],
                    "c": ["named.txt", octets, "of a file"],
                },
            )

    def test_large_bodies(self):
        size = 5_000_000
        for client in self.clients():
            self.assertEqual(client.post("/upload", data=b"x" * size).text, str(size))
            # The server sends while it reads.
            self.assertEqual(len(client.post("/back", data=b"x" * size).body), size)
            # It may refuse before it has read.
            self.assertEqual(client.post("/small", data=b"x" * size).status, 413)
            self.assertEqual(client.post("/small", data=iter([b"x" * 1000] * 100)).status, 413)

    def test_exceptions_of_handlers_are_raised(self):
        for client in self.clients():
            with self.assertRaisesRegex(ValueError, "on purpose"):
                client.get("/fails")
            with self.assertRaisesRegex(ValueError, "too late"):
                client.get("/fails-late")
            with client.stream("GET", "/fails-late") as answer:
                self.assertEqual(next(iter(answer)), b"begun")
                with self.assertRaisesRegex(ValueError, "too late"):
                    answer.read()
            # The next request knows nothing of it.
            self.assertEqual(client.get("/letters").text, "abc")
        self.log.clear()

    def test_or_answered(self):
        for client in self.clients(raise_errors=False):
            self.assertEqual(client.get("/fails").status, 500)
            with self.assertRaisesRegex(ConnectionError, "broken the response off"):
                client.get("/fails-late")
            self.assertEqual(client.get("/letters").text, "abc")
        self.log.clear()

    def test_what_an_error_handler_answers_is_not_raised(self):
        app = application()
        app.error(ValueError)(lambda request, error: (str(error), 418))
        for make in MAKERS:
            with make(app) as client:
                self.assertEqual(client.get("/fails").status, 418)

    def test_cookies_are_kept(self):
        for client in self.clients(cookies={"mine": "m"}):
            answer = client.get("/in")
            self.assertEqual(answer.cookies, {"session": "s7", "narrow": "n", "short": "x"})
            self.assertEqual(
                dict(client.cookies), {"mine": "m", "session": "s7", "narrow": "n", "short": "x"}
            )
            self.assertEqual(client.get("/echo").json()["cookies"]["narrow"], "n")
            client.get("/out")
            del client.cookies["mine"]
            client.cookies["set"] = "here"
            self.assertEqual(
                client.get("/echo").json()["cookies"], {"narrow": "n", "short": "x", "set": "here"}
            )

    def test_the_cookie_jar(self):
        jar = CookieJar()
        for line in (
            "a=1",
            "b=2; Path=/x",
            "c=3; Max-Age=0",
            "d=4; Expires=Thu, 01 Jan 1970 00:00:00 GMT",
            "e=5; Expires=Fri, 01 Jan 2150 00:00:00 GMT; Secure; HttpOnly",
            "f=6; Max-Age=nonsense; Expires=nonsense",
        ):
            jar.store(line)
        self.assertEqual(dict(jar), {"a": "1", "b": "2", "e": "5", "f": "6"})
        self.assertEqual(jar.matching("/x/y?z"), {"a": "1", "b": "2", "e": "5", "f": "6"})
        self.assertEqual(jar.line("/xy"), "a=1; e=5; f=6")
        self.assertRaises(KeyError, lambda: jar["c"])
        self.assertEqual(len(jar), 4)

    def test_redirects(self):
        for client in self.clients():
            self.assertEqual(client.get("/moved").headers["location"], "/echo?from=moved")
            told = client.get("/moved", follow_redirects=True).json()
            self.assertEqual((told["method"], told["query"]), ("GET", [["from", "moved"]]))
            told = client.post("/again", data="body", follow_redirects=True).json()
            self.assertEqual((told["method"], told["body"]), ("POST", "body"))
            with self.assertRaisesRegex(ValueError, "another host"):
                client.get("/away", follow_redirects=True)
            with self.assertRaisesRegex(ConnectionError, "more than 20 redirects"):
                client.get("/round", follow_redirects=True)

    def test_streams(self):
        for client in self.clients():
            with client.stream("GET", "/letters") as answer:
                self.assertEqual((answer.status, answer.read()), (200, b"abc"))
            with client.stream("GET", "/endless") as answer:
                lines = answer.lines()
                self.assertEqual([next(lines) for _ in range(3)], ["x" * 100] * 3)
                # Another request does not wait for the work after the stream.
                self.assertEqual(client.get("/letters").text, "abc")
            # The client has left, and the stream has ended.
            self.assertTrue(client.app.left.wait(LIMIT))

    def test_events(self):
        app = Server()

        @app.get("/events")
        def events(request):
            return ServerSentEvents(iter([{"n": 1}, "two"]))

        for make in MAKERS:
            with make(app) as client, client.stream("GET", "/events") as answer:
                self.assertEqual(answer.headers["content-type"], "text/event-stream")
                self.assertEqual(list(answer.lines()), ['data: {"n":1}', "", "data: two", ""])

    def test_work_after_a_response_has_ended(self):
        app = Server()
        done = []

        @app.get("/")
        async def handler(request):
            async def work():
                await asyncio.sleep(0.01)
                done.append("async")

            request.background(work)
            request.background(done.append, "plain")
            return "hello"

        for make in MAKERS:
            done.clear()
            with make(app) as client:
                client.get("/")
                self.assertEqual(done, ["async", "plain"])

    def test_the_application_starts_and_stops(self):
        for make in MAKERS:
            app = Server()
            told = []

            @app.lifespan
            async def lifespan(told=told):
                told.append("start")
                yield
                told.append("stop")

            app.get("/")(lambda request, told=told: told[-1])
            client = make(app)
            self.assertEqual(told, [])
            with client:
                self.assertEqual(told, ["start"])
                self.assertEqual(client.get("/").text, "start")
            self.assertEqual(told, ["start", "stop"])
            # Without `with`, the first request starts it.
            self.assertEqual(client.get("/").text, "start")
            client.close()
            client.close()
            self.assertEqual(told, ["start", "stop"] * 2)

            @app.on_start
            def fail():
                raise OSError("no database")

            with self.assertRaisesRegex(OSError, "no database"), client:
                pass

    def test_every_way_of_running_handlers(self):
        for settings in ({}, {"threads": 1}, {"model": "threads"}, {"model": "sequential"}):
            for asynchronous in (False, True):
                app = Server(**settings)
                if asynchronous:

                    @app.get("/")
                    async def handler(request):
                        await asyncio.sleep(0)
                        return "hello"
                else:
                    app.get("/")(lambda request: "hello")
                for make in MAKERS:
                    with self.subTest(settings=settings, asynchronous=asynchronous), make(app) as client:
                        for _ in range(5):
                            self.assertEqual(client.get("/").text, "hello")

    def test_without_sockets_there_are_none(self):
        app = Server()
        app.get("/")(lambda request: "hello")
        with mock.patch.object(socket, "socket", side_effect=AssertionError("a socket")):  # noqa: SIM117
            with TestClient(app) as client:
                self.assertEqual(client.get("/").text, "hello")
                self.assertEqual(
                    (client.running.port, client.running.addresses, client.running.url), (0, [], "")
                )

    def test_the_address_of_the_client(self):
        app = application()
        for given, told in (
            (("10.1.2.3", 4), ["10.1.2.3", 4]),
            (("::1", 5), ["::1", 5]),
            (None, None),
        ):
            with TestClient(app, client=given) as client:
                self.assertEqual(client.get("/echo").json()["client"], told)
        with self.assertRaises(BadAddressError):
            TestClient(app, client=("nowhere", 4)).get("/")
        app.running.stop()

    def test_raw_bytes(self):
        with TestClient(application()) as client:
            with client.connect() as connection:
                self.assertRaises(TimeoutError, connection.read, 0)
                connection.write(b"nonsense\r\n\r\n")
                connection.finish()
                self.assertTrue(connection.read(LIMIT).startswith(b"HTTP/1.1 400 "))
                while connection.read(LIMIT):
                    pass
                self.assertRaises(ConnectionResetError, connection.write, b"more")
            self.assertRaisesRegex(ConnectionError, "was closed", connection.read)
            running = client.running
        with self.assertRaisesRegex(Error, "has stopped"):
            running.connect()

    def test_a_silent_handler(self):
        app = Server()
        gate = threading.Event()
        self.addCleanup(gate.set)

        @app.get("/", blocking=True)
        def handler(request):
            gate.wait(LIMIT)
            return "late"

        for make in MAKERS:
            gate.clear()
            with make(app, timeout=0.05) as client:
                self.assertRaises(TimeoutError, client.get, "/")
                gate.set()
            self.log.clear()

    def test_sockets_of_other_kinds(self):
        app = application()
        with tempfile.TemporaryDirectory() as folder:
            for address in (f"unix:{folder}/socket", "0.0.0.0:0"):
                with serve(app, address, host="example.org") as client:
                    self.assertEqual(client.get("/echo").json()["host"], "example.org")
                    self.assertEqual(client.url, "http://example.org")

    def test_wrong_use(self):
        app = application()
        for wrong, says in (
            (lambda: TestClient("app"), "takes a Server, got str"),
            (lambda: TestClient(app, client="127.0.0.1"), "an IP address and a port"),
            (lambda: TestClient(app, cookies="a=b"), "a mapping from names to values"),
            (lambda: TestClient(app, timeout=0), "timeout"),
            (lambda: serve(app, 8080).get("/"), "an address is a str"),
        ):
            self.assertRaisesRegex((TypeError, ValueError), says, wrong)
        with TestClient(app) as client:
            for wrong, says in (
                (lambda: client.get("echo"), "a path begins with '/'"),
                (lambda: client.get(7), "a path is a str"),
                (lambda: client.post("/echo", json=1, data={}), "json, or data and files"),
                (lambda: client.post("/echo", files={}, data="text"), "data beside files"),
                (lambda: client.post("/echo", files={"a": 7}), "file 'a' is bytes"),
                (lambda: client.post("/echo", data=7), "data is a mapping or pairs"),
                (lambda: client.get("/echo", params="a=1"), "params is a mapping or pairs"),
                (lambda: client.get("/echo", headers={"a b": "c"}), "is not a token"),
                (lambda: client.get("/echo", headers={"a": "b\r\nc: d"}), "has a line break"),
                (lambda: client.post("/echo", data=iter(["text"])), "a piece of a request body is bytes"),
            ):
                self.assertRaisesRegex((TypeError, ValueError), says, wrong)
            self.assertRaises(AlreadyStartedError, TestClient(app).get, "/")
            self.assertEqual(client.get("/letters").text, "abc")

    def test_a_client_that_is_left_open_does_not_keep_the_process(self):
        program = """
            from transom import Server
            from transom.testing import TestClient
            app = Server()
            app.get("/")(lambda request: "hello")
            print(TestClient(app).get("/").text)
        """
        result = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(program)],
            env={**os.environ, "PYTHONPATH": str(SOURCE)},
            capture_output=True,
            text=True,
            timeout=60,
        )
        self.assertEqual((result.returncode, result.stdout, result.stderr), (0, "hello\n", ""))

    def test_connections_end(self):
        with TestClient(application()) as client:
            for _ in range(20):
                client.get("/letters")
            self.assertTrue(until(lambda: not client.running.connections()))
            begun = time.monotonic()
        self.assertLess(time.monotonic() - begun, LIMIT / 2)


@unittest.skipUnless(importlib.util.find_spec("pytest"), "needs pytest: pip install pytest")
class TestFixture(unittest.TestCase):
    def pytest(self, folder, **files):
        for name, text in files.items():
            (Path(folder) / name.replace("_py", ".py").replace("_ini", ".ini")).write_text(
                textwrap.dedent(text)
            )
        return subprocess.run(
            [sys.executable, "-m", "pytest", "-p", "transom._pytest", "-p", "no:cacheprovider", "-q"],
            cwd=folder,
            env={
                **os.environ,
                "PYTHONPATH": os.pathsep.join([str(SOURCE), folder]),
                "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
            },
            capture_output=True,
            text=True,
            timeout=120,
        ).stdout

    APP = """
        from transom import Server
        app = Server()

        @app.get("/")
        def hello(request):
            return "hello"

        @app.get("/fails")
        def fails(request):
            raise ValueError("on purpose")
    """
    TESTS = """
        import pytest

        def test_hello(transom_client):
            assert transom_client.get("/").text == "hello"
            with pytest.raises(ValueError):
                transom_client.get("/fails")

        @pytest.mark.transom(raise_errors=False, sockets=True)
        def test_over_sockets(transom_client):
            assert transom_client.get("/fails").status == 500
            assert transom_client.url.startswith("http://127.0.0.1:")
    """

    def test_an_application_by_its_name(self):
        with tempfile.TemporaryDirectory() as folder:
            ini = "[pytest]\ntransom_app = shop:app\naddopts = --strict-markers\n"
            said = self.pytest(folder, shop_py=self.APP, test_it_py=self.TESTS, pytest_ini=ini)
            self.assertIn("2 passed", said)

    def test_an_application_by_a_fixture(self):
        conftest = """
            import pytest
            from shop import app

            @pytest.fixture
            def transom_app():
                return app
        """
        with tempfile.TemporaryDirectory() as folder:
            said = self.pytest(folder, shop_py=self.APP, test_it_py=self.TESTS, conftest_py=conftest)
            self.assertIn("2 passed", said)

    def test_without_one_it_says_how(self):
        with tempfile.TemporaryDirectory() as folder:
            said = self.pytest(folder, test_it_py=self.TESTS)
            self.assertIn("define a fixture `transom_app` that returns a Server", said)
            said = self.pytest(
                folder, test_it_py=self.TESTS, pytest_ini="[pytest]\ntransom_app = nowhere:app\n"
            )
            self.assertIn("transom_app = nowhere:app: No module named 'nowhere'", said)


if __name__ == "__main__":
    unittest.main()
