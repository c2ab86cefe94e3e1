"""The exceptions by which a handler answers with an error status."""

from __future__ import annotations

from typing import Any

from transom._check import check_status, shown
from transom._headers import HeadersInput


class HTTPError(Exception):
    """An exception that a handler raises to answer with a status and a message.

    The message is sent as text, or as the setting `error_format` of the server says. Without one,
    the text is that of the status, such as `404 Not Found`. With `json`, that value is sent as JSON
    instead. Raises `BadStatusError` or `TypeError` if an argument cannot be sent.

    >>> raise HTTPError(404, "no such user")
    Traceback (most recent call last):
    transom._http_error.HTTPError: 404 no such user
    """

    def __init__(
        self, status: int, message: str = "", headers: HeadersInput = (), *, json: Any = None
    ) -> None:
        if not isinstance(message, str):
            hint = ": json= sends it" if isinstance(message, (dict, list)) else ""
            raise TypeError(f"the message of an HTTPError is a str, got {type(message).__name__}{hint}")
        self.status = check_status(status)
        super().__init__(f"{self.status} {message}".rstrip())
        self.message = message
        self.headers = headers
        self.json = json


class BodyError(HTTPError, ValueError):
    """The request's body is not of the form that the handler asked for. The client gets a 4xx."""


class ClientGoneError(HTTPError, ConnectionError):
    """The client has left, or the server has cut the request off, before the end of the request's body.

    A client that has only closed its sending side gets a 400.
    """

    def __init__(self) -> None:
        super().__init__(400, "the body of the request ended too early")


class MissingValueError(HTTPError, KeyError):
    """The request does not have a value that the handler reads with `[name]`. The client gets a 400.

    >>> from transom import MultiDict
    >>> MultiDict([("tag", "a")])["page"]
    Traceback (most recent call last):
    transom._http_error.MissingValueError: 400 value 'page' is missing
    """

    def __init__(self, kind: str, name: object) -> None:
        super().__init__(400, f"{kind} {shown(name)} is missing")

    def __str__(self) -> str:
        # `KeyError` would show the text in quotes.
        return f"{self.status} {self.message}"
