"""The application for RSGI, Granian's own interface."""

import asyncio

from common import FILE, MEBIBYTE, MIB, WAIT, json_record, pieces

TEXT = [("content-type", "text/plain")]
OCTETS = [("content-type", "application/octet-stream")]
JSON = [("content-type", "application/json")]


async def app(scope, protocol):
    path = scope.path
    if path == "/plain":
        protocol.response_str(200, TEXT, "hello")
    elif path.startswith("/json/"):
        protocol.response_bytes(200, JSON, json_record(path[6:]))
    elif path == "/wait":
        await asyncio.sleep(WAIT)
        protocol.response_str(200, TEXT, "waited")
    elif path == "/bytes/1m":
        protocol.response_bytes(200, OCTETS, MEBIBYTE)
    elif path == "/bytes/100m":
        transport = protocol.response_stream(200, [*OCTETS, ("content-length", str(100 * MIB))])
        for piece in pieces():
            await transport.send_bytes(piece)
    elif path == "/upload":
        total = 0
        async for piece in protocol:
            total += len(piece)
        protocol.response_str(200, TEXT, str(total))
    elif path == "/file":
        protocol.response_file(200, OCTETS, FILE)
    else:
        protocol.response_str(404, TEXT, "not found")
