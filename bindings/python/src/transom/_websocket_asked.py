"""What a request asks for: a WebSocket connection, as far as its fields say so."""

from __future__ import annotations

from transom._request import Request


def asks_for_websocket(request: Request) -> bool:
    """Returns `True` if a request asks to leave HTTP for WebSocket (RFC 6455 4.1)."""
    if request.method != "GET":
        return False
    return any(
        name.strip(" \t").lower() == "websocket"
        for line in request.headers.get_all("upgrade")
        for name in line.split(",")
    )


def is_handshake(request: Request) -> bool:
    """Returns `True` if such a request has the version and a key. The library checks the rest."""
    headers = request.headers
    version = headers.get("sec-websocket-version", "").strip()
    return version == "13" and len(headers.get("sec-websocket-key", "").strip()) == 24
