"""aiohttp: streams, uploads and events."""

import asyncio

from aiohttp import web
from common import EVENT, pieces, port, use_loop


async def plain(request):
    return web.Response(text="hello")


async def down(request):
    response = web.StreamResponse()
    response.content_type = "application/octet-stream"
    response.enable_chunked_encoding()
    await response.prepare(request)
    for piece in pieces():
        await response.write(piece)
    return response


async def up(request):
    total = 0
    async for piece in request.content.iter_any():
        total += len(piece)
    return web.Response(text=str(total))


async def events(request):
    response = web.StreamResponse(headers={"content-type": "text/event-stream", "cache-control": "no-store"})
    await response.prepare(request)
    while True:
        await asyncio.sleep(1)
        await response.write(f"data: {EVENT}\n\n".encode())


if __name__ == "__main__":
    use_loop()
    app = web.Application()
    app.add_routes(
        [
            web.get("/plain", plain),
            web.get("/down", down),
            web.post("/up", up),
            web.get("/events", events),
        ]
    )
    web.run_app(app, host="127.0.0.1", port=port(), access_log=None, print=None)
