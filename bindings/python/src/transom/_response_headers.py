"""The header fields of a response, as a mapping."""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping
from typing import Protocol

from transom._headers import block_without
from transom._packed import Parts


class HasFields(Protocol):
    """A response, as far as its header fields go."""

    #: Status, header block and body.
    _parts: Parts

    @property
    def fields(self) -> list[tuple[str, str]]:
        """The header fields as pairs, in order."""

    def set_header(self, name: str, value: str) -> None:
        """Sets a header field, and removes others of the same name."""


class ResponseHeaders(MutableMapping[str, str]):
    """The header fields of a response. Names are compared without regard to case.

    `[name]` is the first value of a name, and `get_all` has all. Setting a name removes its other
    values, except for Set-Cookie: each cookie has a field of its own. Raises what `Response.set_header`
    raises, and `KeyError` if there is no such field.
    """

    __slots__ = ("_response",)

    def __init__(self, response: HasFields) -> None:
        self._response = response

    def get_all(self, name: str) -> list[str]:
        """Returns the values of a name, in order."""
        return [value for key, value in self._response.fields if key.lower() == name.lower()]

    def __getitem__(self, name: str) -> str:
        values = self.get_all(name) if isinstance(name, str) else []
        if not values:
            raise KeyError(name)
        return values[0]

    def __setitem__(self, name: str, value: str) -> None:
        self._response.set_header(name, value)

    def __delitem__(self, name: str) -> None:
        if name not in self:
            raise KeyError(name)
        status, _, body = self._response._parts
        self._response._parts = status, block_without(self._response.fields, name.lower()), body

    def __iter__(self) -> Iterator[str]:
        return iter({name.lower(): None for name, _ in self._response.fields})

    def __len__(self) -> int:
        return len({name.lower() for name, _ in self._response.fields})

    def __repr__(self) -> str:
        return f"<ResponseHeaders {self._response.fields!r}>"
