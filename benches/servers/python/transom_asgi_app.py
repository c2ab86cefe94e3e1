"""Transom with the ASGI application, on the event loop of asyncio."""

from asgi_app import app
from common import BACKLOG, port
from transom import Server

LIMITS = {"connections": 20_000, "pool_queue": 20_000, "backlog": BACKLOG, "body": 1 << 30}

if __name__ == "__main__":
    server = Server(workers=1, limits=LIMITS)
    server.mount_asgi("/", app)
    server.run(f"127.0.0.1:{port()}")
