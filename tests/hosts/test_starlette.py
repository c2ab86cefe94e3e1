"""An application of Starlette with one of FastAPI in it, asked by httpx and aiohttp."""

import asyncio
import contextlib
import hashlib
import os
import tempfile
import threading
import unittest

import aiohttp
import httpx
from asgi_servers import SERVERS
from fastapi import FastAPI, Form, HTTPException, UploadFile
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.responses import (
    FileResponse,
    JSONResponse,
    PlainTextResponse,
    RedirectResponse,
    Response,
    StreamingResponse,
)
from starlette.routing import Mount, Route

LARGE = bytes(range(256)) * 40_000
#: How long a client waits for an answer, in seconds.
LIMIT = 60


def make_app(folder, events):
    """Returns the application. What happens is noted in `events`."""
    path = os.path.join(folder, "file.bin")
    with open(path, "wb") as file:
        file.write(LARGE)

    @contextlib.asynccontextmanager
    async def lifespan(app):
        events.append("started")
        yield {"name": "state of the lifespan"}
        events.append("stopped")

    async def echo(request):
        return JSONResponse(
            {
                "method": request.method,
                "path": request.url.path,
                "raw": request.scope["raw_path"].decode(),
                "query": request.query_params.getlist("a"),
                "x": request.headers.getlist("x-test"),
                "cookies": request.cookies,
                "state": request.state.name,
                "body": hashlib.sha256(await request.body()).hexdigest(),
            }
        )

    async def read(request):
        digest = hashlib.sha256()
        async for piece in request.stream():
            digest.update(piece)
        return PlainTextResponse(digest.hexdigest())

    async def stream(request):
        async def pieces():
            for number in range(20):
                yield f"{number},"
                await asyncio.sleep(0)

        return StreamingResponse(pieces(), media_type="text/plain")

    async def endless(request):
        async def pieces():
            try:
                while True:
                    yield b"x" * 1000
                    await asyncio.sleep(0.001)
            finally:
                events.append("endless ended")

        return StreamingResponse(pieces())

    async def gone(request):
        events.append("asked")
        while not await request.is_disconnected():
            await asyncio.sleep(0.001)
        events.append("client gone")
        return Response()

    async def redirect(request):
        response = RedirectResponse("/echo/to?a=b")
        response.set_cookie("first", "1")
        response.set_cookie("second", "2")
        return response

    async def later(request):
        return PlainTextResponse("sent", background=BackgroundTask(events.append, "background"))

    async def fails(request):
        raise LookupError("on purpose")

    async def pass_on(request, call_next):
        response = await call_next(request)
        response.headers["x-passed"] = "1"
        return response

    # Around what asks `is_disconnected`, this middleware hides that the client has left, on each server.
    api = FastAPI(middleware=[Middleware(BaseHTTPMiddleware, dispatch=pass_on)])

    @api.get("/items/{number}")
    async def item(number: int, q: str = ""):
        if number == 0:
            raise HTTPException(404, "no such item")
        return {"number": number, "q": q}

    @api.get("/plain")
    def plain():
        return {"thread": threading.current_thread() is not threading.main_thread()}

    @api.post("/form")
    async def form(name: str = Form(), file: UploadFile = None):
        return {"name": name, "file": file.filename, "hash": hashlib.sha256(await file.read()).hexdigest()}

    return Starlette(
        lifespan=lifespan,
        routes=[
            Route("/echo/{name:path}", echo, methods=["GET", "POST", "PUT", "DELETE", "OPTIONS"]),
            Route("/read", read, methods=["POST"]),
            Route("/stream", stream),
            Route("/endless", endless),
            Route("/gone", gone),
            Route("/from", redirect),
            Route("/later", later),
            Route("/fails", fails),
            Route("/empty", lambda request: Response(status_code=204)),
            Route("/same", lambda request: Response(status_code=304, headers={"etag": '"1"'})),
            Route("/file", lambda request: FileResponse(path)),
            Mount("/api", api),
        ],
    )


