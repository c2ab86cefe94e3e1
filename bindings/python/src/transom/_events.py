"""What the library tells: clients that leave, deadlines that pass, room in a body, log messages.

Nothing of the library calls Python. It keeps events in a queue, and a thread or an event
loop takes them from there.
"""

from __future__ import annotations

import logging
import threading
import weakref
from collections.abc import Callable
from ctypes import byref, c_uint32, create_string_buffer, string_at
from struct import Struct
from types import SimpleNamespace
from typing import Any

from transom import _native as native
from transom._errors import make
from transom._logs import LEVEL, log_all
from transom._native import quick

#: The most events that are taken at once.
_MOST = 64
#: `transom_event`: kind, reserved, token.
_EVENT = Struct("=iIQ")

_log = logging.getLogger("transom")


class Events:
    """A queue of events. One thread delivers them; any may watch."""

    def __init__(self) -> None:
        pointer = quick.events_new()
        if not pointer:
            raise make(native.IO, "the queue of events could not be made")
        self.pointer: int = pointer
        self._finalizer = weakref.finalize(self, quick.events_free, pointer)
        # At exit, threads may still wait for events.
        self._finalizer.atexit = False
        #: Held while events are asked for, and when they are freed.
        self._using = threading.Lock()
        self._buffer = create_string_buffer(_MOST * _EVENT.size)
        self._count = c_uint32()
        # Those who want to know keep their `Presence`: what nobody waits for is forgotten.
        self._requests: weakref.WeakValueDictionary[int, Presence] = weakref.WeakValueDictionary()
        self._writers: weakref.WeakValueDictionary[int, Presence] = weakref.WeakValueDictionary()
        #: Futures of those who wait for room, by their writers.
        self._rooms: dict[int, Any] = {}

    @property
    def fd(self) -> int:
        """A descriptor that is readable while events wait. Raises `SystemCallError`."""
        fd = int(quick.events_fd(self.pointer))
        if fd < 0:
            raise make(native.IO, "the descriptor of events could not be made")
        return fd

    def follow_log(self) -> None:
        """Passes on log messages too, from now on."""
        quick.log_to_events(self.pointer, LEVEL)

    def close(self) -> None:
        """Ends it: `deliver` returns `False` from now on."""
        quick.log_to_events(self.pointer, 0)
        quick.events_close(self.pointer)
        log_all()

    def free(self) -> None:
        """Frees it now, with its descriptor: nobody delivers its events any more."""
        with self._using:
            self.pointer = 0
            self._finalizer()

    def watch(self, presence: Presence) -> None:
        """Tells `presence` when its client leaves or its exchange is over."""
        with self._using:
            if presence.writer:
                self._writers[presence.writer] = presence
                code = quick.events_watch_writer(self.pointer, presence.writer)
            else:
                self._requests[presence.token] = presence
                code = quick.events_watch_request(self.pointer, presence.token)
        if code != native.OK:
            # It was answered, or the server has stopped.
            presence.over()

    async def room(self, writer: int, future: Any) -> None:
        """Waits, in the loop that delivers, until the writer takes a chunk or nobody reads any more."""
        self._rooms[writer] = future
        try:
            if quick.events_await_room(self.pointer, writer) == native.OK:
                await future
        finally:
            self._rooms.pop(writer, None)

    def deliver(self, wait: int = 0, view: SimpleNamespace = quick) -> bool:
        """Tells of the events there are; waits up to `wait` milliseconds for the first.

        `False` if there will be no more.
        """
        count = self._count
        code = view.events_next(self.pointer, self._buffer, _MOST, wait, byref(count))
        if code == native.OK:
            data = string_at(self._buffer, count.value * _EVENT.size)
            for kind, _, token in _EVENT.iter_unpack(data):
                try:
                    self._tell(kind, token)
                except Exception:
                    _log.exception("what waited for an event failed")
        return bool(code in (native.OK, native.TIMEOUT))

    def _tell(self, kind: int, token: int) -> None:
        if kind == native.EVENT_WRITABLE:
            future = self._rooms.get(token)
            if future is not None and not future.done():
                future.set_result(None)
        elif kind == native.EVENT_LOG:
            log_all()
        else:
            of_writer = kind == native.EVENT_WRITER_GONE
            presence = (self._writers if of_writer else self._requests).get(token)
            if presence is None:
                return
            if kind == native.EVENT_GONE:
                presence.left()
            else:
                presence.over()


