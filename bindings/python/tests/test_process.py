"""Whole programs: signals, and the end of the interpreter."""

import os
import signal
import socket
import threading
import time
import unittest

from support import LIMIT, Program, at_once, is_refused, read_all, until

RUN = """
import sys, time, threading
from transom import Server
app = Server()
@app.get("/")
def index(request):
    return "hello"
@app.get("/slow")
def slow(request):
    print("begun", flush=True)
    time.sleep(float(request.query["s"]))
    return "slow"
@app.get("/stream")
def stream(request):
    while True:
        yield "news"
        time.sleep(0.05)
@app.get("/async-stream")
async def async_stream(request):
    import asyncio
    while True:
        yield "news"
        await asyncio.sleep(0.05)
@app.get("/exit")
def leave(request):
    raise SystemExit(7)
@app.get("/interrupt")
async def interrupt(request):
    raise KeyboardInterrupt
@app.get("/stop")
def stop(request):
    app.running.stop()
    return "stopping"
report = app.run("127.0.0.1:0")
print("finished", report.finished, "cut", report.cut, flush=True)
"""

HOLDING = """
import http.client, os, signal, socket
from transom import Server
app = Server(model="MODEL")
@app.get("/hello")
def hello(request):
    return "hello"
@app.get("/async")
async def wait(request):
    return "async"
running = app.start("127.0.0.1:0")
for path in ("/hello", "/async"):
    connection = socket.create_connection(("127.0.0.1", running.port), 20)
    connection.sendall(b"GET %b HTTP/1.1\\r\\nHost: h\\r\\n\\r\\n" % path.encode())
    assert connection.recv(1000)
    child = os.fork()
    if child == 0:
        # What was open stays so, in here.
        for output in (1, 2):
            os.close(output)
        signal.alarm(60)
        signal.pause()
        os._exit(0)
    connection.sendall(b"GET %b HTTP/1.1\\r\\nHost: h\\r\\nConnection: close\\r\\n\\r\\n" % path.encode())
    while connection.recv(1000):
        pass
    idle = socket.create_connection(("127.0.0.1", running.port), 20)
    running.stop()
    try:
        assert idle.recv(1000) == b""
    except ConnectionResetError:
        pass  # it was still in the backlog
    try:
        socket.create_connection(("127.0.0.1", running.port), 20)
    except ConnectionRefusedError:
        pass
    else:
        raise AssertionError("somebody listens")
    # The child keeps the port from nobody.
    running = app.start(f"127.0.0.1:{running.port}")
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
running.stop()
print("well", flush=True)
"""

OTHER_THREAD = """
import signal, sys, threading, time
from transom import Server
app = Server()
@app.get("/stop")
def stop(request):
    app.running.stop(60)
    return "stopping"
@app.get("/slow")
def slow(request):
    print("begun", flush=True)
    time.sleep(60)
def raise_signals():
    # The system delivers these signals to this thread, and not to the one that waits in `run`.
    for _ in range(int(sys.stdin.readline())):
        signal.pthread_kill(threading.get_ident(), signal.SIGTERM)
        time.sleep(0.05)
threading.Thread(target=raise_signals, daemon=True).start()
report = app.run("127.0.0.1:0")
print("finished", report.finished, "cut", report.cut, flush=True)
"""

