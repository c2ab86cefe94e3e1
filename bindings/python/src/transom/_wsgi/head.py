"""The head of a response, as an application gives it to `start_response`."""

from __future__ import annotations

import re
from typing import Any

from transom._check import got, shown
from transom._errors import BadHeaderError, BadStatusError
from transom._headers import header_line
from transom._reserved import check as check_fields

_STATUS = re.compile(r"[2-5][0-9][0-9](?: [\t\x20-\x7e\x80-\xff]*)?")
#: Lines of fields without a character that must not be sent.
_BLOCK = re.compile(r"(?:[!#$%&'*+\-.^_`|~0-9A-Za-z]+: [\t\x20-\x7e\x80-\xff]*\r\n)*")
#: The fields that frame messages or are about the connection: there are rules for their values.
_RULED = frozenset(
    (
        "connection",
        "content-length",
        "keep-alive",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    )
)


class Head:
    """A status and the header fields, which are kept in their order and as they are written."""

    __slots__ = ("block", "fields", "length", "status")

    def __init__(self, status: Any, headers: Any) -> None:
        """Raises `BadStatusError`, `BadHeaderError` or `TypeError` for what cannot be sent."""
        if not isinstance(status, str) or not _STATUS.fullmatch(status):
            raise _bad_status(status)
        #: The code of the status. The reason phrase is the usual one.
        self.status = int(status[:3])
        #: The number of bytes that the application has announced.
        self.length: int | None = None
        if type(headers) is not list:
            raise TypeError(f"the headers of start_response are a list of pairs of str, got {got(headers)}")
        self.fields: list[tuple[str, str]] = headers.copy()
        try:
            block = "".join([f"{name}: {value}\r\n" for name, value in headers])
        except (TypeError, ValueError):
            raise TypeError(f"a header of start_response is a pair of str, got {shown(headers)}") from None
        if block.count("\r\n") != len(headers) or not _BLOCK.fullmatch(block):
            _expect_sendable(headers)
        #: The lines of the fields.
        self.block = block.encode("latin-1")
        is_ruled = False
        for pair in headers:
            if not isinstance(pair, (tuple, list)):
                raise TypeError(f"a header of start_response is a pair of str, got {got(pair)}")
            name, value = pair
            if type(name) is not str or type(value) is not str or ": " in name:
                header_line(name, value)
            if name.lower() in _RULED:
                is_ruled = True
        if is_ruled:
            self._obey_rules()

    def _obey_rules(self) -> None:
        """Raises `BadHeaderError` for a field that only the server may set, and takes the Content-Length."""
        check_fields(self.status, self.fields)
        for name, value in self.fields:
            if name.lower() == "content-length":
                self.length = int(value.partition(",")[0])


def _bad_status(status: Any) -> Exception:
    if not isinstance(status, str):
        return TypeError(f"the status of start_response is a str such as '200 OK', got {got(status)}")
    return BadStatusError(f"the status of start_response is one such as '200 OK', got {shown(status)}")


def _expect_sendable(headers: list[tuple[str, str]]) -> None:
    """Raises the error for the first field that cannot be sent."""
    for name, value in headers:
        header_line(name, value)
    raise BadHeaderError(f"the headers of start_response cannot be sent: {shown(headers)}")
