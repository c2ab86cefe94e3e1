"""The servers of WSGI applications that are compared: Transom, and waitress as the reference."""

import contextlib
import threading

import transom
import waitress


@contextlib.contextmanager
def on_transom(application):
    """Serves an application, and yields its URL."""
    with transom.serve_wsgi(application, "127.0.0.1:0", limits={"body": 2**30}) as running:
        yield running.url


@contextlib.contextmanager
def on_waitress(application):
    """Serves an application, and yields its URL."""
    server = waitress.create_server(application, host="127.0.0.1", port=0)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.effective_port}"
    finally:
        server.task_dispatcher.shutdown()
        # Its loop ends when all is closed, which only its thread may do.
        server.trigger.pull_trigger(lambda: [each.close() for each in list(server._map.values())])
        thread.join()


SERVERS = {"transom": on_transom, "waitress": on_waitress}
