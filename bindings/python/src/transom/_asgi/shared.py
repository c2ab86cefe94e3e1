"""The parts that the exchanges of one application share in one run of a server."""

from __future__ import annotations

from collections.abc import Callable
from ctypes import byref, c_size_t, create_string_buffer

from transom._body import PIECE
from transom._request import Request


class Shared:
    """The way of responses to the library, and the room for parts of bodies. One event loop uses it."""

    __slots__ = ("answer", "buffer", "length", "length_at", "refuse")

    def __init__(self, answer: Callable[..., None], refuse: Callable[[Request, Exception], None]) -> None:
        #: Sends a whole response, with those of other requests: takes a token, `Parts` and, perhaps, flags.
        self.answer = answer
        #: Answers a request whose body cannot be read to its end.
        self.refuse = refuse
        #: The place for a part of a body, which is copied from there before anything else runs.
        self.buffer = create_string_buffer(PIECE)
        self.length = c_size_t()
        self.length_at = byref(self.length)
