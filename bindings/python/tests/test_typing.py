"""A type checker accepts the handlers that the server accepts, and reports the others."""

import importlib.util
import subprocess
import sys
import unittest
from pathlib import Path

from support import SOURCE

FOLDER = Path(__file__).resolve().parent / "typing"


@unittest.skipUnless(importlib.util.find_spec("mypy"), "needs mypy: pip install mypy")
class TestTyping(unittest.TestCase):
    def mypy(self, name):
        """Returns the errors that mypy reports for a program, by line number."""
        command = [sys.executable, "-m", "mypy", "--strict", "--no-incremental", "--hide-error-context"]
        result = subprocess.run(
            [*command, "--no-error-summary", str(FOLDER / name)],
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

    def test_handlers_of_every_kind_are_taken(self):
        self.assertEqual(self.mypy("good.py"), {})

    def test_what_a_handler_may_not_return_is_found(self):
        found = self.mypy("bad.py")
        lines = (FOLDER / "bad.py").read_text().splitlines()
        marked = [number for number, line in enumerate(lines, 1) if line.endswith("# error")]
        self.assertEqual(sorted(found), marked, found)
