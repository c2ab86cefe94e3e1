"""The application for ASGI servers, without a framework."""

import asyncio

from common import FILE, MEBIBYTE, MIB, WAIT, file, json_record, pieces

TEXT = (b"content-type", b"text/plain")
OCTETS = (b"content-type", b"application/octet-stream")
JSON = (b"content-type", b"application/json")


async def answer(send, kind, body, status=200):
    headers = [kind, (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def stream(send):
    headers = [OCTETS, (b"content-length", b"%d" % (100 * MIB))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    for piece in pieces():
        await send({"type": "http.response.body", "body": piece, "more_body": True})
    await send({"type": "http.response.body", "body": b""})


async def send_file(scope, send):
    if "http.response.pathsend" in scope.get("extensions", ()):
        await send({"type": "http.response.start", "status": 200, "headers": [OCTETS]})
        await send({"type": "http.response.pathsend", "path": FILE})
    else:
        await answer(send, OCTETS, await asyncio.to_thread(file))


async def count(receive):
    total, more = 0, True
    while more:
        message = await receive()
        total += len(message.get("body", b""))
        more = message.get("more_body", False)
    return total


async def app(scope, receive, send):
    path = scope["path"]
    if path == "/plain":
        await answer(send, TEXT, b"hello")
    elif path.startswith("/json/"):
        await answer(send, JSON, json_record(path[6:]))
    elif path == "/wait":
        await asyncio.sleep(WAIT)
        await answer(send, TEXT, b"waited")
    elif path == "/bytes/1m":
        await answer(send, OCTETS, MEBIBYTE)
    elif path == "/bytes/100m":
        await stream(send)
    elif path == "/upload":
        await answer(send, TEXT, b"%d" % await count(receive))
    elif path == "/file":
        await send_file(scope, send)
    else:
        await answer(send, TEXT, b"not found", 404)
