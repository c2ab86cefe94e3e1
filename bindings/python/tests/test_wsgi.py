"""WSGI applications: where they are mounted, and how they are started."""

import inspect
import typing
import unittest

from support import Quiet, fetch

import transom
from transom import BadRouteError, Server, serve_wsgi
from transom._settings import ServerSettings


def told(environ, start_response):
    """Answers with the place of a request."""
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [f"{environ['SCRIPT_NAME']}|{environ['PATH_INFO']}|{environ['QUERY_STRING']}".encode()]


class TestMount(Quiet, unittest.TestCase):
    def test_an_application_for_the_whole_server(self):
        app = Server()
        app.mount_wsgi("/", told)
        with app.start("127.0.0.1:0") as running:
            for path, seen in (("/", "|/|"), ("/a/b?c=d", "|/a/b|c=d"), ("//x", "|//x|")):
                for method in ("GET", "POST", "DELETE", "OPTIONS"):
                    answer = fetch(running, path, method)
                    self.assertEqual((answer.status, answer.text), (200, seen), (method, path))

    def test_a_path_becomes_the_script_name(self):
        app = Server()
        app.mount_wsgi("/old", told)
        with app.start("127.0.0.1:0") as running:
            for path, seen in (("/old", "/old||"), ("/old/", "/old|/|"), ("/old/a?b", "/old|/a|b")):
                for method in ("GET", "POST"):
                    self.assertEqual(fetch(running, path, method).text, seen)
            self.assertEqual(fetch(running, "/older").status, 404)

    def test_routes_go_before_an_application(self):
        app = Server()
        app.mount_wsgi("/", told)
        app.mount_wsgi("/inner", told)
        app.get("/own")(lambda request: "own")
        app.get("/users/{id}")(lambda request: request.params["id"])
        with app.start("127.0.0.1:0") as running:
            self.assertEqual(fetch(running, "/own").text, "own")
            self.assertEqual(fetch(running, "/users/7").text, "7")
            self.assertEqual(fetch(running, "/inner/x").text, "/inner|/x|")
            self.assertEqual(fetch(running, "/users").text, "|/users|")

    def test_middleware_and_error_handlers_of_the_server_are_not_for_an_application(self):
        app = Server()
        app.mount_wsgi("/wsgi", told)
        app.mount_wsgi("/fails", lambda environ, start_response: 1 / 0)
        app.get("/own")(lambda request: "own")

        @app.after
        def mark(request, response):
            response.set_header("x-mark", "1")

        @app.error(500)
        def failed(request, error):
            return "mine"

        with app.start("127.0.0.1:0") as running:
            self.assertEqual(fetch(running, "/own").headers["x-mark"], "1")
            self.assertIsNone(fetch(running, "/wsgi").headers["x-mark"])
            self.assertEqual(fetch(running, "/fails").text, "500 Internal Server Error\n")

    def test_what_is_no_application_is_refused(self):
        app = Server()

        async def asgi(scope, receive, send):
            pass

        class Asgi3:
            def __call__(self, scope, receive, send):
                pass

        for wrong in (None, "app", lambda environ: [], asgi, Asgi3()):
            with self.assertRaisesRegex(TypeError, "WSGI application"):
                app.mount_wsgi("/", wrong)
        for path in ("", "a", "/a/", "/{a}"):
            with self.assertRaises(BadRouteError):
                app.mount_wsgi(path, told)
        app.mount_wsgi("/", told)
        with self.assertRaises(BadRouteError):
            app.mount_wsgi("/", told)

    def test_a_server_with_an_application_can_be_started_again(self):
        app = Server()
        app.mount_wsgi("/", told)
        for _ in range(2):
            with app.start("127.0.0.1:0") as running:
                self.assertEqual(fetch(running, "/a").text, "|/a|")


class TestServe(Quiet, unittest.TestCase):
    def test_one_call_serves_an_application(self):
        with serve_wsgi(told, "127.0.0.1:0", threads=3, limits={"body": 10}) as running:
            self.assertEqual(fetch(running, "/a").text, "|/a|")
        with self.assertRaisesRegex(TypeError, "unexpected keyword argument 'thread'"):
            serve_wsgi(told, "127.0.0.1:0", thread=3)

    def test_the_typed_settings_are_those_of_a_server(self):
        parameters = inspect.signature(Server).parameters
        self.assertEqual(list(ServerSettings.__annotations__), list(parameters))
        typed = {name: given.__forward_arg__ for name, given in ServerSettings.__annotations__.items()}
        self.assertEqual(typed, {name: each.annotation for name, each in parameters.items()})
        self.assertTrue(typing.is_typeddict(ServerSettings))
        self.assertIn("serve_wsgi", transom.__all__)


if __name__ == "__main__":
    unittest.main()
