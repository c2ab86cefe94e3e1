"""The parts of a server that are stuck."""

from __future__ import annotations

import ctypes
from ctypes import byref, c_char, c_size_t, c_uint64, sizeof
from dataclasses import dataclass

from transom._errors import check
from transom._native import quick


@dataclass(frozen=True, slots=True)
class Stuck:
    """A part of a server that does not turn; see `Running.stuck`."""

    #: Its name: `"Python"`, `"the event loop"`, `"the thread pool"`, `"the pull queue"`, or a native thread
    #: such as `"worker 0"`.
    name: str
    #: Seconds since it turned last.
    lasted: float
    #: Where it stands, such as how many requests wait; `""` if that is not known.
    detail: str


class _StuckStruct(ctypes.Structure):
    """`transom_stuck`."""

    _fields_ = [("name", c_char * 64), ("detail", c_char * 256), ("lasted_ns", c_uint64)]

    def read(self) -> Stuck:
        return Stuck(self.name.decode(), self.lasted_ns / 1e9, self.detail.decode())


def stuck_of(server: int) -> list[Stuck]:
    """Returns the parts of the native server at this address that are stuck."""
    room = 8
    while True:
        found, count = (_StuckStruct * room)(), c_size_t()
        check(quick.server_stuck(server, found, sizeof(_StuckStruct), room, byref(count)))
        if count.value <= room:
            return [one.read() for one in found[: count.value]]
        room = count.value
