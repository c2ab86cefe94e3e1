"""The servers of ASGI applications that are compared: Transom on two loops, and uvicorn as the reference."""

import asyncio
import contextlib
import threading

import transom
import uvicorn
import uvloop


@contextlib.contextmanager
def on_transom(application):
    """Serves an application, and yields its URL."""
    with transom.serve_asgi(application, "127.0.0.1:0", limits={"body": 2**30}) as running:
        yield running.url


@contextlib.contextmanager
def on_uvloop(application):
    """Serves an application in a loop of uvloop, and yields its URL."""
    server = transom.Server(limits={"body": 2**30})
    server.mount_asgi("/", application)
    there = threading.Event()
    running = []

    async def serve():
        await server.serve("127.0.0.1:0", ready=lambda it: (running.append(it), there.set()))

    def run():
        loop = uvloop.new_event_loop()
        try:
            loop.run_until_complete(serve())
        finally:
            loop.close()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        if not there.wait(60):
            raise AssertionError("the server does not start")
        yield running[0].url
    finally:
        for it in running:
            it.stop()
        thread.join()


@contextlib.contextmanager
def on_uvicorn(application):
    """Serves an application, and yields its URL."""
    server = uvicorn.Server(uvicorn.Config(application, host="127.0.0.1", port=0, log_level="critical"))
    thread = threading.Thread(target=lambda: asyncio.run(server.serve()))
    thread.start()
    try:
        while not server.started:
            if not thread.is_alive():
                raise AssertionError("the server does not start")
            thread.join(0.01)
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()


SERVERS = {"transom": on_transom, "transom on uvloop": on_uvloop, "uvicorn": on_uvicorn}
