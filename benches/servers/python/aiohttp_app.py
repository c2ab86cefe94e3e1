"""aiohttp on uvloop."""

import asyncio

import uvloop
from aiohttp import web
from common import BACKLOG, FILE, MEBIBYTE, MIB, WAIT, json_record, pieces, port

OCTETS = "application/octet-stream"


def text(body):
    return web.Response(body=body, content_type="text/plain")


async def plain(request):
    return text(b"hello")


async def json(request):
    return web.Response(body=json_record(request.match_info["name"]), content_type="application/json")


async def wait(request):
    await asyncio.sleep(WAIT)
    return text(b"waited")


async def mebibyte(request):
    return web.Response(body=MEBIBYTE, content_type=OCTETS)


async def stream(request):
    response = web.StreamResponse()
    response.content_type = OCTETS
    response.content_length = 100 * MIB
    await response.prepare(request)
    for piece in pieces():
        await response.write(piece)
    return response


async def upload(request):
    total = 0
    async for piece in request.content.iter_any():
        total += len(piece)
    return text(b"%d" % total)


async def file(request):
    return web.FileResponse(FILE)


if __name__ == "__main__":
    app = web.Application()
    app.add_routes(
        [
            web.get("/plain", plain),
            web.get("/json/{name}", json),
            web.get("/wait", wait),
            web.get("/bytes/1m", mebibyte),
            web.get("/bytes/100m", stream),
            web.post("/upload", upload),
            web.get("/file", file),
        ]
    )
    web.run_app(
        app,
        host="127.0.0.1",
        port=port(),
        backlog=BACKLOG,
        access_log=None,
        print=None,
        loop=uvloop.new_event_loop(),
    )
