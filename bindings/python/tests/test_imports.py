"""The modules of the package do not import each other in circles."""

import ast
import unittest

from support import SOURCE

PACKAGE = "transom"


def imported(source, modules):
    """Returns the modules of the package that a source text imports.

    Imports inside functions and imports for annotations only (`TYPE_CHECKING`) count.
    """
    names = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names.update(
                f"{alias.name}.__init__" if alias.name == PACKAGE else alias.name for alias in node.names
            )
        elif isinstance(node, ast.ImportFrom) and node.level:
            raise AssertionError(f"line {node.lineno}: a relative import is not followed")
        elif isinstance(node, ast.ImportFrom) and node.module == PACKAGE:
            # A name that is no module is defined in `__init__`.
            for alias in node.names:
                names.add(f"{PACKAGE}.{alias.name if alias.name in modules else '__init__'}")
        elif isinstance(node, ast.ImportFrom):
            names.add(node.module)
            # The names may be modules of a package inside the package.
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
    return {module for module in modules if f"{PACKAGE}.{module}" in names}


def modules_of(folder):
    """Returns the source texts of a package by the names of its modules, such as `_a` and `_sub.b`.

    The module of a package inside it is named as the package: `_sub`.
    """
    texts = {}
    for path in folder.rglob("*.py"):
        *packages, name = path.relative_to(folder).with_suffix("").parts
        is_inner = packages and name == "__init__"
        texts[".".join(packages if is_inner else [*packages, name])] = path.read_text()
    return texts


def graph(sources):
    """Returns the imports of each module, for a dict from module names to source texts."""
    return {name: imported(source, sources.keys() - {name}) for name, source in sources.items()}


def circles(edges):
    """Returns the groups of modules that all reach each other by imports."""
    reached = {}
    for start in edges:
        reached[start] = set()
        left = [start]
        while left:
            for name in edges[left.pop()] - reached[start]:
                reached[start].add(name)
                left.append(name)
    return {
        tuple(sorted(name for name in reached[start] if start in reached[name]))
        for start in edges
        if start in reached[start]
    }


class TestImports(unittest.TestCase):
    def test_there_are_no_circles(self):
        edges = graph(modules_of(SOURCE / PACKAGE))
        self.assertGreater(len(edges), 20)
        self.assertGreater(len(edges["__init__"]), 5)
        self.assertIn("_wsgi.mount", edges["_server"])
        self.assertEqual(circles(edges), set())

    def test_a_circle_would_be_found(self):
        self.assertEqual(
            circles(
                graph(
                    {
                        "_a": "from transom._b import Thing",
                        "_b": "def f():\n    from transom import _c",
                        "_c": "if TYPE_CHECKING:\n    import transom._d",
                        "_d": "from transom._b import f\nimport os",
                        "_e": "from transom._a import Thing",
                        "_f": "import transom",
                        "_g": "from transom import Server",
                        "_h.i": "from transom._j import f",
                        "_j": "from transom._h import i",
                        "__init__": "from transom._f import f\nimport transom._g",
                    }
                )
            ),
            {("_b", "_c", "_d"), ("__init__", "_f", "_g"), ("_h.i", "_j")},
        )