class TestStarlette(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name

    def served(self):
        """Yields the URL of the application on each server, and what happens there."""
        for serve in SERVERS.values():
            events = []
            with serve(make_app(self.folder, events)) as url:
                yield url, events

    def test_requests_and_responses_of_httpx(self):
        for url, _ in self.served():
            with httpx.Client(base_url=url, timeout=LIMIT) as client:
                seen = client.get("/echo/caf%C3%A9%2Fx?a=1&a=2", headers=[("X-Test", "1"), ("X-Test", "2")])
                told = seen.json()
                self.assertEqual(told["raw"], "/echo/caf%C3%A9%2Fx")
                self.assertEqual((told["query"], told["x"]), (["1", "2"], ["1", "2"]))
                self.assertEqual(told["state"], "state of the lifespan")
                for method in ("POST", "PUT", "DELETE"):
                    told = client.request(method, "/echo/x", content=LARGE).json()
                    self.assertEqual(
                        (told["method"], told["body"]), (method, hashlib.sha256(LARGE).hexdigest())
                    )
                pieces = (LARGE[at : at + 100_000] for at in range(0, len(LARGE), 100_000))
                self.assertEqual(client.post("/read", content=pieces).text, hashlib.sha256(LARGE).hexdigest())
                self.assertEqual(client.get("/stream").text, "".join(f"{number}," for number in range(20)))
                self.assertEqual(client.get("/from", follow_redirects=True).json()["path"], "/echo/to")
                self.assertEqual(dict(client.cookies), {"first": "1", "second": "2"})
                self.assertEqual(client.get("/none").status_code, 404)
                # The last one: uvicorn closes the connection of an application that fails after its response.
                self.assertEqual(client.get("/fails").status_code, 500)

    def test_responses_without_a_body(self):
        for url, _ in self.served():
            with httpx.Client(base_url=url, timeout=LIMIT) as client:
                for path, status in (("/empty", 204), ("/same", 304)):
                    answer = client.get(path)
                    self.assertEqual((answer.status_code, answer.content), (status, b""))
                for path in ("/file", "/stream", "/from", "/api/items/1"):
                    answer = client.head(path)
                    self.assertEqual(answer.content, b"", path)
                self.assertEqual(client.head("/file").headers["content-length"], str(len(LARGE)))

    def test_files(self):
        for url, _ in self.served():
            with httpx.Client(base_url=url, timeout=LIMIT) as client:
                whole = client.get("/file")
                self.assertEqual(whole.content, LARGE)
                part = client.get("/file", headers={"range": "bytes=1000-1999"})
                self.assertEqual((part.status_code, part.content), (206, LARGE[1000:2000]))

    def test_fastapi_below_a_path(self):
        for url, _ in self.served():
            with httpx.Client(base_url=url, timeout=LIMIT) as client:
                answer = client.get("/api/items/7?q=a")
                self.assertEqual((answer.json(), answer.headers["x-passed"]), ({"number": 7, "q": "a"}, "1"))
                self.assertEqual(client.get("/api/items/x").status_code, 422)
                self.assertEqual(client.get("/api/items/0").json(), {"detail": "no such item"})
                self.assertEqual(client.get("/api/plain").json(), {"thread": True})
                told = client.post("/api/form", data={"name": "n"}, files={"file": ("a.bin", LARGE)}).json()
                self.assertEqual(told["hash"], hashlib.sha256(LARGE).hexdigest())
                self.assertIn("/items/{number}", client.get("/api/openapi.json").json()["paths"])

    def test_aiohttp_asks_at_once(self):
        async def ask(url):
            async with aiohttp.ClientSession(url, timeout=aiohttp.ClientTimeout(LIMIT)) as session:

                async def one(number):
                    async with session.post(f"/echo/{number}?a={number}", data=LARGE[:300_000]) as answer:
                        return (await answer.json())["query"]

                return await asyncio.gather(*(one(number) for number in range(30)))

        for url, _ in self.served():
            self.assertEqual(asyncio.run(ask(url)), [[str(number)] for number in range(30)])

    def test_clients_that_leave_are_noticed(self):
        async def leave(url, events):
            async with aiohttp.ClientSession(url, timeout=aiohttp.ClientTimeout(LIMIT)) as session:
                async with session.get("/endless") as answer:
                    await answer.content.readexactly(5000)
                    answer.close()
                waiting = asyncio.ensure_future(session.get("/gone"))
                while "asked" not in events:
                    await asyncio.sleep(0.01)
                waiting.cancel()
            for _ in range(LIMIT * 100):
                if {"endless ended", "client gone"} <= set(events):
                    return True
                await asyncio.sleep(0.01)
            return False

        for url, events in self.served():
            self.assertTrue(asyncio.run(leave(url, events)), events)

    def test_background_tasks_and_the_lifespan(self):
        for url, events in self.served():
            self.assertEqual(httpx.get(f"{url}/later", timeout=LIMIT).text, "sent")
            self.assertEqual(events[0], "started")
            last = events
        self.assertEqual(sorted(last), ["background", "started", "stopped"])


if __name__ == "__main__":
    unittest.main()
