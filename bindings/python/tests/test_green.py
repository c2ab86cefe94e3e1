"""gevent and eventlet replace threads by monkey patching: a start fails at once and says why."""

import importlib.util
import unittest

from support import Program, fetch

PATCH = {
    "gevent": "from gevent import monkey; monkey.patch_all",
    "eventlet": "import warnings; warnings.simplefilter('ignore'); import eventlet; eventlet.monkey_patch",
}

SERVE = """
import sys
{before}
from transom import Server
{after}
app = Server()
{routes}
try:
    running = app.start("127.0.0.1:0")
except OSError as error:
    print(error)
    sys.exit(7)
print(running.url, flush=True)
sys.stdin.readline()
print(running.stop(5), flush=True)
"""
PLAIN = """
@app.get("/")
def index(request):
    return "hello"
"""
ASYNC = """
@app.get("/")
async def index(request):
    import asyncio
    await asyncio.sleep(0.001)
    return "hello"
"""


class Green:
    """The tests for one library, which `name` names."""

    def program(self, routes, before="", after=""):
        return Program(SERVE.format(routes=routes, before=before, after=after))

    def patch(self, options=""):
        return f"{PATCH[self.name]}({options})"

    def refused(self, sentence, *arguments, **options):
        with self.program(*arguments, **options) as program:
            code, out, err = program.end()
        self.assertEqual((code, err), (7, ""))
        self.assertIn(f"{self.name} has replaced the {sentence}", out)

    def serves(self, *arguments, **options):
        with self.program(*arguments, **options) as program:
            address = type("Address", (), {"port": program.port()})
            for _ in range(30):
                self.assertEqual(fetch(address, "/").text, "hello")
            program.process.stdin.write("\n")
            code, out, err = program.end()
        self.assertEqual((code, err), (0, ""))
        self.assertTrue(out.endswith(", cut=0, pending=0)\n"), out)

    def test_a_start_refuses_threads_that_are_none(self):
        for routes in (PLAIN, ASYNC, PLAIN + ASYNC.replace("/", "/async")):
            self.refused("threads of this process", routes, before=self.patch())
            self.refused("threads of this process", routes, after=self.patch())

    def test_so_does_run(self):
        code = f"{self.patch()}\nfrom transom import Server\napp = Server()\n{PLAIN}\napp.run('127.0.0.1:0')"
        with Program(code) as program:
            code, out, err = program.end()
        self.assertEqual((code, out), (1, ""))
        self.assertIn(f"SystemCallError: {self.name} has replaced the threads", err)

    def test_it_serves_when_threads_are_real(self):
        for routes in (PLAIN, ASYNC):
            self.serves(routes, before=self.patch("thread=False, select=False"))
            self.serves(routes, after=self.patch("thread=False, select=False"))
        self.serves(PLAIN, before=self.patch("thread=False"))


@unittest.skipUnless(importlib.util.find_spec("gevent"), "needs gevent: pip install gevent")
class TestGevent(Green, unittest.TestCase):
    name = "gevent"

    def test_an_event_loop_refuses_selectors_that_do_not_wait(self):
        self.refused("selectors of this process", ASYNC, before=self.patch("thread=False"))


@unittest.skipUnless(importlib.util.find_spec("eventlet"), "needs eventlet: pip install eventlet")
class TestEventlet(Green, unittest.TestCase):
    name = "eventlet"


class TestReal(unittest.TestCase):
    def test_what_does_the_same_as_a_thread_is_taken(self):
        """Debuggers and profilers replace the function that starts threads."""
        wrap = "import _thread; real = _thread.start_new_thread\n"
        wrap += "_thread.start_new_thread = lambda *arguments: real(*arguments)"
        with Program(SERVE.format(routes=PLAIN, before=wrap, after="")) as program:
            address = type("Address", (), {"port": program.port()})
            self.assertEqual(fetch(address, "/").text, "hello")
            program.process.stdin.write("\n")
            self.assertEqual(program.end()[0], 0)
