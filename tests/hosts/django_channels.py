"""A site with consumers of Channels, asked on each server. A process of its own: Django is set up once."""

import asyncio
import threading

import django
import websockets
from asgi_servers import SERVERS
from channels.consumer import AsyncConsumer
from channels.generic.websocket import AsyncJsonWebsocketConsumer, WebsocketConsumer
from channels.layers import get_channel_layer
from channels.routing import ProtocolTypeRouter, URLRouter
from channels.security.websocket import OriginValidator
from django.conf import settings
from django.core.asgi import get_asgi_application
from django.http import HttpResponse
from django.urls import path

#: How long a wait may last, in seconds.
LIMIT = 60

left = threading.Semaphore(0)


class Chat(AsyncJsonWebsocketConsumer):
    """Sends what a member of a room says to all members."""

    async def connect(self):
        self.room = self.scope["url_route"]["kwargs"]["room"]
        await self.channel_layer.group_add(self.room, self.channel_name)
        await self.accept()

    async def receive_json(self, content):
        await self.channel_layer.group_send(self.room, {"type": "chat.message", "text": content["text"]})

    async def chat_message(self, event):
        await self.send_json({"text": event["text"]})

    async def disconnect(self, code):
        await self.channel_layer.group_discard(self.room, self.channel_name)
        left.release()


class Echo(WebsocketConsumer):
    """A consumer that is no coroutine: Channels calls it on a thread."""

    def connect(self):
        if self.scope["query_string"] == b"refuse":
            self.close()
        else:
            self.accept("chat")

    def receive(self, text_data=None, bytes_data=None):
        if text_data == "close":
            self.close(code=4001, reason="enough")
        else:
            self.send(text_data=text_data, bytes_data=bytes_data)


class Late(AsyncConsumer):
    """Accepts after it has waited, while Channels already waits for the next event."""

    async def websocket_connect(self, event):
        asyncio.get_running_loop().call_later(0.01, lambda: asyncio.ensure_future(self.accept()))

    async def accept(self):
        await self.send({"type": "websocket.accept"})

    async def websocket_receive(self, event):
        await self.send({"type": "websocket.send", "text": event["text"]})


async def check(address):
    """Talks to the site, and raises `AssertionError` for a wrong answer."""
    async with (
        websockets.connect(f"{address}/chat/7/") as ada,
        websockets.connect(f"{address}/chat/7/") as bob,
        websockets.connect(f"{address}/chat/8/") as eve,
    ):
        await ada.send('{"text": "hello"}')
        for member in (ada, bob):
            assert await asyncio.wait_for(member.recv(), LIMIT) == '{"text": "hello"}'
        await eve.send('{"text": "alone"}')
        assert await asyncio.wait_for(eve.recv(), LIMIT) == '{"text": "alone"}'
    for _ in range(3):
        assert await asyncio.to_thread(left.acquire, timeout=LIMIT), "a consumer was not told the end"
    async with websockets.connect(f"{address}/echo/", subprotocols=["chat"]) as socket:
        assert socket.subprotocol == "chat"
        for message in ("grüße", b"\x00\xff" * 100_000):
            await socket.send(message)
            assert await socket.recv() == message
        await socket.send("close")
        try:
            await socket.recv()
        except websockets.exceptions.ConnectionClosed:
            pass
        assert (socket.close_code, socket.close_reason) == (4001, "enough"), socket.close_code
    async with websockets.connect(f"{address}/late/") as socket:
        await socket.send("a")
        assert await socket.recv() == "a"
    for where, origin in (("/echo/?refuse", None), ("/own/", "https://evil.example")):
        assert await status(address + where, origin) == 403, where


async def status(address, origin):
    """Returns the status with which a handshake is answered."""
    try:
        async with websockets.connect(address, origin=origin):
            return 101
    except websockets.exceptions.InvalidStatus as error:
        return error.response.status_code


urlpatterns = [path("plain/", lambda request: HttpResponse("plain"))]


def main():
    settings.configure(
        ALLOWED_HOSTS=["*"],
        ROOT_URLCONF=__name__,
        SECRET_KEY="a key of a test",
        CHANNEL_LAYERS={"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}},
    )
    django.setup()
    routes = [
        path("chat/<room>/", Chat.as_asgi()),
        path("echo/", Echo.as_asgi()),
        path("own/", OriginValidator(Echo.as_asgi(), ["https://app.example.com"])),
        path("late/", Late.as_asgi()),
    ]
    application = ProtocolTypeRouter({"http": get_asgi_application(), "websocket": URLRouter(routes)})
    assert get_channel_layer() is not None
    for name, serve in SERVERS.items():
        with serve(application) as url:
            asyncio.run(asyncio.wait_for(check(url.replace("http", "ws", 1)), 2 * LIMIT))
        print(f"{name}: ok", flush=True)


if __name__ == "__main__":
    main()
