"""The exceptions by which a handler answers with an error status."""

from __future__ import annotations

from transom._check import check_status
from transom._headers import HeadersInput


class HTTPError(Exception):
    """An exception that a handler raises to answer with a status and a message.

    The message is sent as text. Without one, the text is that of the status, such as
    `404 Not Found`. Raises `BadStatusError` or `TypeError` if an argument cannot be sent.

    >>> raise HTTPError(404, "no such user")
    Traceback (most recent call last):
    transom._http_error.HTTPError: 404 no such user
    """

    def __init__(self, status: int, message: str = "", headers: HeadersInput = ()) -> None:
        if not isinstance(message, str):
            raise TypeError(f"the message of an HTTPError is a str, got {type(message).__name__}")
        self.status = check_status(status)
        super().__init__(f"{self.status} {message}".rstrip())
        self.message = message
        self.headers = headers


class BodyError(HTTPError, ValueError):
    """The request's body is not of the form that the handler asked for. The client gets a 4xx."""
