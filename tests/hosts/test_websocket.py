"""WebSocket in applications of Starlette and FastAPI, asked by the clients `websockets` and `aiohttp`."""

import asyncio
import os
import unittest

import aiohttp
import websockets
from asgi_servers import SERVERS
from fastapi import Depends, FastAPI, WebSocketException
from starlette.applications import Starlette
from starlette.endpoints import WebSocketEndpoint
from starlette.responses import JSONResponse
from starlette.routing import Mount, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

#: How long a client waits for an answer, in seconds.
LIMIT = 60
LARGE = os.urandom(500_000)


def make_app(events):
    """Returns the application. What happens is noted in `events`."""

    async def echo(websocket):
        chosen = next((name for name in websocket.scope["subprotocols"] if name == "chat.v2"), None)
        await websocket.accept(subprotocol=chosen, headers=[(b"x-room", b"7")])
        try:
            while True:
                message = await websocket.receive()
                if message["type"] == "websocket.disconnect":
                    raise WebSocketDisconnect(message["code"], message.get("reason"))
                if message.get("text") is not None:
                    await websocket.send_text(message["text"])
                else:
                    await websocket.send_bytes(message["bytes"])
        except WebSocketDisconnect as gone:
            events.append((gone.code, gone.reason))

    class Counter(WebSocketEndpoint):
        encoding = "json"

        async def on_connect(self, websocket):
            await websocket.accept()
            await websocket.send_json({"connected": True})

        async def on_receive(self, websocket, data):
            await websocket.send_json({"next": data["number"] + 1})

        async def on_disconnect(self, websocket, close_code):
            events.append(("endpoint", close_code))

    async def refuses(websocket):
        await websocket.close(4001)

    async def denies(websocket):
        await websocket.send_denial_response(JSONResponse({"why": "no token"}, 401, {"x-why": "token"}))

    async def closes(websocket):
        await websocket.accept()
        await websocket.close(4002, "enough")

    async def fails(websocket):
        await websocket.accept()
        raise LookupError("on purpose")

    async def writes(websocket):
        await websocket.accept()
        try:
            while True:
                await websocket.send_bytes(b"x" * 10_000)
                await asyncio.sleep(0)
        except WebSocketDisconnect:
            events.append("writer noticed")

    api = FastAPI()

    async def token(websocket: WebSocket, token: str = ""):
        if token != "secret":
            raise WebSocketException(1008)
        return token

    @api.websocket("/items/{number}")
    async def items(websocket: WebSocket, number: int, token: str = Depends(token)):
        await websocket.accept()
        async for text in websocket.iter_text():
            await websocket.send_json({"number": number, "token": token, "text": text})
        events.append("items ended")

    return Starlette(
        routes=[
            WebSocketRoute("/echo", echo),
            WebSocketRoute("/counter", Counter),
            WebSocketRoute("/refuses", refuses),
            WebSocketRoute("/denies", denies),
            WebSocketRoute("/closes", closes),
            WebSocketRoute("/fails", fails),
            WebSocketRoute("/writes", writes),
            Mount("/api", api),
        ],
    )


async def seen(events, event):
    """Waits until something has happened."""
    for _ in range(LIMIT * 100):
        if event in events:
            return
        await asyncio.sleep(0.01)
    raise AssertionError(f"{event} is not in {events}")


class TestStarletteAndFastapi(unittest.TestCase):
    def on_each(self, ask):
        """Runs a client with each server."""
        for name, serve in SERVERS.items():
            events = []
            with self.subTest(name), serve(make_app(events)) as url:
                asyncio.run(asyncio.wait_for(ask(url, events), 2 * LIMIT))

    def test_messages_of_websockets(self):
        async def ask(url, events):
            address = url.replace("http", "ws", 1) + "/echo"
            for compression in ("deflate", None):
                async with websockets.connect(
                    address, compression=compression, subprotocols=["chat.v1", "chat.v2"], max_size=None
                ) as socket:
                    self.assertEqual(socket.subprotocol, "chat.v2")
                    self.assertEqual(socket.response.headers["x-room"], "7")
                    self.assertEqual(bool(socket.protocol.extensions), compression is not None)
                    for message in ("hello", "", "ä" * 100_000, b"", LARGE):
                        await socket.send(message)
                        self.assertEqual(await socket.recv(), message)
                    await socket.send(["a", "b" * 1000, "c"])
                    self.assertEqual(await socket.recv(), "a" + "b" * 1000 + "c")
                    await asyncio.wait_for(await socket.ping(), LIMIT)
                    await socket.close(4321, "tschüß")
                await seen(events, (4321, "tschüß"))
                events.clear()

        self.on_each(ask)

    def test_messages_of_aiohttp(self):
        async def ask(url, events):
            async with aiohttp.ClientSession() as session:
                for compress in (0, 15):
                    async with session.ws_connect(f"{url}/echo", compress=compress, max_msg_size=0) as socket:
                        for message in ("hello", "hello", "ä" * 100_000):
                            await socket.send_str(message)
                            self.assertEqual(await socket.receive_str(), message)
                        await socket.send_bytes(LARGE)
                        self.assertEqual(await socket.receive_bytes(), LARGE)
                        await socket.close(code=1000, message=b"bye")
                    await seen(events, (1000, "bye"))
                    events.clear()
                async with session.ws_connect(f"{url}/counter") as socket:
                    self.assertEqual(await socket.receive_json(), {"connected": True})
                    await socket.send_json({"number": 7})
                    self.assertEqual(await socket.receive_json(), {"next": 8})
                await seen(events, ("endpoint", 1000))

        self.on_each(ask)

    def test_handshakes_that_are_refused(self):
        async def ask(url, events):
            address = url.replace("http", "ws", 1)
            for path, status in (("/refuses", 403), ("/denies", 401), ("/api/items/7", 403), ("/none", 403)):
                with self.assertRaises(websockets.exceptions.InvalidStatus) as caught:
                    await websockets.connect(address + path)
                response = caught.exception.response
                self.assertEqual(response.status_code, status, path)
                if path == "/denies":
                    self.assertEqual(response.headers["x-why"], "token")
                    self.assertEqual(response.body, b'{"why":"no token"}')

        self.on_each(ask)

    def test_fastapi_below_a_path(self):
        async def ask(url, events):
            address = url.replace("http", "ws", 1)
            async with websockets.connect(f"{address}/api/items/7?token=secret") as socket:
                await socket.send("a")
                self.assertEqual(await socket.recv(), '{"number":7,"token":"secret","text":"a"}')
            await seen(events, "items ended")

        self.on_each(ask)

    def test_ends(self):
        async def ask(url, events):
            address = url.replace("http", "ws", 1)
            for path, code, reason in (("/closes", 4002, "enough"), ("/fails", None, None)):
                async with websockets.connect(address + path) as socket:
                    with self.assertRaises(websockets.exceptions.ConnectionClosed):
                        await socket.recv()
                    # Servers differ in how they end a connection whose application has failed.
                    self.assertIn(socket.close_code, [code] if code else [1006, 1011, 1000])
                    if reason:
                        self.assertEqual(socket.close_reason, reason)

        self.on_each(ask)

    def test_a_client_that_reads_no_more_and_leaves_is_noticed(self):
        async def ask(url, events):
            address = url.replace("http", "ws", 1)
            socket = await websockets.connect(f"{address}/writes", max_queue=1)
            await socket.recv()
            await asyncio.sleep(0.1)
            socket.transport.abort()
            await seen(events, "writer noticed")

        self.on_each(ask)


if __name__ == "__main__":
    unittest.main()
