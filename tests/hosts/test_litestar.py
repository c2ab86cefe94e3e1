"""An application of Litestar, asked by httpx on each server."""

import asyncio
import contextlib
import hashlib
import os
import tempfile
import unittest
from dataclasses import dataclass

import httpx
from asgi_servers import SERVERS
from litestar import Litestar, Request, Response, get, post
from litestar.datastructures import UploadFile
from litestar.exceptions import NotFoundException
from litestar.params import FromPath, FromQuery, JSONBody, MultipartBody
from litestar.response import File, Redirect, Stream

LARGE = bytes(range(256)) * 40_000
DIGEST = hashlib.sha256(LARGE).hexdigest()
#: How long a client waits for an answer, in seconds.
LIMIT = 60


@dataclass
class Item:
    """What a client sends as JSON."""

    name: str
    price: float


def make_app(folder, events):
    """Returns the application. What happens is noted in `events`."""
    path = os.path.join(folder, "file.bin")
    with open(path, "wb") as file:
        file.write(LARGE)

    @contextlib.asynccontextmanager
    async def lifespan(app):
        events.append("started")
        yield
        events.append("stopped")

    @get("/items/{number:int}")
    async def item(number: FromPath[int], q: FromQuery[str] = "") -> dict[str, object]:
        if number == 0:
            raise NotFoundException("no such item")
        return {"number": number, "q": q}

    @post("/items")
    async def add(data: JSONBody[Item]) -> Item:
        return Item(data.name.upper(), data.price * 2)

    @get("/plain", sync_to_thread=True)
    def plain() -> str:
        return "from a thread"

    @post("/form")
    async def form(data: MultipartBody[dict[str, UploadFile]]) -> str:
        return hashlib.sha256(await data["file"].read()).hexdigest()

    @post("/read")
    async def read(request: Request) -> str:
        digest = hashlib.sha256()
        async for piece in request.stream():
            digest.update(piece)
        return digest.hexdigest()

    @get("/stream")
    async def stream() -> Stream:
        async def pieces():
            for number in range(20):
                yield f"{number},"
                await asyncio.sleep(0)

        return Stream(pieces())

    @get("/file")
    async def send_file() -> File:
        return File(path, filename="file.bin")

    @get("/from", status_code=302)
    async def redirect() -> Redirect:
        response = Redirect("/cookies")
        response.set_cookie("first", "1")
        response.set_cookie("second", "2")
        return response

    @get("/cookies")
    async def cookies(request: Request) -> dict[str, str]:
        return dict(request.cookies)

    @get("/empty", status_code=204)
    async def empty() -> None:
        return None

    @get("/fails")
    async def fails() -> Response:
        raise LookupError("on purpose")

    return Litestar(
        [item, add, plain, form, read, stream, send_file, redirect, cookies, empty, fails],
        lifespan=[lifespan],
        request_max_body_size=None,
        logging_config=None,
    )


class TestLitestar(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name

    def test_the_application_answers_on_each_server(self):
        for name, serve in SERVERS.items():
            events = []
            with self.subTest(server=name), serve(make_app(self.folder, events)) as url:
                self.assertEqual(events, ["started"])
                with httpx.Client(base_url=url, timeout=LIMIT) as client:
                    self.ask(client)
            self.assertEqual(events, ["started", "stopped"])

    def ask(self, client):
        self.assertEqual(client.get("/items/7?q=a").json(), {"number": 7, "q": "a"})
        self.assertEqual(client.get("/items/0").status_code, 404)
        self.assertEqual(client.get("/items/x").status_code, 404)
        self.assertEqual(client.delete("/items/7").status_code, 405)
        added = client.post("/items", json={"name": "lamp", "price": 1.5})
        self.assertEqual((added.status_code, added.json()), (201, {"name": "LAMP", "price": 3.0}))
        self.assertEqual(client.post("/items", json={"name": "lamp"}).status_code, 400)
        self.assertEqual(client.get("/plain").text, "from a thread")
        self.assertEqual(client.post("/form", files={"file": ("a.bin", LARGE)}).text, DIGEST)
        pieces = (LARGE[at : at + 100_000] for at in range(0, len(LARGE), 100_000))
        self.assertEqual(client.post("/read", content=pieces).text, DIGEST)
        self.assertEqual(client.get("/stream").text, "".join(f"{number}," for number in range(20)))
        answer = client.get("/file")
        self.assertEqual((answer.content, answer.headers["content-length"]), (LARGE, str(len(LARGE))))
        told = client.get("/from", follow_redirects=True).json()
        self.assertEqual(told, {"first": "1", "second": "2"})
        answer = client.get("/empty")
        self.assertEqual((answer.status_code, answer.content), (204, b""))
        self.assertEqual(client.get("/fails").status_code, 500)
        self.assertIn("/items/{number}", client.get("/schema/openapi.json").json()["paths"])


if __name__ == "__main__":
    unittest.main()
