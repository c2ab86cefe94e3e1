"""The application for ASGI servers."""

import asyncio
import json

from common import PAGE, PIECES, record

TEXT = (b"content-type", b"text/plain")
HTML = (b"content-type", b"text/html; charset=utf-8")
JSON = (b"content-type", b"application/json")


async def answer(send, kind, body):
    headers = [kind, (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def stream(send):
    await send({"type": "http.response.start", "status": 200, "headers": [TEXT]})
    for piece in PIECES:
        await send({"type": "http.response.body", "body": piece, "more_body": True})
    await send({"type": "http.response.body", "body": b""})


async def count(receive):
    total, more = 0, True
    while more:
        message = await receive()
        total += len(message.get("body", b""))
        more = message.get("more_body", False)
    return total


async def app(scope, receive, send):
    path = scope["path"]
    if path == "/hello":
        await answer(send, TEXT, b"hello")
    elif path.startswith("/json/"):
        await answer(send, JSON, json.dumps(record(path[6:])).encode())
    elif path.startswith("/page/"):
        await answer(send, HTML, PAGE.format(name=path[6:]).encode())
    elif path == "/upload":
        await answer(send, TEXT, b"%d" % await count(receive))
    elif path == "/stream":
        await stream(send)
    elif path == "/wait":
        await asyncio.sleep(0.01)
        await answer(send, TEXT, b"waited")
    else:
        raise LookupError(path)
