"""Wrong arguments of public functions: the error names the argument, its range and the value."""

import asyncio
import collections
import math
import unittest

from support import Quiet, fetch

import transom
from transom import Headers, HTTPError, MultiDict, Response, Server

LIMITS = (
    "target",
    "head",
    "headers",
    "body",
    "chunk_extensions",
    "trailers",
    "connections",
    "connections_per_address",
    "handshakes",
    "head_rate",
    "body_rate",
    "write_rate",
    "bodies",
    "output",
    "drain",
    "pool_threads",
    "pool_queue",
    "connection_threads",
    "thread_stack",
    "backlog",
)
TIMEOUTS = (
    "head",
    "idle",
    "handshake",
    "body",
    "write",
    "handler",
    "drain",
    "linger",
    "linger_idle",
    "stop",
    "stop_delay",
    "watchdog",
)

#: Texts of errors that wrong types cause in `re`, `ctypes`, `struct` and formats, if nothing checks them.
RAW = (
    "expected string or bytes",
    "argument 1:",
    "Don't know how to convert",
    "required argument is not",
    "format code",
    "object is not iterable",
    "object has no attribute",
    "not supported between",
    "unhashable type",
    "int too large",
    "integer string conversion",
    "surrogates not allowed",
    "is not iterable",
)


class Odd:
    """A value whose `repr` fails."""

    def __repr__(self):
        raise ValueError("no text")


