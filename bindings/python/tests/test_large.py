"""The memory of large bodies is freed, and one that there is no memory for affects no other request."""

import asyncio
import ctypes
import gc
import unittest
import weakref
from pathlib import Path
from unittest import mock

from support import HAS_GIL, Program, Quiet, fetch, until

from transom import Server, _batch

STATUS = Path("/proc/self/status")

UPLOAD = """
import asyncio, http.client, logging, sys, threading
from pathlib import Path
from transom import Server

kind = sys.argv[1]
app = Server(limits={"body": 200_000_000}, timeouts={"idle": None})
sizes = []


def note(request):
    sizes.append(len(request.body))
    return "ok"


if kind == "async":
    # Its debug mode tells of the copy of a large body, which takes long.
    logging.getLogger("asyncio").setLevel(logging.ERROR)

    @app.post("/")
    async def handler(request):
        return note(request)

elif kind == "pool":
    app.post("/", blocking=True)(note)
elif kind == "in place":
    app.post("/", blocking=False)(note)
elif kind == "stream":

    @app.post("/")
    def handler(request):
        yield note(request)


def anonymous():
    text = Path("/proc/self/status").read_text()
    return int(text.partition("RssAnon:")[2].split()[0]) * 1024


# The client is a process of its own, so that its memory does not count.
CLIENT = '''
import http.client, sys
connection = http.client.HTTPConnection("127.0.0.1", int(sys.argv[1]))
for size in (1000, int(sys.argv[2])):
    connection.request("POST", "/", b"x" * size)
    assert connection.getresponse().read() == b"ok"
    print("answered", flush=True)
    sys.stdin.readline()
connection.close()
'''
import subprocess

with app.start("127.0.0.1:0") as running:
    client = subprocess.Popen(
        [sys.executable, "-c", CLIENT, str(running.port), "100000000"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )
    client.stdout.readline()
    before = anonymous()
    client.stdin.write("\\n")
    client.stdin.flush()
    client.stdout.readline()
    # The connection is open, and nothing else comes.
    least = anonymous()
    import time
    end = time.monotonic() + 60
    while least - before > 40_000_000 and time.monotonic() < end:
        time.sleep(0.05)
        least = min(least, anonymous())
    print(sizes, least - before, flush=True)
    client.communicate("\\n")
"""


class TestLargeBodies(unittest.TestCase):
    @unittest.skipUnless(HAS_GIL, "the allocator of a free-threaded CPython keeps freed memory")
    @unittest.skipUnless(STATUS.exists(), "it is read from /proc")
    def test_nothing_of_a_large_body_stays_after_the_answer(self):
        for kind in ("in place", "pool", "async", "stream"):
            with self.subTest(kind=kind), Program(UPLOAD, kind) as program:
                code, out, err = program.end()
                self.assertEqual((code, err), (0, ""))
                sizes, _, left = out.strip().rpartition(" ")
                self.assertEqual(sizes, "[1000, 100000000]")
                # The allocator may keep the smaller buffers that the growing body has used.
                self.assertLess(int(left), 40_000_000)


class TestCycles(Quiet, unittest.TestCase):
    def test_who_wants_to_know_of_a_client_keeps_no_request_after_its_answer(self):
        class Marker:
            """An object that lives as long as the function that refers to it."""

        kept = []
        app = Server()

        def watch(request):
            marker = Marker()
            kept.append(weakref.ref(marker))
            request.on_gone(lambda: (request, marker))

        @app.get("/plain")
        def plain(request):
            watch(request)
            return "plain"

        @app.get("/stream")
        def stream(request):
            watch(request)
            yield "chunk"

        @app.get("/async")
        async def asynchronous(request):
            watch(request)
            await asyncio.sleep(0.01)
            return "async"

        @app.get("/async-stream")
        async def asynchronous_stream(request):
            watch(request)
            await asyncio.sleep(0.01)
            yield "chunk"

        with app.start("127.0.0.1:0") as running:
            gc.collect()
            gc.disable()
            self.addCleanup(gc.enable)
            for path in ("/plain", "/stream", "/async", "/async-stream"):
                with self.subTest(path=path):
                    self.assertEqual(fetch(running, path).status, 200)
                    self.assertTrue(until(lambda: kept[-1]() is None))


class TestNoMemory(Quiet, unittest.TestCase):
    def serve(self, kind):
        app = Server(limits={"body": 20_000_000})
        if kind == "async":

            @app.post("/")
            async def handler(request):
                return str(len(request.body))
        else:
            app.post("/", blocking=kind == "pool")(lambda request: str(len(request.body)))
        return app

    def test_a_request_that_there_is_no_buffer_for_is_refused(self):
        def refuse(size):
            if isinstance(size, int) and size > 1_000_000:
                raise MemoryError
            return ctypes.create_string_buffer(size)

        for kind in ("async", "pool", "in place"):
            with (
                self.subTest(kind=kind),
                mock.patch.object(_batch, "create_string_buffer", refuse),
                self.serve(kind).start("127.0.0.1:0") as running,
            ):
                for _ in range(3):
                    answer = fetch(running, "/", "POST", b"x" * 10_000_000)
                    self.assertEqual(answer.status, 503)
                    self.assertEqual(fetch(running, "/", "POST", b"x" * 100).text, "100")
        self.assertTrue(until(lambda: len(self.log) == 9), self.log)
        self.assertTrue(all("there is no memory" in line for line in self.log))

    def test_a_request_that_there_is_no_memory_to_copy_is_refused(self):
        def refuse(address, size):
            if size > 1_000_000:
                raise MemoryError
            return ctypes.string_at(address, size)

        for kind in ("async", "pool", "in place"):
            with (
                self.subTest(kind=kind),
                mock.patch.object(_batch, "string_at", refuse),
                self.serve(kind).start("127.0.0.1:0") as running,
            ):
                for _ in range(3):
                    answer = fetch(running, "/", "POST", b"x" * 10_000_000)
                    self.assertEqual(answer.status, 503)
                    self.assertEqual(fetch(running, "/", "POST", b"x" * 100).text, "100")
        self.assertTrue(until(lambda: len(self.log) == 9), self.log)

    def test_a_handler_without_memory_is_a_500(self):
        app = Server()

        @app.get("/plain")
        def plain(request):
            raise MemoryError

        @app.get("/async")
        async def asynchronous(request):
            raise MemoryError

        with app.start("127.0.0.1:0") as running:
            for path in ("/plain", "/async"):
                self.assertEqual(fetch(running, path).status, 500)
