"""The watchdog: what is stuck is named, also while no Python code can run."""

import http.client
import re
import select
import threading
import time
import unittest

from support import HAS_GIL, LIMIT, Program, Quiet, fetch, send_get, served, until

import transom
from transom import Server

#: A handler that holds the interpreter lock until something comes on standard input.
HOLDS = """
import ctypes, sys
from transom import Server
app = Server(model=sys.argv[1], timeouts={"watchdog": 0.1})
app.liveness("/alive")
library = ctypes.PyDLL(None)

@app.get("/hold", blocking=sys.argv[2] == "pool")
def hold(request):
    library.read(0, ctypes.create_string_buffer(1), 1)
    return "released"

app.run("127.0.0.1:0")
"""

#: A handler that holds the interpreter lock for 5 seconds.
SLEEPS = """
import ctypes, os, sys
from transom import Server
app = Server(model=sys.argv[1])
app.liveness("/alive")
library = ctypes.PyDLL(None)

@app.get("/sleep")
def sleep(request):
    os.write(1, b"holding\\n")
    # A PyDLL keeps the lock, and a signal may wake a sleep.
    left = 5
    while left:
        left = library.sleep(left)
    return "well"

app.run("127.0.0.1:0")
"""


def ask_alive(port):
    """Asks for liveness. Returns the status and the text."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=LIMIT)
    try:
        connection.request("GET", "/alive")
        response = connection.getresponse()
        return response.status, response.read().decode()
    finally:
        connection.close()


@unittest.skipUnless(HAS_GIL, "there is no such lock")
class TestInterpreterLock(unittest.TestCase):
    def test_a_handler_that_holds_the_interpreter_lock_is_noticed(self):
        for model, place in (("event", "pool"), ("event", "in place"), ("threads", "pool")):
            with self.subTest(model=model, place=place), Program(HOLDS, model, place) as program:
                port = program.port()
                self.assertTrue(until(lambda port=port: ask_alive(port) == (200, "alive\n")))
                with send_get(port, "/hold") as held:
                    self.assertTrue(until(lambda port=port: "stuck: Python, for " in ask_alive(port)[1]))
                    self.assertEqual(ask_alive(port)[0], 503)
                    program.write("x")
                    self.assertIn(b"released", held.recv(4096))
                self.assertTrue(until(lambda port=port: ask_alive(port) == (200, "alive\n")))
                program.process.terminate()
                code, _, err = program.end()
                self.assertEqual(code, 0)
                # The lines reach the logger once Python runs again.
                self.assertIn("Python has been stuck for ", err)
                self.assertIn("Python turns again; it was stuck for ", err)

    def test_native_answers_come_at_once_while_a_handler_holds_the_lock_for_5_seconds(self):
        for model in ("event", "threads"):
            with self.subTest(model=model), Program(SLEEPS, model) as program:
                port = program.port()
                with send_get(port, "/sleep") as held:
                    # The handler prints this, and calls C at once.
                    program.expect("holding")
                    times = []
                    while not select.select([held], [], [], 0.05)[0]:
                        begun = time.monotonic()
                        self.assertIn("alive", ask_alive(port)[1])
                        times.append((time.monotonic() - begun, begun))
                    answer = held.recv(4096)
                self.assertIn(b"\r\n\r\nwell", answer)
                # A busy machine may keep some of them waiting, but not for Python: it cannot run then.
                quick = [begun for took, begun in times if took < 1.0]
                self.assertGreater(len(quick), 10, times)
                self.assertGreater(max(quick) - min(quick), 2.0, times)
                program.process.terminate()
                self.assertEqual(program.end()[0], 0)


class TestStuck(Quiet, unittest.TestCase):
    def setUp(self):
        super().setUp()
        self.go_on = threading.Event()
        self.addCleanup(self.go_on.set)

    def app(self, **settings):
        app = Server(timeouts={"watchdog": 0.1}, **settings)
        app.liveness("/alive")
        return app

    def found(self, running, name):
        return [stuck for stuck in running.stuck() if stuck.name == name]

    def expect_stuck(self, running, name, detail):
        # On a busy machine the part may seem to be stuck earlier, for another reason.
        self.assertTrue(
            until(lambda: [it for it in self.found(running, name) if re.search(detail, it.detail)]),
            running.stuck(),
        )
        self.assertGreaterEqual(self.found(running, name)[0].lasted, 0.1)
        alive = fetch(running, "/alive")
        self.assertEqual(alive.status, 503)
        self.assertIn(f"stuck: {name}, for ", alive.text)

    def expect_alive(self, running):
        self.assertTrue(until(lambda: fetch(running, "/alive").text == "alive\n"))

    def test_an_event_loop_that_a_handler_blocks(self):
        def own(app):
            return app.start("127.0.0.1:0")

        def mixed(app):
            app.get("/plain")(lambda request: "plain")
            return own(app)

        for start in (own, mixed, served):
            with self.subTest(start=start.__name__):
                go_on = threading.Event()
                self.addCleanup(go_on.set)
                app = self.app()

                async def blocks(request, go_on=go_on):
                    return str(go_on.wait(LIMIT))

                app.get("/")(blocks)
                with start(app) as running:
                    self.expect_alive(running)
                    with send_get(running.port, "/") as held:
                        self.expect_stuck(running, "the event loop", "a handler may block it")
                        go_on.set()
                        self.assertIn(b"True", held.recv(4096))
                    self.expect_alive(running)

    def test_a_thread_pool_without_a_free_thread(self):
        app = self.app(threads=2)
        app.get("/", blocking=True)(lambda request: str(self.go_on.wait(LIMIT)))
        with app.start("127.0.0.1:0") as running:
            self.expect_alive(running)
            held = [send_get(running.port, "/") for _ in range(3)]
            self.expect_stuck(running, "the thread pool", "^waiting: 1$")
            self.go_on.set()
            for connection in held:
                self.assertIn(b"True", connection.recv(4096))
                connection.close()
            self.expect_alive(running)

    def test_handlers_that_wait_while_threads_are_left_are_not_stuck(self):
        app = self.app(threads=8)
        app.get("/", blocking=True)(lambda request: str(self.go_on.wait(LIMIT)))
        app.get("/in-place", blocking=False)(lambda request: str(self.go_on.wait(LIMIT)))
        with app.start("127.0.0.1:0") as running:
            held = [send_get(running.port, path) for path in ("/", "/", "/in-place")]
            self.assertTrue(until(lambda: running.stats().pending == 3))
            threading.Event().wait(0.3)
            for name in ("Python", "the thread pool", "the pull queue"):
                # On a busy machine a part may seem to be stuck for a moment.
                self.assertTrue(until(lambda name=name: not self.found(running, name)), name)
            self.expect_alive(running)
            self.go_on.set()
            for connection in held:
                self.assertIn(b"True", connection.recv(4096))
                connection.close()

    def test_without_the_timeout_nothing_is_stuck(self):
        app = Server()
        app.liveness("/alive")
        app.get("/", blocking=False)(lambda request: "hello")
        with app.start("127.0.0.1:0") as running:
            self.assertEqual(fetch(running, "/alive").text, "alive\n")
            self.assertEqual(running.stuck(), [])
            with self.assertRaises(transom.AlreadyStartedError):
                app.liveness("/late")
        with self.assertRaisesRegex(transom.Error, "the server has stopped"):
            running.stuck()

    def test_bad_patterns(self):
        app = Server()
        app.liveness("/alive")
        for pattern in ("/alive", "alive", "/a\0b", "\ud800"):
            with self.subTest(pattern=pattern), self.assertRaises(transom.BadRouteError):
                app.liveness(pattern)
        with self.assertRaises(TypeError):
            app.liveness(None)