class TestSettings(unittest.TestCase):
    def fails(self, make, *parts, kind=transom.InvalidArgumentError):
        with self.assertRaises(kind) as caught:
            make()
        for part in parts:
            self.assertIn(part, str(caught.exception))
        self.assertLess(len(str(caught.exception)), 500)

    def test_the_limits_are_those_that_the_library_names(self):
        with self.assertRaises(transom.InvalidArgumentError) as caught:
            Server(limits={"coffee": 1})
        self.assertIn("there is no limit 'coffee'. There are: ", str(caught.exception))
        self.assertEqual(str(caught.exception).rsplit(": ", 1)[1].split(", "), list(LIMITS))
        with self.assertRaises(transom.InvalidArgumentError) as caught:
            Server(timeouts={"coffee": 1})
        self.assertEqual(str(caught.exception).rsplit(": ", 1)[1].split(", "), list(TIMEOUTS))

    def test_an_unknown_name_is_told_with_the_one_that_may_be_meant(self):
        self.fails(lambda: Server(limits={"bdy": 1}), "no limit 'bdy'", "Did you mean 'body'?", "backlog")
        self.fails(lambda: Server(limits={"max_connections": 1}), "'connections'")
        self.fails(lambda: Server(timeouts={"keep_alive": 1}), "no timeout 'keep_alive'", "idle")
        self.fails(lambda: Server(timeouts={"writes": 1}), "Did you mean 'write'?")
        # A wrong value does not hide a wrong name.
        self.fails(lambda: Server(limits={"bdy": -1}), "no limit 'bdy'")
        self.fails(lambda: Server(timeouts={"writes": math.nan}), "no timeout 'writes'")
        for odd in ("body\0", "b\u00f6dy", "\ud800", ""):
            self.fails(lambda odd=odd: Server(limits={odd: 1}), "there is no limit")
            self.fails(lambda odd=odd: Server(timeouts={odd: 1}), "there is no timeout")
        self.fails(lambda: Server(limits={5: 1}), "the name of a limit is a str, got int 5", kind=TypeError)
        self.fails(lambda: Server(timeouts={b"idle": 1}), "the name of a timeout is a str", kind=TypeError)

    def test_limits(self):
        for name in LIMITS:
            for value in (-1, 2**64, 2**64 + 7, 10**5000, -(10**5000)):
                self.fails(
                    lambda n=name, v=value: Server(limits={n: v}), f"limit '{name}' is ", " to ", "got "
                )
            for value in (1.0, math.nan, math.inf, "1", None, True, b"1", [], Odd(), 1j):
                for kind in (transom.InvalidArgumentError, TypeError, ValueError):
                    self.fails(
                        lambda n=name, v=value: Server(limits={n: v}),
                        f"limit '{name}' is an int from ",
                        "got None" if value is None else f"got {type(value).__name__} ",
                        kind=kind,
                    )
        self.fails(
            lambda: Server(limits={"body": 2**64}), "0 to 18446744073709551615", "18446744073709551616"
        )
        self.fails(lambda: Server(limits={"head_rate": 2**32}), "0 to 4294967295", "4294967296")
        self.fails(lambda: Server(limits={"connections": 0}), "1 to", "got 0")
        self.fails(lambda: Server(limits={"thread_stack": 4096}), "65536 to", "got 4096")
        Server(limits={"body": 2**64 - 1, "connections_per_address": 0, "drain": 0, "backlog": 0})

    def test_timeouts(self):
        self.fails(lambda: Server(timeouts={"watchdog": 0.009}), "0.01 to", "got 0.009")
        Server(timeouts={"watchdog": 0.01})
        for name in TIMEOUTS:
            least = "0" if name in ("drain", "linger", "linger_idle", "stop", "stop_delay") else "more than 0"
            least = "0.01" if name == "watchdog" else least
            range_ = f"timeout '{name}' is {least} to 1000000000 seconds, or None for none"
            for value in (-1, -0.001, 2**64, 1e10, 10**5000, math.nan, math.inf, -math.inf):
                self.fails(lambda n=name, v=value: Server(timeouts={n: v}), range_, "got ")
            for value in ("1", True, b"1", [], Odd(), 1j):
                for kind in (transom.InvalidArgumentError, TypeError, ValueError):
                    self.fails(
                        lambda n=name, v=value: Server(timeouts={n: v}),
                        range_,
                        f"got {type(value).__name__} ",
                        kind=kind,
                    )
            Server(timeouts={name: None})
            Server(timeouts={name: 1e9})
            Server(timeouts={name: 0.01 if name == "watchdog" else 1e-9})
        self.fails(lambda: Server(timeouts={"idle": 0}), "got 0")
        Server(timeouts={"drain": 0, "stop": 0.0})

    def test_numbers_of_threads_and_models(self):
        for name in ("workers", "threads"):
            for value in (0, -1, 1025, 2**64, 10**5000):
                self.fails(lambda n=name, v=value: Server(**{n: v}), f"{name} is 1 to 1024, got ")
            for value in ("4", 1.0, math.nan, True, [4]):
                self.fails(
                    lambda n=name, v=value: Server(**{n: v}),
                    f"{name} is an int from 1 to 1024, got {type(value).__name__} ",
                    kind=TypeError,
                )
        for value in ("evnet", "", None, 1, [], Odd()):
            self.fails(lambda v=value: Server(model=v), "model", ", got ")
        for name in ("limits", "timeouts"):
            for value in (5, "body", [("body", 1)], {"body"}):
                self.fails(lambda n=name, v=value: Server(**{n: v}), f"{name} is a mapping", kind=TypeError)

    def test_how_long_a_stop_may_take(self):
        app = Server()
        app.get("/")(lambda request: "")
        with app.start("127.0.0.1:0") as running:
            for value in (-1, math.nan, math.inf, 2**64):
                self.fails(
                    lambda v=value: running.stop(v), "the timeout of a stop is 0 to 1000000000 seconds"
                )
            for value in ("soon", None, True, []):
                self.fails(lambda v=value: running.stop(v), "the timeout of a stop is 0 to", kind=TypeError)
            # The server still runs.
            self.assertEqual(fetch(running, "/").status, 200)
        for value in (-1, math.nan, math.inf, "soon", None):
            self.fails(lambda v=value: app.run("127.0.0.1:0", stop_timeout=v), "stop_timeout is 0 to")
            self.fails(
                lambda v=value: asyncio.run(app.serve("127.0.0.1:0", stop_timeout=v)), "stop_timeout is 0 to"
            )
        self.fails(lambda: app.run(quiet="yes"), "quiet is True or False, got str 'yes'", kind=TypeError)
        self.fails(lambda: asyncio.run(app.serve(ready=5)), "ready is a function", kind=TypeError)
        self.assertIsNone(app.running)


