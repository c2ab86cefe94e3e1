"""The examples in the documentation run and give the results that they show."""

import contextlib
import doctest
import importlib.util
import io
import pkgutil
import runpy
import threading
import unittest
import urllib.request
from pathlib import Path

from support import LIMIT, fetch, until

import transom

ROOT = Path(__file__).resolve().parents[1]


class TestDocs(unittest.TestCase):
    def test_docstrings(self):
        tried = 0
        for module in pkgutil.iter_modules(transom.__path__, "transom."):
            if module.name == "transom._pytest" and not importlib.util.find_spec("pytest"):
                continue
            results = doctest.testmod(importlib.import_module(module.name))
            self.assertEqual(results.failed, 0, module.name)
            tried += results.attempted
        self.assertEqual(doctest.testmod(transom).failed, 0)
        self.assertGreater(tried, 10)

    def test_readme(self):
        results = doctest.testfile(str(ROOT / "README.md"), module_relative=False)
        self.assertEqual(results.failed, 0)
        self.assertGreater(results.attempted, 0)

    def test_public_names_are_documented(self):
        for name in transom.__all__:
            item = getattr(transom, name)
            self.assertTrue(item.__doc__, name)
            bases = item.__mro__ if isinstance(item, type) else (item,)
            members = [
                pair
                for base in bases
                if base is item or base.__module__.startswith("transom.")
                for pair in vars(base).items()
            ]
            for key, member in members:
                if not key.startswith("_") and (callable(member) or isinstance(member, property)):
                    self.assertTrue(getattr(member, "__doc__", None), f"{name}.{key}")

    def test_examples(self):
        hello = runpy.run_path(str(ROOT / "examples" / "hello.py"))
        with hello["app"].start("127.0.0.1:0") as running:
            self.assertEqual(fetch(running, "/hello/you").text, "hello you\n")
        app = runpy.run_path(str(ROOT / "examples" / "conformance.py"))["build"](1)
        with app.start("127.0.0.1:0") as running:
            for method, path, status, body in (
                ("GET", "/plain", 200, "hello"),
                ("POST", "/echo", 200, "posted"),
                ("GET", "/chunked", 200, "abbccc"),
                ("GET", "/empty", 204, ""),
                ("GET", "/sleep/10", 200, "slept"),
                ("GET", "/none", 404, "404 Not Found\n"),
            ):
                answer = fetch(running, path, method, body=body if method == "POST" else None)
                self.assertEqual((answer.status, answer.text), (status, body), path)
            headers = fetch(running, "/headers", headers={"X-A": "1", "x-b": "2"}).text
            self.assertTrue(headers.endswith("x-a: 1\nx-b: 2\n"), headers)

    def test_run_prints_where_it_listens(self):
        app = transom.Server()

        @app.get("/")
        def stop(request):
            app.running.stop()

        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            thread = threading.Thread(target=app.run, args=("127.0.0.1:0",))
            thread.start()
            self.assertTrue(until(lambda: "\n" in out.getvalue()))
            urllib.request.urlopen(out.getvalue().split()[-1], timeout=LIMIT).read()
            thread.join(LIMIT)
        self.assertRegex(out.getvalue(), r"^listening on http://127\.0\.0\.1:\d+\n$")
