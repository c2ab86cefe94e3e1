"""What is different on other systems, as far as it can be played here."""

import asyncio
import subprocess
import sys
import threading
import unittest

from support import LIMIT, SOURCE, fetch

import transom
from transom._native import path
from transom._waiter import Waiter
from transom._watches import Watches

#: Has Python look like that of Windows, and serves a request in memory and one over TCP.
WINDOWS = """
import asyncio, importlib.abc, multiprocessing.reduction, os, selectors, signal, socket, sys, types

import _socket, http.client, logging, subprocess, tempfile, urllib.request

# The certificates of the system are those of Windows.
opened = urllib.request.OpenerDirector()
opened.add_handler(urllib.request.HTTPHandler())

UNIX = {"fcntl", "grp", "pwd", "resource", "termios", "syslog", "posix"}


class NoUnix(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name in UNIX:
            raise ImportError(f"{name} is not there on Windows")


sys.meta_path.insert(0, NoUnix())
for name in UNIX:
    sys.modules.pop(name, None)
for module, names in (
    (os, "O_NONBLOCK O_CLOEXEC O_TMPFILE pread fork register_at_fork copy_file_range eventfd getuid".split()),
    (signal, "SIGHUP SIGUSR1 SIGUSR2 SIGQUIT SIGCHLD SIGTTIN SIGTTOU pthread_sigmask set_wakeup_fd".split()),
    (socket, ["AF_UNIX"]),
):
    for name in names:
        vars(module).pop(name, None)
# An event loop has a pair of sockets.
socket.socketpair = lambda *_: tuple(socket.socket(fileno=each.detach()) for each in _socket.socketpair())


def refused(*_):
    raise NotImplementedError


for loop in asyncio.SelectorEventLoop.__mro__:
    if "add_reader" in vars(loop):
        loop.add_reader = loop.remove_reader = refused


# What the package asks Windows for: events and handles. Here they are pipes and descriptors.
class Function:
    def __init__(self, function):
        self.function = function

    def __call__(self, *arguments):
        return self.function(*arguments)


import ctypes, select, time

pipes = {}


def create(*_):
    reader, writer = os.pipe()
    pipes[reader] = writer
    return reader


def wait(count, handles, *_):
    ready, _, _ = select.select(list(handles), [], [])
    return list(handles).index(next(each for each in handles if each in ready))


def close(handle):
    os.close(handle)
    os.close(pipes.pop(handle))


kernel = types.SimpleNamespace(
    CreateEventW=Function(create),
    WaitForMultipleObjects=Function(wait),
    SetEvent=Function(lambda handle: os.write(pipes[handle], b"e")),
    CloseHandle=Function(close),
)
ctypes.WinDLL = lambda name, **_: kernel
sys.modules["msvcrt"] = types.SimpleNamespace(get_osfhandle=lambda number: number)
multiprocessing.reduction.duplicate = os.dup
# The kind of loops is settled when the first one is made; that of Windows is not there.
asyncio.new_event_loop().close()
sys.platform = "win32"

import transom
from transom import _native

assert [each.name for each in _native._candidates()][0] == "transom.dll"
assert _native.QUICK["transom_events_fd"][0] is ctypes.c_ssize_t

app = transom.Server()
with tempfile.NamedTemporaryFile() as file:
    file.write(b"0123456789")
    file.flush()

    @app.get("/plain")
    def plain(request):
        return "plain"

    @app.get("/waits")
    async def waits(request):
        await asyncio.sleep(0)
        return "waits"

    @app.get("/file")
    def whole(request):
        return transom.Response.file(file.name)

    with app.start("127.0.0.1:0") as running:
        for name in ("plain", "waits"):
            for _ in range(3):
                assert opened.open(f"{running.url}/{name}", timeout=60).read() == name.encode()
        assert opened.open(f"{running.url}/file", timeout=60).read() == b"0123456789"

    async def hosted():
        listening = asyncio.get_running_loop().create_future()
        serving = asyncio.create_task(app.serve("127.0.0.1:0", ready=listening.set_result))
        url = (await listening).url
        ask = lambda: opened.open(f"{url}/waits", timeout=60).read()
        assert await asyncio.to_thread(ask) == b"waits"
        app.running.stop()
        await serving

    asyncio.run(hosted())
try:
    transom.Processes(transom.Server, "127.0.0.1:0", count=2).start()
except transom.SystemCallError as error:
    print("refused:", error)
"""


class Deaf(asyncio.SelectorEventLoop):
    """An event loop that watches no descriptors, as the proactor loop of Windows."""

    def add_reader(self, fd, callback, *args):
        raise NotImplementedError

    remove_reader = add_reader


def watchers():
    return [each for each in threading.enumerate() if each.name == "transom-watch"]


class TestWindows(unittest.TestCase):
    @unittest.skipUnless(sys.platform == "linux", "it plays Windows on Linux")
    def test_the_package_serves_without_what_only_unix_has(self):
        ended = subprocess.run(
            [sys.executable, "-c", WINDOWS],
            capture_output=True, text=True, timeout=LIMIT,
            env={"PYTHONPATH": str(SOURCE), "TRANSOM_LIBRARY": str(path)},
        )  # fmt: skip
        self.assertEqual(ended.returncode, 0, ended.stderr)
        self.assertIn("refused: several processes share no sockets on Windows", ended.stdout)


class TestWatches(unittest.TestCase):
    def test_a_loop_that_watches_no_descriptors_serves(self):
        app = transom.Server()

        @app.get("/")
        async def hello(request):
            await asyncio.sleep(0)
            return "hello"

        async def serve():
            listening = asyncio.get_running_loop().create_future()
            serving = asyncio.create_task(app.serve("127.0.0.1:0", ready=listening.set_result))
            running = await listening
            for _ in range(20):
                answer = await asyncio.to_thread(fetch, running, "/")
                self.assertEqual((answer.status, answer.text), (200, "hello"))
            self.assertTrue(watchers())
            running.stop()
            await serving

        loop = Deaf()
        try:
            loop.run_until_complete(serve())
            loop.run_until_complete(loop.shutdown_default_executor())
        finally:
            loop.close()
        self.assertEqual(watchers(), [])

    def test_a_function_may_end_its_own_watch_and_is_not_called_afterwards(self):
        called = []
        waiter = Waiter(0)
        self.addCleanup(waiter.close)
        # What ends a wait is a descriptor that is readable from then on.
        waiter.end()
        self.assertFalse(waiter.wait())

        async def watch():
            loop = asyncio.get_running_loop()
            watches = Watches(loop)
            seen = loop.create_future()

            def ready():
                called.append(None)
                if len(called) == 3:
                    watches.remove(waiter._reader)
                    seen.set_result(None)

            watches.add(waiter._reader, ready)
            self.assertEqual(len(watchers()), 1)
            await asyncio.wait_for(seen, LIMIT)
            self.assertEqual(watchers(), [])
            watches.add(waiter._reader, called.append)
            watches.close()

        loop = Deaf()
        try:
            loop.run_until_complete(watch())
        finally:
            loop.close()
        self.assertEqual((len(called), watchers()), (3, []))


if __name__ == "__main__":
    unittest.main()
