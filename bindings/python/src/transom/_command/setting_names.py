"""The names of limits and timeouts, which only the library knows, and of settings of WebSocket."""

from __future__ import annotations

from transom._errors import InvalidArgumentError
from transom._handle import Handle
from transom._websocket_options import FLAGS, SIZES, TIMES

#: What stands before the names in the message of the library.
_LIST = "There are: "


def setting_names(kind: str) -> list[str]:
    """Returns the names of the limits (`"limit"`) or the timeouts (`"timeout"`) that the library has.

    Returns those of WebSocket connections for `"websocket"`.
    """
    if kind == "websocket":
        return [*SIZES, *FLAGS, *TIMES]
    handle = Handle()
    try:
        # No setting has an empty name, and the library then lists those that there are.
        (handle.set_limit if kind == "limit" else handle.set_timeout)("", 1)
    except InvalidArgumentError as error:
        return str(error).partition(_LIST)[2].split(", ")
    finally:
        handle.free()
    raise AssertionError("the library has a setting without a name")
