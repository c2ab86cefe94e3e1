"""What a server sends to a test client, read as the head of a response and its body."""

from __future__ import annotations

import http.client
import io
from typing import Any, cast

from transom._link import Link


class Incoming(io.RawIOBase):
    """What the server sends over a link, as a file."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._rest = b""

    def readable(self) -> bool:
        """Returns `True`."""
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        """Reads what there is."""
        if not self._rest:
            self._rest = self._link.read()
        piece, self._rest = self._rest[: len(buffer)], self._rest[len(buffer) :]
        buffer[: len(piece)] = piece
        return len(piece)


class _Source:
    """A link as `HTTPResponse` wants its socket."""

    def __init__(self, file: io.BufferedReader) -> None:
        self._file = file

    def makefile(self, mode: str) -> io.BufferedReader:
        return self._file


class _Kept(io.BufferedReader):
    """A file that an `HTTPResponse` closes, and that the next one reads on."""

    def close(self) -> None:
        pass


def read_head(link: Link, method: str) -> http.client.HTTPResponse:
    """Reads the head of the final response. Those before it, such as early hints, are dropped."""
    file = _Kept(Incoming(link))
    while True:
        answer = http.client.HTTPResponse(cast(Any, _Source(file)), method=method)
        try:
            answer.begin()
        except http.client.RemoteDisconnected:
            raise ConnectionError("the server has closed the connection without a response") from None
        except http.client.HTTPException as error:
            raise ConnectionError(f"the server has sent no HTTP response: {error!r}") from error
        if not 100 < answer.status < 200 or answer.status == 101:
            return answer
