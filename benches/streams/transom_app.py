"""Transom: streams, uploads and events, with plain and with `async def` handlers."""

import asyncio

from common import EVENT, MIB, pieces, port, use_loop
from transom import Response, Server, ServerSentEvents

app = Server(workers=1, limits={"connections": 20_000, "body": 1 << 30})


@app.get("/plain")
def plain(request):
    return "hello"


@app.get("/down")
def down(request):
    return Response.stream(pieces(), content_type="application/octet-stream")


@app.get("/down-async")
async def down_async(request):
    async def chunks():
        for piece in pieces():
            yield piece

    return Response.stream(chunks(), content_type="application/octet-stream")


@app.post("/up", stream=True, max_body=200 * MIB)
def up(request):
    return str(sum(len(piece) for piece in request.stream()))


@app.post("/up-async", stream=True, max_body=200 * MIB)
async def up_async(request):
    total = 0
    async for piece in request.stream():
        total += len(piece)
    return str(total)


@app.get("/events")
async def events(request):
    async def ticks():
        while True:
            await asyncio.sleep(1)
            yield EVENT

    return ServerSentEvents(ticks())


if __name__ == "__main__":
    use_loop()
    app.run(f"127.0.0.1:{port()}")
