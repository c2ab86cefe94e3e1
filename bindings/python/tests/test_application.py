"""Middleware, error handlers, hooks, routers and converters."""

import asyncio
import json
import unittest
import uuid

from support import LIMIT, Quiet, exchange, fetch, served

from transom import (
    AlreadyStartedError,
    BadHeaderError,
    BadRouteError,
    BadStatusError,
    HTTPError,
    InvalidArgumentError,
    Response,
    Router,
    Server,
)


class TestConverters(Quiet, unittest.TestCase):
    def test_values_are_converted(self):
        app = Server()
        seen = []
        for kind in ("int", "float", "uuid", "str"):
            app.get(f"/{kind}/{{value:{kind}}}")(lambda request: seen.append(request.params["value"]))
        app.get("/path/{value:path}")(lambda request: seen.append(request.params["value"]))

        @app.get("/async/{value:int}")
        async def waits(request):
            seen.append(request.params["value"])

        with app.start("127.0.0.1:0") as running:
            number = "12345678-1234-5678-1234-567812345678"
            for path in ("int/-7", "float/1.5", f"uuid/{number}", "str/a%20b", "path/a/b", "async/0012"):
                self.assertEqual(fetch(running, f"/{path}").status, 204, path)
            self.assertEqual(seen, [-7, 1.5, uuid.UUID(number), "a b", "a/b", 12])
            for path in (
                "int/x", "int/1_0", "int/%201", "int/%D9%A1", "int/1.0", "int/+1", "int/" + "9" * 5000,
                "float/nan", "float/1e5", "float/.5", "uuid/1", "uuid/" + number.replace("-", ""), "async/x",
            ):  # fmt: skip
                self.assertEqual(fetch(running, f"/{path}").status, 404, path)
        self.assertEqual(self.log, [])

    def test_an_unknown_converter_is_refused_by_the_decorator(self):
        for target in (Server(), Router()):
            with self.assertRaisesRegex(BadRouteError, "no converter 'integer'; there are str, path, int"):
                target.get("/{id:integer}")(lambda request: "")
            with self.assertRaises(BadRouteError):
                target.get("/{a:path}/more")(lambda request: "")


