"""The command line: its options and its help."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NoReturn

from transom._command.mistake import Mistake, nearest
from transom._command.option import Option
from transom._command.options import OPTIONS
from transom._command.setting_names import setting_names

_USAGE = "transom [options] MODULE:APP"
_ABOUT = """Serves a WSGI application, an ASGI application or a transom.Server.

  transom shop.wsgi:application --bind 0.0.0.0:8080 --workers 4
  transom shop:create_app --factory --reload
"""
_END = """Each option may also stand in the environment, as TRANSOM_BIND for --bind, and in a file in TOML:
`bind = ["0.0.0.0:8080"]`. The command line goes before the environment, and both before the file.
Times are in seconds, or end with ms, s, m or h. Numbers of bytes may end with k, m or g.

SIGTERM and Ctrl-C stop: requests that are in progress finish. A second signal cuts them off.
SIGHUP reads the file again, and replaces the processes one after another, which load the code anew; no
request fails. SIGTTIN starts one process more, and SIGTTOU stops one. SIGUSR1 opens the access log again.

Exit status: 0 ended by a signal, 1 the application failed, 2 a mistake in the options, 3 an address cannot
be used."""


@dataclass
class Arguments:
    """What the command line says."""

    #: `MODULE:APP`, if it is there.
    app: str | None = None
    #: The path of the file, if it is there.
    config: str | None = None
    #: `True` to check the options and the application and to end then.
    checks: bool = False
    #: The values of options by their keys; only those that are there.
    given: dict[str, Any] = field(default_factory=dict)


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise Mistake(f"{message}; transom --help lists the options")


def _default(option: Option) -> str:
    if option.default is None or option.is_flag:
        return ""
    shown = ", ".join(option.default) if isinstance(option.default, tuple) else f"{option.default}"
    return f" (default: {shown.removesuffix('.0')})"


def _help(option: Option) -> str:
    text = option.help
    if option.is_table:
        text += f". The names: {', '.join(setting_names(option.name))}"
    return f"{text}{_default(option)}".replace("%", "%%")


def _parser(with_names: bool) -> argparse.ArgumentParser:
    parser = _Parser(
        "transom",
        usage=_USAGE,
        description=_ABOUT,
        epilog=_END,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        add_help=False,
        allow_abbrev=False,
    )
    groups: dict[str, Any] = {}
    parser.add_argument(
        "app",
        metavar="MODULE:APP",
        nargs="?",
        help="the module and its application; without :APP, app or application",
    )
    for option in OPTIONS:
        group = groups.get(option.group) or parser.add_argument_group(option.group)
        groups[option.group] = group
        names = [f"-{option.letter}"] * bool(option.letter) + [f"--{option.name}"]
        text = _help(option) if with_names else ""
        if option.is_flag:
            group.add_argument(
                *names, dest=option.key, help=text, action=argparse.BooleanOptionalAction, default=None
            )
        else:
            action = "append" if option.is_many else "store"
            group.add_argument(*names, dest=option.key, help=text, metavar=option.metavar, action=action)
    last = groups[OPTIONS[-1].group]
    last.add_argument("-c", "--config", metavar="FILE", help="a file in TOML with options")
    last.add_argument("--check", action="store_true", help="load the application, check the options, and end")
    last.add_argument("--version", action="store_true", help="print the version and end")
    last.add_argument("-h", "--help", action="store_true", help="print this help and end")
    return parser


def help_text() -> str:
    """Returns the help."""
    return _parser(True).format_help()


def option_names() -> list[str]:
    """Returns all options, as on the command line."""
    return [f"--{option.name}" for option in OPTIONS] + ["--config", "--check", "--version", "--help"]


def parsed(words: Sequence[str]) -> Arguments:
    """Reads the command line. Ends the command for `--help` and `--version`. Raises `Mistake`."""
    found, unknown = _parser(False).parse_known_args(words)
    if found.help:
        print(help_text())
        sys.exit(0)
    if found.version:
        from transom import __version__

        print(f"transom {__version__} (Python {sys.version.split()[0]})")
        sys.exit(0)
    for word in unknown:
        name = word.partition("=")[0]
        if name.startswith("-"):
            raise Mistake(f"there is no option {name}{nearest(name, option_names())}")
        raise Mistake(f"there is one application, {found.app!r}; what is {word!r}?")
    given = {}
    for option in OPTIONS:
        value = getattr(found, option.key)
        if value is None:
            continue
        source = f"--{option.name}"
        if option.is_many:
            value = option.joined(value, source)
        elif not option.is_flag:
            value = option.read(value, source)
        given[option.key] = value
    return Arguments(found.app, found.config, found.check, given)
