"""Slow handlers for the bench of overload: Transom with four threads, and the same for WSGI servers."""

import time

SLOW = 0.005


def app(environ, start_response):
    """The application for WSGI servers."""
    if environ["PATH_INFO"] == "/pool":
        time.sleep(SLOW)
    body = b"done"
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]


if __name__ == "__main__":
    from common import BACKLOG, port
    from transom import Overload, Server

    server = Server(
        threads=4,
        limits={"connections": 20_000, "pool_queue": 20_000, "backlog": BACKLOG},
        overload=Overload(),
    )
    server.readiness("/ready")

    @server.get("/pool", blocking=True)
    def pool(request):
        time.sleep(SLOW)
        return "done"

    server.run(f"127.0.0.1:{port()}")
