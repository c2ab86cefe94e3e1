"""The kinds of handlers, and the requests that each route gets."""

import asyncio
import functools
import unittest

from support import Quiet, fetch

from transom import HTTPError, Server


class TestRouting(Quiet, unittest.TestCase):
    def test_methods(self):
        app = Server()
        for name in ("get", "post", "put", "delete", "patch", "head", "options"):
            getattr(app, name)(f"/{name}")(lambda request: request.method)
        app.any("/any")(lambda request: request.method)
        app.get("/any")(lambda request: "own")
        app.route("/two", methods=["POST", "PURGE"])(lambda request: request.method)
        with app.start("127.0.0.1:0") as running:
            for name in ("get", "post", "put", "delete", "patch", "options"):
                self.assertEqual(fetch(running, f"/{name}", name.upper()).text, name.upper())
            self.assertEqual(fetch(running, "/head", "HEAD").status, 200)
            self.assertEqual(fetch(running, "/any", "PATCH").text, "PATCH")
            self.assertEqual(fetch(running, "/any").text, "own")
            self.assertEqual(fetch(running, "/two", "PURGE").text, "PURGE")
            refused = fetch(running, "/two")
            self.assertEqual((refused.status, refused.headers["allow"]), (405, "POST, PURGE"))
            self.assertEqual(fetch(running, "/none").status, 404)

    def test_fallback(self):
        app = Server()
        app.get("/")(lambda request: "index")
        app.fallback()(lambda request: (f"no {request.path}", 404))
        with app.start("127.0.0.1:0") as running:
            answer = fetch(running, "/a%20b")
            self.assertEqual((answer.status, answer.text), (404, "no /a b"))
            self.assertEqual(fetch(running, "/").text, "index")

    def test_decorators_return_the_function(self):
        def handler(request):
            return ""

        app = Server()
        self.assertIs(app.get("/")(handler), handler)
        self.assertIs(app.fallback()(handler), handler)

    def test_all_sorts_of_callables(self):
        class Plain:
            def __call__(self, request):
                return "plain"

            def method(self, request):
                return "method"

        class Waiting:
            async def __call__(self, request):
                await asyncio.sleep(0)
                return "waiting"

        async def partly(word, request):
            return word

        app = Server()
        app.get("/plain")(Plain())
        app.get("/method")(Plain().method)
        app.get("/waiting")(Waiting())
        app.get("/partial")(functools.partial(partly, "partial"))
        with app.start("127.0.0.1:0") as running:
            for name in ("plain", "method", "waiting", "partial"):
                self.assertEqual(fetch(running, f"/{name}").text, name)

    def test_what_plain_decorators_return_is_awaited(self):
        def plainly(function):
            return lambda request: function(request)

        def wraps(function):
            @functools.wraps(function)
            def called(request):
                return function(request, "given")

            return called

        def twice(function):
            async def called(request):
                return function(request, "given")

            return called

        async def waits(request, word="usual"):
            await asyncio.sleep(0)
            if request.query.get("fail"):
                raise HTTPError(418, "as told")
            return {"word": word}, 201

        class Later:
            def __await__(self):
                yield from asyncio.sleep(0).__await__()
                return "later"

        async def begins(request):
            async def steps():
                yield "one "
                await asyncio.sleep(0)
                yield "two"

            return steps()

        app = Server()
        for place in ("pool", "in-place", "adaptive"):
            blocking = {"pool": True, "in-place": False, "adaptive": None}[place]
            app.get(f"/plainly/{place}", blocking=blocking)(plainly(waits))
            app.get(f"/wraps/{place}", blocking=blocking)(wraps(waits))
            app.get(f"/object/{place}", blocking=blocking)(lambda request: Later())
            app.get(f"/stream/{place}", blocking=blocking)(plainly(begins))
        app.get("/twice")(twice(waits))
        app.fallback()(plainly(waits))

        def ask(running):
            for place in ("pool", "in-place", "adaptive") * 10:
                for path, status, text in (
                    ("plainly", 201, '{"word":"usual"}'),
                    ("wraps", 201, '{"word":"given"}'),
                    ("wraps", 418, "as told\n"),
                    ("object", 200, "later"),
                    ("stream", 200, "one two"),
                ):
                    answer = fetch(running, f"/{path}/{place}" + "?fail=1" * (status == 418))
                    self.assertEqual((answer.status, answer.text), (status, text), (path, place))
            self.assertEqual(fetch(running, "/twice").text, '{"word":"given"}')
            self.assertEqual(fetch(running, "/none").text, '{"word":"usual"}')

        async def host():
            listening = asyncio.Queue()
            serving = asyncio.ensure_future(app.serve("127.0.0.1:0", ready=listening.put_nowait))
            running = await listening.get()
            await asyncio.to_thread(ask, running)
            running.stop(0)
            await serving

        with app.start("127.0.0.1:0") as running:
            ask(running)
        asyncio.run(host())
        self.assertEqual(self.log, [])

    def test_a_coroutine_in_a_tuple_is_a_fault(self):
        async def waits():
            return "late"

        app = Server()
        app.get("/")(lambda request: (waits(), 201))
        with app.start("127.0.0.1:0") as running:
            self.assertEqual(fetch(running, "/").status, 500)
        self.assertIn("a coroutine in a tuple is not awaited", self.log[0])
