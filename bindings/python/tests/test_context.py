"""Each request has its own `contextvars` context, a copy of the context of the start."""

import asyncio
import contextvars
import logging
import unittest

from support import Quiet, at_once, exchange, fetch, until

from transom import Response, Server

name = contextvars.ContextVar("name")
#: A value that no handler sets.
UNSET = "unset"


def swap(value):
    """Sets the variable. Returns the earlier value that this request sees."""
    before = name.get(UNSET)
    name.set(value)
    return before


def build():
    """Returns an application whose handlers set the variable and return its earlier value."""
    app = Server(threads=4)
    app.get("/pool/{id}", blocking=True)(lambda request: swap(request.params["id"]))
    app.get("/in-place/{id}", blocking=False)(lambda request: swap(request.params["id"]))
    app.get("/quiet/{id}", blocking=False)(lambda request: name.get(UNSET))
    app.get("/adaptive/{id}")(lambda request: swap(request.params["id"]))

    @app.get("/async/{id}")
    async def asynchronous(request):
        before = swap(request.params["id"])
        await asyncio.sleep(0.001)
        return f"{before} {name.get()}"

    def steps(request):
        for step in range(3):
            yield swap(request.params["id"] + str(step)) + " "

    app.get("/generator/{id}", blocking=True)(steps)
    app.get("/generator-in-place/{id}", blocking=False)(steps)

    async def async_steps(request):
        for step in range(3):
            yield swap(request.params["id"] + str(step)) + " "
            await asyncio.sleep(0.001)

    app.get("/async-generator/{id}")(async_steps)

    def handed_over(request):
        swap(request.params["id"])
        return Response.stream(async_steps(request))

    app.get("/handed-over/{id}", blocking=True)(handed_over)
    app.get("/handed-over-in-place/{id}", blocking=False)(handed_over)

    @app.get("/handed-back/{id}")
    async def handed_back(request):
        swap(request.params["id"])
        return Response.stream(steps(request))

    return app


def expected(kind, number):
    """Returns the value that a request must see, whatever the others have set."""
    steps = f"{number}0 {number}1 "
    if kind.startswith("handed"):
        return f"{number} {steps}"
    if "generator" in kind:
        return f"start {steps}"
    return f"start {number}" if kind == "async" else "start"


KINDS = (
    "pool",
    "in-place",
    "adaptive",
    "async",
    "generator",
    "generator-in-place",
    "async-generator",
    "handed-over",
    "handed-over-in-place",
    "handed-back",
)


class TestContext(Quiet, unittest.TestCase):
    def start(self, app):
        context = contextvars.copy_context()
        context.run(name.set, "start")
        return context.run(app.start, "127.0.0.1:0")

    def test_no_request_sees_what_another_has_set(self):
        with self.start(build()) as running:
            for kind in KINDS:
                with self.subTest(kind=kind):
                    seen = at_once(lambda n, kind=kind: fetch(running, f"/{kind}/{n}").text, 8)
                    self.assertEqual(seen, [expected(kind, number) for number in range(8)])
        self.assertEqual((name.get(UNSET), self.log), (UNSET, []))

    def test_nor_in_one_batch_on_one_connection(self):
        with self.start(build()) as running:
            for kind in ("pool", "in-place", "adaptive", "async"):
                asked = "".join(f"GET /{kind}/{n} HTTP/1.1\r\nHost: a\r\n\r\n" for n in range(40))
                answers = exchange(running, asked.encode()).decode()
                for number in range(40):
                    self.assertIn(f"\r\n\r\n{expected(kind, number)}", answers)
                self.assertEqual(answers.count("\r\n\r\nstart"), 40, kind)

    def test_nor_if_the_server_was_started_in_an_empty_context(self):
        # Requests that set nothing then share one, so each that sets something must be the last in it.
        with contextvars.Context().run(build().start, "127.0.0.1:0") as running:
            for kind in KINDS:
                with self.subTest(kind=kind):
                    seen = at_once(lambda n, kind=kind: fetch(running, f"/{kind}/{n}").text, 8)
                    self.assertEqual(seen, [expected(kind, n).replace("start", UNSET) for n in range(8)])
            asked = "".join(
                f"GET /{('in-place', 'quiet')[n % 2]}/{n} HTTP/1.1\r\nHost: a\r\n\r\n" for n in range(40)
            )
            answers = exchange(running, asked.encode()).decode()
            self.assertEqual(answers.count(f"\r\n\r\n{UNSET}"), 40, answers)
        self.assertEqual((name.get(UNSET), self.log), (UNSET, []))

    def test_nor_in_the_event_loop_of_the_host(self):
        async def host():
            app = build()
            name.set("start")
            listening = asyncio.Queue()
            serving = asyncio.ensure_future(app.serve("127.0.0.1:0", ready=listening.put_nowait))
            running = await listening.get()
            name.set("later")
            for kind in KINDS:
                seen = await asyncio.gather(
                    *(asyncio.to_thread(fetch, running, f"/{kind}/{n}") for n in range(4))
                )
                self.assertEqual([answer.text for answer in seen], [expected(kind, n) for n in range(4)])
            running.stop(0)
            await serving

        contextvars.copy_context().run(asyncio.run, host())

    def test_a_token_may_be_given_back_where_the_stream_ends(self):
        ended = []

        def around(number):
            token = name.set(number)
            try:
                yield "begun"
                yield "x" * 100_000_000 if number == "left" else "end"
            finally:
                name.reset(token)
                ended.append(name.get(UNSET))

        async def async_around(number):
            token = name.set(number)
            try:
                yield "begun"
                yield "end"
            finally:
                name.reset(token)
                ended.append(name.get(UNSET))

        app = Server()
        app.get("/plain/{id}")(lambda request: around(request.params["id"]))
        app.get("/async/{id}")(lambda request: async_around(request.params["id"]))
        with self.start(app) as running:
            self.assertEqual(fetch(running, "/plain/1").text, "begunend")
            self.assertEqual(fetch(running, "/async/1").text, "begunend")
            self.assertTrue(until(lambda: len(ended) == 2))
        self.assertEqual((ended, self.log), (["start", "start"], []))

    def test_what_a_handler_starts_inherits_its_context(self):
        app = Server()

        @app.get("/")
        async def index(request):
            name.set("mine")
            task = asyncio.ensure_future(asyncio.sleep(0, name.get()))
            return f"{await task} {await asyncio.to_thread(name.get)}"

        with self.start(app) as running:
            self.assertEqual(fetch(running, "/").text, "mine mine")

    def test_the_log_of_a_failure_is_written_in_the_context_of_its_request(self):
        seen = []
        handler = logging.Handler()
        # The library's message about a response that was cut off belongs to no request.
        handler.addFilter(lambda record: record.getMessage().startswith("handler "))
        handler.emit = lambda record: seen.append(name.get(UNSET))
        logger = logging.getLogger("transom")
        logger.addHandler(handler)
        self.addCleanup(logger.removeHandler, handler)

        def fails(request):
            name.set(request.target)
            raise ValueError

        def fails_later(request):
            name.set(request.target)
            yield "begun"
            raise ValueError

        app = Server()
        app.get("/pool", blocking=True)(fails)
        app.get("/in-place", blocking=False)(fails)
        app.get("/stream")(fails_later)

        @app.get("/async")
        async def fails_asynchronously(request):
            fails(request)

        paths = ["/pool", "/in-place", "/async", "/stream"]
        with self.start(app) as running:
            for path in paths:
                exchange(running, f"GET {path} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
                self.assertTrue(until(lambda path=path: path in seen), path)
        self.assertEqual(seen, paths)