class TestMiddleware(Quiet, unittest.TestCase):
    def test_the_first_is_the_outermost_in_both_kinds(self):
        for asynchronous in (False, True):
            app = Server()
            order = []

            def note(name, app=app, order=order, asynchronous=asynchronous):
                if asynchronous:

                    @app.middleware
                    async def around(request, next):
                        order.append(name)
                        response = await next(request)
                        order.append(f"/{name}")
                        return response
                else:

                    @app.middleware
                    def around(request, next):
                        order.append(name)
                        response = next(request)
                        order.append(f"/{name}")
                        return response

            note("a")
            app.before(lambda request, order=order: order.append("before"))
            app.after(lambda request, response, order=order: order.append(f"after {response.status}"))
            note("b")
            app.get("/plain")(lambda request, order=order: order.append("plain"))
            if asynchronous:

                @app.get("/async")
                async def handler(request, order=order):
                    order.append("async")

            with app.start("127.0.0.1:0") as running:
                for path in ["plain", "async"][: 1 + asynchronous]:
                    order.clear()
                    self.assertEqual(fetch(running, f"/{path}").status, 204)
                    self.assertEqual(order, ["a", "before", "b", path, "/b", "after 204", "/a"])
        self.assertEqual(self.log, [])

    def test_plain_middleware_around_an_asynchronous_handler_is_refused_at_the_start(self):
        app = Server()
        app.middleware(lambda request, next: next(request))

        @app.get("/")
        async def handler(request):
            return ""

        with self.assertRaisesRegex(InvalidArgumentError, "is a plain function, and the handler"):
            app.start("127.0.0.1:0")
        self.assertIsNone(app.running)

    def test_middleware_sees_errors_as_responses_and_unexpected_ones_as_exceptions(self):
        app = Server()
        seen = []

        @app.middleware
        async def look(request, next):
            try:
                response = await next(request)
            except ZeroDivisionError:
                seen.append("raised")
                raise
            seen.append(response.status)
            response.set_header("x-seen", "1")
            return response

        @app.error(KeyError)
        def missing(request, error):
            return {"missing": error.args[0]}, 410

        @app.get("/{what}")
        def fail(request):
            what = request.params["what"]
            if what == "http":
                raise HTTPError(409, "busy", {"x-a": "1"})
            if what == "key":
                raise KeyError("k")
            return 1 / 0

        with app.start("127.0.0.1:0") as running:
            answer = fetch(running, "/http")
            self.assertEqual((answer.status, answer.text), (409, "busy\n"))
            self.assertEqual((answer.headers["x-a"], answer.headers["x-seen"]), ("1", "1"))
            answer = fetch(running, "/key")
            self.assertEqual((answer.status, answer.text), (410, '{"missing":"k"}'))
            self.assertEqual(self.log, [])
            answer = fetch(running, "/zero")
            self.assertEqual((answer.status, answer.headers.get("x-seen")), (500, None))
            self.assertEqual(seen, [409, 410, "raised"])
            answer = fetch(running, "/a/b")
            self.assertEqual((answer.status, answer.headers["x-seen"]), (404, "1"))
            answer = fetch(running, "/http", "PUT")
            self.assertEqual((answer.status, answer.headers["allow"]), (405, "GET, HEAD"))
        self.assertEqual(len(self.log), 1)
        self.assertIn("ZeroDivisionError", self.log[0])

    def test_a_response_of_the_application_is_not_changed(self):
        app = Server()
        same = Response("x")
        app.after(lambda request, response: response.add_header("x-a", "1"))
        app.get("/")(lambda request: same)
        with app.start("127.0.0.1:0") as running:
            for _ in range(2):
                self.assertEqual(fetch(running, "/").headers.get_all("x-a"), ["1"])
        self.assertEqual(len(same.headers), 1)

    def test_before_may_answer_and_streams_pass_through(self):
        app = Server()
        app.after(lambda request, response: response.set_header("x-after", "1"))
        app.before(lambda request: ("stop", 401) if request.path == "/stop" else None)

        @app.get("/stop")
        def never(request):
            raise AssertionError

        @app.get("/stream")
        def stream(request):
            yield "a"
            yield "b"

        @app.get("/async-stream")
        async def async_stream(request):
            yield "a"
            yield "b"

        with app.start("127.0.0.1:0") as running:
            answer = fetch(running, "/stop")
            self.assertEqual((answer.status, answer.text, answer.headers["x-after"]), (401, "stop", "1"))
            for path in ("/stream", "/async-stream"):
                answer = fetch(running, path)
                self.assertEqual((answer.text, answer.headers["x-after"]), ("ab", "1"), path)
        self.assertEqual(self.log, [])

    def test_plain_handlers_run_on_the_pool_behind_asynchronous_middleware(self):
        for start in (lambda app: app.start("127.0.0.1:0"), served):
            app = Server(threads=1)
            threads = []

            @app.middleware
            async def around(request, next, threads=threads):
                return await next(request)

            @app.get("/{what}")
            def handler(request, threads=threads):
                import threading

                threads.append(threading.current_thread().name)
                if request.params["what"] == "stop":
                    raise StopIteration
                return "done"

            with start(app) as running:
                self.assertEqual(fetch(running, "/x").text, "done")
                self.assertEqual(fetch(running, "/stop").status, 500)
            self.assertTrue(all("loop" not in name and "Main" not in name for name in threads), threads)

    def test_wrong_middleware_is_refused(self):
        app = Server()

        async def late(request):
            pass

        for add, wrong in (
            (app.middleware, lambda request: None),
            (app.middleware, 7),
            (app.before, lambda: None),
            (app.before, late),
            (app.after, lambda request: None),
        ):
            self.assertRaises(TypeError, add, wrong)
        with app.start("127.0.0.1:0"):
            self.assertRaises(AlreadyStartedError, app.before, lambda request: None)