class TestArguments(Quiet, unittest.TestCase):
    #: Wrong values of many types.
    WRONG = (
        None,
        True,
        5,
        -1,
        2**64,
        10**5000,
        1.5,
        math.nan,
        "",
        "x",
        "a b",
        "\0",
        "\r\n",
        "\ud800",
        "\u20ac",
        "x" * 10_000,
        b"",
        b"x",
        [],
        [1],
        ["ab"],
        [("a", 5)],
        [(5, "a")],
        {},
        {"a": 5},
        {5: "a"},
        object(),
        Odd(),
        len,
        1j,
        ("a", "b", "c", "d"),
    )

    def test_no_error_speaks_of_what_is_behind(self):
        """Each argument is set to each wrong value: it is accepted, or the error names it."""
        app = Server()

        def handler(request):
            return ""

        calls = {
            "Response": (Response, ["body"], {"status": 200, "headers": (), "content_type": None}),
            "text": (Response.text, ["text"], {"status": 200, "headers": ()}),
            "html": (Response.html, ["text"], {"status": 200, "headers": ()}),
            "redirect": (Response.redirect, ["/"], {"status": 303, "headers": ()}),
            "stream": (Response.stream, [iter(())], {"status": 200, "headers": (), "content_type": None}),
            "file": (
                Response.file,
                [__file__],
                {"offset": 0, "length": None, "status": 200, "headers": (), "content_type": None},
            ),
            "add_header": (lambda *args: Response("").add_header(*args), ["x-a", "b"], {}),
            "set_cookie": (
                lambda *args, **options: Response("").set_cookie(*args, **options),
                ["a", "b"],
                {
                    "max_age": None,
                    "path": "/",
                    "domain": None,
                    "secure": False,
                    "http_only": True,
                    "same_site": "Lax",
                },
            ),
            "HTTPError": (HTTPError, [404, "message"], {}),
            "route": (
                lambda *args, **options: app.route(*args, **options)(handler),
                ["/"],
                {"methods": ["GET"]},
            ),
            "blocking": (lambda **options: app.get("/b", **options)(handler), [], {"blocking": None}),
            "get": (lambda handler: app.get("/handler")(handler), [handler], {}),
            "fallback": (lambda handler: app.fallback()(handler), [handler], {}),
            "start": (lambda address: Server().start(address).stop(0), ["127.0.0.1:0"], {}),
            "MultiDict": (MultiDict, [[("a", "b")]], {}),
            "get_all": (MultiDict([("a", "b")]).get_all, ["a"], {}),
            "Headers": (Headers.parse, [b"a: b\r\n"], {}),
            "headers": (Headers.parse(b"a: b\r\n").get, ["a"], {}),
        }

        told = 0
        for name, (function, arguments, options) in calls.items():
            for at in [*range(len(arguments)), *options]:
                for wrong in self.WRONG:
                    args, kwargs = list(arguments), dict(options)
                    (args if isinstance(at, int) else kwargs)[at] = wrong
                    try:
                        function(*args, **kwargs)
                    except (TypeError, ValueError, OSError) as error:
                        text = str(error)
                        told += 1
                    except Exception as error:
                        self.fail(f"{name}, {at}={wrong!r:.50}: {type(error).__name__}: {error}")
                    else:
                        continue
                    for raw in RAW:
                        # Python itself refuses such a path or key, with its own text.
                        if (name, raw) in (
                            ("get_all", "unhashable type"),
                            ("headers", "unhashable type"),
                            ("file", "surrogates not allowed"),
                        ):
                            continue
                        self.assertNotIn(raw, text, (name, at))
        self.assertGreater(told, 500)

    def test_cookies(self):
        def fails(kind, sentence, *arguments, **options):
            response = Response("")
            with self.assertRaises(kind) as caught:
                response.set_cookie(*arguments, **options)
            self.assertEqual(str(caught.exception), sentence)
            self.assertEqual(len(response.headers), 1)

        fails(TypeError, "the value of cookie 'a' is a str, got int 5", "a", 5)
        fails(TypeError, "the value of cookie 'a' is a str, got bytes b'x'", "a", b"x")
        fails(TypeError, "the name of a cookie is a str, got None", None, "x")
        fails(TypeError, "path of cookie 'a' is a str, got int 1", "a", "b", path=1)
        fails(TypeError, "domain of cookie 'a' is a str, got bytes b'x'", "a", "b", domain=b"x")
        fails(TypeError, "secure is True or False, got int 2", "a", "b", secure=2)
        fails(TypeError, "http_only is True or False, got None", "a", "b", http_only=None)
        fails(TypeError, "same_site is a str, got bool True", "a", "b", same_site=True)
        fails(
            ValueError, "same_site is Strict, Lax, None or absent, got 'maybe'", "a", "b", same_site="maybe"
        )
        for age in ("60", 1.5, True):
            with self.assertRaises(TypeError) as caught:
                Response("").set_cookie("a", "b", max_age=age)
            self.assertIn("max_age of cookie 'a' is an int from ", str(caught.exception))

    def test_same_site_in_any_case(self):
        for given, sent in (("lax", "Lax"), ("STRICT", "Strict"), ("nOne", "None"), ("Lax", "Lax")):
            response = Response("")
            response.set_cookie("a", "b", same_site=given, secure=True)
            self.assertEqual(response.fields[-1][1], f"a=b; Path=/; Secure; HttpOnly; SameSite={sent}")

    def test_cookies_and_repeated_fields_are_all_sent(self):
        app = Server()

        def response():
            response = Response("x", headers=[("X-A", "1"), ("X-A", "2"), ("Set-Cookie", "zero=0")])
            response.set_cookie("one", "1")
            response.set_cookie("two", "2")
            response.set_cookie("two", "3", path="/x")
            response.add_header("x-a", "3")
            return response

        async def asynchronous(request):
            return response(), 201, [("X-A", "4"), ("set-cookie", "five=5")]

        def stream(request):
            answer = Response.stream(iter("x"))
            answer.set_cookie("one", "1")
            answer.set_cookie("two", "2")
            return answer

        def file(request):
            answer = Response.file(__file__)
            answer.set_cookie("one", "1")
            answer.set_cookie("two", "2")
            return answer

        app.get("/")(lambda request: response())
        app.get("/async")(asynchronous)
        app.get("/stream")(stream)
        app.get("/file")(file)
        with app.start("127.0.0.1:0") as running:
            plain, later = fetch(running, "/").headers, fetch(running, "/async").headers
            streamed = [fetch(running, path).headers.get_all("set-cookie") for path in ("/stream", "/file")]
        pairs = ["zero=0", "one=1", "two=2", "two=3"]
        self.assertEqual([cookie.split(";")[0] for cookie in plain.get_all("set-cookie")], pairs)
        self.assertEqual(plain.get_all("x-a"), ["1", "2", "3"])
        self.assertEqual([cookie.split(";")[0] for cookie in later.get_all("set-cookie")], [*pairs, "five=5"])
        self.assertEqual(later.get_all("x-a"), ["1", "2", "3", "4"])
        self.assertEqual([[cookie.split(";")[0] for cookie in each] for each in streamed], [pairs[1:3]] * 2)

    def test_any_mapping_is_json(self):
        app = Server()
        app.get("/")(lambda request: collections.ChainMap({"a": 1}))
        with app.start("127.0.0.1:0") as running:
            answer = fetch(running, "/")
        self.assertEqual((answer.headers["content-type"], answer.text), ("application/json", '{"a":1}'))
