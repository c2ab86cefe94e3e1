"""The exceptions of this package, and how the library's status codes become exceptions."""

from __future__ import annotations

from ctypes import byref, c_void_p

from transom import _native as native
from transom._native import quick


class Error(Exception):
    """The base class of the errors of this package. `code` is the library's status, a negative number."""

    code: int = native.INVALID_ARGUMENT

    def __init__(self, message: str, code: int | None = None) -> None:
        super().__init__(message)
        if code is not None:
            self.code = code


class InvalidArgumentError(Error, ValueError):
    """An argument has a value out of its range."""


class WrongTypeError(InvalidArgumentError, TypeError):
    """A setting has a wrong type."""


class BadAddressError(Error, ValueError):
    """The server cannot listen on the address."""

    code = native.BAD_ADDRESS


class SystemCallError(Error, OSError):
    """A system call failed. `errno` says why."""

    code = native.IO


class AddressInUseError(SystemCallError):
    """Another socket already listens on the address."""

    code = native.ADDRESS_IN_USE


class PermissionDeniedError(SystemCallError, PermissionError):
    """This process may not listen on the address."""

    code = native.PERMISSION_DENIED


class BadRouteError(Error, ValueError):
    """The pattern is malformed, or the route conflicts with another."""

    code = native.BAD_ROUTE


class BadHeaderError(Error, ValueError):
    """A header name or value contains a character that may not be sent, or the field is reserved."""

    code = native.BAD_HEADER


class BadStatusError(Error, ValueError):
    """The status is not one that a response can have: 200 to 599."""

    code = native.BAD_STATUS_CODE


class BadTlsError(Error, ValueError):
    """A certificate, a key or another setting of TLS cannot be used. The message names the file."""

    code = native.BAD_TLS


class AlreadyStartedError(Error, RuntimeError):
    """The server is already running."""

    code = native.ALREADY_STARTED


class ForkedError(Error, RuntimeError):
    """The server was started before a fork, and this process is the child."""

    code = native.FORKED


_BY_CODE: dict[int, type[Error]] = {
    kind.code: kind
    for kind in (
        InvalidArgumentError,
        BadAddressError,
        AddressInUseError,
        PermissionDeniedError,
        SystemCallError,
        BadRouteError,
        BadHeaderError,
        BadStatusError,
        BadTlsError,
        AlreadyStartedError,
        ForkedError,
    )
}


def make(code: int, message: str = "", errno: int = 0) -> Error:
    """Returns the exception for a status code. The default message is the library's text for it."""
    if not message:
        text = quick.status_text(code)
        message = text.decode() if text else f"status {code}"
    error = _BY_CODE.get(code, Error)(message, code)
    if isinstance(error, SystemCallError) and errno:
        error.errno = errno
    return error


def check(code: int, what: str = "") -> None:
    """Raises the exception for `code` unless it is `OK`."""
    if code != native.OK:
        text = str(make(code))
        raise make(code, f"{what}: {text}" if what else text)


class ErrorSlot:
    """The `transom_error **` argument of a call.

    The caller passes `reference` to the call and its status to `check`.
    """

    def __init__(self) -> None:
        self._pointer = c_void_p()
        self.reference = byref(self._pointer)

    def check(self, code: int) -> None:
        """Raises the exception for `code` with the library's message, and frees the library's error."""
        if code != native.OK or self._pointer.value is not None:
            raise self.error_of(code)

    def error_of(self, code: int) -> Error:
        """Returns the exception for `code` with the library's message, and frees the library's error."""
        pointer, self._pointer.value = self._pointer.value, None
        if pointer is None:
            return make(code)
        message = (quick.error_message(pointer) or b"").decode("utf-8", "replace")
        errno = quick.error_errno(pointer)
        quick.error_free(pointer)
        return make(code, message, errno)

    def check_present(self, code: int) -> None:
        """Raises the exception for `code`, unless it only says that nobody waits for the response."""
        if code not in (native.ALREADY_ANSWERED, native.GONE, native.STOPPED):
            self.check(code)
