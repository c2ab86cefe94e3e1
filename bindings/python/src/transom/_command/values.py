"""The readers of values: each converts a text, and raises `ValueError` that says what it should be."""

from __future__ import annotations

import math
from collections.abc import Callable

from transom._websocket_options import FLAGS, TIMES

_BYTES = {"k": 1 << 10, "m": 1 << 20, "g": 1 << 30}
_NONE = ("none", "off")
_EVERYBODY = ["0.0.0.0/0", "::/0", "unix"]


def whole(least: int, most: int) -> Callable[[str], int]:
    """Returns the reader of whole numbers in a range."""

    def read(text: str) -> int:
        if text.isascii() and text.isdigit() and len(text) < 20 and least <= int(text) <= most:
            return int(text)
        raise ValueError(f"the value is a whole number from {least} to {most}")

    return read


def seconds(text: str) -> float:
    """Reads a time in seconds, such as `30`, `0.5`, `500ms` or `2m`."""
    unit = 1.0
    number = text
    for ending, factor in (("ms", 0.001), ("s", 1.0), ("m", 60.0), ("h", 3600.0)):
        if text.endswith(ending):
            number, unit = text.removesuffix(ending), factor
            break
    try:
        value = float(number) * unit
    except ValueError:
        value = -1.0
    if not 0 <= value < math.inf:
        raise ValueError("the value is a time in seconds, such as 30, 0.5, 500ms or 2m")
    return value


def seconds_or_none(text: str) -> float | None:
    """Reads a time in seconds, or `none` for no end."""
    if text.lower() in _NONE:
        return None
    try:
        return seconds(text)
    except ValueError as error:
        raise ValueError(f"{error}, or none") from None


def one_of(*words: str) -> Callable[[str], str]:
    """Returns the reader of one of several words."""

    def read(text: str) -> str:
        if text.lower() in words:
            return text.lower()
        raise ValueError(f"the value is {', '.join(words[:-1])} or {words[-1]}")

    return read


def octal(text: str) -> int:
    """Reads a file mode, such as `660`."""
    if not 1 <= len(text) <= 4 or set(text) - set("01234567") or int(text, 8) > 0o777:
        raise ValueError("the value is a file mode in octal digits, such as 660")
    return int(text, 8)


def path(text: str) -> str:
    """Reads a path of a URL, such as `/metrics`."""
    if not text.startswith("/"):
        raise ValueError("the value is a path that begins with /")
    return text


def prefix(text: str) -> str:
    """Reads a path below which the application is, such as `/api`."""
    return path(text).rstrip("/") or "/"


def networks(text: str) -> list[str]:
    """Reads networks with commas between them; `*` stands for all clients."""
    found = [each.strip() for each in text.split(",") if each.strip()]
    if not found:
        raise ValueError("the value is networks, such as 127.0.0.1,10.0.0.0/8,unix, or *")
    return _EVERYBODY if "*" in found else found


def limit(text: str) -> tuple[str, int]:
    """Reads `NAME=NUMBER`; the number may end with `k`, `m` or `g` for binary multiples."""
    name, sign, number = text.partition("=")
    digits, factor = number, 1
    if number[-1:].lower() in _BYTES:
        digits, factor = number[:-1], _BYTES[number[-1].lower()]
    if not (name and sign and digits.isascii() and digits.isdigit() and len(digits) < 20):
        raise ValueError("the value is NAME=NUMBER, such as body=10m")
    return name.strip().replace("-", "_"), int(digits) * factor


def timeout(text: str) -> tuple[str, float | None]:
    """Reads `NAME=SECONDS`; `none` turns the timeout off."""
    name, sign, time = text.partition("=")
    try:
        if not (name and sign):
            raise ValueError
        return name.strip().replace("-", "_"), seconds_or_none(time)
    except ValueError:
        raise ValueError("the value is NAME=SECONDS, such as idle=30 or handler=none") from None


def websocket(text: str) -> tuple[str, int | float | bool | None]:
    """Reads `NAME=VALUE`, a setting of WebSocket connections: a size, a time, or `on` or `off`."""
    name, _, value = text.partition("=")
    name = name.strip().replace("-", "_")
    try:
        if name in FLAGS:
            return name, {"on": True, "true": True, "off": False, "false": False}[value.strip().lower()]
        if name in TIMES:
            return name, seconds_or_none(value.strip())
        return limit(f"{name}={value.strip()}")
    except (ValueError, KeyError):
        raise ValueError("the value is NAME=VALUE, such as message_limit=64k or compression=off") from None


def credentials(text: str) -> tuple[str, str]:
    """Reads `USER:PASSWORD`."""
    user, sign, password = text.partition(":")
    if not (sign and password):
        raise ValueError("the value is USER:PASSWORD")
    return user, password


def one_address(text: str) -> str:
    """Reads an address to listen on that is one socket."""
    if text == "systemd":
        raise ValueError("the value is one address, such as 0.0.0.0:80 or fd://3")
    return address(text)


def address(text: str) -> str:
    """Reads an address to listen on, and returns it as `Server.start` takes it."""
    if text.startswith("fd://"):
        text = f"fd:{text[5:]}"
    elif text.startswith("unix://"):
        text = f"unix:{text[7:]}"
    if text.startswith("fd:"):
        if text[3:].isascii() and text[3:].isdigit() and len(text) < 12:
            return text
        raise ValueError("a descriptor is a number, such as fd://3")
    if (text.startswith("unix:") and text != "unix:") or text == "systemd":
        return text
    if text.isascii() and text.isdigit():
        text = f"127.0.0.1:{text}"
    host, colon, port = text.rpartition(":")
    if not host and colon:
        host, text = "[::]", f"[::]:{port}"
    is_port = port.isascii() and port.isdigit() and len(port) < 6 and int(port) < 65536
    if not (colon and is_port) or (":" in host and not (host.startswith("[") and host.endswith("]"))):
        raise ValueError("the value is HOST:PORT, [::1]:PORT, unix:PATH, fd://NUMBER or systemd")
    return text