class TestErrorHandlers(Quiet, unittest.TestCase):
    def test_by_status_and_class(self):
        app = Server()

        class Gone(HTTPError):
            pass

        app.error(404)(lambda request, error: {"path": request.path})
        app.error(405)(lambda request, error: {"allow": dict(error.headers)["allow"]})
        app.error(500)(lambda request, error: "we are sorry")
        app.error(Gone)(lambda request, error: ("gone", 418))
        app.error(LookupError)(lambda request, error: None)
        app.error(403)(lambda request, error: [1, 2])

        @app.get("/fail/{what}")
        def fail(request):
            raise {"gone": Gone(404), "key": KeyError("k"), "403": HTTPError(403, headers={"x-a": "b"})}.get(
                request.params["what"], ValueError("v")
            )

        @app.get("/stream")
        def stream(request):
            raise HTTPError(404)
            yield

        @app.get("/async")
        async def wait(request):
            await asyncio.sleep(0)
            raise HTTPError(404)

        with app.start("127.0.0.1:0") as running:
            for path, status, body in (
                ("/none", 404, '{"path":"/none"}'),
                ("/stream", 404, '{"path":"/stream"}'),
                ("/async", 404, '{"path":"/async"}'),
                ("/fail/gone", 418, "gone"),
                ("/fail/key", 500, ""),
                ("/fail/403", 403, "[1,2]"),
            ):
                answer = fetch(running, path)
                self.assertEqual((answer.status, answer.text), (status, body), path)
            self.assertEqual(fetch(running, "/fail/403").headers["x-a"], "b")
            self.assertEqual(self.log, [])
            self.assertEqual(fetch(running, "/fail/other").text, "we are sorry")
            self.assertEqual(len(self.log), 1)
            answer = fetch(running, "/fail/x", "DELETE")
            self.assertEqual((answer.status, answer.text), (405, '{"allow":"GET, HEAD"}'))
            self.assertEqual(answer.headers["allow"], "GET, HEAD")

    def test_an_error_handler_that_fails(self):
        app = Server()
        app.error(404)(lambda request, error: iter("x"))

        @app.error(ValueError)
        def bad(request, error):
            raise HTTPError(422, "bad")

        @app.get("/")
        def fail(request):
            raise ValueError

        with app.start("127.0.0.1:0") as running:
            answer = fetch(running, "/")
            self.assertEqual((answer.status, answer.text), (422, "bad\n"))
            self.assertEqual(fetch(running, "/none").text, "500 Internal Server Error\n")
        self.assertIn("not a stream", self.log[0])

    def test_errors_in_json(self):
        app = Server(error_format="json", limits={"body": 1024})
        app.get("/fail")(lambda request: 1 / 0)

        @app.post("/busy")
        def busy(request):
            raise HTTPError(409, 'it is "busy"')

        @app.get("/own")
        def own(request):
            raise HTTPError(422, json={"errors": [1]})

        with app.start("127.0.0.1:0") as running:
            for path, method, status, title in (
                ("/none", "GET", 404, "Not Found"),
                ("/fail", "PUT", 405, "Method Not Allowed"),
                ("/fail", "GET", 500, "Internal Server Error"),
            ):
                answer = fetch(running, path, method)
                self.assertEqual(answer.status, status)
                self.assertEqual(answer.headers["content-type"], "application/problem+json")
                self.assertEqual(json.loads(answer.text), {"status": status, "title": title})
            answer = fetch(running, "/busy", "POST", body=b"x")
            self.assertEqual(
                json.loads(answer.text), {"status": 409, "title": "Conflict", "detail": 'it is "busy"'}
            )
            answer = fetch(running, "/busy", "POST", body=b"x" * 2000)
            told = json.loads(answer.text)
            self.assertRegex(told.pop("detail"), "The body is larger than the limit")
            self.assertEqual(told, {"status": 413, "title": "Content Too Large"})
            answer = fetch(running, "/own")
            self.assertEqual((answer.status, answer.text), (422, '{"errors":[1]}'))
            refused = exchange(running, b"nonsense\r\n\r\n")
            self.assertRegex(refused, rb'\{"status":400,"title":"Bad Request","detail":"[^"]+"\}$')
            self.assertIn(
                b'{"status":431,', exchange(running, b"GET / HTTP/1.1\r\na: " + b"x" * 70000 + b"\r\n\r\n")
            )

    def test_pages(self):
        app = Server(error_format="json")
        app.error_page(404, "<h1>{status} {reason}</h1>")
        app.get("/fail")(lambda request: 1 / 0)

        @app.get("/none-here")
        def none(request):
            raise HTTPError(404)

        with app.start("127.0.0.1:0") as running:
            for path in ("/none", "/none-here"):
                answer = fetch(running, path)
                self.assertEqual(answer.text, "<h1>404 Not Found</h1>")
                self.assertEqual(answer.headers["content-type"], "text/html; charset=utf-8")
            self.assertEqual(json.loads(fetch(running, "/fail").text)["status"], 500)
        self.assertRaises(BadStatusError, app.error_page, 200, "")
        self.assertRaises(BadHeaderError, app.error_page, 404, "", content_type="a\r\nb: c")

    def test_wrong_error_handlers_are_refused(self):
        app = Server()

        async def waits(request, error):
            pass

        for what, function, kind in (
            (404, waits, TypeError),
            (404, lambda request: None, TypeError),
            ("404", lambda request, error: None, TypeError),
            (int, lambda request, error: None, TypeError),
            (200, lambda request, error: None, InvalidArgumentError),
            (700, lambda request, error: None, BadStatusError),
        ):
            self.assertRaises(kind, app.error(what), function)
        self.assertRaises(InvalidArgumentError, Server, error_format="xml")


