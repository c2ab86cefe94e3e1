"""Mistakes that end the command, and the names that a message proposes."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

#: The exit statuses of the command.
ENDED, FAILED, USAGE, REFUSED = 0, 1, 2, 3


class Mistake(Exception):
    """A mistake of the person who runs the command: its text is what that person reads."""

    status = USAGE


class LoadMistake(Mistake):
    """The application cannot be loaded."""

    status = FAILED


def nearest(name: str, names: Iterable[str]) -> str:
    """Returns the end of a message: the names that are close to a name, or nothing."""
    close = get_close_matches(name, list(names), 3, 0.6)
    return f"; did you mean {' or '.join(close)}?" if close else ""
