"""Wrong addresses, routes, settings and statuses raise specific errors."""

import errno
import socket
import unittest

import transom
from transom import Server


class TestErrors(unittest.TestCase):
    def fails(self, kind, function, *parts):
        with self.assertRaises(kind) as caught:
            function()
        for part in parts:
            self.assertIn(part, str(caught.exception))
        return caught.exception

    def test_hierarchy(self):
        for kind, base, code in (
            (transom.AddressInUseError, OSError, -4),
            (transom.PermissionDeniedError, PermissionError, -5),
            (transom.SystemCallError, OSError, -6),
            (transom.BadAddressError, ValueError, -3),
            (transom.BadRouteError, ValueError, -7),
            (transom.BadHeaderError, ValueError, -8),
            (transom.BadStatusError, ValueError, -9),
            (transom.AlreadyStartedError, RuntimeError, -10),
            (transom.ForkedError, RuntimeError, -19),
            (transom.InvalidArgumentError, ValueError, -2),
        ):
            self.assertTrue(issubclass(kind, base))
            self.assertTrue(issubclass(kind, transom.Error))
            self.assertEqual(kind.code, code)

    def test_address_in_use(self):
        with socket.create_server(("127.0.0.1", 0)) as taken:
            address = f"127.0.0.1:{taken.getsockname()[1]}"
            error = self.fails(transom.AddressInUseError, lambda: Server().start(address), address)
            self.assertEqual((error.code, error.errno), (-4, errno.EADDRINUSE))

    def test_a_failed_start_may_be_repeated(self):
        app = Server()
        self.fails(transom.BadAddressError, lambda: app.start("nonsense"))
        app.get("/")(lambda request: "x")
        app.start("127.0.0.1:0").stop()

    def test_bad_addresses(self):
        app = Server()
        for address in ("", "127.0.0.1", "127.0.0.1:eighty", "127.0.0.1:70000", "a b:1", "127.0.0.1:0\0"):
            with self.subTest(address=address):
                error = self.fails(transom.BadAddressError, lambda address=address: app.start(address))
                self.assertEqual(error.code, -3)
        self.fails(TypeError, lambda: app.start(8080), "got int")

    def test_bad_routes_are_refused_when_they_are_decorated(self):
        app = Server()
        app.get("/users/{id}")(lambda request: "")
        for pattern, reason in (
            ("no-slash", "a pattern starts with `/`"),
            ("/users/{id}", "there is a handler for this already"),
            ("/users/{name}", "there is a handler for this already"),
            ("/users/{*rest}", "`/users/{id}`"),
            ("/a/{", "a parameter is `{name}`"),
            ("/{*rest}/more", "`/files/{*path}`"),
            ("/q?x=1", "the query is for the handler"),
            ("/a/{b}/{b}", "the name `b`"),
            ("/<int:id>", "`{id}`, not `<int:id>`"),
            ("/:id", "`{id}`, not `:id`"),
            ("/*", "`{*name}`"),
            ("/{}", "a parameter has a name"),
            ("", "a pattern starts with `/`"),
            ("/\0", "NUL"),
        ):
            with self.subTest(pattern=pattern):
                error = self.fails(
                    transom.BadRouteError, lambda p=pattern: app.get(p)(lambda request: ""), "GET", reason
                )
                self.assertEqual(error.code, -7)
        for method, reason in (("get", "write `GET`"), ("CONNECT", "for proxies")):
            with self.subTest(method=method):
                refused = app.route("/", methods=[method])
                self.fails(transom.BadRouteError, lambda r=refused: r(lambda request: ""), reason)
        app.post("/users/{other}")(lambda request: "")
        odd = app.route("/", methods=["GE T"])
        self.fails(transom.BadRouteError, lambda: odd(lambda request: ""), "GE T")
        self.fails(TypeError, lambda: app.get(7), "got int")
        self.fails(TypeError, lambda: app.route("/", methods="GET"), "got one str")
        self.fails(TypeError, lambda: app.route("/", methods=[1]), "[1]")

    def test_bad_handlers_are_refused_when_they_are_decorated(self):
        app = Server()
        self.fails(TypeError, lambda: app.get("/")("text"), "got str")
        self.fails(TypeError, lambda: app.get("/")(lambda: ""), "cannot be called with one request")
        self.fails(TypeError, lambda: app.get("/")(lambda a, b: ""), "cannot be called with one request")
        self.fails(TypeError, lambda: app.get("/", blocking=1)(lambda request: ""), "got int")

        async def handler(request):
            return ""

        self.fails(TypeError, lambda: app.get("/", blocking=True)(handler), "asynchronous")
        # The refused route was not added.
        app.get("/")(lambda request: "")

    def test_bad_settings(self):
        self.fails(transom.InvalidArgumentError, lambda: Server(limits={"size": 1}), "'size'")
        self.fails(transom.InvalidArgumentError, lambda: Server(limits={"body": -1}), "'body'", "-1")
        self.fails(transom.InvalidArgumentError, lambda: Server(limits={"body": "1"}), "'body'")
        self.fails(transom.InvalidArgumentError, lambda: Server(timeouts={"nap": 1}), "'nap'")
        self.fails(transom.InvalidArgumentError, lambda: Server(timeouts={"idle": -1}), "-1")
        self.fails(TypeError, lambda: Server(timeouts={"idle": "1"}), "got str")
        self.fails(transom.InvalidArgumentError, lambda: Server(workers=0), "workers")
        self.fails(transom.InvalidArgumentError, lambda: Server(threads=100_000), "threads")
        self.fails(TypeError, lambda: Server(threads="4"), "threads", "got str")
        Server(limits={"body": 1}, timeouts={"idle": None, "handler": 0.5})

    def test_a_running_server(self):
        app = Server()
        app.get("/")(lambda request: "")
        with app.start("127.0.0.1:0") as running:
            self.fails(transom.AlreadyStartedError, lambda: app.start("127.0.0.1:0"))
            self.fails(transom.AlreadyStartedError, lambda: app.get("/more")(lambda request: ""))
            self.assertIs(app.running, running)
            self.fails(TypeError, lambda: running.stop("soon"), "got str")
        self.assertIsNone(app.running)
