"""The options of the command, the application that it loads, and what it says about mistakes."""

import contextlib
import functools
import importlib
import io
import re
import sys
import tempfile
import unittest
from pathlib import Path

from transom import Server
from transom._command.arguments import help_text, option_names, parsed
from transom._command.environment import from_environment
from transom._command.interface import interface_of
from transom._command.loading import load
from transom._command.main import main
from transom._command.mistake import LoadMistake, Mistake
from transom._command.options import OPTIONS
from transom._command.planning import plan_of
from transom._command.server_settings import server_settings

HAS_TOML = any(importlib.util.find_spec(name) for name in ("tomllib", "tomli"))


def plan(*words, environment=None):
    return plan_of(parsed(["site:app", *words]), environment or {})


def mistake(*words, environment=None):
    """Returns what the command says about its options."""
    try:
        plan(*words, environment=environment)
    except Mistake as error:
        return str(error)
    raise AssertionError(f"{words} is no mistake")


#: For each option a value, and what the plan has for it.
VALUES = {
    "interface": ("wsgi", "wsgi"),
    "app-dir": ("..", ".."),
    "root-path": ("/api/", "/api"),
    "lifespan": ("on", "on"),
    "bind": ("[::1]:0", ["[::1]:0"]),
    "unix-mode": ("660", 0o660),
    "workers": ("3", 3),
    "threads": ("7", 7),
    "native-threads": ("2", 2),
    "loop": ("asyncio", "asyncio"),
    "start-timeout": ("2m", 120.0),
    "hang-timeout": ("none", None),
    "stop-timeout": ("500ms", 0.5),
    "tls-least-version": ("1.3", "1.3"),
    "tls-watch": ("0", 0.0),
    "forwarded-allow-ips": ("10.0.0.0/8, unix", ["10.0.0.0/8", "unix"]),
    "proxy-protocol": ("*", ["0.0.0.0/0", "::/0", "unix"]),
    "access-log": ("-", "-"),
    "log-level": ("Debug", "debug"),
    "limit": ("body=10m", {"body": 10 << 20}),
    "timeout": ("stop-delay=1.5", {"stop_delay": 1.5}),
    "websocket": ("ping-interval=none", {"ping_interval": None}),
    "metrics": ("/metrics", "/metrics"),
    "readiness": ("/ready", "/ready"),
    "liveness": ("/live", "/live"),
    "factory": (None, True),
    "reload": (None, True),
}
#: Options that need another one, with that.
PAIRS = {
    "redirect": ("127.0.0.1:80", ["--tls-key", "k", "--tls-cert", "c"]),
    "tls-cert": ("a.pem", ["--tls-key", "k"]),
    "tls-key": ("a.key", ["--tls-cert", "c"]),
    "tls-client-ca": ("ca.pem", ["--tls-key", "k", "--tls-cert", "c"]),
    "tls-client-optional": (None, ["--tls-key", "k", "--tls-cert", "c", "--tls-client-ca", "a"]),
    "tls-revocations": ("r.pem", ["--tls-key", "k", "--tls-cert", "c", "--tls-client-ca", "a"]),
    "forwarded": ("forwarded", ["--forwarded-allow-ips", "*"]),
    "forwarded-host": (None, ["--forwarded-allow-ips", "*"]),
    "access-log-format": ("json", ["--access-log", "-"]),
    "status-page": ("/status", ["--metrics", "/m"]),
    "status-password": ("a:b", ["--metrics", "/m", "--status-page", "/s"]),
    "reload-dir": ("lib", ["--reload"]),
}


