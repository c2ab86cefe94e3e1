"""The settings of WebSocket connections: the arguments, and the native object that is made of them."""

from __future__ import annotations

import weakref
from collections.abc import Iterable
from typing import Any, TypedDict

from transom import _native as native
from transom._check import flag, got, seconds, text, whole
from transom._errors import InvalidArgumentError, check, make
from transom._headers import is_token
from transom._native import quick

_MOST_BYTES = 2**40
_MOST_RATE = 2**32 - 1
#: The times that may be `None`, for no limit.
_ENDLESS = ("ping_interval", "message_timeout")
#: The settings that are numbers of bytes, with the least of each.
SIZES = {
    "message_limit": (native.WEBSOCKET_MESSAGE_LIMIT, 1),
    "frame_limit": (native.WEBSOCKET_FRAME_LIMIT, 1),
    "message_rate": (native.WEBSOCKET_MESSAGE_RATE, 0),
    "queue_limit": (native.WEBSOCKET_QUEUE_LIMIT, 1),
    "compress_from": (native.WEBSOCKET_COMPRESS_FROM, 0),
}
#: The settings that are true or false.
FLAGS = {
    "compression": native.WEBSOCKET_COMPRESSION,
    "context_takeover": native.WEBSOCKET_CONTEXT_TAKEOVER,
}
#: The settings that are times in seconds.
TIMES = {
    "message_timeout": native.WEBSOCKET_MESSAGE_TIMEOUT_MS,
    "ping_interval": native.WEBSOCKET_PING_INTERVAL_MS,
    "ping_timeout": native.WEBSOCKET_PING_TIMEOUT_MS,
    "close_timeout": native.WEBSOCKET_CLOSE_TIMEOUT_MS,
}


class WebSocketLimits(TypedDict, total=False):
    """Limits, compression and keep-alive of WebSocket connections; `Server.websocket` explains them."""

    message_limit: int
    frame_limit: int
    message_rate: int
    message_timeout: float | None
    queue_limit: int
    compression: bool
    context_takeover: bool
    compress_from: int
    ping_interval: float | None
    ping_timeout: float
    close_timeout: float


class WebSocketOptions(WebSocketLimits, total=False):
    """The keyword arguments of `Server.websocket`, which explains them."""

    replace: bool
    subprotocols: Iterable[str]
    origins: Iterable[str]
    any_origin: bool
    in_pieces: bool


class Upgrade:
    """The settings of WebSocket connections, for the library: used for each handshake."""

    __slots__ = ("__weakref__", "pointer")

    def __init__(self, settings: dict[int, int], subprotocols: Iterable[str], origins: Iterable[str]) -> None:
        pointer = quick.websocket_upgrade_new()
        if not pointer:
            raise make(native.FORKED)
        #: The native object.
        self.pointer: int = pointer
        weakref.finalize(self, quick.websocket_upgrade_free, self.pointer).atexit = False
        for setting, value in settings.items():
            check(quick.websocket_upgrade_set(self.pointer, setting, value))
        for name in subprotocols:
            check(quick.websocket_upgrade_add_subprotocol(self.pointer, name.encode()))
        for origin in origins:
            check(quick.websocket_upgrade_add_origin(self.pointer, origin.encode()))


class WebSocketSettings:
    """The settings of WebSocket connections, checked."""

    @classmethod
    def of(cls, options: WebSocketOptions) -> WebSocketSettings:
        """Returns the settings of a route. Raises what the constructor raises."""
        limits: dict[str, Any] = dict(options)
        names = "subprotocols", "origins", "any_origin", "in_pieces"
        own = {name: limits.pop(name) for name in names if name in limits}
        return cls(limits, **own)  # type: ignore[arg-type]

    def __init__(
        self,
        limits: WebSocketLimits,
        subprotocols: Iterable[str] = (),
        origins: Iterable[str] = (),
        any_origin: bool = False,
        in_pieces: bool = False,
    ) -> None:
        """Raises `InvalidArgumentError` or `TypeError` for a value that cannot be one."""
        given: dict[str, Any] = dict(limits)
        self._settings: dict[int, int] = {}
        for name, (setting, least) in SIZES.items():
            if name in given:
                most = _MOST_RATE if name == "message_rate" else _MOST_BYTES
                self._settings[setting] = whole(name, given.pop(name), least, most)
        for name, setting in FLAGS.items():
            if name in given:
                self._settings[setting] = int(flag(name, given.pop(name)))
        for name, setting in TIMES.items():
            if name in given:
                time = seconds(name, given.pop(name), zero=False, none=name in _ENDLESS, least=0.001)
                self._settings[setting] = native.FOREVER if time is None else round(time * 1000)
        if given:
            names = ", ".join([*SIZES, *FLAGS, *TIMES])
            raise InvalidArgumentError(
                f"there is no setting {next(iter(given))!r} of WebSocket; there are: {names}"
            )
        self.subprotocols = tuple(_subprotocol(name) for name in _several("subprotocols", subprotocols))
        self._origins = tuple(_origin(each) for each in _several("origins", origins))
        self._settings[native.WEBSOCKET_ANY_ORIGIN] = int(flag("any_origin", any_origin))
        #: `True` if messages are handed out in pieces.
        self.in_pieces = flag("in_pieces", in_pieces)
        self._settings[native.WEBSOCKET_IN_PIECES] = int(self.in_pieces)
        if self._origins and any_origin:
            raise InvalidArgumentError("origins and any_origin=True exclude each other")
        #: The native object with these settings.
        self.upgrade = Upgrade(self._settings, self.subprotocols, self._origins)

    def with_subprotocol(self, name: str) -> Upgrade:
        """Returns the native object for a connection that speaks one subprotocol."""
        return Upgrade(self._settings, (_subprotocol(name),), self._origins)


def _several(what: str, given: Any) -> list[Any]:
    if isinstance(given, (str, bytes)) or not isinstance(given, Iterable):
        raise TypeError(f"{what} are several str, such as ['chat'], got {got(given)}")
    return list(given)


def _subprotocol(name: Any) -> str:
    if not is_token(text("a subprotocol", name)):
        raise InvalidArgumentError(f"a subprotocol is a token (RFC 6455 4.1), got {name!r:.80}")
    return str(name)


def _origin(origin: Any) -> str:
    scheme, separator, host = text("an origin", origin).partition("://")
    if not separator or not scheme or not host or "/" in host or not origin.isascii() or "\0" in origin:
        raise InvalidArgumentError(f"an origin is such as 'https://example.com', got {origin!r:.80}")
    return str(origin)
