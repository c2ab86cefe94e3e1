"""The parts of a request that are read by name: query, header fields and cookies."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, ClassVar, TypeVar, overload

from transom._http_error import MissingValueError

_T = TypeVar("_T")


class MultiDict(Mapping[str, str]):
    """A mapping from names to values, in order. A name may have several values.

    `[name]` is the first value, and `get_all` has all values. `[name]` raises `MissingValueError`,
    a `KeyError`, if there is no value; if the handler does not catch it, the client gets a 400.

    >>> query = MultiDict([("tag", "a"), ("tag", "b")])
    >>> query["tag"], query.get_all("tag"), query.get("page")
    ('a', ['a', 'b'], None)
    """

    __slots__ = ("_pairs", "_values")

    #: What a value is called in the response to a request without it.
    _kind: ClassVar[str] = "value"

    def __init__(self, pairs: Iterable[tuple[str, str]] = ()) -> None:
        if not isinstance(pairs, Iterable):
            raise TypeError(f"{type(self).__name__} takes pairs of str, got {type(pairs).__name__}")
        self._pairs = list(pairs)
        for pair in self._pairs:
            match pair:
                case (str(), str()):
                    pass
                case _:
                    raise TypeError(f"{type(self).__name__} takes pairs of str, got {pair!r:.80} among them")
        self._values: dict[str, list[str]] | None = None

    def _key(self, name: str) -> str:
        return name

    def _index(self) -> dict[str, list[str]]:
        values = self._values
        if values is None:
            values = {}
            for name, value in self._pairs:
                values.setdefault(self._key(name), []).append(value)
            self._values = values
        return values

    @property
    def pairs(self) -> list[tuple[str, str]]:
        """All names with their values, in order, with repeated names."""
        return list(self._pairs)

    def get_all(self, name: str) -> list[str]:
        """Returns the values of a name, in order; an empty list if there is none."""
        return list(self._index().get(self._key(name), ()))

    @overload
    def get(self, name: str, /) -> str | None: ...
    @overload
    def get(self, name: str, /, default: str | _T) -> str | _T: ...
    def get(self, name: str, /, default: Any = None) -> Any:
        """Returns the first value of a name, or the default."""
        # The method of `Mapping` would make an exception for each missing value.
        values = self._index().get(self._key(name))
        return default if values is None else values[0]

    def __getitem__(self, name: str) -> str:
        values = self._index().get(self._key(name))
        if values is None:
            raise MissingValueError(self._kind, name)
        return values[0]

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and self._key(name) in self._index()

    def __iter__(self) -> Iterator[str]:
        return iter(self._index())

    def __len__(self) -> int:
        return len(self._index())

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._pairs!r})"


class Query(MultiDict):
    """The parameters of a query."""

    __slots__ = ()

    _kind = "query parameter"


class Headers(MultiDict):
    """Header fields. Names are compared without regard to case, and values are decoded as Latin-1.

    >>> headers = Headers.parse(b"Host: example.org\\r\\nAccept: a\\r\\naccept: b\\r\\n")
    >>> headers["HOST"], headers.get_all("Accept")
    ('example.org', ['a', 'b'])
    >>> headers.raw[2]
    (b'accept', b'b')
    """

    __slots__ = ("raw",)

    _kind = "header field"

    #: Names and values as bytes, in the order in which they were sent.
    raw: list[tuple[bytes, bytes]]

    @classmethod
    def parse(cls, block: bytes) -> Headers:
        """Parses `name: value` lines, each ended by CRLF. Raises `TypeError` if the block is not bytes."""
        if not isinstance(block, bytes):
            raise TypeError(f"a header block is bytes, got {type(block).__name__}")
        raw = []
        for line in block.split(b"\r\n"):
            name, colon, value = line.partition(b":")
            if colon:
                raw.append((name, value.strip(b" \t")))
        headers = cls((name.decode("latin-1"), value.decode("latin-1")) for name, value in raw)
        headers.raw = raw
        return headers

    def _key(self, name: str) -> str:
        # A key of another type matches no field.
        return name.lower() if isinstance(name, str) else name


class Cookies(dict[str, str]):
    """The cookies of a request. `[name]` raises `MissingValueError` if there is no such cookie."""

    __slots__ = ()

    def __missing__(self, name: object) -> str:
        raise MissingValueError("cookie", name)
