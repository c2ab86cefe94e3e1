"""socketify: uWebSockets under Python."""

import asyncio

from common import FILE, MEBIBYTE, MIB, WAIT, json_record, pieces, port
from socketify import App, AppListenOptions, sendfile

TEXT = "text/plain"
OCTETS = "application/octet-stream"


def send(response, kind, body):
    response.write_header("Content-Type", kind).end(body)


def plain(response, request):
    send(response, TEXT, "hello")


def json(response, request):
    send(response, "application/json", json_record(request.get_parameter(0)))


async def wait(response, request):
    await asyncio.sleep(WAIT)
    response.cork(lambda response: send(response, TEXT, "waited"))


def mebibyte(response, request):
    send(response, OCTETS, MEBIBYTE)


async def stream(response, request):
    response.write_header("Content-Type", OCTETS)
    for piece in pieces():
        ok, done = await response.send_chunk(piece, 100 * MIB)
        if done or not ok:
            break


def upload(response, request):
    total = 0

    def received(response, piece, is_end):
        nonlocal total
        total += len(piece or b"")
        if is_end:
            send(response, TEXT, str(total))

    response.on_data(received)


async def file(response, request):
    await sendfile(response, request, FILE)


def missing(response, request):
    response.write_status(404).end("not found")


if __name__ == "__main__":
    app = App()
    app.get("/plain", plain)
    app.get("/json/:name", json)
    app.get("/wait", wait)
    app.get("/bytes/1m", mebibyte)
    app.get("/bytes/100m", stream)
    app.post("/upload", upload)
    app.get("/file", file)
    app.any("/*", missing)
    app.listen(AppListenOptions(port=port(), host="127.0.0.1"))
    app.run()
