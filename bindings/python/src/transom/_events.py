"""The events of the library: a client has disconnected, a deadline has passed, a body has room.

The library never calls Python. It puts events into a queue, and a thread or an event loop
takes them from it. An event also tells of new log messages.
"""

from __future__ import annotations

import logging
import threading
import weakref
from collections.abc import Awaitable, Callable
from ctypes import byref, c_uint32, c_void_p, create_string_buffer, string_at
from struct import Struct
from types import SimpleNamespace
from typing import Any

from transom import _native as native
from transom._background import Background
from transom._errors import make
from transom._finalizing import finish
from transom._logs import LEVEL, log_all
from transom._native import quick
from transom._stopping import Stopping
from transom._websocket_waits import WebSocketWaits

#: The most events that one call takes.
_MOST = 64
#: `transom_event`: kind, reserved, token.
_EVENT = Struct("=iIQ")

_log = logging.getLogger("transom")


class Events:
    """A queue of events. One thread delivers the events; any thread may watch a request."""

    def __init__(self, stopping: Stopping | None = None, background: Background | None = None) -> None:
        pointer = quick.events_new()
        if not pointer:
            raise make(native.IO, "the queue of events could not be made")
        self.pointer: int = pointer
        self._finalizer = weakref.finalize(self, quick.events_free, pointer)
        # When the interpreter exits, threads may still be waiting for events.
        self._finalizer.atexit = False
        #: Held while a request is being watched, and while the queue is freed.
        self._using = threading.Lock()
        self._buffer = create_string_buffer(_MOST * _EVENT.size)
        self._count = c_uint32()
        #: Called when a watchdog asks whether the thread that delivers the events turns.
        self.on_question: Callable[[], object] | None = None
        # The code that waits for an event holds the `Presence`. Others are dropped.
        self._requests: weakref.WeakValueDictionary[int, Presence] = weakref.WeakValueDictionary()
        self._writers: weakref.WeakValueDictionary[int, Presence] = weakref.WeakValueDictionary()
        #: The futures of tasks that wait for room, by their writers.
        self._rooms: dict[int, Any] = {}
        #: The writers to which something was written in this turn of the loop.
        self._fed: list[int] = []
        #: Tells when the server begins to stop.
        self.stopping = Stopping() if stopping is None else stopping
        #: The work after responses.
        self.background = Background() if background is None else background
        #: The event loop that delivers the events, if one does.
        self.loop: Any = None
        #: The functions that wake tasks which wait for a part of a body, by the tokens of its requests.
        self._bodies: dict[int, Callable[[], object]] = {}
        #: The tasks that wait for WebSocket connections.
        self.websockets = WebSocketWaits()

    @property
    def fd(self) -> int:
        """A descriptor that is readable while events are queued. Raises `SystemCallError`."""
        fd = int(quick.events_fd(self.pointer))
        if fd < 0:
            raise make(native.IO, "the descriptor of events could not be made")
        return fd

    def follow_log(self) -> None:
        """Delivers log messages too, from now on."""
        quick.log_to_events(self.pointer, LEVEL)

    def close(self) -> None:
        """Closes the queue: `deliver` returns `False` from now on."""
        quick.log_to_events(self.pointer, 0)
        quick.events_close(self.pointer)
        log_all()

    def free(self) -> None:
        """Frees the queue and its descriptor. `deliver` must not be called afterwards."""
        with self._using:
            self.pointer = 0
            finish(self._finalizer)

    def watch(self, presence: Presence) -> None:
        """Tells `presence` when its client disconnects or its request is over."""
        with self._using:
            if presence.writer:
                self._writers[presence.writer] = presence
                code = quick.events_watch_writer(self.pointer, presence.writer)
            else:
                self._requests[presence.token] = presence
                code = quick.events_watch_request(self.pointer, presence.token)
        if code != native.OK:
            # The request was answered, or the server has stopped.
            presence.over()

    def feed(self, writer: int, data: Any, size: int) -> int:
        """Writes to a body, and returns the status of that. Call it in the loop that delivers events.

        What is written in one turn of the loop is sent at its end. Otherwise each piece would wake the thread
        of the server, which would take the core from the loop to send that piece.
        """
        code: int = quick.writer_feed(writer, data, size)
        if code == native.OK:
            if not self._fed:
                self.loop.call_soon(self._flush)
            self._fed.append(writer)
        return code

    def _flush(self) -> None:
        fed, self._fed = self._fed, []
        quick.writer_flush((c_void_p * len(fed))(*fed), len(fed))

    async def room(self, writer: int, future: Any) -> None:
        """Waits until the writer has room or its client is gone. Call it in the loop that delivers events."""
        self._rooms[writer] = future
        try:
            if quick.events_await_room(self.pointer, writer) == native.OK:
                await future
        finally:
            self._rooms.pop(writer, None)

    async def body(self, token: int) -> bool:
        """Waits until there is more of a request's body, or its end. `False` if another task waits for it."""
        from asyncio import get_running_loop

        if token in self._bodies:
            return False
        loop = get_running_loop()
        future = loop.create_future()

        def wake() -> None:
            if not future.done():
                future.set_result(None)

        self._bodies[token] = wake if loop is self.loop else lambda: loop.call_soon_threadsafe(wake)
        try:
            if quick.events_await_body(self.pointer, token) == native.OK:
                await future
        finally:
            del self._bodies[token]
        return True

    def websocket_message(self, socket: int, timeout: float | None = None) -> Awaitable[bool]:
        """Waits until a connection has a message or has closed, after `receive_or_await` has found none.

        Gives `False` after `timeout` seconds. Raises `RuntimeError` if another task waits for it.
        """
        return self.websockets.until_message(socket, self.loop, timeout)

    async def websocket_room(self, socket: int, timeout: float | None = None) -> bool:
        """Waits until a connection has room for a message or has closed. `False` after `timeout` seconds."""
        return await self.websockets.until_room(
            socket,
            self.loop,
            lambda: quick.events_await_websocket_writable(self.pointer, socket),
            timeout,
        )

    def wake_reader(self, token: int) -> bool:
        """Wakes the task that waits for more of a request's body. Returns `False` if none does."""
        wake = self._bodies.get(token)
        if wake is not None:
            wake()
        return wake is not None

    def deliver(self, wait: int = 0, view: SimpleNamespace = quick) -> bool:
        """Delivers the queued events; waits up to `wait` milliseconds for the first.

        Returns `False` if the queue is closed.
        """
        count = self._count
        code = view.events_next(self.pointer, self._buffer, _MOST, wait, byref(count))
        if code == native.OK:
            data = string_at(self._buffer, count.value * _EVENT.size)
            receivers = self.websockets.receivers
            woken = 0
            for kind, _, token in _EVENT.iter_unpack(data):
                if kind == native.EVENT_WEBSOCKET_MESSAGE:
                    future = receivers.get(token)
                    if future is not None and not future.done():
                        future.set_result(True)
                        woken += 1
                    continue
                try:
                    self._tell(kind, token)
                except Exception:
                    _log.exception("a function that waited for an event failed")
            if woken > 1:
                self.websockets.gather(self.loop)
        return bool(code in (native.OK, native.TIMEOUT))

    def _tell(self, kind: int, token: int) -> None:
        if kind == native.EVENT_WRITABLE:
            future = self._rooms.get(token)
            if future is not None and not future.done():
                future.set_result(None)
        elif kind == native.EVENT_READABLE:
            self.wake_reader(token)
        elif kind == native.EVENT_WEBSOCKET_WRITABLE:
            self.websockets.tell_room(token)
        elif kind == native.EVENT_LOG:
            log_all()
        elif kind == native.EVENT_WATCHDOG:
            quick.events_answer(self.pointer, token)
            if self.on_question is not None:
                self.on_question()
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
    """The client of a request: whether it is still there, and the functions to call when it is gone.

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
        #: The writer of the response, once a response in chunks has begun.
        self.writer = 0
        #: `True` once the client neither waits for the response nor reads it.
        self.is_over = False
        #: Called if the client closes its sending side before the response has begun. It
        #: begins the response, which shows whether the client still reads. Without it, the
        #: client counts as gone.
        self.probe: Callable[[], object] | None = None
        self._events = events
        self._functions: list[Callable[[], object]] = []
        self._gone = False
        self._hook: Callable[[], object] | None = None
        self._lock = threading.Lock()
        self._watched = False

    @property
    def is_gone(self) -> bool:
        """`True` if the client has disconnected, or no longer waits for the response or reads it."""
        if self.writer:
            return bool(quick.writer_is_gone(self.writer))
        return bool(quick.responder_is_gone(quick.token_responder(self.token)))

    def on_gone(self, function: Callable[[], object]) -> None:
        """Calls `function` once when the client has disconnected, or at once if it already has."""
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
        """`True` if a hook is set, or was called."""
        return self._hook is not None or self.is_over

    def set_hook(self, hook: Callable[[], object]) -> None:
        """Sets the function to call once the client is gone, in place of an earlier one."""
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
        """Records that the response has begun: from now on, events come from its writer."""
        with self._lock:
            self.writer = writer
            self.probe = None
            self._events = events
            self._watched = wanted = bool(self._functions or self._hook)
        if wanted:
            events.watch(self)

    def end(self) -> None:
        """Records that the request is answered: no function is called any more, and all are dropped."""
        with self._lock:
            self.probe = self._hook = None
            self._functions = []

    def left(self) -> None:
        """Handles the event that the client has disconnected, or has closed its sending side."""
        probe, self.probe = self.probe, None
        if probe is not None:
            probe()
        elif not self.writer:
            self._tell_gone()

    def over(self) -> None:
        """Handles the event that the client no longer waits for the response, or reads it."""
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
    """Calls a function of the application. Logs its exception."""
    try:
        function()
    except BaseException:
        _log.exception("a function of `on_gone` failed")
