"""Transom with the WSGI application."""

from common import BACKLOG, port
from transom import Server
from wsgi_app import app

LIMITS = {"connections": 20_000, "pool_queue": 20_000, "backlog": BACKLOG, "body": 1 << 30}

if __name__ == "__main__":
    server = Server(workers=1, limits=LIMITS)
    server.mount_wsgi("/", app)
    server.run(f"127.0.0.1:{port()}")
