"""A type checker accepts the handlers that the server accepts, and reports the others."""

import importlib.util
import json
import os
import shutil
import subprocess
import sys
import unittest
from pathlib import Path

from support import SOURCE

FOLDER = Path(__file__).resolve().parent / "typing"
EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
#: The examples that have annotations.
TYPED = ("api.py", "files.py", "live.py")


class Checked:
    """The tests of a checker, which `found_in` runs: it returns the errors by line number."""

    def test_handlers_of_every_kind_are_taken(self):
        self.assertEqual(self.found_in(FOLDER / "good.py"), {})

    def test_what_a_handler_may_not_return_is_found(self):
        found = self.found_in(FOLDER / "bad.py")
        lines = (FOLDER / "bad.py").read_text().splitlines()
        marked = [number for number, line in enumerate(lines, 1) if line.endswith("# error")]
        self.assertEqual(sorted(found), marked, found)

    def test_the_examples_are_typed(self):
        for name in TYPED:
            self.assertEqual(self.found_in(EXAMPLES / name), {}, name)


@unittest.skipUnless(importlib.util.find_spec("mypy"), "needs mypy: pip install mypy")
class TestMypy(Checked, unittest.TestCase):
    def found_in(self, path):
        command = [sys.executable, "-m", "mypy", "--strict", "--no-incremental", "--hide-error-context"]
        result = subprocess.run(
            [*command, "--no-error-summary", str(path)],
            capture_output=True,
            text=True,
            env={"MYPYPATH": str(SOURCE), "PATH": ""},
            timeout=300,
        )
        self.assertEqual(result.stderr, "")
        found = {}
        for line in result.stdout.splitlines():
            place, kind, said = (part.strip() for part in line.split(":", 3)[1:])
            if kind == "error":
                found.setdefault(int(place), []).append(said)
        return found


@unittest.skipUnless(shutil.which("pyright"), "needs pyright: npm install pyright")
class TestPyright(Checked, unittest.TestCase):
    def found_in(self, path):
        result = subprocess.run(
            ["pyright", "--outputjson", "--pythonpath", sys.executable, str(path)],
            capture_output=True,
            text=True,
            env={**os.environ, "PYTHONPATH": str(SOURCE)},
            timeout=300,
        )
        # 1 says that there are errors.
        self.assertIn(result.returncode, (0, 1), result.stdout + result.stderr)
        found = {}
        for fault in json.loads(result.stdout)["generalDiagnostics"]:
            if fault["severity"] == "error":
                found.setdefault(fault["range"]["start"]["line"] + 1, []).append(fault["message"])
        return found


if __name__ == "__main__":
    unittest.main()
