"""Transom from Python."""

import asyncio

from common import BACKLOG, FILE, MEBIBYTE, WAIT, pieces, port, record
from transom import Response, Server

TEXT = "text/plain"
LIMITS = {"connections": 20_000, "pool_queue": 20_000, "backlog": BACKLOG, "body": 1 << 30}
app = Server(workers=1, limits=LIMITS)


@app.get("/plain")
def plain(request):
    return "hello"


@app.get("/json/{name}")
def json(request):
    return record(request.params["name"])


@app.get("/wait")
async def wait(request):
    await asyncio.sleep(WAIT)
    return Response("waited", content_type=TEXT)


@app.get("/bytes/1m")
def mebibyte(request):
    return MEBIBYTE


@app.get("/bytes/100m")
def stream(request):
    return Response.stream(pieces(), content_type="application/octet-stream")


@app.post("/upload", stream=True)
def upload(request):
    return Response(str(sum(len(piece) for piece in request.stream())), content_type=TEXT)


@app.get("/file", blocking=True)
def send_file(request):
    return Response.file(FILE)


if __name__ == "__main__":
    app.run(f"127.0.0.1:{port()}")
