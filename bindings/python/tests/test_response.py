"""The responses for the return values of handlers."""

import json
import unittest

from support import Quiet, exchange, fetch

from transom import (
    BadHeaderError,
    BadStatusError,
    Error,
    HTTPError,
    InvalidArgumentError,
    Response,
    Server,
    SigningKeys,
)
from transom._json import dumps

TEXT = "text/plain; charset=utf-8"
BYTES = "application/octet-stream"


class TestReturnValues(Quiet, unittest.TestCase):
    def answer(self, value, asynchronous=False, blocking=None, **how):
        app = Server()
        if asynchronous:

            @app.any("/")
            async def handler(request):
                return value() if callable(value) else value
        else:

            @app.any("/", blocking=blocking)
            def handler(request):
                return value() if callable(value) else value

        with app.start("127.0.0.1:0") as running:
            return fetch(running, "/", **how)

    def test_values(self):
        cases = [
            ("text é", 200, TEXT, "text é".encode()),
            ("", 200, TEXT, b""),
            (b"\0\xff", 200, BYTES, b"\0\xff"),
            (bytearray(b"ab"), 200, BYTES, b"ab"),
            (memoryview(b"ab"), 200, BYTES, b"ab"),
            ({"a": [1, "é", None]}, 200, "application/json", '{"a":[1,"é",null]}'.encode()),
            ([], 200, "application/json", b"[]"),
            (None, 204, None, b""),
            (("made", 201), 201, TEXT, b"made"),
            (({"a": 1}, 202, {"X-A": "b"}), 202, "application/json", b'{"a":1}'),
            (("<p>", 200, [("Content-Type", "text/html")]), 200, "text/html", b"<p>"),
            (Response("x", status=404, content_type="a/b"), 404, "a/b", b"x"),
            (Response("x", headers={"content-TYPE": "c/d"}), 200, "c/d", b"x"),
            (Response.html("<b>é</b>"), 200, "text/html; charset=utf-8", "<b>é</b>".encode()),
            (Response.text("t"), 200, TEXT, b"t"),
            (Response.json([1.5]), 200, "application/json", b"[1.5]"),
            (Response(), 200, None, b""),
            (Response(status=204), 204, None, b""),
        ]
        for value, status, kind, body in cases:
            # In the event loop, on the pool, and on the thread that pulls requests.
            for asynchronous, blocking in ((True, None), (False, True), (False, False)):
                with self.subTest(value=value, asynchronous=asynchronous, blocking=blocking):
                    answer = self.answer(value, asynchronous, blocking)
                    self.assertEqual(
                        (answer.status, answer.headers["content-type"], answer.body), (status, kind, body)
                    )
        self.assertEqual(self.log, [])

    def test_a_subclass_is_what_it_derives_from(self):
        class Text(str):
            pass

        self.assertEqual(self.answer(Text("sub")).body, b"sub")

    def test_headers_keep_order_and_duplicates(self):
        response = Response("x", headers=[("X-A", "1"), ("x-b", "2"), ("X-A", "3")])
        response.set_cookie("c", "d", secure=True, path=None, same_site=None)
        answer = self.answer(response)
        self.assertEqual(answer.headers.get_all("x-a"), ["1", "3"])
        self.assertEqual(answer.headers["set-cookie"], "c=d; Secure; HttpOnly")
        names = [name for name, _ in answer.headers.items() if name.lower().startswith("x-")]
        self.assertEqual(names, ["X-A", "x-b", "X-A"])

    def test_redirect(self):
        answer = self.answer(Response.redirect("/elsewhere?a=b#c é"))
        self.assertEqual((answer.status, answer.headers["location"]), (303, "/elsewhere?a=b#c%20%C3%A9"))
        with self.assertRaises(BadStatusError):
            Response.redirect("/", status=200)

    def test_head_has_no_body(self):
        app = Server()

        @app.get("/")
        def handler(request):
            return "hello"

        with app.start("127.0.0.1:0") as running:
            answer = exchange(running, b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n").lower()
        self.assertIn(b"content-length: 5\r\n", answer)
        self.assertTrue(answer.endswith(b"\r\n\r\n"))

    def test_a_handler_for_head_says_no_length_of_nothing(self):
        app = Server()

        @app.route("/nothing", methods=["HEAD"])
        def nothing(request):
            return ""

        @app.route("/seven", methods=["HEAD"])
        def seven(request):
            return Response("", headers={"content-length": "7"})

        with app.start("127.0.0.1:0") as running:
            for path, expected in (("/nothing", None), ("/seven", "7")):
                self.assertEqual(fetch(running, path, "HEAD").headers["content-length"], expected)

    def test_a_304_describes_no_body(self):
        fields = {"etag": '"1"', "vary": "accept", "content-encoding": "gzip", "content-range": "bytes 0-4/5"}
        for value in (
            Response("hello", status=304, headers=fields),
            Response.json([1], status=304, headers=fields),
            ("hello", 304, fields),
            ([1], 304, fields),
        ):
            with self.subTest(value=value):
                answer = self.answer(value)
                self.assertEqual((answer.status, answer.body), (304, b""))
                names = sorted(name for name, _ in answer.headers.items())
                self.assertEqual(names, ["date", "etag", "vary"])
        for value in (
            Response("hello", status=304, content_type="text/html"),
            Response("hello", status=304, headers={"Content-Type": "text/html"}),
            (Response.html("hello"), 304),
        ):
            self.assertTrue(self.answer(value).headers["content-type"].startswith("text/html"))
        for value in (("", 204), Response("", status=204), Response.text("", status=205)):
            self.assertIsNone(self.answer(value).headers["content-type"])

    def test_two_cookies_are_both_sent(self):
        response = Response("in", headers=[("set-cookie", "a=1"), ("Set-Cookie", "b=2")])
        response.set_cookie("c", "3")
        response.set_header("Set-Cookie", "d=4")
        response.add_header("set-cookie", "e=5")
        cookies = self.answer(response).headers.get_all("set-cookie")
        self.assertEqual(
            [cookie.partition(";")[0] for cookie in cookies], ["a=1", "b=2", "c=3", "d=4", "e=5"]
        )

    def test_a_426_names_the_protocols_to_change_to(self):
        answer = self.answer(Response("no", status=426, headers={"Upgrade": "chat", "Connection": "upgrade"}))
        self.assertEqual((answer.headers["upgrade"], answer.headers["connection"]), ("chat", "upgrade"))

    def test_reasons(self):
        for status, reason in ((413, "Content Too Large"), (422, "Unprocessable Content")):
            app = Server()
            app.get("/")(lambda request, status=status: ("no", status))
            with app.start("127.0.0.1:0") as running:
                answer = exchange(running, b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
            self.assertTrue(answer.startswith(f"HTTP/1.1 {status} {reason}\r\n".encode()), answer)

    def test_a_large_answer(self):
        body = bytes(range(256)) * 40_000
        self.assertEqual(self.answer(body).body, body)

    def test_wrong_values_are_500_and_logged_with_the_handlers_name(self):
        class Odd:
            pass

        for value in (
            7, 1.5, {1, 2}, Odd(), ("a",), ("a", 200, {}, 1), ("a", "200"), ("a", 99),
            ("a", 200, {"x": 1}), ("a", 200, "x"), ({"a": object()}), ([float("nan")]),
        ):  # fmt: skip
            with self.subTest(value=value):
                self.log.clear()
                self.assertEqual(self.answer(lambda value=value: value).status, 500)
                self.assertEqual(len(self.log), 1)
                self.assertIn("test_response.TestReturnValues.answer.<locals>.handler", self.log[0])
                self.assertIn("Error", self.log[0])

    def test_http_error(self):
        def refuse():
            raise HTTPError(403, "not you", {"X-Why": "because"})

        for asynchronous in (False, True):
            answer = self.answer(refuse, asynchronous)
            self.assertEqual((answer.status, answer.body), (403, b"not you\n"))
            self.assertEqual(answer.headers["x-why"], "because")
        self.assertEqual(self.log, [])

        def refuse_badly():
            raise HTTPError(4000, "x")

        self.assertEqual(self.answer(refuse_badly).status, 500)

    def test_exceptions_are_500_with_a_traceback_in_the_log(self):
        def fail():
            raise KeyError("lost")

        for asynchronous in (False, True):
            self.log.clear()
            answer = self.answer(fail, asynchronous, method="POST", body="x")
            self.assertEqual((answer.status, answer.body), (500, b"500 Internal Server Error\n"))
            self.assertEqual(len(self.log), 1)
            for part in ("POST /", "handler", "Traceback", "KeyError: 'lost'"):
                self.assertIn(part, self.log[0])


class TestConstruction(unittest.TestCase):
    def test_bad_headers(self):
        for name, value in (
            ("", "x"), ("a b", "x"), ("a:", "x"), ("a\r\n", "x"), ("é", "x"),
            ("a", "x\r\nb: c"), ("a", "x\n"), ("a", "\0"), ("a", "\x7f"), ("a", "€"),
        ):  # fmt: skip
            with self.subTest(name=name, value=value):
                with self.assertRaises(BadHeaderError) as caught:
                    Response("", headers={name: value})
                self.assertIsInstance(caught.exception, ValueError)
                self.assertIsInstance(caught.exception, Error)
                self.assertEqual(caught.exception.code, -8)
                self.assertIn(repr(name) if name else "header name is empty", str(caught.exception))
        with self.assertRaises(BadHeaderError) as caught:
            Response("", headers={"x-a": "one\r\ntwo"})
        self.assertEqual(
            str(caught.exception), r"header 'x-a': character '\r' at 3 of the value is not allowed"
        )
        with self.assertRaises(BadHeaderError):
            Response("", content_type="text/plain\n")
        with self.assertRaises(BadHeaderError):
            Response("").add_header("a b", "c")

    def test_headers_that_are_the_servers(self):
        for name, value in (
            ("TE", "trailers"), ("Trailer", "x"), ("Keep-Alive", "timeout=5"), ("Upgrade", "h2c"),
            ("Proxy-Connection", "close"), ("transfer-encoding", "chunked"), ("Connection", "x-a"),
            ("Connection", "close, upgrade"), ("Content-Length", "zz"), ("content-length", ""),
            ("content-length", "\u0663"), ("content-length", "-1"),
        ):  # fmt: skip
            for make in (
                lambda name, value: Response("", headers={name: value}),
                lambda name, value: Response("").add_header(name, value),
                lambda name, value: Response("").set_header(name, value),
                lambda name, value: Response.stream(iter(()), headers=[(name, value)]),
            ):
                with self.subTest(name=name, value=value), self.assertRaises(BadHeaderError):
                    make(name, value)
        with self.assertRaises(BadHeaderError) as caught:
            Response("", headers={"Keep-Alive": "timeout=5"})
        self.assertEqual(
            str(caught.exception),
            "header 'Keep-Alive' is not sent: the server decides how long a connection lasts",
        )
        for status in (204, 205):
            with self.assertRaises(BadHeaderError):
                Response("", status=status, headers={"content-length": "1"})
        Response("", headers={"Connection": "Close", "content-length": "0", "Date": "now"})

    def test_set_header_replaces_and_add_header_adds(self):
        response = Response("x", headers=[("X-A", "1"), ("x-a", "2"), ("Vary", "accept")])
        response.set_header("X-a", "3")
        response.add_header("vary", "origin")
        response.set_header("content-type", "text/html")
        self.assertEqual(
            response.fields,
            [("Vary", "accept"), ("X-a", "3"), ("vary", "origin"), ("content-type", "text/html")],
        )

    def test_wrong_types(self):
        for make, expected in (
            (lambda: Response(7), "a body is str, bytes, bytearray, memoryview or None, got int"),
            (
                lambda: Response({"a": 1}),
                "a body is str, bytes, bytearray, memoryview or None, got dict: Response.json sends it",
            ),
            (lambda: HTTPError(404, {}), "the message of an HTTPError is a str, got dict: json= sends it"),
            (lambda: Response("", status="200"), "a status is an int, got str"),
            (lambda: Response("", status=True), "a status is an int, got bool"),
            (lambda: Response("", headers={"a": 1}), "header names and values are str, got int in 'a': 1"),
            (lambda: Response("", headers=["ab"]), "headers are a mapping or pairs of str, got 'ab' in them"),
            (lambda: Response("", headers="ab"), "headers are a mapping or pairs of str, got str"),
            (lambda: Response.text(b""), "expected str, got bytes"),
            (lambda: Response.stream("abc"), "a stream is an iterator of str or bytes, got str"),
        ):
            with self.assertRaises(TypeError) as caught:
                make()
            self.assertEqual(str(caught.exception), expected)

    def test_bad_status(self):
        for status in (0, 100, 199, 600, -1):
            with self.assertRaises(BadStatusError) as caught:
                Response("", status=status)
            self.assertIsInstance(caught.exception, ValueError)

    def test_two_content_types(self):
        with self.assertRaises(ValueError):
            Response("", content_type="a/b", headers={"Content-Type": "c/d"})

    def test_bad_cookies(self):
        for name, value in (("a b", "c"), ("a", "b;c"), ("a", 'b"'), ("a", "b c"), ("", "b")):
            with self.assertRaises(BadHeaderError):
                Response("").set_cookie(name, value)
        with self.assertRaises(BadHeaderError):
            Response("").set_cookie("a", "b", path="/;x")
        with self.assertRaises(ValueError):
            Response("").set_cookie("a", "b", same_site="Maybe")

    def test_cookies_that_browsers_refuse(self):
        for name, options, said in (
            ("__Secure-a", {}, "needs Secure because of its name"),
            ("__host-a", {}, "needs Secure because of its name"),
            ("__Host-a", {"secure": True, "path": "/x"}, "needs the path / and no domain"),
            ("__Host-a", {"secure": True, "domain": "x.org"}, "needs the path / and no domain"),
            ("a", {"same_site": "none"}, "needs Secure because of SameSite=None"),
            ("a", {"partitioned": True}, "needs Secure because of Partitioned"),
            ("a" * 4096, {}, "is larger than 4096 bytes with its value"),
            ("a", {"path": "/" * 1025}, "the path of cookie a is longer than 1024 bytes"),
        ):
            with self.assertRaises(BadHeaderError) as caught:
                Response("").set_cookie(name, "b", **options)
            self.assertIn(said, str(caught.exception).replace("'", "").replace('"', ""))
        response = Response("")
        response.set_cookie("__Host-a", "b", secure=True, partitioned=True)
        self.assertEqual(
            response.headers["set-cookie"], "__Host-a=b; Path=/; Secure; HttpOnly; SameSite=Lax; Partitioned"
        )

    def test_signed_cookies(self):
        key, old = b"0123456789abcdef0123456789abcdef", b"fedcba9876543210fedcba9876543210"
        keys = SigningKeys(key)
        # What Rust and C make of the same key, name and value.
        signed = "ada.83b8b526c316d5b53998dffac13729b9d25378a51dbc8fb6b08e48eda1cb59a7"
        self.assertEqual(keys.sign("user", "ada"), signed)
        self.assertEqual(SigningKeys(old, key).verify("user", signed), "ada")
        for name, given in (
            ("role", signed),
            ("user", signed.upper()),
            ("user", signed[:-1]),
            ("user", "ada"),
            ("user", ""),
            ("user", "bob" + signed[3:]),
            ("user", "ada.\xe9"),
        ):
            self.assertIsNone(keys.verify(name, given), given)
        self.assertIsNone(SigningKeys(old).verify("user", signed))
        with self.assertRaisesRegex(InvalidArgumentError, "a key has at least 32 bytes, got 31"):
            SigningKeys(key[1:])
        with self.assertRaisesRegex(TypeError, "a key is bytes"):
            SigningKeys("0" * 32)
        response = Response("")
        response.set_cookie("user", "ada", keys=keys)
        self.assertTrue(response.headers["set-cookie"].startswith(f"user={signed}; "))

    def test_repr(self):
        self.assertEqual(repr(Response("abc")), "<Response 200 text/plain; charset=utf-8, 3 bytes>")
        self.assertEqual(repr(Response.stream(iter(()))), f"<Response 200 {BYTES}, stream>")


class TestJson(unittest.TestCase):
    def test_json_is_that_of_the_module(self):
        class Number(int):
            def __repr__(self):
                return "odd"

        values = [
            {},
            [],
            {"a": [1, -2.5, 1e300, True, False, None, 'é\n"\x00\ud800'], "b": {"c": ()}},
            {1: 2, 1.5: 3, False: 4, None: 5},
            [Number(3), {"k": Number(4)}],
            "text",
            7,
        ]
        for value in values:
            with self.subTest(value=value):
                expected = json.dumps(value, separators=(",", ":"), ensure_ascii=False)
                self.assertEqual(dumps(value), expected)

    def test_what_is_no_json_raises_the_errors_of_the_module(self):
        circle = {"list": []}
        circle["list"].append(circle)
        for value in (circle, [float("nan")], {"a": object()}, {(1, 2): 3}):
            with self.assertRaises(Exception) as expected:
                json.dumps(value, allow_nan=False)
            with self.subTest(error=expected.exception):
                with self.assertRaises(type(expected.exception)) as raised:
                    dumps(value)
                self.assertEqual(str(raised.exception), str(expected.exception))
