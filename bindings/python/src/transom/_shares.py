"""The shares that client addresses have of a queue."""

from __future__ import annotations

#: The bits of an IPv6 address that one client has whole.
_OWN_BITS = 64


class Shares:
    """Counts the work that waits for each client address, as `share_of` names it. The caller holds a lock."""

    __slots__ = ("_counts", "_total")

    def __init__(self) -> None:
        self._counts: dict[str, int] = {}
        self._total = 0

    def is_over(self, source: str) -> bool:
        """Returns `True` if the address would have more than its share with one more piece of work.

        A share is an equal part of all work for each address that has some.
        """
        own, addresses = self._counts.get(source, 0), len(self._counts)
        return own > 0 and addresses > 1 and (own + 1) * addresses > self._total + 1

    def add(self, source: str) -> None:
        """Counts one more piece of work."""
        self._counts[source] = self._counts.get(source, 0) + 1
        self._total += 1

    def remove(self, source: str) -> None:
        """Counts one piece of work less."""
        self._total -= 1
        self._counts[source] -= 1
        if not self._counts[source]:
            del self._counts[source]


def share_of(client: tuple[str, int] | None) -> str | None:
    """Returns the address that counts for a client: an IPv4 address, or the /64 of an IPv6 address."""
    if client is None or ":" not in client[0]:
        return None if client is None else client[0]
    # Loaded only if there is such a client.
    from ipaddress import IPv6Address

    try:
        address = IPv6Address(client[0])
    except ValueError:
        return client[0]
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return f"{int(address) >> _OWN_BITS:x}::/64"
