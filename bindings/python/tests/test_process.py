"""The process of a server: its descriptors, its forks and its exit."""

import os
import unittest

from support import Program, at_once, own_host, send_get

#: How often an interpreter exits with requests under way; a fourth as often under load.
EXITS = int(os.environ.get("TRANSOM_TEST_EXITS", "12"))

HOLDING = """
import os, signal, socket, sys
from transom import Server
app = Server(model="MODEL")
@app.get("/hello")
def hello(request):
    return "hello"
@app.get("/async")
async def wait(request):
    return "async"
# On this address no other process takes the port.
host = sys.argv[1]
running = app.start(f"{host}:0")
for path in ("/hello", "/async"):
    connection = socket.create_connection((host, running.port), 60)
    connection.sendall(b"GET %b HTTP/1.1\\r\\nHost: h\\r\\n\\r\\n" % path.encode())
    assert connection.recv(1000)
    child = os.fork()
    if child == 0:
        # What was open stays so, in here.
        for output in (1, 2):
            os.close(output)
        signal.alarm(120)
        signal.pause()
        os._exit(0)
    connection.sendall(b"GET %b HTTP/1.1\\r\\nHost: h\\r\\nConnection: close\\r\\n\\r\\n" % path.encode())
    while connection.recv(1000):
        pass
    idle = socket.create_connection((host, running.port), 60)
    running.stop()
    try:
        assert idle.recv(1000) == b""
    except ConnectionResetError:
        pass  # it was still in the backlog
    try:
        socket.create_connection((host, running.port), 60)
    except ConnectionRefusedError:
        pass
    else:
        raise AssertionError("somebody listens")
    # The child keeps the port from nobody.
    running = app.start(f"{host}:{running.port}")
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
running.stop()
print("well", flush=True)
"""

STANDARD = """
# libffi keeps a descriptor of its own file, which belongs to ctypes.
import ctypes, os, socket
output = os.dup(1)
while output <= 2:
    output = os.dup(output)
for number in range(3):
    os.close(number)
from transom import Server
app = Server()
@app.get("/hello")
def hello(request):
    return "hello"
@app.get("/async")
async def wait(request):
    return "async"
with app.start("127.0.0.1:0") as running:
    taken = [number for number in range(3) if os.path.exists(f"/proc/self/fd/{number}")]
    connection = socket.create_connection(("127.0.0.1", running.port), 60)
    for path in (b"/hello", b"/async"):
        connection.sendall(b"GET %b HTTP/1.1\\r\\nHost: h\\r\\n\\r\\n" % path)
        assert b"200" in connection.recv(1000)
    own = connection.fileno()
    taken += [number for number in range(3) if number != own and os.path.exists(f"/proc/self/fd/{number}")]
    connection.close()
os.write(output, b"taken %a\\n" % taken)
os._exit(0)
"""

EXIT = """
import os, sys, time, threading, asyncio
from transom import Server
if os.environ.get("TRANSOM_TEST_LOOPS") == "uvloop":
    import uvloop
    asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
app = Server()
@app.get("/quick")
def quick(request):
    return "x"
@app.get("/slow")
def slow(request):
    time.sleep(60)
@app.get("/async")
async def waits(request):
    await asyncio.sleep(60)
@app.get("/stream")
def stream(request):
    while True:
        yield "x" * 1000
running = app.start("127.0.0.1:0")
print(running.url, flush=True)
sys.stdin.readline() if len(sys.argv) > 1 else time.sleep(0.3)
"""


class TestDescriptors(unittest.TestCase):
    def test_a_forked_child_keeps_neither_clients_nor_the_port(self):
        for model in ("event", "threads", "sequential"):
            with self.subTest(model=model), Program(HOLDING.replace("MODEL", model), own_host()) as program:
                code, out, err = program.end()
                self.assertEqual((code, out), (0, "well\n"), err)

    def test_nothing_takes_the_place_of_a_closed_standard_stream(self):
        with Program(STANDARD) as program:
            code, out, err = program.end()
            self.assertEqual((code, out), (0, "taken []\n"), err)


class TestExit(unittest.TestCase):
    def test_the_interpreter_ends_with_requests_under_way(self):
        def once(number):
            with Program(EXIT, "wait") as program:
                port = program.port()
                connections = [send_get(port, path) for path in ("/slow", "/async", "/stream", "/quick") * 2]
                result = program.end()
                for connection in connections:
                    connection.close()
            return result

        results = []
        for _ in range(EXITS // 4):
            results += at_once(once, 4)
        self.assertEqual(results, [(0, "", "")] * len(results))

    def test_the_interpreter_ends_under_load(self):
        def once(number):
            with Program(EXIT) as program:
                port = program.port()
                try:
                    with send_get(port, "/quick") as connection:
                        while connection.recv(4096):
                            connection.sendall(b"GET /quick HTTP/1.1\r\nHost: a\r\n\r\n" * 20)
                except OSError:
                    pass
                code, _, err = program.end()
            return code, err

        results = []
        for _ in range(-(-EXITS // 16)):
            results += at_once(once, 4)
        self.assertEqual(results, [(0, "")] * len(results))

    def test_an_exception_in_the_main_thread(self):
        code = EXIT + "\nraise ValueError('end')\n"
        with Program(code) as program:
            program.port()
            code, _, err = program.end()
            self.assertEqual(code, 1)
            self.assertTrue(err.endswith("ValueError: end\n"), err)

    def test_a_server_that_was_never_started(self):
        with Program("from transom import Server; app = Server(); app.get('/')(lambda r: '')") as program:
            self.assertEqual(program.end(), (0, "", ""))

    @unittest.skipUnless(hasattr(os, "fork"), "forks")
    def test_a_child_of_a_process_that_ran_no_server_may_run_one(self):
        code = """
import os
from urllib.request import urlopen
from transom import Server
app = Server()
app.get("/")(lambda request: "hello")
child = os.fork()
with app.start("127.0.0.1:0") as running:
    assert urlopen(running.url, timeout=60).read() == b"hello"
if child:
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
        with Program(code) as program:
            self.assertEqual(program.end(), (0, "0\n", ""))

    @unittest.skipUnless(hasattr(os, "fork"), "forks")
    def test_a_child_that_exits_leaves_the_parents_server_alone(self):
        code = """
import os, sys, warnings
warnings.simplefilter("ignore")  # forking with threads is what this is about
from urllib.request import urlopen
from transom import Server
app = Server()
app.get("/")(lambda request: "hello")
running = app.start("127.0.0.1:0")
child = os.fork()
if child == 0:
    sys.exit(3)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), urlopen(running.url).read())
"""
        with Program(code) as program:
            self.assertEqual(program.end(), (0, "3 b'hello'\n", ""))
