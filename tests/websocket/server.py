#!/usr/bin/env python3
"""The server that the scripts beside it talk to, in Python: as `server.rs`, with the same words.

`--asgi` serves `/echo` with an application of ASGI instead, and `--plain` with a plain handler.
"""

from __future__ import annotations

import signal
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

from transom import AsyncWebSocket, Request, Response, Server, Tls, WebSocket, WebSocketClosed

HERE = Path(__file__).resolve().parent
SIGNALS = (signal.SIGINT, signal.SIGTERM)
# Larger than any message of Autobahn's cases.
LIMIT = 32 << 20


async def echo(socket: AsyncWebSocket) -> None:
    async for message in socket:
        await socket.send(message)


def plain_echo(socket: WebSocket) -> None:
    for message in socket:
        socket.send(message)


async def application(scope: Any, receive: Any, send: Any) -> None:
    """Sends each message back."""
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        while (event := await receive())["type"] == "websocket.receive":
            await send({**event, "type": "websocket.send"})


def main() -> None:
    words = sys.argv[1:]
    model = next((word for word in words if word in ("threads", "sequential")), "event")
    app = Server(model=model)
    # Autobahn's cases expect that each message is compressed.
    base: Any = {"message_limit": LIMIT, "compress_from": 0}
    if "--asgi" in words:
        app.mount_asgi("/echo", application, lifespan="off", websocket=base)
    else:
        app.websocket("/echo", **base)(plain_echo if "--plain" in words else echo)
    app.websocket("/keeping", context_takeover=True, **base)(echo)
    app.websocket("/plain", compression=False, **base)(echo)
    app.websocket("/pieces", **base)(echo)
    app.websocket("/small", message_limit=1000, frame_limit=2000)(echo)
    app.websocket("/quick", ping_interval=0.2, ping_timeout=0.2)(echo)
    app.websocket("/spoken", subprotocols=["chat", "superchat"])(echo)
    members: set[AsyncWebSocket] = set()

    @app.websocket("/chat")
    async def chat(socket: AsyncWebSocket) -> None:
        members.add(socket)
        try:
            async for message in socket:
                for member in members:
                    with suppress(WebSocketClosed):
                        member.try_send(message)
        finally:
            members.discard(socket)

    @app.get("/")
    def page(request: Request) -> Response:
        return Response.html((HERE / "chat.html").read_text())

    tls = None
    if "--tls" in words:
        folder = HERE.parent / "certificates"
        tls = Tls(folder / "localhost.pem", folder / "localhost.key")

    # Blocked before the threads of the server start, so that it waits for these signals alone.
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    running = app.start("127.0.0.1:0", tls=tls)
    print(running.url, flush=True)
    signal.sigwait(SIGNALS)
    print(running.stop(5), flush=True)


if __name__ == "__main__":
    main()
