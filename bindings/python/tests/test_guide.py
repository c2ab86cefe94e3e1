"""The guide, `docs/python.md`: its programs run, its terminals show what clients get, and it names all."""

import contextlib
import dataclasses
import doctest
import inspect
import io
import logging
import re
import shutil
import tempfile
import unittest
from pathlib import Path
from unittest import mock

from guide import ADDRESS, cells, commands, curl, folder_of_repository, is_shown, sections, shell
from support import LIMIT, Quiet, fetch, until

import transom
from transom import testing

ROOT = folder_of_repository()


def bound(method):
    """Returns a method that only checks its arguments, for programs that serve until they are stopped."""

    def check(self, *arguments, **options):
        inspect.signature(method).bind(self, *arguments, **options)

    return check


class Reader:
    """Somebody who follows a section: writes its programs, runs them, and types its commands."""

    def __init__(self, test, folder):
        self._test = test
        self._folder = folder
        self._names = {"__name__": "guide"}
        self._running = None

    def follow(self, block):
        if block.language == "python" and block.text.startswith(">>>"):
            self._stop()
            self._try(block)
        elif block.language == "python":
            self._stop()
            code = compile("\n" * (block.line - 1) + block.text, "docs/python.md", "exec")
            if block.is_run:
                exec(code, self._names)
        elif block.language == "console" and block.is_run:
            for line, command, wanted in commands(block):
                self._type(line, command, wanted)

    def _try(self, block):
        parser, out = doctest.DocTestParser(), io.StringIO()
        test = parser.get_doctest(block.text, self._names, "docs/python.md", "docs/python.md", block.line - 1)
        results = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(
            test, out=out.write, clear_globs=False
        )
        self._names = test.globs
        self._test.assertEqual(results.failed, 0, out.getvalue())

    def _type(self, line, command, wanted):
        if command == "python3 app.py":
            self._stop()
            self._start()
            got = f"listening on http://{ADDRESS}"
        elif command.startswith("curl "):
            self._start()
            got = self._ask(command, wanted)
        else:
            got = shell(command, self._folder)
        if not is_shown(wanted, got):
            self._test.fail(f"docs/python.md, line {line}: {command}\nshown:\n{wanted}\n\ngot:\n{got}")

    def _ask(self, command, wanted):
        if not command.endswith("/metrics"):
            return curl(command, self._running.port, self._folder, wanted)
        # A response may arrive before it is counted.
        tries = []
        until(lambda: tries.append(self._ask(f"{command}?", wanted)) or is_shown(wanted, tries[-1]))
        return tries[-1]

    def _start(self):
        if self._running is None:
            self._running = self._names["app"].start("127.0.0.1:0")

    def _stop(self):
        if self._running is not None:
            self._running.stop(LIMIT)
            self._running = None

    close = _stop


@unittest.skipIf(ROOT is None, "the source archive has no docs/python.md")
class TestGuide(Quiet, unittest.TestCase):
    def setUp(self):
        super().setUp()
        # A program sets the log up for its whole process.
        root = logging.getLogger()
        self.addCleanup(root.setLevel, root.level)
        self.addCleanup(setattr, root, "handlers", root.handlers[:])
        self.guide = ROOT / "docs" / "python.md"
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        for name in ("localhost.pem", "localhost.key"):
            shutil.copy(
                ROOT / "tests" / "certificates" / name, self.folder / name.replace("localhost", "site")
            )

    def test_programs_and_terminals(self):
        with contextlib.ExitStack() as stack:
            stack.enter_context(_within(self.folder))
            stack.enter_context(contextlib.redirect_stdout(io.StringIO()))
            stack.enter_context(mock.patch.object(transom.Server, "run", bound(transom.Server.run)))
            for title, blocks in sections(self.guide).items():
                with self.subTest(title), contextlib.closing(Reader(self, self.folder)) as reader:
                    for block in blocks:
                        reader.follow(block)

    def test_the_column_of_transom_runs(self):
        count = 0
        for line, code in cells(self.guide, "Coming from Flask, aiohttp, FastAPI"):
            with self.subTest(line=line, code=code):
                self._run_cell(code)
                count += 1
        self.assertGreater(count, 30)
        self.assertEqual(self.log, [])

    def _run_cell(self, code):
        """Runs code of a table: a decorator, a statement of the program, or statements of a handler."""
        app = transom.Server(threads=4)
        names = {
            **vars(transom),
            "app": app,
            "api": transom.Router(),
            "user": {"id": 7},
            "page": "<p>",
            "save": list,
        }
        names |= {"path": self.folder / "site.pem", "TestClient": testing.TestClient}
        in_handler = not code.startswith(("@", "app", "import ", "from "))
        if code == "@app.lifespan":
            code += "\ndef function():\n    yield"
        elif code.startswith("@"):
            code += "\ndef function(request, *rest):\n    return None"
        elif in_handler:
            kind = "async def" if "await " in code or "async for" in code else "def"
            lines = "".join(f"    {line}\n" for line in code.split("; "))
            code = f"@app.post('/users/{{id:int}}')\n{kind} handler(request):\n{lines}"
        with mock.patch.object(transom.Server, "run", bound(transom.Server.run)):
            exec(code, names)
        headers = {
            "Cookie": "session=abc",
            "User-Agent": "guide",
            "Content-Type": "application/x-www-form-urlencoded",
        }
        body = "{}" if "json" in code else "name=ada"
        if "files" in code:
            headers["Content-Type"] = "multipart/form-data; boundary=XX"
            body = '--XX\r\nContent-Disposition: form-data; name="photo"; filename="a"\r\n\r\nb\r\n--XX--\r\n'
        app = names["app"]
        with app.start("127.0.0.1:0") as running:
            answer = fetch(running, "/users/7?q=x&tag=a&tag=b", "POST", body=body, headers=headers)
        if in_handler:
            self.assertEqual(answer.status, 404 if "404" in code else answer.status)
            self.assertNotIn(answer.status, (400, 405, 415, 500), answer.text)


