"""The house rules that hold for each file of the package: what it is comes first, and it is short."""

import ast
import unittest

from support import SOURCE

#: The most lines of code that a file has: without blank lines, comments and docstrings.
MOST = 400


def lines_of_code(source):
    """Counts the lines of code of a source text."""
    docs = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            match node.body:
                case [ast.Expr(value=ast.Constant(value=str())) as text, *_]:
                    docs.update(range(text.lineno, text.end_lineno + 1))
    lines = enumerate(source.splitlines(), 1)
    return sum(number not in docs and line.strip()[:1] not in ("", "#") for number, line in lines)


class TestFiles(unittest.TestCase):
    def test_a_file_has_one_noun_and_says_which(self):
        files = list(SOURCE.rglob("*.py"))
        self.assertGreater(len(files), 50)
        for path in files:
            with self.subTest(path.name):
                source = path.read_text()
                self.assertTrue(ast.get_docstring(ast.parse(source)), "the file does not say what it is")
                self.assertLessEqual(lines_of_code(source), MOST)

    def test_what_readers_of_the_code_read_is_counted(self):
        source = (
            '"""A file."""\n\n# Why.\nx = 1\n\n\ndef f():\n    """Returns\n    y."""\n    return """a\nb"""\n'
        )
        self.assertEqual(lines_of_code(source), 4)


if __name__ == "__main__":
    unittest.main()