STANDARD = """
import os, socket
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
    connection = socket.create_connection(("127.0.0.1", running.port), 20)
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
import sys, time, threading, asyncio
from transom import Server
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


def get(port, path):
    """Sends a request; the connection, without waiting for the answer."""
    connection = socket.create_connection(("127.0.0.1", port), timeout=LIMIT)
    connection.sendall(f"GET {path} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
    return connection


class TestSignals(unittest.TestCase):
    def test_a_signal_stops_at_once(self):
        for number in (signal.SIGINT, signal.SIGTERM):
            with Program(RUN) as program, get(program.port(), "/") as connection:
                self.assertIn(b"hello", connection.recv(4096))
                begun = time.monotonic()
                program.process.send_signal(number)
                code, out, err = program.end()
                self.assertLess(time.monotonic() - begun, 5.0)
                # An answer that the client has just read may still count as being written.
                self.assertRegex(out, r"^finished [01] cut 0\n$")
                self.assertEqual((code, err), (0, ""))

    def test_requests_under_way_are_finished(self):
        for number in (signal.SIGINT, signal.SIGTERM):
            with Program(RUN) as program, get(program.port(), "/slow?s=2") as connection:
                program.expect("begun")
                program.process.send_signal(number)
                self.assertIn(b"slow", read_all(connection))
                self.assertEqual(program.end()[:2], (0, "finished 1 cut 0\n"))

    def test_a_second_signal_cuts(self):
        with Program(RUN) as program, get(port := program.port(), "/slow?s=20") as connection:
            program.expect("begun")
            program.process.send_signal(signal.SIGINT)
            self.assertTrue(until(lambda: is_refused(port)))
            begun = time.monotonic()
            program.process.send_signal(signal.SIGINT)
            self.assertEqual(read_all(connection), b"")
            self.assertEqual(program.end()[:2], (0, "finished 0 cut 1\n"))
            self.assertLess(time.monotonic() - begun, 5.0)

    def test_a_stop_that_takes_a_moment_says_what_is_being_finished(self):
        line = r"^stopping: %s being finished, for at most \d+(\.\d+)? s; Ctrl-C or SIGTERM again cuts\n$"
        for first, second in ((signal.SIGINT, signal.SIGINT), (signal.SIGTERM, signal.SIGTERM)):
            for paths, number in (
                (["/stream"], "1 request or stream is"),
                (["/async-stream", "/stream", "/slow?s=60"], "3 requests or streams are"),
            ):
                with Program(RUN) as program:
                    port = program.port()
                    connections = [get(port, path) for path in paths]
                    for connection in connections[: 1 if len(paths) == 1 else 2]:
                        self.assertIn(b"200 OK", connection.recv(4096))
                    if "/slow?s=60" in paths:
                        program.expect("begun")
                    program.process.send_signal(first)
                    said = program.process.stderr.readline()
                    self.assertRegex(said, line % number)
                    begun = time.monotonic()
                    program.process.send_signal(second)
                    code, out, err = program.end()
                    self.assertLess(time.monotonic() - begun, 5.0)
                    self.assertEqual((code, out, err), (0, f"finished 0 cut {len(paths)}\n", ""))
                    for connection in connections:
                        connection.close()

    def test_a_signal_that_another_thread_gets_stops_too(self):
        with Program(OTHER_THREAD) as program:
            program.port()
            begun = time.monotonic()
            program.write("1\n")
            self.assertEqual(program.end(), (0, "finished 0 cut 0\n", ""))
            self.assertLess(time.monotonic() - begun, 5.0)

    def test_signals_that_another_thread_gets_cut_what_a_handler_s_stop_waits_for(self):
        with Program(OTHER_THREAD) as program, get(port := program.port(), "/slow") as slow:
            program.expect("begun")
            with get(port, "/stop") as stop:
                self.assertIn(b"stopping", read_all(stop))
            begun = time.monotonic()
            # Those that come before one is handled count as one with it.
            program.write("1000\n")
            self.assertEqual(read_all(slow), b"")
            code, out, _ = program.end()
            self.assertEqual((code, out), (0, "finished 1 cut 1\n"))
            self.assertLess(time.monotonic() - begun, 5.0)

    def test_what_is_finished_in_the_meantime_is_not_cut(self):
        with Program(RUN) as program, get(program.port(), "/slow?s=1") as connection:
            program.expect("begun")
            program.process.send_signal(signal.SIGTERM)
            self.assertIn("stopping: 1 request or stream is", program.process.stderr.readline())
            self.assertIn(b"slow", read_all(connection))
            self.assertEqual(program.end(), (0, "finished 1 cut 0\n", ""))

    def test_a_signal_while_busy(self):
        with Program(RUN) as program:
            port = program.port()
            ended = threading.Event()

            def load():
                try:
                    while not ended.is_set():
                        with get(port, "/") as connection:
                            connection.recv(4096)
                except OSError:
                    pass

            threads = [threading.Thread(target=load) for _ in range(4)]
            for thread in threads:
                thread.start()
            time.sleep(0.3)
            program.process.send_signal(signal.SIGINT)
            code, out, err = program.end()
            ended.set()
            for thread in threads:
                thread.join(LIMIT)
            self.assertEqual((code, err), (0, ""))
            self.assertIn("cut 0", out)

    def test_handlers_that_end_the_program(self):
        with Program(RUN) as program, get(program.port(), "/exit"):
            code, out, err = program.end()
            self.assertEqual((code, out), (7, ""))
        with Program(RUN) as program, get(program.port(), "/interrupt"):
            code, out, err = program.end()
            self.assertEqual((code, out), (-signal.SIGINT, ""))
            self.assertTrue(err.rstrip().endswith("KeyboardInterrupt"), err)

    def test_a_handler_that_stops_the_server(self):
        with Program(RUN) as program, get(program.port(), "/stop") as connection:
            self.assertIn(b"stopping", read_all(connection))
            self.assertEqual(program.end()[:2], (0, "finished 1 cut 0\n"))

    def test_signals_are_handled_as_before_afterwards(self):
        code = """
import os, signal, threading, time
from transom import Server
seen = []
signal.signal(signal.SIGTERM, lambda *_: seen.append("own"))
app = Server()
def end():
    # It runs only once its handlers are in place.
    while app.running is None:
        time.sleep(0.01)
    os.kill(os.getpid(), signal.SIGTERM)
threading.Thread(target=end).start()
app.run("127.0.0.1:0", quiet=True)
print(seen)
os.kill(os.getpid(), signal.SIGTERM)
print(seen, signal.getsignal(signal.SIGINT) is signal.default_int_handler)
running = app.start("127.0.0.1:0")
print(signal.getsignal(signal.SIGINT) is signal.default_int_handler)
thread = threading.Thread(target=lambda: Server().run("127.0.0.1:0", quiet=True), daemon=True)
thread.start()
time.sleep(0.1)
print(signal.getsignal(signal.SIGINT) is signal.default_int_handler)
"""
        with Program(code) as program:
            self.assertEqual(program.end(), (0, "[]\n['own'] True\nTrue\nTrue\n", ""))


class TestDescriptors(unittest.TestCase):
    def test_a_forked_child_keeps_neither_clients_nor_the_port(self):
        for model in ("event", "threads", "sequential"):
            with self.subTest(model=model), Program(HOLDING.replace("MODEL", model)) as program:
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
                connections = [get(port, path) for path in ("/slow", "/async", "/stream", "/quick") * 2]
                result = program.end()
                for connection in connections:
                    connection.close()
            return result

        results = []
        for _ in range(5):
            results += at_once(once, 10)
        self.assertEqual(results, [(0, "", "")] * 50)

    def test_the_interpreter_ends_under_load(self):
        def once(number):
            with Program(EXIT) as program:
                port = program.port()
                try:
                    with get(port, "/quick") as connection:
                        while connection.recv(4096):
                            connection.sendall(b"GET /quick HTTP/1.1\r\nHost: a\r\n\r\n" * 20)
                except OSError:
                    pass
                code, _, err = program.end()
            return code, err

        self.assertEqual(at_once(once, 4), [(0, "")] * 4)

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
    assert urlopen(running.url, timeout=10).read() == b"hello"
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
