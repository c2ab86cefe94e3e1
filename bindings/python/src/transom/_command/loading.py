"""Finding the application that `MODULE:APP` names."""

from __future__ import annotations

import importlib
import inspect
import os
import sys
import traceback
from types import ModuleType
from typing import Any

from transom._command.mistake import LoadMistake, Mistake, nearest

#: The names that are looked for if the command names none.
_USUAL = ("app", "application")


def load(spec: str, is_factory: bool) -> Any:
    """Returns the application that `spec` names. Raises `Mistake` or `LoadMistake`."""
    module_name, attribute, calls = split(spec)
    module = _module(module_name)
    found = _attribute(module, attribute)
    if not (is_factory or calls):
        return found
    name = f"{module.__name__}:{attribute}"
    if not callable(found):
        raise LoadMistake(f"{name} is no factory: {type(found).__name__} cannot be called")
    try:
        inspect.signature(found).bind()
    except TypeError:
        raise LoadMistake(f"{name} is no factory: it needs arguments, and is called without any") from None
    except ValueError:
        pass  # A function in C without a signature.
    try:
        made = found()
    except Exception as error:
        raise LoadMistake(f"the factory {name} has raised an error\n{_of_the_user(error)}") from None
    if inspect.iscoroutine(made):
        made.close()
        raise LoadMistake(f"the factory {name} is an async function; a factory is a plain function")
    if made is None:
        raise LoadMistake(f"the factory {name} has returned None; it returns the application")
    return made


def split(spec: str) -> tuple[str, str, bool]:
    """Returns the module, the attribute or `""`, and whether `()` follows. Raises `Mistake`."""
    module, _, attribute = spec.partition(":")
    calls = attribute.endswith("()")
    attribute = attribute.removesuffix("()")
    if "/" in module or module.endswith(".py"):
        proposal = module.removesuffix(".py").strip("./").replace("/", ".")
        raise Mistake(f"{spec!r} names a file; name the module: {proposal}:{attribute or 'app'}")
    words = [*module.split("."), *(attribute.split(".") if attribute else [])]
    if not all(word.isidentifier() for word in words):
        raise Mistake(f"{spec!r} is not MODULE:APP, such as shop.main:app")
    return module, attribute, calls


def _module(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not (name == error.name or name.startswith(f"{error.name}.")):
            raise LoadMistake(f"the module {name} cannot be imported\n{_of_the_user(error)}") from None
        raise LoadMistake(_missing(name, error.name)) from None
    except Exception as error:
        raise LoadMistake(f"the module {name} cannot be imported\n{_of_the_user(error)}") from None


def _missing(name: str, missing: str) -> str:
    """Returns the message for a module that is not there."""
    parent, _, last = missing.rpartition(".")
    folders = list(sys.modules[parent].__path__) if parent in sys.modules else [sys.path[0]]
    text = f"there is no module {missing}" + (f" for {name}" if missing != name else "")
    shown = [
        os.path.relpath(folder) if len(os.path.relpath(folder)) < len(folder) else folder
        for folder in folders
    ]
    names = sorted({each for folder in folders for each in _modules_in(folder)})
    text += f" in {', '.join(shown) if shown != ['.'] else os.getcwd()}"
    if close := nearest(last, names):
        return text + close
    return f"{text}; there are: {', '.join(names[:10])}" if names else f"{text}, which has no modules"


def _modules_in(folder: str) -> list[str]:
    try:
        entries = list(os.scandir(folder or "."))
    except OSError:
        return []
    files = [each.name.removesuffix(".py") for each in entries if each.name.endswith(".py")]
    packages = [each.name for each in entries if os.path.exists(os.path.join(each.path, "__init__.py"))]
    return [name for name in files + packages if name.isidentifier() and not name.startswith("__")]


def _attribute(module: ModuleType, attribute: str) -> Any:
    if not attribute:
        for name in _USUAL:
            if hasattr(module, name):
                return getattr(module, name)
        raise LoadMistake(
            f"the module {module.__name__} has neither app nor application; name it: MODULE:APP"
        )
    found: Any = module
    done = module.__name__
    for name in attribute.split("."):
        if not hasattr(found, name):
            names = [each for each in dir(found) if not each.startswith("_")]
            close = nearest(name, names)
            if not close and names and found is module:
                close = f"; there are: {', '.join(_own(module, names)[:10])}"
            raise LoadMistake(f"{done} has no {name!r}{close}")
        found = getattr(found, name)
        done += f".{name}"
    return found


def _own(module: ModuleType, names: list[str]) -> list[str]:
    """Returns the names that can be called first, without the modules that the module imports."""
    values = {name: getattr(module, name) for name in names}
    kept = [name for name in names if not isinstance(values[name], ModuleType)]
    return sorted(kept, key=lambda name: not callable(values[name]))


def _of_the_user(error: BaseException) -> str:
    """Returns the traceback without the frames of this package and of the import system."""
    shown = traceback.TracebackException.from_exception(error)
    link: traceback.TracebackException | None = shown
    seen = 0
    while link is not None and seen < 100:
        link.stack = traceback.StackSummary.from_list(
            [frame for frame in link.stack if not _is_ours(frame.filename)]
        )
        link = link.__cause__ or link.__context__
        seen += 1
    return "".join(shown.format()).rstrip()


def _is_ours(filename: str) -> bool:
    return (
        filename.startswith(("<frozen importlib", os.path.dirname(__file__)))
        or filename == importlib.__file__
    )