class TestOptions(unittest.TestCase):
    def test_each_option_has_a_value_here(self):
        self.assertEqual({*VALUES, *PAIRS}, {option.name for option in OPTIONS})

    def test_each_option_is_read_from_the_command_line_and_the_environment(self):
        for option in OPTIONS:
            with self.subTest(option.name):
                text, value = VALUES.get(option.name, (None, None))
                if option.name in VALUES:
                    words = [f"--{option.name}"] if text is None else [f"--{option.name}", text]
                    self.assertEqual(plan(*words)[option.name], value)
                    self.assertTrue(plan(*words).has(option.name))
                    given = from_environment({option.variable: "1" if text is None else text})
                    if option.name != "forwarded-allow-ips":
                        self.assertEqual(given[option.key], value)
                else:
                    text, others = PAIRS[option.name]
                    words = [f"--{option.name}"] if text is None else [f"--{option.name}", text]
                    self.assertTrue(plan(*words, *others)[option.name])
                    self.assertRegex(mistake(*words), f"^--{option.name} needs --")
                self.assertFalse(plan().has(option.name))

    def test_the_help_names_each_option_its_default_and_all_limits(self):
        text = help_text()
        for name in option_names():
            self.assertIn(name, text)
        for words in ("default: 127.0.0.1:8080", "connections_per_address", "stop_delay", "Exit status:"):
            self.assertIn(words, text)
        self.assertLessEqual(max(map(len, text.splitlines())), 110)

    def test_help_and_version_end_the_command(self):
        for word, start in (("--help", "usage: transom [options] MODULE:APP"), ("--version", "transom ")):
            with contextlib.redirect_stdout(io.StringIO()) as out, self.assertRaises(SystemExit) as ended:
                main([word])
            self.assertEqual(ended.exception.code, 0)
            self.assertTrue(out.getvalue().startswith(start))

    def test_the_command_line_goes_before_the_environment_and_both_before_the_default(self):
        environment = {"TRANSOM_WORKERS": "2", "TRANSOM_LIMIT": "body=5,head=4096", "TRANSOM_RELOAD": "off"}
        found = plan("--workers", "3", "--limit", "body=6", environment=environment)
        self.assertEqual((found["workers"], found["limit"]), (3, {"body": 6, "head": 4096}))
        self.assertEqual(plan(environment=environment)["workers"], 2)
        self.assertEqual(plan()["workers"], 1)
        environment = {"TRANSOM_BIND": "unix:/tmp/a, 127.0.0.1:0", "TRANSOM_FACTORY": "yes"}
        found = plan(environment=environment)
        self.assertEqual((found["bind"], found["factory"]), (["unix:/tmp/a", "127.0.0.1:0"], True))
        self.assertFalse(plan("--no-factory", environment=environment)["factory"])

    def test_addresses_have_many_forms(self):
        for text, address in (
            ("127.0.0.1:80", "127.0.0.1:80"),
            ("localhost:80", "localhost:80"),
            ("[::]:80", "[::]:80"),
            (":80", "[::]:80"),
            ("8000", "127.0.0.1:8000"),
            ("unix:/run/a.sock", "unix:/run/a.sock"),
            ("unix:///run/a.sock", "unix:/run/a.sock"),
            ("fd://3", "fd:3"),
            ("systemd", "systemd"),
        ):
            self.assertEqual(plan("--bind", text)["bind"], [address])
        for text in ("", "host", "::1:80", "a:99999", "a:b", "unix:", "fd://x", "a:"):
            self.assertRegex(mistake("--bind", text), "^--bind: ")
        self.assertEqual(plan("--bind", ":1", "-b", ":2")["bind"], ["[::]:1", "[::]:2"])

    def test_a_mistake_in_an_option_is_named_with_what_is_close(self):
        for words, said in (
            (["--bnd", "3"], "there is no option --bnd; did you mean --bind?"),
            (["--limit", "bdy=3"], "--limit: there is no limit 'bdy'; did you mean body?"),
            (["--limit", "xyz=3"], "--limit: there is no limit 'xyz'; there are: target, head, "),
            (["--limit", "body"], "--limit: the value is NAME=NUMBER, such as body=10m, got 'body'"),
            (["--timeout", "idel=3"], "--timeout: there is no timeout 'idel'; did you mean idle?"),
            (
                ["--timeout", "idle=x"],
                "--timeout: the value is NAME=SECONDS, such as idle=30 or handler=none",
            ),
            (["--limit", "head=0"], "limit 'head' is "),
            (["--workers", "0"], "--workers: the value is a whole number from 1 to 1024, got '0'"),
            (["--workers", "many"], "--workers: the value is a whole number"),
            (["--threads"], "argument -t/--threads: expected one argument; transom --help lists the options"),
            (["--loop", "trio"], "--loop: the value is auto, asyncio or uvloop, got 'trio'"),
            (["--unix-mode", "999"], "--unix-mode: the value is a file mode in octal digits"),
            (["--metrics", "metrics"], "--metrics: the value is a path that begins with /, got 'metrics'"),
            (["--stop-timeout", "soon"], "--stop-timeout: the value is a time in seconds"),
            (["--hang-timeout=-3s"], "--hang-timeout: the value is a time in seconds"),
            (["--status-password", "ab"], "--status-password: the value is USER:PASSWORD"),
            (["--forwarded-allow-ips", "10.0.0.300"], "bad "),
            (["--app-dir", "/nowhere"], "--app-dir: there is no folder /nowhere"),
            (["--reload", "--workers", "2"], "--reload is for one process"),
            (["other:app"], "there is one application, 'site:app'; what is 'other:app'?"),
        ):
            with self.subTest(words):
                self.assertTrue(mistake(*words).startswith(said), mistake(*words))
        self.assertEqual(
            mistake(environment={"TRANSOM_WORKERS": "x"}),
            "TRANSOM_WORKERS: the value is a whole number from 1 to 1024, got 'x'",
        )
        self.assertRegex(mistake(environment={"TRANSOM_RELOAD": "x"}), "the value is 1 or 0")
        with self.assertRaisesRegex(Mistake, "what is to be served"):
            plan_of(parsed([]), {})

    def test_options_become_the_settings_of_the_server(self):
        words = "--threads 3 --native-threads 2 --limit body=9 --timeout idle=4 --forwarded-allow-ips unix"
        settings = server_settings(plan(*words.split(), "--forwarded-host", "--proxy-protocol", "::1"))
        self.assertEqual((settings.threads, settings.workers), (3, 2))
        self.assertEqual((settings.limits, settings.timeouts), ({"body": 9}, {"idle": 4.0}))
        self.assertEqual((settings.forwarded, settings.trusted_proxies), ("x-forwarded", ["unix"]))
        self.assertEqual((settings.forwarded_host, settings.proxy_protocol), (True, ["::1"]))


