"""The functions of an application that word its error responses."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable
from typing import Any, TypeAlias

from transom._check import check_status, got
from transom._errors import InvalidArgumentError
from transom._headers import lines_of, pairs_of
from transom._http_error import HTTPError
from transom._request import Request
from transom._response import Response
from transom._result import from_value
from transom._wording import Wording

#: A function that takes a request and the exception, and returns what a plain handler may return.
ErrorHandler: TypeAlias = Callable[[Request, Any], Any]

_log = logging.getLogger("transom")


class ErrorHandlers:
    """The functions of one router, by status and by class of exception."""

    def __init__(self) -> None:
        self.by_status: dict[int, ErrorHandler] = {}
        self.by_class: dict[type[BaseException], ErrorHandler] = {}

    def add(self, what: object, function: ErrorHandler) -> None:
        """Adds a function. A second one for the same status or class takes the place of the first."""
        if not callable(function):
            raise TypeError(f"an error handler is a function, got {got(function)}")
        if inspect.iscoroutinefunction(function):
            raise TypeError("an error handler is a plain function: it also answers for plain handlers")
        try:
            inspect.signature(function).bind(None, None)
        except TypeError as error:
            raise TypeError(f"an error handler takes a request and an exception: {error}") from None
        except ValueError:
            pass  # some builtins have no signature
        if isinstance(what, type) and issubclass(what, Exception):
            self.by_class[what] = function
            return
        if isinstance(what, type) or not isinstance(what, int):
            raise TypeError(f"error takes a status or a class of exceptions, got {got(what)}")
        status = check_status(what)
        if status < 400:
            raise InvalidArgumentError(f"the status of an error is 400 to 599, got {status}")
        self.by_status[status] = function

    def find(self, error: Exception) -> ErrorHandler | None:
        """Returns the function for an exception: that of the nearest class, else that of the status."""
        for kind in type(error).__mro__:
            if kind is HTTPError and isinstance(error, HTTPError) and error.status in self.by_status:
                return self.by_status[error.status]
            if kind in self.by_class:
                return self.by_class[kind]
        return None if isinstance(error, HTTPError) else self.by_status.get(500)


class ErrorAnswers:
    """The functions that answer for one route: those of its router, then those of the routers around it."""

    def __init__(self, routers: list[ErrorHandlers], wording: Wording) -> None:
        self._routers = routers
        self._wording = wording

    def guarded(self, request: Request, error: Exception) -> Response:
        """Returns the response to an exception of a handler, for middleware. Raises unexpected ones."""
        response = None
        try:
            response = self.answer(request, error)
        except HTTPError as raised:
            error = raised
        if response is not None:
            if self.is_unexpected(error):
                _log.error(
                    "a handler failed on %s %s: %s", request.method, request.target, error, exc_info=error
                )
            return response
        if isinstance(error, HTTPError):
            response = Response()
            response._parts = self._wording.http_error(error)
            return response
        raise error

    def answer(self, request: Request, error: Exception) -> Response | None:
        """Returns the response that a function gives for an exception; `None` if there is no function.

        Raises what the function raises, and `TypeError` if it returns a stream.
        """
        for handlers in self._routers:
            function = handlers.find(error)
            if function is None:
                continue
            value = function(request, error)
            response = from_value(value)
            if response._chunks is not None:
                raise TypeError("an error handler returns a whole body, not a stream, a file or an awaitable")
            if isinstance(value, (Response, tuple)):
                return response
            # Anything else says nothing about the status.
            status, headers = 500, []
            if isinstance(error, HTTPError):
                status, headers = error.status, pairs_of(error.headers)
            block = response._parts[1] if value is not None else b""
            kept = [(name, text) for name, text in headers if name.lower() != "content-type"]
            response._parts = status, block + lines_of(status, kept), response._parts[2]
            return response
        return None

    def is_unexpected(self, error: Exception) -> bool:
        """Returns `True` if no function was written for the class of an exception: it must be logged."""
        if isinstance(error, HTTPError):
            return False
        kinds = {kind for handlers in self._routers for kind in handlers.by_class} - {Exception}
        return not isinstance(error, tuple(kinds))
