"""The plain texts of error responses: the same texts as those of the native library."""

from __future__ import annotations

from http import HTTPStatus

from transom._headers import TEXT, content_type_line
from transom._packed import Parts

#: The reason phrases of RFC 9110 that differ from those of some version of CPython.
_PHRASES = {
    413: "Content Too Large",
    414: "URI Too Long",
    416: "Range Not Satisfiable",
    418: "I'm a teapot",
    422: "Unprocessable Content",
}


def plain_text(status: int) -> str:
    """Returns the plain text of a status: its code and reason phrase.

    >>> plain_text(404)
    '404 Not Found\\n'
    """
    phrase = _PHRASES.get(status)
    if phrase is None:
        try:
            phrase = HTTPStatus(status).phrase
        except ValueError:
            phrase = ""
    return f"{status} {phrase}\n"


#: The response to a request whose handler failed.
SERVER_ERROR: Parts = (500, content_type_line(TEXT), plain_text(500).encode())
