"""The options that environment variables give."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from transom._command.mistake import Mistake
from transom._command.options import OPTIONS

_YES, _NO = ("1", "true", "yes", "on"), ("0", "false", "no", "off", "")


def from_environment(environment: Mapping[str, str]) -> dict[str, Any]:
    """Returns the values of the options that have a variable. Raises `Mistake`.

    The values of an option that may be given several times have commas between them.
    """
    given = {}
    for option in OPTIONS:
        text = environment.get(option.variable)
        if text is None:
            continue
        if option.is_many:
            texts = [each.strip() for each in text.split(",") if each.strip()]
            given[option.key] = option.joined(texts, option.variable)
        elif option.is_flag:
            if text.lower() not in (*_YES, *_NO):
                raise Mistake(f"{option.variable}: the value is 1 or 0, got {text!r}")
            given[option.key] = text.lower() in _YES
        else:
            given[option.key] = option.read(text, option.variable)
    return given
