"""The configuration file, in TOML."""

from __future__ import annotations

from typing import Any

from transom._command.mistake import Mistake, nearest
from transom._command.option import Option
from transom._command.options import BY_NAME

#: The tables whose names are in the plural, by these names.
_TABLES = {"limits": "limit", "timeouts": "timeout"}


def from_file(path: str) -> tuple[str | None, dict[str, Any]]:
    """Returns the application that the file names, and the values of its options. Raises `Mistake`."""
    data = _loaded(path)
    app = data.pop("app", None)
    if app is not None and not isinstance(app, str):
        raise Mistake(f"{path}: app is a text such as 'shop:app', got {app!r}")
    given = {}
    for key, value in data.items():
        name = _TABLES.get(key, key).replace("_", "-")
        option = BY_NAME.get(name)
        if option is None:
            raise Mistake(f"{path}: there is no option {key!r}{nearest(name, [*BY_NAME, 'app'])}")
        given[option.key] = _value(option, value, f"{path}: {key}")
    return app, given


def _loaded(path: str) -> dict[str, Any]:
    try:
        with open(path, "rb") as file:
            text = file.read().decode("utf-8")
    except OSError as error:
        raise Mistake(f"the file {path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise Mistake(f"{path}: it is not in UTF-8: {error}") from None
    toml = _parser()
    try:
        return dict(toml.loads(text))
    except toml.TOMLDecodeError as error:
        raise Mistake(f"{path}: {error}") from None


def _parser() -> Any:
    """Returns the module that reads TOML. Python 3.10 has none of its own."""
    from importlib import import_module

    for name in ("tomllib", "tomli"):
        try:
            return import_module(name)
        except ModuleNotFoundError:
            pass
    raise Mistake("a file with options needs Python 3.11 or newer, or: pip install tomli")


def _value(option: Option, value: Any, source: str) -> Any:
    if option.is_flag:
        if not isinstance(value, bool):
            raise Mistake(f"{source}: the value is true or false, got {value!r}")
        return value
    if option.is_table:
        if not isinstance(value, dict):
            table = next((key for key, name in _TABLES.items() if name == option.name), option.name)
            raise Mistake(f"{source}: it is a table, such as [{table}], got {value!r}")
        if option.name not in _TABLES.values():
            # These have switches among their settings.
            words = {True: "on", False: "off"}
            value = {name: words[each] if isinstance(each, bool) else each for name, each in value.items()}
        texts = [f"{name}={_text(each, source)}" for name, each in value.items()]
        return option.joined(texts, source)
    if option.is_many:
        return option.joined(
            [_text(each, source) for each in (value if isinstance(value, list) else [value])], source
        )
    if isinstance(value, list) and option.metavar == "NETWORKS":
        value = ",".join(_text(each, source) for each in value)
    return option.read(_text(value, source), source)


def _text(value: Any, source: str) -> str:
    """Returns a value as the command line has it."""
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        raise Mistake(f"{source}: the value is a text or a number, got {value!r}")
    return str(value)
