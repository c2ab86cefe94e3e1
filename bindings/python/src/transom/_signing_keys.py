"""The keys that sign the values of cookies."""

from __future__ import annotations

from transom._check import got, text
from transom._errors import InvalidArgumentError

#: The least bytes of a key.
_LEAST = 32


class SigningKeys:
    """The keys that sign the values of cookies with HMAC-SHA256, so that a client cannot change them.

    The first key signs; signatures of the others, which are older, are still accepted. A key has at least
    32 random bytes. A client can read a signed value, and send an old one again: put a time into the value
    if that matters.

    A signed value is the value, a dot, and the signature of `name=value` in 64 hexadecimal digits: the
    same in Rust, C and Python. Signatures are compared in constant time.

    >>> keys = SigningKeys(b"32 random bytes that nobody knows")
    >>> signed = keys.sign("user", "ada")
    >>> keys.verify("user", signed)
    'ada'
    >>> keys.verify("role", signed) is None
    True
    """

    __slots__ = ("_keys",)

    def __init__(self, key: bytes, *old: bytes) -> None:
        for given in (key, *old):
            if not isinstance(given, bytes):
                raise TypeError(f"a key is bytes, got {got(given)}")
            if len(given) < _LEAST:
                raise InvalidArgumentError(f"a key has at least {_LEAST} bytes, got {len(given)}")
        self._keys = (key, *old)

    def sign(self, name: str, value: str) -> str:
        """Returns a value with its signature, for the cookie of that name."""
        name, value = text("the name of a cookie", name), text("the value of a cookie", value)
        return f"{value}.{_signature(self._keys[0], name, value)}"

    def verify(self, name: str, signed: str) -> str | None:
        """Returns the value if one of the keys has signed it for the cookie of that name."""
        from hmac import compare_digest

        value, dot, given = text("a signed value", signed).rpartition(".")
        if not dot:
            return None
        given_bytes = given.encode("utf-8", "surrogateescape")
        right = [compare_digest(_signature(key, name, value).encode(), given_bytes) for key in self._keys]
        return value if any(right) else None

    def __repr__(self) -> str:
        return f"<SigningKeys, {len(self._keys)} keys>"


def _signature(key: bytes, name: str, value: str) -> str:
    # Most programs sign nothing, and need not load it.
    import hmac

    pair = f"{name}={value}".encode("utf-8", "surrogateescape")
    return hmac.new(key, pair, "sha256").hexdigest()
