"""The counters of a server, and its connections."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Mapping
from ctypes import byref, c_char, c_int32, c_int64, c_size_t, c_uint64, c_void_p, sizeof, string_at
from dataclasses import dataclass

from transom._errors import check
from transom._native import quick


@dataclass(frozen=True, slots=True)
class Stats:
    """The counters of a server, as they were when it was asked for them.

    The names in the mappings may grow with later versions.
    """

    #: Connections that are open.
    connections: int
    #: Connections that were let in since the start.
    accepted: int
    #: Requests in progress: those whose responses are not written to the end.
    pending: int
    #: Requests that have ended since the start, other than those that were cut off. One whose
    #: head was refused does not count here.
    requests: int
    #: Requests that were cut off at the timeout of a stop.
    cut: int
    #: Requests and connections that were refused since the start.
    refused: int
    #: Bytes of request bodies in memory.
    body_bytes: int
    #: Threads of the native pool. Handlers in Python run on threads of the package.
    pool_threads: int
    #: Threads of the native pool that run a handler.
    pool_busy: int
    #: Requests that wait for a thread of the native pool.
    pool_queued: int
    #: Requests that wait for Python.
    pull_queued: int
    #: Connections in the steps before HTTP, such as a TLS handshake. They count in `connections` too.
    opening: int
    #: Bytes that were read from clients, as HTTP. Connections that were refused do not count.
    bytes_in: int
    #: Bytes that were written to clients, as HTTP. Connections that were refused do not count.
    bytes_out: int
    #: TLS handshakes that were done.
    tls_handshakes: int
    #: Connections with TLS that ended before their handshake was done.
    tls_failures: int
    #: How many connections are in each state: `"idle"`, `"reading-head"`, `"reading-body"`, `"handling"`,
    #: `"answering"`, `"lingering"`, `"upgraded"`.
    states: Mapping[str, int]
    #: How many deadlines have passed since the start, by the name of the timeout: `"handshake"`, `"idle"`,
    #: `"head"`, `"body"`, `"handler"`, `"write"`, `"linger"`.
    expired: Mapping[str, int]
    #: How many requests and connections were refused since the start, by the reason, such as
    #: `"missing-host"`. Reasons for which none was refused are left out.
    refusals: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Connection:
    """A connection of a server, as it was when the server was asked for its connections."""

    #: The client, or the proxy in front of it: `"127.0.0.1:40000"`, or `"unix"`.
    peer: str
    #: The state of the connection: one of the names in `Stats.states`.
    state: str
    #: Seconds since the state began, to a few milliseconds.
    lasted: float
    #: The pattern of the route whose handler runs, or whose response is sent; `""` for the fallback. `None`
    #: if there is no such route.
    route: str | None
    #: Bytes that were read from the client, as HTTP.
    bytes_in: int
    #: Bytes that were written to the client, as HTTP. Of a stream, up to 4 MiB count later.
    bytes_out: int
    #: Requests that have ended.
    requests: int
    #: Seconds until the server ends what the connection does. `None` if there is no such time, or if it
    #: depends on the rate at which the client sends or reads.
    deadline: float | None


#: The members of `transom_stats` after its size. `Stats` begins with them.
_COUNTERS = (
    "connections",
    "accepted",
    "pending",
    "requests",
    "cut",
    "refused",
    "body_bytes",
    "pool_threads",
    "pool_busy",
    "pool_queued",
    "pull_queued",
    "opening",
    "bytes_in",
    "bytes_out",
    "tls_handshakes",
    "tls_failures",
)


class _StatsStruct(ctypes.Structure):
    """`transom_stats`."""

    _fields_ = [("size", c_size_t), *((name, c_uint64) for name in _COUNTERS)]


class _ConnectionStruct(ctypes.Structure):
    """`transom_connection_info`."""

    _fields_ = [
        ("peer", c_char * 64),
        ("route", c_void_p),
        ("route_len", c_size_t),
        ("lasted_ns", c_uint64),
        ("deadline_ms", c_int64),
        ("bytes_in", c_uint64),
        ("bytes_out", c_uint64),
        ("requests", c_uint64),
        ("state", c_int32),
        ("reserved", c_int32),
    ]

    def read(self) -> Connection:
        return Connection(
            peer=self.peer.decode(),
            state=quick.connection_state_name(self.state).decode(),
            lasted=self.lasted_ns / 1e9,
            route=None if self.route is None else string_at(self.route, self.route_len).decode(),
            bytes_in=self.bytes_in,
            bytes_out=self.bytes_out,
            requests=self.requests,
            deadline=None if self.deadline_ms < 0 else self.deadline_ms / 1000,
        )


def stats_of(server: int) -> Stats:
    """Returns the counters of the native server at this address."""
    counters = _StatsStruct(size=sizeof(_StatsStruct))
    check(quick.server_stats(server, byref(counters)))
    return Stats(
        **{name: getattr(counters, name) for name in _COUNTERS},
        states=_by_name(quick.connection_state_name, lambda state: quick.server_in_state(server, state)),
        expired=_by_name(quick.deadline_name, lambda deadline: quick.server_expired(server, deadline)),
        refusals={
            name: count
            for name, count in _by_name(
                quick.reject_name, lambda reject: quick.server_refused(server, reject)
            ).items()
            if count
        },
    )


def connections_of(server: int) -> list[Connection]:
    """Returns the connections of the native server at this address."""
    room = 64
    while True:
        found, count = (_ConnectionStruct * room)(), c_size_t()
        check(quick.server_connections(server, found, sizeof(_ConnectionStruct), room, byref(count)))
        if count.value <= room:
            return [connection.read() for connection in found[: count.value]]
        room = count.value + count.value // 8


def _by_name(name: Callable[[int], bytes], count: Callable[[int], int]) -> dict[str, int]:
    """Counts by the names of a numbering that begins at 1."""
    counts = {}
    number = 1
    while (known := name(number)) != b"unknown":
        counts[known.decode()] = count(number)
        number += 1
    return counts
