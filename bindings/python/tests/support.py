"""The code that the tests share: a client, bounded waits, programs in processes of their own."""

import asyncio
import contextlib
import http.client
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

SOURCE = Path(__file__).resolve().parents[1] / "src"
#: The longest wait in a test, in seconds. A test waits for an event, and never for a time: on a busy
#: machine each step may take seconds.
LIMIT = 60.0
#: What takes less than this has not waited for something that lasts `LIMIT` seconds.
SOON = LIMIT / 2
#: `False` in a free-threaded build, which has no interpreter lock.
HAS_GIL = getattr(sys, "_is_gil_enabled", lambda: True)()

if os.environ.get("TRANSOM_TEST_LOOPS") == "uvloop":
    import uvloop

    asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())


class Answer:
    """A response, as a client reads it."""

    def __init__(self, response):
        self.status = response.status
        self.headers = response.headers
        self.body = response.read()
        self.text = self.body.decode("latin-1")


def fetch(running, path, method="GET", body=None, headers=None, host="127.0.0.1"):
    """Sends a request on a new connection and returns the response."""
    connection = http.client.HTTPConnection(host, running.port, timeout=LIMIT)
    try:
        connection.request(method, path, body=body, headers=headers or {})
        return Answer(connection.getresponse())
    finally:
        connection.close()


def own_host():
    """Returns an address on which only this process listens: there, no other takes a port that was freed."""
    if sys.platform != "linux":
        return "127.0.0.1"
    # On Linux all of 127.0.0.0/8 is this machine.
    number = os.getpid()
    return f"127.{128 | number >> 16 & 63}.{number >> 8 & 255}.{number & 255}"


def connect(running):
    """Opens a connection, for raw bytes."""
    return socket.create_connection(("127.0.0.1", running.port), timeout=LIMIT)


def send_get(port, path):
    """Sends a request and returns the connection, without waiting for the response."""
    connection = socket.create_connection(("127.0.0.1", port), timeout=LIMIT)
    connection.sendall(f"GET {path} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
    return connection


def exchange(running, data, end=True):
    """Sends raw bytes and reads until the connection ends."""
    with connect(running) as connection:
        connection.sendall(data)
        if end:
            connection.shutdown(socket.SHUT_WR)
        return read_all(connection)


def read_all(connection):
    """Reads until the connection ends or is reset."""
    received = b""
    with contextlib.suppress(ConnectionResetError):
        while chunk := connection.recv(65536):
            received += chunk
    return received


def receive(connection, text):
    """Reads until `text` has come, and returns what has come."""
    received = b""
    while text not in received:
        chunk = connection.recv(65536)
        if not chunk:
            raise AssertionError(f"the end came after {received!r}")
        received += chunk
    return received


def until(condition, limit=LIMIT):
    """Waits until `condition()` is true. Returns `False` if it is not true in time."""
    end = time.monotonic() + limit
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.005)
    return True


def is_quick(function, limit):
    """Calls `function()` until one call takes less than `limit` seconds. Returns `False` if none does.

    One call says little: on a busy machine it may take longer than it should.
    """

    def once():
        begun = time.monotonic()
        function()
        return time.monotonic() - begun < limit

    return until(once)


def is_refused(port, host="127.0.0.1"):
    """Returns `True` if no socket listens on the port, as after a stop has begun."""
    try:
        socket.create_connection((host, port), timeout=LIMIT).close()
    except ConnectionRefusedError:
        return True
    except OSError:
        # The socket was closed meanwhile: the next call gets a refusal.
        pass
    return False


def at_once(function, count):
    """Runs `function(number)` in `count` threads at once. Returns the results in order."""
    results = [None] * count

    def run(number):
        results[number] = function(number)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LIMIT)
    return results


def plain_route(app):
    """Adds a plain handler. With one, a thread pulls the requests, and not the event loop."""
    app.get("/plain")(lambda request: "plain")


@contextlib.contextmanager
def served(app):
    """A server in an event loop of the host."""
    there = threading.Event()
    running = []

    def ready(it):
        running.append(it)
        there.set()

    thread = threading.Thread(target=lambda: asyncio.run(app.serve("127.0.0.1:0", ready=ready)))
    thread.start()
    try:
        if not there.wait(LIMIT):
            raise AssertionError("the server does not start")
        yield running[0]
    finally:
        for it in running:
            it.stop(0)
        thread.join(LIMIT)


def ways(**settings):
    """Yields each way to run a server: its name, an application, and the function that starts it."""
    from transom import Server

    for model in ("event", "threads", "sequential"):
        app = Server(model=model, **settings)
        yield f"all asynchronous, {model}", app, lambda app=app: app.start("127.0.0.1:0")
        app = Server(model=model, **settings)
        plain_route(app)
        yield f"mixed, {model}", app, lambda app=app: app.start("127.0.0.1:0")
    app = Server(**settings)
    yield "in a loop of the host's", app, lambda app=app: served(app)


class Program:
    """A Python program in a process of its own. As a context manager it ends the process.

    A program that runs for longer than `limit` seconds is aborted. A test that
    waits for its output then gets the stacks of its threads.
    """

    def __init__(self, code, *arguments, limit=4 * LIMIT):
        environment = dict(os.environ, PYTHONPATH=str(SOURCE), PYTHONUNBUFFERED="1")
        self.process = subprocess.Popen(
            [sys.executable, "-X", "faulthandler", "-c", code, *arguments],
            # `end` closes it.
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
            # A test runner in the background may ignore SIGINT, and its children inherit that.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        )
        self._watchdog = threading.Timer(limit, self.process.send_signal, [signal.SIGABRT])
        self._watchdog.daemon = True
        self._watchdog.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._watchdog.cancel()
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()

    def port(self):
        """Returns the port in the line that the program prints when it listens."""
        line = self.process.stdout.readline()
        if "http://127.0.0.1:" not in line:
            raise AssertionError(f"{line!r} {self.process.stderr.read()}")
        return int(line.rsplit(":", 1)[1])

    def write(self, text):
        """Writes to the program's standard input."""
        self.process.stdin.write(text)
        self.process.stdin.flush()

    def expect(self, line):
        """Waits for the next line that the program prints, and checks it."""
        read = self.process.stdout.readline()
        if read != f"{line}\n":
            raise AssertionError(f"{read!r} {self.process.stderr.read()}")

    def end(self, limit=LIMIT):
        """Waits for the program to end. Returns its exit code, standard output and standard error."""
        out, err = self.process.communicate(timeout=limit)
        return self.process.returncode, out, err


class Quiet:
    """A base of test cases that collects the log in `self.log` instead of printing it."""

    def setUp(self):
        self.log = []
        self._handler = logging.Handler()
        formatter = logging.Formatter()
        self._handler.emit = lambda record: self.log.append(formatter.format(record))
        logger = logging.getLogger("transom")
        logger.addHandler(self._handler)
        self._propagate, logger.propagate = logger.propagate, False
        # The level is the default, whatever another test has set.
        self._level = logger.level
        logger.setLevel(logging.WARNING)
        super().setUp()

    def tearDown(self):
        super().tearDown()
        logger = logging.getLogger("transom")
        logger.removeHandler(self._handler)
        logger.propagate = self._propagate
        logger.setLevel(self._level)
