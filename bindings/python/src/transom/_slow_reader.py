"""The policies of a broadcast for clients that read too slowly."""

from __future__ import annotations

from typing import Any, Literal, TypeAlias, cast

from transom._check import shown
from transom._errors import InvalidArgumentError

#: What becomes of the messages for a client that reads too slowly.
SlowReader: TypeAlias = Literal["drop", "coalesce", "close"]
#: The policies, in the order of the library's numbers.
SLOW_READERS = ("drop", "coalesce", "close")


def check_slow(slow: Any) -> SlowReader:
    """Checks that a value is a policy. Raises `InvalidArgumentError`."""
    if slow not in SLOW_READERS:
        raise InvalidArgumentError(f"slow is 'drop', 'coalesce' or 'close', got {shown(slow)}")
    return cast(SlowReader, slow)