#: The types for annotations.
ALIASES = {"AsyncNext", "Handler", "HandlerResult", "Next", "Priority", "SlowReader", "WebSocketHandler"}


def classes():
    """Yields the names of public classes, with the classes."""
    for module in (transom, testing):
        for name in module.__all__:
            item = getattr(module, name)
            if inspect.isclass(item):
                yield name, item


def own(item):
    """Returns the public members of a class that are the package's."""
    if issubclass(item, BaseException):
        return set()
    bases = [base for base in item.__mro__ if base.__module__.startswith("transom")]
    return {name for base in bases for name in vars(base) if not name.startswith("_")}


@unittest.skipIf(ROOT is None, "the source archive has no docs/python.md")
class TestReference(unittest.TestCase):
    def setUp(self):
        text = (ROOT / "docs" / "python.md").read_text().split("\n## Reference\n")[1]
        self.rows = {}
        for line in text.splitlines():
            if line.startswith("| `"):
                first, *rest = line.split("|")[1:-1]
                for name in re.findall(r"`(\w+)`", first):
                    self.rows[name] = set(re.findall(r"`(\w+)`", " ".join(rest)))

    def test_it_has_each_public_name_with_its_members(self):
        self.assertEqual(set(self.rows), set(transom.__all__) | ALIASES | set(testing.__all__))
        for name, item in classes():
            named = set(self.rows[name])
            for other in named & set(self.rows):
                named |= self.rows[other]
            self.assertEqual(own(item) - named, set(), f"not in the row of {name}")

    def test_members_are_documented(self):
        for name, item in classes():
            self.assertTrue(item.__doc__, name)
            for base in item.__mro__:
                if not base.__module__.startswith("transom"):
                    continue
                source = inspect.getsource(base)
                for key in own(item) & set(vars(base)):
                    explained = inspect.getdoc(vars(base)[key]) if not _is_field(base, key) else None
                    commented = re.search(rf"#:[^\n]*\n\s+(self\.)?{key}\b", source)
                    self.assertTrue(explained or commented or key in (base.__doc__ or ""), f"{name}.{key}")

    def test_times_and_sizes_have_units(self):
        units = {
            "second": {"timeout", "stop_timeout", "keep_alive", "max_age", "watch", "retry"},
            "byte": {"max_body", "buffer", "offset", "length"},
        }
        for name, item in classes():
            functions = [(name, item, item.__doc__ + (item.__init__.__doc__ or ""))]
            functions += [
                (f"{name}.{key}", getattr(item, key), getattr(item, key).__doc__)
                for key in own(item)
                if callable(getattr(item, key))
            ]
            for called, function, text in functions:
                try:
                    parameters = inspect.signature(function).parameters
                except (TypeError, ValueError):
                    continue
                text += inspect.getsource(item) if dataclasses.is_dataclass(item) else ""
                for unit, names in units.items():
                    if names & set(parameters):
                        # A decorator that says `see route`, or `options of route`, leaves the units to that.
                        self.assertTrue(
                            unit in text or "`route`" in text, f"{called}: {names & set(parameters)}"
                        )


def _is_field(item, key):
    """Returns `True` for a value of an instance, whose class has only its default or its slot."""
    value = vars(item)[key]
    return not (callable(value) or isinstance(value, (property, classmethod, staticmethod)))


@contextlib.contextmanager
def _within(folder):
    """Runs a block in a folder: `contextlib.chdir` is younger than Python 3.10."""
    import os

    before = os.getcwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


if __name__ == "__main__":
    unittest.main()