@unittest.skipUnless(HAS_TOML, "needs tomllib, or: pip install tomli")
class TestFile(unittest.TestCase):
    def plan(self, text, *words, environment=None):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "t.toml"
            path.write_text(text)
            try:
                return plan_of(parsed([*words, "--config", str(path)]), environment or {})
            except Mistake as error:
                raise Mistake(str(error).replace(str(path), "t.toml")) from None

    def test_a_file_has_the_options_in_the_same_words(self):
        found = self.plan(
            'app = "shop:app"\nbind = ["127.0.0.1:0", "unix:/tmp/x"]\nworkers = 4\nfactory = true\n'
            'stop-timeout = 2.5\nunix_mode = "660"\nforwarded-allow-ips = ["10.0.0.0/8", "unix"]\n'
            '[limits]\nbody = "1m"\nhead = 8192\n[timeouts]\nidle = 5\nhandler = "none"\n'
            '[websocket]\nmessage_limit = "64k"\ncompression = false\nping_interval = "none"\n'
        )
        self.assertEqual((found.app, found["workers"], found["factory"]), ("shop:app", 4, True))
        self.assertEqual(found["bind"], ["127.0.0.1:0", "unix:/tmp/x"])
        self.assertEqual((found["stop-timeout"], found["unix-mode"]), (2.5, 0o660))
        self.assertEqual(found["forwarded-allow-ips"], ["10.0.0.0/8", "unix"])
        self.assertEqual(found["limit"], {"body": 1 << 20, "head": 8192})
        self.assertEqual(found["timeout"], {"idle": 5.0, "handler": None})
        settings = {"message_limit": 1 << 16, "compression": False, "ping_interval": None}
        self.assertEqual(found["websocket"], settings)

    def test_the_environment_and_the_command_line_go_before_the_file(self):
        text = 'app = "shop:app"\nworkers = 4\nthreads = 5\nnative-threads = 6\n'
        text += "[limits]\nbody = 1\nhead = 4096\n"
        environment = {"TRANSOM_THREADS": "50", "TRANSOM_WORKERS": "40"}
        found = self.plan(text, "--workers", "400", "--limit", "body=2", environment=environment)
        self.assertEqual((found["workers"], found["threads"], found["native-threads"]), (400, 50, 6))
        self.assertEqual(found["limit"], {"body": 2, "head": 4096})
        self.assertEqual(self.plan(text, "other:app").app, "other:app")

    def test_mistakes_are_named_with_the_file(self):
        for text, said in (
            ("wrokers = 4", "t.toml: there is no option 'wrokers'; did you mean workers?"),
            ("workers = true", "t.toml: workers: the value is a text or a number, got True"),
            ("workers = [1]", "t.toml: workers: the value is a text or a number, got [1]"),
            ('workers = "x"', "t.toml: workers: the value is a whole number from 1 to 1024, got 'x'"),
            ('factory = "yes"', "t.toml: factory: the value is true or false, got 'yes'"),
            ("limits = 3", "t.toml: limits: it is a table, such as [limits], got 3"),
            ("[limits]\nbdy = 1", "--limit: there is no limit 'bdy'; did you mean body?"),
            ("websocket = 3", "t.toml: websocket: it is a table, such as [websocket], got 3"),
            (
                "[websocket]\nmessage_limt = 1",
                "--websocket: there is no setting 'message_limt'; did you mean",
            ),
            ("[websocket]\nmessage_limit = 0", "message_limit is 1 to 1099511627776, got 0"),
            ('[websocket]\ncompression = "x"', "t.toml: websocket: the value is NAME=VALUE, such as message"),
            ("app = 3", "t.toml: app is a text such as 'shop:app', got 3"),
            ("a = ", "t.toml: Invalid value (at "),
        ):
            with self.subTest(text), self.assertRaises(Mistake) as raised:
                self.plan(text, "site:app")
            self.assertTrue(str(raised.exception).startswith(said), str(raised.exception))
        with self.assertRaisesRegex(Mistake, "^the file /nowhere.toml cannot be read: No such file"):
            plan("--config", "/nowhere.toml")