class Presence:
    """Whether somebody waits for the answer to a request, or reads it, and who wants to know.

    Any thread may use it.
    """

    __slots__ = (
        "__weakref__",
        "_events",
        "_functions",
        "_gone",
        "_hook",
        "_lock",
        "_watched",
        "is_over",
        "probe",
        "token",
        "writer",
    )

    def __init__(self, events: Events, token: int) -> None:
        self.token = token
        #: The writer of the answer, once that has begun to be sent in chunks.
        self.writer = 0
        #: Whether nobody waits for the answer, or reads it, any more.
        self.is_over = False
        #: Called when the client has closed its sending side, before the answer has begun, in
        #: place of taking that for its end: it begins the answer, which shows who reads it.
        self.probe: Callable[[], object] | None = None
        self._events = events
        self._functions: list[Callable[[], object]] = []
        self._gone = False
        self._hook: Callable[[], object] | None = None
        self._lock = threading.Lock()
        self._watched = False

    @property
    def is_gone(self) -> bool:
        """Whether the client has left, or nobody waits for the answer or reads it for another reason."""
        if self.writer:
            return bool(quick.writer_is_gone(self.writer))
        return bool(quick.responder_is_gone(quick.token_responder(self.token)))

    def on_gone(self, function: Callable[[], object]) -> None:
        """Calls `function` once when the client has left; at once if it has."""
        with self._lock:
            gone = self._gone
            if not gone:
                self._functions.append(function)
        if gone:
            _call(function)
        else:
            self._watch()

    @property
    def has_hook(self) -> bool:
        """Whether there is a hook, or it was called."""
        return self._hook is not None or self.is_over

    def set_hook(self, hook: Callable[[], object]) -> None:
        """Calls `hook`, in place of the one before, once nobody waits or reads any more."""
        with self._lock:
            over = self.is_over
            self._hook = None if over else hook
        if over:
            hook()
        else:
            self._watch()

    def _watch(self) -> None:
        with self._lock:
            watched, self._watched = self._watched, True
        if not watched:
            self._events.watch(self)

    def begin(self, writer: int, events: Events) -> None:
        """The answer begins to be sent: from now on it counts whether it is read."""
        with self._lock:
            self.writer = writer
            self.probe = None
            self._events = events
            self._watched = wanted = bool(self._functions or self._hook)
        if wanted:
            events.watch(self)

    def end(self) -> None:
        """The handler is done, and its answer given: nobody is told any more, nor kept."""
        with self._lock:
            self.probe = self._hook = None
            self._functions = []

    def left(self) -> None:
        """The client has left, or closed its sending side."""
        probe, self.probe = self.probe, None
        if probe is not None:
            probe()
        elif not self.writer:
            self._tell_gone()

    def over(self) -> None:
        """Nobody waits for the answer, or reads it, any more."""
        with self._lock:
            self.is_over = True
            hook, self._hook = self._hook, None
        try:
            if hook is not None:
                hook()
        finally:
            self._tell_gone()

    def _tell_gone(self) -> None:
        with self._lock:
            self._gone = True
            functions, self._functions = self._functions, []
        for function in functions:
            _call(function)


def _call(function: Callable[[], object]) -> None:
    """Calls a function of the application, whose failure concerns nobody else."""
    try:
        function()
    except BaseException:
        _log.exception("a function for a client that left failed")
