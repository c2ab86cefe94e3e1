"""The attributes of a request."""

import asyncio
import json
import socket
import tempfile
import unittest

from support import LIMIT, Quiet, exchange, fetch

from transom import HTTPError, InvalidArgumentError, JsonLimits, Request, Server, SigningKeys


class TestRequest(Quiet, unittest.TestCase):
    def see(self, look, raw=None, pattern="/{*rest}", **how):
        """Sends a request and returns what `look` returns for it."""
        seen = []
        app = Server()

        @app.any(pattern)
        def handler(request):
            seen.append(look(request))

        with app.start("127.0.0.1:0") as running:
            if raw is None:
                how.setdefault("path", "/x")
                self.answer = fetch(running, **how)
            else:
                self.answer = exchange(running, raw)
        return seen[0] if seen else None

    def test_request_line(self):
        raw = b"PUT /a%20b/%C3%A9?x=1&x=2&y=%26&z= HTTP/1.0\r\n\r\n"
        parts = self.see(
            lambda r: (r.method, r.target, r.path, r.raw_path, r.query_string, r.http_version, repr(r)), raw
        )
        target = "/a%20b/%C3%A9?x=1&x=2&y=%26&z="
        self.assertEqual(
            parts,
            (
                "PUT",
                target,
                "/a b/é",
                "/a%20b/%C3%A9",
                target.split("?")[1],
                "1.0",
                f"<Request PUT {target}>",
            ),
        )

    def test_url(self):
        for raw, url in (
            (b"GET /a%20b?x=1 HTTP/1.1\r\nHost: a.example:8080\r\n\r\n", "http://a.example:8080/a%20b?x=1"),
            (b"GET /a? HTTP/1.1\r\nHost: [::1]\r\n\r\n", "http://[::1]/a?"),
            (b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", "http://a/"),
            (b"GET http://b.example/c?d HTTP/1.1\r\nHost: b.example\r\n\r\n", "http://b.example/c?d"),
            (b"GET http://b.example HTTP/1.1\r\nHost: b.example\r\n\r\n", "http://b.example/"),
            (b"GET /a?b HTTP/1.0\r\n\r\n", "/a?b"),
        ):
            self.assertEqual(self.see(lambda r: r.url, raw), url, raw)

    def test_content_length(self):
        def length(r):
            return r.content_length, len(r.body)

        self.assertEqual(self.see(length), (None, 0))
        self.assertEqual(self.see(length, method="POST", body="four"), (4, 4))
        self.assertEqual(self.see(length, method="POST", body=iter([b"four"])), (None, 4))
        twice = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\ncontent-length: 1, 1\r\n\r\nx"
        self.assertIn(self.see(length, twice), ((1, 1), None))

    def test_state_belongs_to_a_request(self):
        def state(r):
            before = vars(r.state).copy()
            r.state.user = "a"
            return before, r.state.user

        for _ in range(2):
            self.assertEqual(self.see(state), ({}, "a"))
        with self.assertRaises(AttributeError):
            self.see(lambda r: r.state).other  # noqa: B018

    def test_raw_values_lose_nothing(self):
        def raw(r):
            return r.raw_params, r.raw_path, r.headers.raw[1]

        sent = b"GET /a%2Fb%FF HTTP/1.1\r\nHost: a\r\nX-Odd:\t\xff\xfe\r\n\r\n"
        self.assertEqual(
            self.see(raw, sent, pattern="/{name}"),
            ({"name": b"a/b\xff"}, "/a%2Fb%FF", (b"X-Odd", b"\xff\xfe")),
        )

    def test_what_is_not_ascii_is_taken_as_its_percent_encoding(self):
        raw = "GET /caf\u00e9?q=\u20ac HTTP/1.1\r\nHost: h\r\n\r\n".encode()

        def look(r):
            return r.target, r.raw_path, r.path, r.query_string, dict(r.query), r.params

        target = "/caf%C3%A9?q=%E2%82%AC"
        self.assertEqual(
            self.see(look, raw, pattern="/{name}"),
            (target, "/caf%C3%A9", "/caf\u00e9", "q=%E2%82%AC", {"q": "\u20ac"}, {"name": "caf\u00e9"}),
        )
        self.assertIsNone(self.see(look, raw.replace(b"\xc3\xa9", b"\xe9"), pattern="/{name}"))
        self.assertTrue(self.answer.startswith(b"HTTP/1.1 400 "), self.answer)

    def test_query(self):
        query = self.see(lambda r: r.query, path="/q?x=1&x=2&y=%26+a&z=")
        self.assertEqual(query["x"], "1")
        self.assertEqual(query.get_all("x"), ["1", "2"])
        self.assertEqual(dict(query), {"x": "1", "y": "& a", "z": ""})
        self.assertEqual(query.pairs, [("x", "1"), ("x", "2"), ("y", "& a"), ("z", "")])
        self.assertEqual((query.get("no"), "no" in query, query.get_all("no")), (None, False, []))
        with self.assertRaises(KeyError):
            query["no"]

    def test_params(self):
        params = self.see(lambda r: r.params, path="/b%20c/d/e%2Ff", pattern="/{one}/{*rest}")
        self.assertEqual(params, {"one": "b c", "rest": "d/e/f"})
        self.assertEqual(self.see(lambda r: r.params, path="/plain", pattern="/plain"), {})

    def test_headers(self):
        raw = b"GET / HTTP/1.1\r\nHost: a\r\nX-Two: 1\r\nx-lat: caf\xe9\r\nX-TWO:2\t\r\nx-none:\r\n\r\n"
        headers = self.see(lambda r: r.headers, raw, pattern="/")
        self.assertEqual(headers["HOST"], "a")
        self.assertEqual(headers.get_all("x-two"), ["1", "2"])
        self.assertEqual(headers["x-lat"], "caf\xe9")
        self.assertEqual(headers["x-none"], "")
        self.assertEqual(headers.get("absent", "no"), "no")
        self.assertEqual([name for name, _ in headers.pairs], ["Host", "X-Two", "x-lat", "X-TWO", "x-none"])
        self.assertEqual(headers.raw[2], (b"x-lat", b"caf\xe9"))
        self.assertEqual(len(headers), 4)
        self.assertIn("X-Two", headers)

    def test_cookies(self):
        cookie = 'a=1; b="two"; a=3;c=; nonsense; d==e'
        cookies = self.see(lambda r: r.cookies, path="/x", headers={"Cookie": cookie})
        self.assertEqual(cookies, {"a": "1", "b": "two", "c": "", "d": "=e"})

    def test_ten_thousand_cookies_are_a_431(self):
        many = {"Cookie": "a=;" * 10_000}
        self.assertEqual(self.see(lambda r: len(r.cookies), path="/x", headers={"Cookie": "a=;" * 1000}), 1)

        def look(request):
            try:
                return request.cookies
            except HTTPError as error:
                return error.status, error.message

        self.assertEqual(
            self.see(look, path="/x", headers=many), (431, "the request has more than 1000 cookies")
        )

    def test_signed_cookies(self):
        keys = SigningKeys(b"0123456789abcdef0123456789abcdef")
        headers = {"Cookie": f"user={keys.sign('user', 'ada')}; other=x"}
        names = ("user", "other", "none")
        seen = self.see(lambda r: [r.signed_cookie(name, keys) for name in names], path="/x", headers=headers)
        self.assertEqual(seen, ["ada", None, None])

    def test_body(self):
        blob = bytes(range(256)) * 3000
        self.assertEqual(self.see(lambda r: r.body, method="POST", body=blob), blob)
        self.assertEqual(self.see(lambda r: r.body), b"")
        head = b"POST /c HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
        body = b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
        self.assertEqual(self.see(lambda r: r.body, head + body), b"abcde")

    def test_what_is_not_utf8_is_not_lost(self):
        def look(r):
            return r.path, r.params["name"], r.query["q"]

        seen = [self.see(look, path=f"/{byte}?q={byte}", pattern="/{name}") for byte in ("%FF", "%FE")]
        self.assertEqual(seen, [("/\udcff", "\udcff", "\udcff"), ("/\udcfe", "\udcfe", "\udcfe")])
        kind = {"Content-Type": "application/x-www-form-urlencoded"}
        form = self.see(lambda r: r.form(), method="POST", body="a=%FF", headers=kind)
        self.assertEqual(form["a"], "\udcff")

    def test_what_is_not_utf8_can_be_sent_back(self):
        app = Server()
        app.get("/text/{name}")(lambda request: request.params["name"])
        app.get("/tuple/{name}")(lambda request: (request.params["name"], 200))
        app.get("/stream/{name}")(lambda request: iter([request.params["name"]]))

        @app.get("/async/{name}")
        async def echo(request):
            return request.params["name"]

        with app.start("127.0.0.1:0") as running:
            for kind in ("text", "tuple", "stream", "async"):
                answer = fetch(running, f"/{kind}/%C3%A9%FF")
                self.assertEqual((answer.status, answer.body), (200, b"\xc3\xa9\xff"), kind)

    def test_params_before_a_body(self):
        seen = self.see(
            lambda r: (r.body, r.params, r.query_string),
            path="/7?q",
            pattern="/{id}",
            method="POST",
            body="text",
        )
        self.assertEqual(seen, (b"text", {"id": "7"}, "q"))

    def test_text(self):
        kind = {"Content-Type": "text/plain; Charset=latin-1"}
        self.assertEqual(self.see(lambda r: r.text(), method="POST", body=b"caf\xe9", headers=kind), "café")
        self.assertEqual(self.see(lambda r: r.text(), method="POST", body="café".encode()), "café")
        self.see(lambda r: r.text(), method="POST", body=b"\xff")
        self.assertEqual((self.answer.status, self.answer.body), (400, b"the body is not text in utf-8\n"))
        kind = {"Content-Type": "text/plain; charset=klingon"}
        self.see(lambda r: r.text(), method="POST", body=b"x", headers=kind)
        self.assertEqual(self.answer.status, 400)
        self.assertEqual(self.log, [])

    def test_json(self):
        value = {"a": [1, None, "é"]}
        self.assertEqual(self.see(lambda r: r.json(), method="POST", body=json.dumps(value)), value)
        for bad in (b"{", b"", b"\xff\xfe\xfd", b"[1,]"):
            self.see(lambda r: r.json(), method="POST", body=bad)
            self.assertEqual(self.answer.status, 400, bad[:4])
            self.assertIn("the body is not JSON", self.answer.text)

    def test_json_beyond_a_limit_ends_there(self):
        deep = "the JSON is nested more than 100 levels deep\n"
        nested = b"[" * 100 + b"]" * 100
        for body, told in (
            (b"[" * 5_000_000, deep),
            (b'{"a":' * 1_000_000, deep),
            (b"[" + nested + b"]", deep),
            (b'{"a":' * 101 + b"1" + b"}" * 101, deep),
            (("[" + nested.decode() + "]").encode("utf-16"), deep),
        ):
            self.see(lambda r: r.json(), method="POST", body=body)
            self.assertEqual((self.answer.status, self.answer.text), (400, told), body[:10])
        self.assertEqual(self.log, [])
        wide = [["[[[[", {"{": "{"}]] * 1000
        for value in (json.loads(nested), wide):
            self.assertEqual(self.see(lambda r: r.json(), method="POST", body=json.dumps(value)), value)
        limits = JsonLimits(depth=2, size=20)
        self.assertEqual(
            self.see(lambda r: r.json(limits), method="POST", body=b'[{"[": "[{"}]'), [{"[": "[{"}]
        )
        for body, status, told in (
            (b"[[{}]]", 400, "the JSON is nested more than 2 levels deep\n"),
            (b"[1" + b" " * 18 + b"]", 413, "the JSON is larger than 20 bytes\n"),
        ):
            self.see(lambda r: r.json(limits), method="POST", body=body)
            self.assertEqual((self.answer.status, self.answer.text), (status, told))
        for options in ({"depth": 128}, {"depth": -1}, {"size": -1}, {"depth": 1.5}):
            with self.assertRaises(InvalidArgumentError):
                JsonLimits(**options)

    def test_ten_thousand_fields_of_a_query_end_at_the_limit(self):
        self.assertEqual(len(self.see(lambda r: r.query, path="/?" + "a&" * 999 + "a").pairs), 1000)
        self.see(lambda r: r.query, path="/?" + "a&" * 1000)
        told = "the query has more than 1000 fields\n"
        self.assertEqual((self.answer.status, self.answer.text), (400, told))

    def test_form(self):
        kind = {"Content-Type": "Application/X-WWW-Form-URLencoded; charset=utf-8"}
        form = self.see(lambda r: r.form(), method="POST", body="a=1&a=%C3%A9&b=+", headers=kind)
        self.assertEqual(form.pairs, [("a", "1"), ("a", "é"), ("b", " ")])
        self.see(lambda r: r.form(), method="POST", body="{}", headers={"Content-Type": "application/json"})
        self.assertEqual(self.answer.status, 415)

    def test_a_value_that_the_request_does_not_have_is_a_400(self):
        form = {"Content-Type": "application/x-www-form-urlencoded"}
        for look, text in (
            (lambda r: r.query["page"], "query parameter 'page' is missing"),
            (lambda r: r.form()["page"], "form field 'page' is missing"),
            (lambda r: r.headers["X-Page"], "header field 'X-Page' is missing"),
            (lambda r: r.cookies["page"], "cookie 'page' is missing"),
        ):
            self.see(look, method="POST", path="/x?a=1", body="b=2", headers=form)
            self.assertEqual((self.answer.status, self.answer.text), (400, text + "\n"))
            found = self.see(
                lambda r, look=look: self.assertRaises(KeyError, look, r),
                method="POST",
                body="b=2",
                headers=form,
            )
            self.assertIsNone(found)
            self.assertEqual(self.answer.status, 204)
        self.assertEqual(self.log, [])
        absent = self.see(lambda r: (r.query.get("page"), r.headers.get("x-page"), r.cookies.get("page")))
        self.assertEqual(absent, (None, None, None))

    def test_a_path_parameter_that_the_pattern_does_not_have_is_a_500(self):
        self.see(lambda r: r.params["page"])
        self.assertEqual(self.answer.status, 500)
        self.assertIn("KeyError: 'page'", self.log[0])

    def test_client(self):
        host, port = self.see(lambda r: r.client)
        self.assertEqual(host, "127.0.0.1")
        self.assertGreater(port, 0)

    def test_the_address_that_the_client_came_to(self):
        app = Server()
        kept = []

        @app.get("/")
        def handler(request):
            kept.append(request)
            return {"local": request.local, "again": request.local}

        @app.get("/async")
        async def asynchronous(request):
            await asyncio.sleep(0)
            return handler(request)

        @app.get("/late")
        def late(request):
            kept.append(request)
            return "hello"

        with app.start("127.0.0.1:0") as running:
            for path in ("/", "/async"):
                told = json.loads(fetch(running, path).text)
                self.assertEqual(told["local"], ["127.0.0.1", running.port])
                self.assertEqual(told["again"], told["local"])
            self.assertEqual(kept[0].local, ("127.0.0.1", running.port))
            fetch(running, "/late")
            self.assertIsNone(kept[-1].local)
        with tempfile.TemporaryDirectory() as folder, app.start(f"unix:{folder}/socket") as running:
            with socket.socket(socket.AF_UNIX) as client:
                client.settimeout(LIMIT)
                client.connect(f"{folder}/socket")
                client.sendall(b"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
                answer = b""
                while piece := client.recv(4096):
                    answer += piece
            self.assertTrue(answer.endswith(b'{"local":null,"again":null}'), answer)

    def test_a_request_outlives_its_answer(self):
        request = self.see(lambda r: r, path="/x?q=1", method="POST", body=b"kept", headers={"X-A": "b"})
        self.assertIsInstance(request, Request)
        self.assertEqual((request.body, request.headers["x-a"], request.query["q"]), (b"kept", "b", "1"))
        self.assertTrue(request.is_gone)
