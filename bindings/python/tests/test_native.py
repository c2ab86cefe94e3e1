"""The declared functions and constants agree with the header."""

import os
import re
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

from support import LIMIT, SOURCE

import transom
from transom import _native as native

HEADER = Path(__file__).resolve().parents[3] / "include" / "transom.h"


def functions(text):
    """Returns the number of arguments of each function in a C header."""
    text = re.sub(r"/\*.*?\*/", "", text, flags=re.DOTALL)
    text = re.sub(r"//[^\n]*|^\s*#[^\n]*", "", text, flags=re.MULTILINE)
    found = {}
    for name, arguments in re.findall(r"\b(transom_\w+)\s*\(([^()]*(?:\([^()]*\)[^()]*)*)\)\s*;", text):
        flat = re.sub(r"\([^()]*\)", "", arguments).strip()
        found[name] = 0 if flat in ("", "void") else flat.count(",") + 1
    return found


@unittest.skipUnless(HEADER.is_file(), "the header is in the source tree")
class TestDeclarations(unittest.TestCase):
    def setUp(self):
        self.text = HEADER.read_text()

    def test_every_function_is_in_the_header_with_as_many_arguments(self):
        there = functions(self.text)
        declared = {**native.QUICK, **native.WAITING}
        self.assertGreater(len(declared), 20)
        for name, (_, arguments) in declared.items():
            self.assertIn(name, there)
            self.assertEqual(len(arguments), there[name], name)

    def test_status_codes_and_kinds_of_events(self):
        enums = r"typedef enum transom_(?:status|event_kind) \{.*?\}"
        text = "".join(re.findall(enums, self.text, re.DOTALL))
        codes = dict(re.findall(r"\bTRANSOM_(\w+) = (-?\d+)", text))
        self.assertGreater(len(codes), 20)
        for name, value in codes.items():
            self.assertEqual(getattr(native, name), int(value), name)

    def test_abi_version(self):
        version = re.search(r"#define TRANSOM_ABI_VERSION (\d+)", self.text)
        self.assertEqual(native.ABI_VERSION, int(version[1]))

    def test_the_package_has_the_librarys_version(self):
        self.assertEqual(transom.__version__, native.quick.version().decode())


class TestLoading(unittest.TestCase):
    def load(self, library):
        environment = dict(os.environ, PYTHONPATH=str(SOURCE), TRANSOM_LIBRARY=library)
        return subprocess.run(
            [sys.executable, "-c", "import transom"],
            env=environment,
            capture_output=True,
            text=True,
            timeout=LIMIT,
        ).stderr

    def test_a_library_that_is_not_there(self):
        self.assertIn(
            "ImportError: TRANSOM_LIBRARY names '/no/such', which is not a file", self.load("/no/such")
        )

    def test_a_library_that_is_none(self):
        with tempfile.NamedTemporaryFile(suffix=".so") as file:
            file.write(b"not a library")
            file.flush()
            self.assertIn(f"{file.name} is not a usable native library of transom", self.load(file.name))
