"""The applications that `test_processes` serves in several processes."""

import ctypes
import os
import time

from transom import Server


def make_patient():
    """Returns the application with connections that stay open for long in a restart."""
    return make(timeouts={"stop_delay": 30.0})


def make(**settings):
    """Returns an application whose answers say which process gives them."""
    app = Server(**settings)

    @app.get("/")
    def process(request):
        return str(os.getpid())

    @app.get("/slow", blocking=True)
    def slow(request):
        time.sleep(0.5)
        return str(os.getpid())

    @app.get("/die")
    def die(request):
        os._exit(7)

    @app.get("/stop")
    def stop(request):
        app.running.stop()

    @app.get("/hang")
    def hang(request):
        # With the GIL held.
        ctypes.PyDLL(None).sleep(600)

    @app.get("/never", blocking=True)
    def never(request):
        time.sleep(600)

    return app


def fail():
    """An application that cannot be made."""
    raise ValueError("no settings")


def exit_early():
    """An application that ends its process."""
    os._exit(3)


def wait_long():
    """An application that never starts."""
    time.sleep(600)


def make_none():
    """A function that returns no application."""


class Once:
    """An application that can be made until a file is there."""

    def __init__(self, path):
        self.path = path

    def __call__(self):
        if os.path.exists(self.path):
            raise ValueError("the file is there")
        return make()
