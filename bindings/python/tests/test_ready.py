"""Ready middleware, which the library runs before Python."""

import unittest

from support import Quiet, fetch

from transom import (
    BasicAuth,
    BearerAuth,
    CacheControl,
    CanonicalHost,
    ConcurrencyLimit,
    Cors,
    InvalidArgumentError,
    RateLimit,
    RequestIds,
    Router,
    SecurityHeaders,
    Server,
    TrailingSlash,
)


class TestReady(Quiet, unittest.TestCase):
    def app(self, *middleware):
        app = Server(middleware=middleware)
        seen = []

        @app.get("/")
        def index(request):
            seen.append(request.headers.get("x-request-id"))
            return "hello"

        @app.post("/small", max_body=3)
        def small(request):
            return "small"

        return app, seen

    def test_answers_of_python_and_of_the_server_have_the_fields(self):
        cors = Cors(["https://a.example"], credentials=True, expose=["x-sum"], max_age=60)
        strict = SecurityHeaders({"x-own": "1", "referrer-policy": ""}, hsts=60)
        app, seen = self.app(cors, RequestIds(), strict, CacheControl("no-cache", {"image/": "max-age=60"}))
        origin = {"Origin": "https://a.example"}
        with app.start("127.0.0.1:0") as running:
            answer = fetch(running, "/", headers=origin)
            self.assertEqual(answer.headers["access-control-allow-origin"], "https://a.example")
            self.assertEqual(answer.headers["access-control-allow-credentials"], "true")
            self.assertEqual(answer.headers["cache-control"], "no-cache")
            self.assertEqual(answer.headers["x-own"], "1")
            self.assertEqual(answer.headers["x-request-id"], seen[0])
            self.assertNotIn("referrer-policy", answer.headers)
            for path, status in (("/none", 404), ("/small", 405)):
                answer = fetch(running, path, headers=origin)
                self.assertEqual(answer.status, status)
                self.assertEqual(answer.headers["access-control-allow-origin"], "https://a.example")
            answer = fetch(running, "/small", method="POST", body=b"1234", headers=origin)
            self.assertEqual(answer.status, 413)
            self.assertEqual(answer.headers["access-control-allow-origin"], "https://a.example")
            asked = {**origin, "Access-Control-Request-Method": "PUT"}
            answer = fetch(running, "/", method="OPTIONS", headers=asked)
            self.assertEqual((answer.status, answer.headers["access-control-max-age"]), (204, "60"))

    def test_who_has_no_password_or_token_does_not_reach_python(self):
        for middleware, good, challenge in (
            (BasicAuth("place", {"ada": "s"}), "Basic YWRhOnM=", 'Basic realm="place", charset="UTF-8"'),
            (BearerAuth("place", {"ada": "t0ken"}), "Bearer t0ken", 'Bearer realm="place"'),
        ):
            app, seen = self.app(middleware)
            with app.start("127.0.0.1:0") as running:
                answer = fetch(running, "/")
                self.assertEqual((answer.status, answer.headers["www-authenticate"]), (401, challenge))
                self.assertEqual(seen, [])
                self.assertEqual(fetch(running, "/", headers={"Authorization": good}).status, 200)
                self.assertEqual(len(seen), 1)

    def test_limits_and_redirects(self):
        app, _ = self.app(RateLimit(2, 60, addresses=100))
        with app.start("127.0.0.1:0") as running:
            self.assertEqual([fetch(running, "/").status for _ in range(3)], [200, 200, 429])
        app, _ = self.app(ConcurrencyLimit(0))
        with app.start("127.0.0.1:0") as running:
            self.assertEqual(fetch(running, "/").status, 503)
        app, _ = self.app(TrailingSlash())
        with app.start("127.0.0.1:0") as running:
            answer = fetch(running, "/small/?a=b")
            self.assertEqual((answer.status, answer.headers["location"]), (308, "/small?a=b"))
        app, _ = self.app(CanonicalHost("www.example.org", https=True))
        with app.start("127.0.0.1:0") as running:
            answer = fetch(running, "/a?b")
            self.assertEqual(
                (answer.status, answer.headers["location"]), (308, "https://www.example.org/a?b")
            )

    def test_middleware_for_one_route(self):
        app = Server(middleware=[SecurityHeaders()])
        limit = RateLimit(3, 60)

        @app.route("/login", methods=["GET", "POST"], middleware=[CacheControl("no-store"), limit])
        def login(request):
            return "welcome"

        @app.get("/sign-up", middleware=[limit])
        def sign_up(request):
            return "welcome"

        router = Router()

        @router.get("/secret", middleware=[BasicAuth("place", {"ada": "s"})])
        def secret(request):
            return "secret"

        app.mount("/in", router)

        @app.fallback(middleware=[CacheControl("max-age=1")])
        def fallback(request):
            return "anything"

        with app.start("127.0.0.1:0") as running:
            answer = fetch(running, "/login")
            self.assertEqual((answer.status, answer.headers["cache-control"]), (200, "no-store"))
            self.assertEqual(answer.headers["x-content-type-options"], "nosniff")
            answer = fetch(running, "/login", method="POST", body=b"")
            self.assertEqual(answer.status, 200)
            answer = fetch(running, "/sign-up")
            self.assertEqual((answer.status, answer.headers["cache-control"]), (200, None))
            for path in ("/sign-up", "/login"):
                self.assertEqual(fetch(running, path).status, 429, "they count together")
            self.assertEqual(fetch(running, "/in/secret").status, 401)
            good = {"Authorization": "Basic YWRhOnM="}
            self.assertEqual(fetch(running, "/in/secret", headers=good).body, b"secret")
            self.assertEqual(fetch(running, "/other").headers["cache-control"], "max-age=1")
        with app.start("127.0.0.1:0") as running:
            self.assertEqual(fetch(running, "/login").status, 200, "another server counts anew")

    def test_wrong_arguments_are_told(self):
        for make, error, said in (
            (lambda: Cors("https://a.example"), TypeError, "origins is several texts"),
            (lambda: RateLimit(0, 60), InvalidArgumentError, "requests is 1 to"),
            (lambda: RateLimit(1, 0.5), (TypeError, InvalidArgumentError), "seconds is"),
            (lambda: BasicAuth("r", {"a:b": "c"}), InvalidArgumentError, "no colon"),
            (lambda: SecurityHeaders(hsts=-1), InvalidArgumentError, "hsts is 0 to"),
            (lambda: Server().get("/", middleware=["cors"]), TypeError, "ready middleware is such as Cors"),
            (lambda: Server().get("/", middleware=Cors()), TypeError, "middleware is several"),
            (lambda: Server(middleware=["cors"]), TypeError, "ready middleware is such as Cors"),
        ):
            with self.assertRaises(error) as caught:
                make()
            self.assertIn(said, str(caught.exception))
        self.assertEqual(repr(Cors()), "<Cors>")


if __name__ == "__main__":
    unittest.main()
