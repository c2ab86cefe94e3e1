"""aiohttp: `aiohttp_app.py PORT`, on uvloop."""

import sys

import uvloop
from aiohttp import WSMsgType, web

MOST = 16 << 20
members = []


async def echo(request):
    socket = web.WebSocketResponse(max_msg_size=MOST)
    await socket.prepare(request)
    async for message in socket:
        if message.type == WSMsgType.TEXT:
            await socket.send_str(message.data)
        else:
            await socket.send_bytes(message.data)
    return socket


async def talk(request):
    socket = web.WebSocketResponse(max_msg_size=MOST)
    await socket.prepare(request)
    members.append(socket)
    try:
        async for message in socket:
            for member in members:
                await member.send_str(message.data)
    finally:
        members.remove(socket)
    return socket


async def make():
    app = web.Application()
    app.add_routes([web.get("/echo", echo), web.get("/broadcast", talk)])
    return app


uvloop.install()
web.run_app(make(), host="127.0.0.1", port=int(sys.argv[1]), access_log=None, print=None)
