"""The cookies that a test client keeps between its requests."""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from time import monotonic

from transom._check import text


class CookieJar(MutableMapping[str, str]):
    """A mapping from the names of cookies to their values.

    The server's Set-Cookie fields fill it, and a test may set and delete cookies. The attributes Path,
    Max-Age and Expires are followed. Domain and Secure are not: there is one host, and tests need no TLS.
    """

    def __init__(self) -> None:
        #: The value, the path, and when the cookie ends, as `monotonic` has it.
        self._cookies: dict[str, tuple[str, str, float | None]] = {}

    def store(self, line: str) -> None:
        """Keeps the cookie of a Set-Cookie field, or forgets it if it has expired."""
        pair, *attributes = line.split(";")
        name, _, value = pair.strip().partition("=")
        path, left = "/", None
        for attribute in attributes:
            key, _, given = attribute.strip().partition("=")
            match key.lower():
                case "path" if given.startswith("/"):
                    path = given
                case "max-age":
                    left = _number(given)
                case "expires" if left is None:
                    left = _left_until(given)
        if left is not None and left <= 0:
            self._cookies.pop(name, None)
        else:
            self._cookies[name] = value, path, None if left is None else monotonic() + left

    def line(self, path: str) -> str:
        """Returns the Cookie field for a request of that path; empty if there are no cookies for it."""
        return "; ".join(f"{name}={value}" for name, value in self.matching(path).items())

    def matching(self, path: str) -> dict[str, str]:
        """Returns the cookies for a request of that path."""
        path = path.partition("?")[0]
        return {name: self._cookies[name][0] for name in self if _covers(self._cookies[name][1], path)}

    def __getitem__(self, name: str) -> str:
        if name not in list(self):
            raise KeyError(name)
        return self._cookies[name][0]

    def __setitem__(self, name: str, value: str) -> None:
        self._cookies[text("the name of a cookie", name)] = text("the value of a cookie", value), "/", None

    def __delitem__(self, name: str) -> None:
        del self._cookies[name]

    def __iter__(self) -> Iterator[str]:
        now = monotonic()
        kept = [name for name, (_, _, end) in self._cookies.items() if end is None or end > now]
        return iter(kept)

    def __len__(self) -> int:
        return len(list(iter(self)))

    def __repr__(self) -> str:
        return f"CookieJar({dict(self)})"


def _covers(own: str, path: str) -> bool:
    """Returns `True` if a cookie with this path goes to a request (RFC 6265 5.1.4)."""
    return path == own or path.startswith(own if own.endswith("/") else f"{own}/")


def _number(given: str) -> float | None:
    try:
        return float(int(given))
    except ValueError:
        return None


def _left_until(given: str) -> float | None:
    try:
        until = parsedate_to_datetime(given)
    except (TypeError, ValueError):
        return None
    if until.tzinfo is None:
        until = until.replace(tzinfo=timezone.utc)
    return (until - datetime.now(timezone.utc)).total_seconds()