class TestLoading(unittest.TestCase):
    CODE = """
import os

def app(environ, start_response): ...
def create(): return app
def needs(one): return app
def fails(): return inner()
def inner(): raise ValueError("no settings")
def none(): return None
async def later(): return app
number = 3
class Shop:
    wsgi = staticmethod(app)
shop = Shop()
"""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name).resolve()
        for name, text in (
            ("command_site.py", self.CODE),
            ("command_broken.py", "import os\nraise RuntimeError('half')\n"),
            ("command_syntax.py", "def f(:\n"),
            ("command_needs.py", "import command_no_such_package\n"),
            ("command_package/__init__.py", ""),
            ("command_package/main.py", self.CODE),
        ):
            (self.folder / name).parent.mkdir(exist_ok=True)
            (self.folder / name).write_text(text)
        sys.path.insert(0, str(self.folder))
        self.addCleanup(sys.path.remove, str(self.folder))
        self.addCleanup(self.forget)

    def forget(self):
        for name in [name for name in sys.modules if name.startswith("command_") and name != "command_case"]:
            del sys.modules[name]
        importlib.invalidate_caches()

    def test_an_application_is_found_by_its_module_and_its_name(self):
        app = load("command_site:app", False)
        for spec in ("command_site", "command_site:create()", "command_site:shop.wsgi"):
            self.assertIs(load(spec, False), app)
        self.assertIs(load("command_site:create", True), app)
        self.assertEqual(load("command_package.main:app", False).__module__, "command_package.main")

    def test_each_mistake_is_named(self):
        for spec, is_factory, said in (
            (
                "command_sit:app",
                False,
                r"there is no module command_sit in .*; did you mean command_site.*\?",
            ),
            ("zzz:app", False, r"there is no module zzz in .*; there are: command_broken, "),
            ("command_package.mian:app", False, r"there is no module command_package.mian in .*mean main\?"),
            ("command_nope.main:app", False, r"there is no module command_nope for command_nope.main in "),
            ("command_site:ap", False, r"command_site has no 'ap'; did you mean app\?"),
            ("command_site:zzz", False, r"command_site has no 'zzz'; there are: Shop, app, create"),
            ("command_site:shop.wsg", False, r"command_site.shop has no 'wsg'; did you mean wsgi\?"),
            ("command_package", False, r"the module command_package has neither app nor application"),
            ("command_site:number", True, r"command_site:number is no factory: int cannot be called"),
            ("command_site:needs", True, r"command_site:needs is no factory: it needs arguments"),
            ("command_site:none", True, r"the factory command_site:none has returned None"),
            ("command_site:later", True, r"the factory command_site:later is an async function"),
            ("site.py:app", False, r"'site.py:app' names a file; name the module: site:app"),
            ("./a/b.py", False, r"'./a/b.py' names a file; name the module: a.b:app"),
            ("a b", False, r"'a b' is not MODULE:APP"),
            ("a:b c", False, r"'a:b c' is not MODULE:APP"),
        ):
            with self.subTest(spec), self.assertRaisesRegex(Mistake, f"^{said}"):
                load(spec, is_factory)

    def test_a_traceback_has_the_frames_of_the_user_only(self):
        for spec, frames, last in (
            ("command_site:fails()", 2, "ValueError: no settings"),
            ("command_broken:app", 1, "RuntimeError: half"),
            ("command_needs:app", 1, "ModuleNotFoundError: No module named 'command_no_such_package'"),
            ("command_syntax:app", 1, "SyntaxError: "),
        ):
            with self.subTest(spec), self.assertRaises(LoadMistake) as raised:
                load(spec, False)
            said = str(raised.exception)
            self.assertIn(last, said.splitlines()[-1])
            files = re.findall(r'File "([^"]+)"', said)
            self.assertEqual(len(files), frames, said)
            self.assertTrue(all(file.startswith(str(self.folder)) for file in files), said)


