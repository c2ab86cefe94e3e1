"""The exception of a WebSocket connection that has closed."""

from __future__ import annotations


class WebSocketClosed(ConnectionError):
    """The WebSocket connection has closed, or could not be opened.

    A handler need not catch it: a connection that has closed ends the handler without a line in the log.

    >>> raise WebSocketClosed(1001, "the server stops")
    Traceback (most recent call last):
    transom._websocket_closed.WebSocketClosed: the connection has closed: 1001 the server stops
    """

    def __init__(self, code: int, reason: str = "") -> None:
        super().__init__(f"the connection has closed: {code} {reason}".rstrip())
        #: The code of the Close (RFC 6455 7.4): 1005 if it had none, 1006 if there was no Close.
        self.code = code
        #: The reason in the Close; empty if there was none.
        self.reason = reason
