"""The code that the tests of the command share: applications in a folder, and the command in a process."""

import contextlib
import http.client
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import unittest
from pathlib import Path

from support import LIMIT, SOURCE, until

#: An application that says which process answers, and in which version of the code.
WSGI = """
import ctypes
import os
import time

VERSION = "1"


def app(environ, start_response):
    path = environ["PATH_INFO"]
    if path == "/slow":
        time.sleep(0.5)
    if path == "/hang":
        # With the interpreter lock held.
        ctypes.PyDLL(None).sleep(600)
    if path == "/environ":
        text = repr({key: value for key, value in environ.items() if isinstance(value, str)})
    else:
        text = f"{os.getpid()} {VERSION}"
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [text.encode("latin-1")]
"""

#: An application with a lifespan, which says what it gets.
ASGI = """
import asyncio
import os

FAILS = False


async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        while True:
            kind = (await receive())["type"]
            if FAILS:
                await send({"type": f"{kind}.failed", "message": "no database"})
                return
            scope["state"]["started"] = "yes"
            if kind == "lifespan.shutdown":
                print("shut down", flush=True)
            await send({"type": f"{kind}.complete"})
    started = scope.get("state", {}).get("started")
    loop = type(asyncio.get_running_loop()).__module__.split(".")[0]
    text = f"{os.getpid()} {scope['root_path']} {scope['path']} {started} {loop}"
    await send({"type": "http.response.start", "status": 200})
    await send({"type": "http.response.body", "body": text.encode()})
"""


class Command:
    """The command in a process of its own. What it says is read all the time."""

    def __init__(self, *words, folder, environment=None, descriptors=()):
        before = {name: value for name, value in os.environ.items() if name not in ("NOTIFY_SOCKET",)}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "transom", *words],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            pass_fds=descriptors,
            env={
                **before,
                "PYTHONPATH": str(SOURCE),
                "PYTHONUNBUFFERED": "1",
                "PYTHONDONTWRITEBYTECODE": "1",
                **(environment or {}),
            },
            # A test runner in the background may ignore SIGINT, and its children inherit that.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        )
        self.out, self.said = "", ""
        self._readers = [
            threading.Thread(target=self._read, args=each)
            for each in (("out", self.process.stdout), ("said", self.process.stderr))
        ]
        for reader in self._readers:
            reader.start()

    def _read(self, name, file):
        for line in file:
            setattr(self, name, getattr(self, name) + line)

    def wait_for(self, pattern):
        """Waits until the command has said something that matches, and returns the match."""

        def is_over():
            return re.search(pattern, self.said) or self.process.poll() is not None

        if not until(is_over) or not (found := re.search(pattern, self.said)):
            raise AssertionError(f"{pattern!r} is not in: {self.said}")
        return found

    @property
    def port(self):
        """The first port on which the command listens, once it does."""
        return int(self.wait_for(r"serves .* on \S*?:(\d+)[, ]")[1])

    def get(self, path="/", headers=None):
        """Returns the text of an answer, on a new connection."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=LIMIT)
        try:
            connection.request("GET", path, headers=headers or {})
            return connection.getresponse().read().decode("latin-1")
        finally:
            connection.close()

    def status_of(self, path):
        """Returns the status of an answer, on a new connection."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=LIMIT)
        try:
            connection.request("GET", path)
            return connection.getresponse().status
        finally:
            connection.close()

    def try_get(self, path="/"):
        """Returns the text of an answer, or `""` if there is none."""
        with contextlib.suppress(OSError, http.client.HTTPException):
            return self.get(path)
        return ""

    def signal(self, number):
        """Sends a signal to the command."""
        self.process.send_signal(number)

    def end(self, number=None):
        """Waits for the end, after a signal if there is one. Returns the exit status and what was said."""
        if number is not None:
            self.signal(number)
        status = self.process.wait(LIMIT)
        for reader in self._readers:
            reader.join(LIMIT)
        return status, self.said

    def close(self):
        """Ends the command, whatever it does. Its processes end when it is gone."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(LIMIT)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        for reader in self._readers:
            reader.join(LIMIT)
        self.process.stdout.close()
        self.process.stderr.close()


class CommandCase(unittest.TestCase):
    """A base of tests that have a folder with applications."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name).resolve()
        self.write("site_app.py", WSGI)
        self.write("site_asgi.py", ASGI)

    def write(self, name, text):
        """Writes a file in the folder, at once for a reader."""
        path = self.folder / name
        path.parent.mkdir(exist_ok=True)
        new = path.with_suffix(".new")
        new.write_text(text)
        new.replace(path)
        return path

    def start(self, *words, app="site_app:app", bind="127.0.0.1:0", **settings):
        """Starts the command. It ends with the test."""
        command = Command(app, *(("--bind", bind) if bind else ()), *words, folder=self.folder, **settings)
        self.addCleanup(command.close)
        return command

    def ended(self, *words, status, **settings):
        """Runs the command until it ends with a status, and returns what it has said."""
        command = self.start(*words, **settings)
        got, said = command.end()
        self.assertEqual(got, status, said)
        return said
