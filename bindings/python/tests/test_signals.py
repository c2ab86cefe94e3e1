"""Ctrl-C, SIGTERM, and the other ways in which `run` ends."""

import signal
import threading
import time
import unittest

from support import LIMIT, SOON, Program, is_refused, read_all, send_get, until

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
    time.sleep(600)
@app.get("/finishes")
def finishes(request):
    print("begun", flush=True)
    while not request.is_stopping:
        time.sleep(0.01)
    return "slow"
@app.get("/told")
def told(request):
    print("begun", flush=True)
    sys.stdin.readline()
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
report = app.run("127.0.0.1:0", stop_timeout=600)
print("finished", report.finished, "cut", report.cut, flush=True)
"""

OTHER_THREAD = """
import signal, sys, threading, time
from transom import Server
app = Server()
@app.get("/stop")
def stop(request):
    app.running.stop(600)
    return "stopping"
@app.get("/slow")
def slow(request):
    print("begun", flush=True)
    time.sleep(600)
def raise_signals():
    # The system delivers these signals to this thread, and not to the one that waits in `run`.
    for _ in range(int(sys.stdin.readline())):
        signal.pthread_kill(threading.get_ident(), signal.SIGTERM)
        time.sleep(0.05)
# Signals that come once the server has ended mean nothing.
signal.signal(signal.SIGTERM, lambda *_: None)
threading.Thread(target=raise_signals, daemon=True).start()
report = app.run("127.0.0.1:0")
print("finished", report.finished, "cut", report.cut, flush=True)
"""


class TestSignals(unittest.TestCase):
    def test_a_signal_stops_at_once(self):
        for number in (signal.SIGINT, signal.SIGTERM):
            with Program(RUN) as program, send_get(program.port(), "/") as connection:
                self.assertIn(b"hello", connection.recv(4096))
                begun = time.monotonic()
                program.process.send_signal(number)
                code, out, err = program.end()
                self.assertLess(time.monotonic() - begun, SOON)
                # The library may still count a response that the client has just read.
                self.assertRegex(out, r"^finished [01] cut 0\n$")
                self.assertEqual(code, 0)
                # On a busy machine the stop may take a moment.
                self.assertRegex(err, r"^(stopping: .* being finished, .*\n)?$")

    def test_requests_under_way_are_finished(self):
        for number in (signal.SIGINT, signal.SIGTERM):
            with Program(RUN) as program, send_get(program.port(), "/finishes") as connection:
                program.expect("begun")
                program.process.send_signal(number)
                self.assertIn(b"slow", read_all(connection))
                self.assertEqual(program.end()[:2], (0, "finished 1 cut 0\n"))

    def test_a_second_signal_cuts(self):
        with Program(RUN) as program, send_get(port := program.port(), "/slow") as connection:
            program.expect("begun")
            program.process.send_signal(signal.SIGINT)
            self.assertTrue(until(lambda: is_refused(port)))
            begun = time.monotonic()
            program.process.send_signal(signal.SIGINT)
            self.assertEqual(read_all(connection), b"")
            self.assertEqual(program.end()[:2], (0, "finished 0 cut 1\n"))
            self.assertLess(time.monotonic() - begun, SOON)

    def test_a_stop_that_takes_a_moment_says_what_is_being_finished(self):
        line = r"^stopping: %s being finished, for at most \d+(\.\d+)? s; Ctrl-C or SIGTERM again cuts\n$"
        for first, second in ((signal.SIGINT, signal.SIGINT), (signal.SIGTERM, signal.SIGTERM)):
            for paths, number in (
                (["/stream"], "1 request or stream is"),
                (["/async-stream", "/stream", "/slow"], "3 requests or streams are"),
            ):
                with Program(RUN) as program:
                    port = program.port()
                    connections = [send_get(port, path) for path in paths]
                    for connection in connections[: 1 if len(paths) == 1 else 2]:
                        self.assertIn(b"200 OK", connection.recv(4096))
                    if "/slow" in paths:
                        program.expect("begun")
                    program.process.send_signal(first)
                    said = program.process.stderr.readline()
                    self.assertRegex(said, line % number)
                    begun = time.monotonic()
                    program.process.send_signal(second)
                    code, out, err = program.end()
                    self.assertLess(time.monotonic() - begun, SOON)
                    self.assertEqual((code, out, err), (0, f"finished 0 cut {len(paths)}\n", ""))
                    for connection in connections:
                        connection.close()

    def test_a_signal_that_another_thread_gets_stops_too(self):
        with Program(OTHER_THREAD) as program:
            program.port()
            begun = time.monotonic()
            program.write("1\n")
            self.assertEqual(program.end(), (0, "finished 0 cut 0\n", ""))
            self.assertLess(time.monotonic() - begun, SOON)

    def test_signals_that_another_thread_gets_cut_what_a_handler_s_stop_waits_for(self):
        with Program(OTHER_THREAD) as program, send_get(port := program.port(), "/slow") as slow:
            program.expect("begun")
            with send_get(port, "/stop") as stop:
                self.assertIn(b"stopping", read_all(stop))
            begun = time.monotonic()
            # Python handles several signals that come together as one.
            program.write("1000\n")
            self.assertEqual(read_all(slow), b"")
            code, out, _ = program.end()
            self.assertEqual((code, out), (0, "finished 1 cut 1\n"))
            self.assertLess(time.monotonic() - begun, SOON)

    def test_what_is_finished_in_the_meantime_is_not_cut(self):
        with Program(RUN) as program, send_get(program.port(), "/told") as connection:
            program.expect("begun")
            program.process.send_signal(signal.SIGTERM)
            self.assertIn("stopping: 1 request or stream is", program.process.stderr.readline())
            program.write("\n")
            self.assertIn(b"slow", read_all(connection))
            self.assertEqual(program.end(), (0, "finished 1 cut 0\n", ""))

    def test_a_signal_while_busy(self):
        with Program(RUN) as program:
            port = program.port()
            ended = threading.Event()
            counts = [0] * 4

            def load(number):
                try:
                    while not ended.is_set():
                        with send_get(port, "/") as connection:
                            connection.recv(4096)
                        counts[number] += 1
                except OSError:
                    pass

            threads = [threading.Thread(target=load, args=(number,)) for number in range(4)]
            for thread in threads:
                thread.start()
            self.assertTrue(until(lambda: min(counts) >= 10))
            program.process.send_signal(signal.SIGINT)
            code, out, err = program.end()
            ended.set()
            for thread in threads:
                thread.join(LIMIT)
            self.assertEqual(code, 0)
            # On a busy machine the stop may take a moment.
            self.assertRegex(err, r"^(stopping: .* being finished, .*\n)?$")
            self.assertIn("cut 0", out)

    def test_handlers_that_end_the_program(self):
        with Program(RUN) as program, send_get(program.port(), "/exit"):
            code, out, err = program.end()
            self.assertEqual((code, out), (7, ""))
        with Program(RUN) as program, send_get(program.port(), "/interrupt"):
            code, out, err = program.end()
            self.assertEqual((code, out), (-signal.SIGINT, ""))
            self.assertTrue(err.rstrip().endswith("KeyboardInterrupt"), err)

    def test_a_handler_that_stops_the_server(self):
        with Program(RUN) as program, send_get(program.port(), "/stop") as connection:
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
