"""The code that the tests of WebSockets share: a handshake, frames, and handlers that echo."""

import socket as sockets
import struct

from support import LIMIT, receive

HANDSHAKE = (
    b"GET /echo HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)


def frame(opcode, payload, is_last=True):
    """Returns a frame of a client, with a mask of zeros."""
    head = struct.pack("!B", 0x80 * is_last | opcode)
    if len(payload) < 126:
        head += struct.pack("!B", 0x80 | len(payload))
    elif len(payload) < 65536:
        head += struct.pack("!BH", 0x80 | 126, len(payload))
    else:
        head += struct.pack("!BQ", 0x80 | 127, len(payload))
    return head + bytes(4) + payload


def echo_routes(app, **options):
    """Adds an asynchronous and a plain handler that send each message back."""

    @app.websocket("/echo", **options)
    async def echo(socket):
        async for message in socket:
            await socket.send(message)

    @app.websocket("/plain-echo", **options)
    def plain_echo(socket):
        for message in socket:
            socket.send(message)


def opened(running, path="/echo"):
    """Opens a raw connection."""
    connection = sockets.create_connection(("127.0.0.1", running.port), timeout=LIMIT)
    connection.sendall(HANDSHAKE.replace(b"/echo", path.encode()))
    receive(connection, b"\r\n\r\n")
    return connection