class TestRouters(Quiet, unittest.TestCase):
    def test_prefixes_middleware_and_errors_of_routers(self):
        app, api, users = Server(), Router(), Router()
        users.get("")(lambda request: "all")
        users.get("/{id:int}")(lambda request: request.params)
        users.before(lambda request: request.params and None)
        api.after(lambda request, response: response.set_header("x-api", "1"))
        api.mount("/{tenant:int}/users", users)
        app.mount("/api", api)

        @users.error(404)
        def none(request, error):
            return "no user"

        @users.get("/late/{name}")
        def late(request):
            raise HTTPError(404)

        app.get("/")(lambda request: "home")
        with app.start("127.0.0.1:0") as running:
            answer = fetch(running, "/api/3/users/7")
            self.assertEqual((answer.text, answer.headers["x-api"]), ('{"tenant":3,"id":7}', "1"))
            self.assertEqual(fetch(running, "/api/3/users").text, "all")
            self.assertEqual(fetch(running, "/api/3/users/x").text, "no user")
            answer = fetch(running, "/api/3/users/late/x")
            self.assertEqual((answer.status, answer.text, answer.headers["x-api"]), (404, "no user", "1"))
            answer = fetch(running, "/")
            self.assertEqual((answer.text, answer.headers.get("x-api")), ("home", None))
            self.assertEqual(fetch(running, "/none").text, "404 Not Found\n")
            for change in (lambda: users.get("/x")(lambda request: ""), lambda: users.before(len)):
                self.assertRaises(AlreadyStartedError, change)

    def test_what_cannot_be_mounted(self):
        app, router = Server(), Router()
        for prefix in ("", "api", "/api/", "/"):
            self.assertRaises(BadRouteError, app.mount, prefix, router)
        for wrong in (Server(), None, app):
            self.assertRaises(TypeError, app.mount, "/a", wrong)
        inner = Router()
        router.mount("/inner", inner)
        self.assertRaises(InvalidArgumentError, inner.mount, "/a", router)
        app.get("/a/x")(lambda request: "")
        inner.get("/x")(lambda request: "")
        app.mount("/b", router)
        app.mount("/a", router)
        with self.assertRaises(BadRouteError):
            router.get("/x")(lambda request: "")
        # Nothing was added.
        router.get("/y")(lambda request: "y")
        with app.start("127.0.0.1:0") as running:
            self.assertEqual(fetch(running, "/b/x").status, 404)
            self.assertEqual(fetch(running, "/a/y").text, "y")

    def test_a_route_is_replaced_while_the_server_is_idle(self):
        app = Server()
        app.readiness("/ready")
        app.get("/{a}")(lambda request: "first")
        app.put("/{a}")(lambda request: "put")
        app.get("/{b}", replace=True)(lambda request: request.params["b"])
        with app.start("127.0.0.1:0") as running:
            self.assertEqual(fetch(running, "/x").text, "x")
            self.assertEqual(fetch(running, "/x", "PUT").text, "put")
            self.assertRaises(AlreadyStartedError, app.get("/{c}", replace=True), lambda request: "")
        with self.assertRaises(BadRouteError):
            app.get("/ready", replace=True)(lambda request: "")
        app.get("/{c}", replace=True)(lambda request: "third")
        with app.start("127.0.0.1:0") as running:
            self.assertEqual(fetch(running, "/x").text, "third")