def wsgi(environ, start_response): ...


async def asgi(scope, receive, send): ...


def decorated(function):
    @functools.wraps(function)
    def wrapper(*args, **kwargs):
        return function(*args, **kwargs)

    return wrapper


class Wsgi:
    def __call__(self, environ, start_response): ...


class Asgi:
    async def __call__(self, scope, receive, send): ...


class Iterated:
    def __init__(self, environ, start_response): ...

    def __iter__(self): ...


class Asgi2:
    def __init__(self, scope): ...

    async def __call__(self, receive, send): ...


class Bound:
    def wsgi(self, environ, start_response, more=None): ...

    async def asgi(self, scope, receive, send): ...


class TestInterface(unittest.TestCase):
    def test_the_interface_is_seen(self):
        for application, interface in (
            (wsgi, "wsgi"),
            (asgi, "asgi"),
            (Wsgi(), "wsgi"),
            (Asgi(), "asgi"),
            (Iterated, "wsgi"),
            (Bound().wsgi, "wsgi"),
            (Bound().asgi, "asgi"),
            (decorated(wsgi), "wsgi"),
            (decorated(asgi), "asgi"),
            (decorated(decorated(asgi)), "asgi"),
            (functools.partial(asgi), "asgi"),
            (functools.partial(lambda settings, environ, start_response: None, {}), "wsgi"),
            (functools.partial(functools.partial(Asgi())), "asgi"),
            (lambda scope, receive, send: None, "asgi"),
            (lambda environ, start_response, *rest: None, "wsgi"),
            (Server(), "server"),
        ):
            with self.subTest(application):
                self.assertEqual(interface_of(application, "site:app", "auto"), interface)

    def test_what_is_no_application_is_refused_with_the_reason(self):
        for application, wanted, said in (
            (3, "auto", "is no application: int cannot be called"),
            (Asgi2, "auto", "is an application for ASGI 2, .*guarantee_single_callable"),
            (lambda scope: None, "auto", "is an application for ASGI 2"),
            (Wsgi, "auto", "is a class; with --factory"),
            (Asgi, "auto", "is a class; with --factory"),
            (lambda: None, "auto", "takes no arguments; .*--factory"),
            (lambda *args: None, "auto", "may be for WSGI or for ASGI; say --interface"),
            (wsgi, "asgi", "is an application for WSGI, and not for ASGI"),
            (asgi, "wsgi", "is an application for ASGI, and not for WSGI"),
            (Server(), "wsgi", "is a transom.Server, and no application for WSGI"),
        ):
            with self.subTest(said), self.assertRaisesRegex(LoadMistake, f"^site:app {said}"):
                interface_of(application, "site:app", wanted)
        self.assertEqual(interface_of(lambda *args: None, "site:app", "wsgi"), "wsgi")


if __name__ == "__main__":
    unittest.main()
