"""Checks of arguments: each raises an error that names the argument, its range and its value."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any

from transom._errors import BadStatusError, InvalidArgumentError, WrongTypeError

#: The longest time that is accepted, in seconds: about thirty years.
LONGEST = 1e9
#: The longest quotation of a value in a message, in characters.
_QUOTE = 80


def shown(value: object) -> str:
    """Returns a value as a message quotes it: the start of its `repr`."""
    if isinstance(value, int) and value.bit_length() > 256:
        return f"an int of {value.bit_length()} bits"
    try:
        text = repr(value)
    except Exception:
        return f"a {type(value).__name__}"
    return text if len(text) <= _QUOTE else f"{text[:_QUOTE]}..."


def got(value: object) -> str:
    """Returns the type and the value, for a message about a wrong type."""
    return "None" if value is None else f"{type(value).__name__} {shown(value)}"


def kind_of(value: object) -> str:
    """Returns the name of a value's type."""
    return type(value).__name__


def whole(what: str, value: Any, least: int, most: int) -> int:
    """Checks that a value is an int in a range. Raises `InvalidArgumentError`."""
    if not isinstance(value, int) or isinstance(value, bool):
        raise WrongTypeError(f"{what} is an int from {least} to {most}, got {got(value)}")
    if not least <= value <= most:
        raise InvalidArgumentError(f"{what} is {least} to {most}, got {shown(value)}")
    return int(value)


def seconds(
    what: str, value: Any, *, zero: bool = True, none: bool = False, least: float = 0.0
) -> float | None:
    """Checks that a value is a time in seconds. Raises `InvalidArgumentError`.

    `zero` says whether 0 is accepted, `none` whether `None` is, which means no timeout, and `least`
    is the smallest time other than 0.
    """
    span = f"{'0' if zero else f'{least:g}' if least else 'more than 0'} to {LONGEST:.0f} seconds"
    if none:
        span += ", or None for none"
    if value is None and none:
        return None
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        raise WrongTypeError(f"{what} is {span}, as int or float, got {got(value)}")
    # NaN and infinity fail this comparison too.
    if not 0 <= value <= LONGEST or not (value or zero) or value < least:
        raise InvalidArgumentError(f"{what} is {span}, got {shown(value)}")
    return value


def flag(what: str, value: Any) -> bool:
    """Checks that a value is a bool. Raises `TypeError`."""
    if not isinstance(value, bool):
        raise TypeError(f"{what} is True or False, got {got(value)}")
    return value


def text(what: str, value: Any) -> str:
    """Checks that a value is a str. Raises `TypeError`."""
    if not isinstance(value, str):
        raise TypeError(f"{what} is a str, got {got(value)}")
    return value


def credentials(password: object) -> tuple[str, str]:
    """Checks a user name and a password. Raises `TypeError` or `InvalidArgumentError`."""
    if not isinstance(password, (tuple, list)) or len(password) != 2:
        raise WrongTypeError(f"password is a user name and a password, got {kind_of(password)}")
    user, secret = text("the user name", password[0]), text("the password", password[1])
    if "\0" in user + secret:
        raise InvalidArgumentError("a user name and a password have no NUL")
    if not secret:
        raise InvalidArgumentError("the password is empty")
    if ":" in user:
        raise InvalidArgumentError("a user name has no colon (RFC 7617)")
    return user, secret


def check_status(status: Any) -> int:
    """Checks that a value is a status of a response. Raises `TypeError` or `BadStatusError`."""
    if not isinstance(status, int) or isinstance(status, bool):
        raise TypeError(f"a status is an int, got {type(status).__name__}")
    if not 200 <= status <= 599:
        # CPython refuses to convert a very large int to text.
        number = int(status) if abs(status) < 2**64 else "a huge int"
        raise BadStatusError(f"{number} is not a status that a response can have: 200 to 599")
    return int(status)


def importable(name: str, function: Callable[[], object]) -> None:
    """Raises `TypeError` if another process cannot import the function."""
    try:
        pickle.dumps(function)
    except Exception as error:
        raise TypeError(
            f"{name} is a function of a module, no lambda, so that another process can import it: {error}"
        ) from None
