"""An application of Quart, asked by httpx on each server."""

import asyncio
import hashlib
import logging
import os
import tempfile
import unittest

import httpx
from asgi_servers import SERVERS
from quart import Quart, abort, jsonify, make_push_promise, redirect, request, send_file, session

LARGE = bytes(range(256)) * 40_000
DIGEST = hashlib.sha256(LARGE).hexdigest()
#: How long a client waits for an answer, in seconds.
LIMIT = 60


def make_app(folder, events):
    """Returns the application. What happens is noted in `events`."""
    app = Quart(__name__)
    app.secret_key = "test"
    app.config["MAX_CONTENT_LENGTH"] = 2**30
    path = os.path.join(folder, "file.bin")
    with open(path, "wb") as file:
        file.write(LARGE)

    @app.before_serving
    async def begin():
        events.append("started")

    @app.after_serving
    async def end():
        events.append("stopped")

    @app.route("/echo/<path:name>", methods=["GET", "POST", "PUT", "DELETE"])
    async def echo(name):
        return jsonify(
            method=request.method,
            name=name,
            query=request.args.getlist("a"),
            x=request.headers.getlist("X-Test"),
            body=hashlib.sha256(await request.get_data()).hexdigest(),
        )

    @app.post("/form")
    async def form():
        file = (await request.files)["file"]
        return {"name": (await request.form)["name"], "hash": hashlib.sha256(file.read()).hexdigest()}

    @app.post("/read")
    async def read():
        digest = hashlib.sha256()
        async for piece in request.body:
            digest.update(piece)
        return digest.hexdigest()

    @app.get("/plain")
    def plain():
        return "from a thread"

    @app.get("/stream")
    async def stream():
        async def pieces():
            for number in range(20):
                yield f"{number},".encode()
                await asyncio.sleep(0)

        return pieces()

    @app.get("/file")
    async def file():
        return await send_file(path, conditional=True)

    @app.get("/count")
    async def count():
        session["count"] = session.get("count", 0) + 1
        return {"count": session["count"]}

    @app.get("/from")
    async def leads():
        return redirect("/count")

    @app.get("/push")
    async def push():
        # The servers have no extension for that, and the framework leaves it out.
        await make_push_promise("/style.css")
        return "pushed"

    @app.get("/empty")
    async def empty():
        return "", 204

    @app.get("/absent")
    async def absent():
        abort(410)

    @app.get("/fails")
    async def fails():
        raise LookupError("on purpose")

    return app


class TestQuart(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name
        logging.disable(logging.CRITICAL)
        self.addCleanup(logging.disable, logging.NOTSET)

    def test_the_application_answers_on_each_server(self):
        for name, serve in SERVERS.items():
            events = []
            with self.subTest(server=name), serve(make_app(self.folder, events)) as url:
                self.assertEqual(events, ["started"])
                with httpx.Client(base_url=url, timeout=LIMIT) as client:
                    self.ask(client)
            self.assertEqual(events, ["started", "stopped"])

    def ask(self, client):
        told = client.get("/echo/a%2Fb?a=1&a=2", headers=[("X-Test", "1"), ("X-Test", "2")]).json()
        self.assertEqual((told["name"], told["query"], told["x"]), ("a/b", ["1", "2"], ["1", "2"]))
        for method in ("POST", "PUT", "DELETE"):
            told = client.request(method, "/echo/x", content=LARGE).json()
            self.assertEqual((told["method"], told["body"]), (method, DIGEST))
        told = client.post("/form", data={"name": "n"}, files={"file": ("a.bin", LARGE)}).json()
        self.assertEqual(told, {"name": "n", "hash": DIGEST})
        pieces = (LARGE[at : at + 100_000] for at in range(0, len(LARGE), 100_000))
        self.assertEqual(client.post("/read", content=pieces).text, DIGEST)
        self.assertEqual(client.get("/plain").text, "from a thread")
        self.assertEqual(client.get("/stream").text, "".join(f"{number}," for number in range(20)))
        whole = client.get("/file")
        self.assertEqual(whole.content, LARGE)
        part = client.get("/file", headers={"range": "bytes=1000-1999"})
        self.assertEqual((part.status_code, part.content), (206, LARGE[1000:2000]))
        same = client.get("/file", headers={"if-none-match": whole.headers["etag"]})
        self.assertEqual((same.status_code, same.content), (304, b""))
        self.assertEqual([client.get("/count").json()["count"] for _ in range(3)], [1, 2, 3])
        self.assertEqual(client.get("/from", follow_redirects=True).json()["count"], 4)
        self.assertEqual(client.get("/push").text, "pushed")
        answer = client.get("/empty")
        self.assertEqual((answer.status_code, answer.content), (204, b""))
        for path, status in (("/absent", 410), ("/none", 404), ("/fails", 500)):
            self.assertEqual(client.get(path).status_code, status)
        self.assertEqual(client.head("/file").content, b"")


if __name__ == "__main__":
    unittest.main()