class TestHooks(Quiet, unittest.TestCase):
    def build(self, order, asynchronous):
        app = Server()
        loops = []

        @app.on_start
        def first():
            order.append("first")

        app.on_stop(lambda: order.append("last"))

        @app.lifespan
        def plain():
            order.append("plain")
            yield
            order.append("/plain")

        if asynchronous:

            @app.lifespan
            async def waits():
                await asyncio.sleep(0)
                loops.append(asyncio.get_running_loop())
                order.append("async")
                yield
                await asyncio.sleep(0)
                loops.append(asyncio.get_running_loop())
                order.append("/async")

            @app.on_stop
            async def end():
                order.append("end")

            @app.get("/")
            async def handler(request):
                loops.append(asyncio.get_running_loop())
                return "".join(order)
        else:
            app.get("/")(lambda request: "".join(order))
        return app, loops

    def test_they_run_in_order_in_each_way_to_serve(self):
        for asynchronous in (False, True):
            for start in (lambda app: app.start("127.0.0.1:0"), served):
                order = []
                app, loops = self.build(order, asynchronous)
                began = ["first", "plain"] + ["async"] * asynchronous
                ended = ["end", "/async"] * asynchronous + ["/plain", "last"]
                for _ in range(2):
                    order.clear()
                    with start(app) as running:
                        self.assertEqual(fetch(running, "/").text, "".join(began))
                    self.assertEqual(order, began + ended)
                    self.assertEqual(len(set(map(id, loops))), int(asynchronous))
                    loops.clear()
        self.assertEqual(self.log, [])

    def test_a_start_that_fails_ends_what_has_begun(self):
        for asynchronous in (False, True):
            order = []
            app, _ = self.build(order, asynchronous)
            failing = [True]

            if asynchronous:

                @app.on_start
                async def fail(failing=failing):
                    if failing:
                        raise ZeroDivisionError
            else:

                @app.on_start
                def fail(failing=failing):
                    if failing:
                        raise ZeroDivisionError

            for start in (lambda app=app: app.start("127.0.0.1:0"), lambda app=app: asyncio.run(app.serve())):
                order.clear()
                self.assertRaises(ZeroDivisionError, start)
                self.assertEqual(order[-2:], ["/plain", "last"])
                self.assertIsNone(app.running)
            order.clear()
            failing.clear()
            self.assertRaises(ValueError, app.start, "nonsense")
            self.assertEqual(order[-2:], ["/plain", "last"])
            app.start("127.0.0.1:0").stop()

    def test_a_stop_that_fails_is_logged(self):
        app = Server()
        done = []
        app.on_stop(lambda: done.append(1))
        app.on_stop(lambda: 1 / 0)
        app.start("127.0.0.1:0").stop(LIMIT)
        self.assertEqual(done, [1])
        self.assertIn("ZeroDivisionError", self.log[0])

    def test_wrong_hooks_are_refused(self):
        app = Server()
        for add, wrong in ((app.on_start, 7), (app.on_stop, lambda request: None), (app.lifespan, list)):
            self.assertRaises(TypeError, add, wrong)

    def test_a_start_in_a_hook_is_refused(self):
        app = Server()
        app.on_start(lambda: app.start("127.0.0.1:0"))
        self.assertRaises(AlreadyStartedError, app.start, "127.0.0.1:0")


if __name__ == "__main__":
    unittest.main()
