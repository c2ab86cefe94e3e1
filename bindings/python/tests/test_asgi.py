"""ASGI applications: where they are mounted, and how they are started."""

import asyncio
import unittest

from support import LIMIT, Quiet, fetch, served, ways

import transom
from transom import AlreadyStartedError, BadRouteError, InvalidArgumentError, Server, serve_asgi


async def told(scope, receive, send):
    """Answers with the place of a request."""
    if scope["type"] == "http":
        text = f"{scope['root_path']}|{scope['path']}|{scope['query_string'].decode()}"
        await send(
            {"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]}
        )
        await send({"type": "http.response.body", "body": text.encode()})


class TestMount(Quiet, unittest.TestCase):
    def test_an_application_for_the_whole_server(self):
        for name, app, start in ways():
            app.mount_asgi("/", told)
            with self.subTest(name), start() as running:
                for path, seen in (("/", "|/|"), ("/a/b?c=d", "|/a/b|c=d"), ("//x", "|//x|")):
                    for method in ("GET", "POST", "DELETE", "OPTIONS"):
                        answer = fetch(running, path, method)
                        self.assertEqual((answer.status, answer.text), (200, seen), (method, path))

    def test_a_path_becomes_the_root_path(self):
        app = Server()
        app.mount_asgi("/api", told)
        with app.start("127.0.0.1:0") as running:
            for path, seen in (
                ("/api", "/api|/api|"),
                ("/api/", "/api|/api/|"),
                ("/api/a?b", "/api|/api/a|b"),
            ):
                for method in ("GET", "POST"):
                    self.assertEqual(fetch(running, path, method).text, seen)
            self.assertEqual(fetch(running, "/apis").status, 404)

    def test_routes_go_before_an_application(self):
        app = Server()
        app.mount_asgi("/", told)
        app.mount_asgi("/inner", told)
        app.get("/own")(lambda request: "own")

        @app.get("/users/{id}")
        async def user(request):
            return request.params["id"]

        with app.start("127.0.0.1:0") as running:
            self.assertEqual(fetch(running, "/own").text, "own")
            self.assertEqual(fetch(running, "/users/7").text, "7")
            self.assertEqual(fetch(running, "/inner/x").text, "/inner|/inner/x|")
            self.assertEqual(fetch(running, "/users").text, "|/users|")

    def test_middleware_and_error_handlers_of_the_server_are_not_for_an_application(self):
        async def fails(scope, receive, send):
            raise ValueError("no")

        app = Server()
        app.mount_asgi("/asgi", told)
        app.mount_asgi("/fails", fails)
        app.get("/own")(lambda request: "own")

        @app.after
        def mark(request, response):
            response.set_header("x-mark", "1")

        @app.error(500)
        def failed(request, error):
            return "mine"

        with app.start("127.0.0.1:0") as running:
            self.assertEqual(fetch(running, "/own").headers["x-mark"], "1")
            self.assertIsNone(fetch(running, "/asgi").headers["x-mark"])
            self.assertEqual(fetch(running, "/fails").text, "500 Internal Server Error\n")

    def test_wsgi_and_asgi_beside_each_other(self):
        def old(environ, start_response):
            start_response("200 OK", [])
            return [b"old"]

        app = Server()
        app.mount_asgi("/", told)
        app.mount_wsgi("/old", old)
        with app.start("127.0.0.1:0") as running:
            self.assertEqual(fetch(running, "/old/a").text, "old")
            self.assertEqual(fetch(running, "/new").text, "|/new|")

    def test_what_is_no_application_is_refused(self):
        app = Server()

        class Asgi2:
            def __init__(self, scope):
                pass

        for wrong in (None, "app", lambda environ, start_response: [], Asgi2):
            with self.assertRaisesRegex(TypeError, "ASGI"):
                app.mount_asgi("/", wrong)
        for path in ("", "a", "/a/", "/{a}"):
            with self.assertRaises(BadRouteError):
                app.mount_asgi(path, told)
        with self.assertRaisesRegex(InvalidArgumentError, "'auto', 'on' or 'off'"):
            app.mount_asgi("/", told, lifespan="maybe")
        for timeout in (0, -1, "1"):
            with self.assertRaisesRegex(InvalidArgumentError, "startup_timeout"):
                app.mount_asgi("/", told, startup_timeout=timeout)
        app.mount_asgi("/", told)
        with self.assertRaises(BadRouteError):
            app.mount_asgi("/", told)
        with app.start("127.0.0.1:0"), self.assertRaises(AlreadyStartedError):
            app.mount_asgi("/b", told)

    def test_a_server_with_an_application_can_be_started_again(self):
        app = Server()
        app.mount_asgi("/", told)
        for start in (lambda: app.start("127.0.0.1:0"), lambda: served(app)) * 2:
            with start() as running:
                self.assertEqual(fetch(running, "/a").text, "|/a|")

    def test_an_application_may_be_any_object_that_can_be_called(self):
        class Plain:
            def __call__(self, scope, receive, send):
                return told(scope, receive, send)

        with serve_asgi(Plain(), "127.0.0.1:0") as running:
            self.assertEqual(fetch(running, "/a").text, "|/a|")


class TestServe(Quiet, unittest.TestCase):
    def test_one_call_serves_an_application(self):
        with serve_asgi(told, "127.0.0.1:0", threads=3, limits={"body": 10}) as running:
            self.assertEqual(fetch(running, "/a").text, "|/a|")
        with self.assertRaisesRegex(TypeError, "unexpected keyword argument 'thread'"):
            serve_asgi(told, "127.0.0.1:0", thread=3)
        self.assertIn("serve_asgi", transom.__all__)

    def test_requests_are_tasks_of_the_loop(self):
        seen = []

        async def application(scope, receive, send):
            before = asyncio.current_task()
            await asyncio.wait_for(asyncio.sleep(0), LIMIT)
            seen.append((before is not None, asyncio.current_task() is before, asyncio.get_running_loop()))
            await told(scope, receive, send)

        for name, app, start in ways():
            seen.clear()
            app.mount_asgi("/", application, lifespan="off")
            with self.subTest(name), start() as running:
                loops = {fetch(running, "/a").text for _ in range(3)}
                self.assertEqual(loops, {"|/a|"})
            self.assertEqual([each[:2] for each in seen], [(True, True)] * 3)
            self.assertEqual(len({id(each[2]) for each in seen}), 1)


if __name__ == "__main__":
    unittest.main()
