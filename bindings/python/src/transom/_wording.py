"""The words of error responses: plain text, JSON, or a page for a status."""

from __future__ import annotations

import re
from typing import Literal, TypeAlias

from transom._headers import TEXT, pairs_of
from transom._http_error import HTTPError
from transom._json import dumps, escaped
from transom._packed import Parts
from transom._plain import plain_text
from transom._response import Response

#: The form of error responses: plain text, or JSON as in RFC 9457.
ErrorFormat: TypeAlias = Literal["text", "json"]

#: The media type of errors in JSON (RFC 9457 6.1).
PROBLEM = "application/problem+json"
#: The body of the server's own answers in JSON.
PROBLEM_BODY = '{"status":{status},"title":"{reason}"{?,"detail":"{detail}"?}}'
#: A part of a page that is sent only with a detail.
_OPTIONAL = re.compile(r"\{\?.*?\?\}", re.DOTALL)


class Wording:
    """The form of error responses, and the pages for some statuses: pairs of content type and text."""

    def __init__(self, form: ErrorFormat, pages: dict[int, tuple[str, str]]) -> None:
        self._form = form
        #: The words for the answers that the library gives by itself.
        self.own_bodies = dict(pages)
        if form == "json":
            self.own_bodies.setdefault(0, (PROBLEM, PROBLEM_BODY))
        self._pages = pages
        #: The response to a request whose handler failed.
        self.server_error: Parts = self.http_error(HTTPError(500))

    def http_error(self, error: HTTPError) -> Parts:
        """Converts an `HTTPError`. Raises an error if its header fields or its JSON cannot be sent."""
        status, headers = error.status, error.headers
        if error.json is not None:
            return Response.json(error.json, status=status, headers=headers)._parts
        page = None if error.message else self._pages.get(status, self._pages.get(0))
        title = plain_text(status)[4:].rstrip("\n")
        if page is not None:
            content_type, body = page
            body = _OPTIONAL.sub("", body).replace("{status}", str(status)).replace("{reason}", title)
            body = body.replace("{detail}", "")
        elif self._form == "json":
            problem: dict[str, object] = {"status": status, "title": title}
            if error.message:
                problem["detail"] = error.message
            content_type, body = PROBLEM, escaped(dumps(problem))
        else:
            content_type, body = TEXT, f"{error.message}\n" if error.message else plain_text(status)
        if any(name.lower() == "content-type" for name, _ in pairs_of(headers)):
            return Response(body, status=status, headers=headers)._parts
        return Response(body, status=status, headers=headers, content_type=content_type)._parts
