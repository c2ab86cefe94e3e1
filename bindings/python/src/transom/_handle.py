"""A native server: the pointer, who owns it, and the calls on it."""

from __future__ import annotations

import os
import weakref
from ctypes import byref, c_int64, c_uint64, create_string_buffer
from dataclasses import dataclass

from transom import _native as native
from transom._check import seconds, text, whole
from transom._errors import BadAddressError, BadRouteError, ErrorSlot, ForkedError, check, check_told, make
from transom._native import ReportStruct, quick, waiting


@dataclass(frozen=True, slots=True)
class Report:
    """What became of the exchanges when a server was stopped, in numbers of them."""

    #: Answered in full after the stop began.
    finished: int
    #: Cut off at the deadline of the stop.
    cut: int
    #: Still under way. Zero once the server has stopped.
    pending: int


class Handle:
    """Owns a native server and frees it: by `free`, or when nobody refers to it any more.

    Threads that use `pointer` keep a reference to the handle meanwhile, so that
    the server outlives every call on it.
    """

    __slots__ = ("__weakref__", "_finalizer", "_forgotten", "pointer", "started")

    def __init__(self) -> None:
        pointer = quick.server_new()
        if not pointer:
            raise make(native.IO, "the native server could not be made")
        self.pointer: int = pointer
        self.started = False
        self._forgotten = False
        self._finalizer = weakref.finalize(self, waiting.server_free, pointer)
        # Running servers are stopped at exit in their own order.
        self._finalizer.atexit = False
        _handles.add(self)

    def _use(self) -> int:
        if not self.pointer:
            if self._forgotten:
                raise ForkedError("this server was started before a fork: in the child it cannot be used")
            raise make(native.NOT_STARTED, "the server has stopped")
        return self.pointer

    def _check_setting(self, code: int) -> None:
        """Raises what the library has to say of a setting that it refused."""
        if code != native.OK:
            check_told(code, quick.server_setting_error(self._use()))

    def set_model(self, name: str) -> None:
        """How connections are driven, by the name of the model."""
        self._check_setting(quick.server_set_model(self._use(), _known(name)))

    def set_workers(self, count: int) -> None:
        """The number of threads that speak HTTP."""
        self._check_setting(quick.server_set_workers(self._use(), count))

    def set_unix_mode(self, mode: int) -> None:
        """The mode of the files of Unix sockets."""
        check(quick.server_set_unix_mode(self._use(), mode), f"unix_mode={mode:#o}")

    def set_limit(self, name: str, value: int) -> None:
        """A limit by its name, in bytes or a count.

        Raises `InvalidArgumentError` with the range, or with the names that there are.
        """
        key = _known(text("the name of a limit", name))
        least, most = c_uint64(), c_uint64()
        if quick.limit_range(key, byref(least), byref(most)) == native.OK:
            value = whole(f"limit {name!r}", value, least.value, most.value)
        else:
            value = 0  # Whatever it is, there is no such limit.
        self._check_setting(quick.server_set_limit(self._use(), key, value))

    def set_timeout(self, name: str, value: float | None) -> None:
        """A timeout by its name, in seconds; `None` turns it off. Raises as `set_limit`."""
        key = _known(text("the name of a timeout", name))
        least, most = c_int64(), c_int64()
        if quick.timeout_range(key, byref(least), byref(most)) == native.OK:
            value = seconds(f"timeout {name!r}", value, zero=least.value == 0, none=True)
        else:
            value = None
        self._check_setting(quick.server_set_timeout(self._use(), key, milliseconds(value)))

    def route(self, method: str | None, pattern: str, route_id: int) -> None:
        """Adds a route whose requests are pulled; `None` is any method."""
        for part in (pattern, method or ""):
            if "\0" in part:
                raise BadRouteError(f"bad route {method or '*'} {pattern!r}: it holds a NUL")
            if not _is_unicode(part):
                raise BadRouteError(f"bad route {method or '*'} {pattern!r}: it holds half a character")
        code = quick.server_route_pull(self._use(), method and method.encode(), pattern.encode(), route_id)
        if code == native.BAD_ROUTE:
            check_told(code, quick.server_route_error(self._use()))
        check(code, f"bad route {method or '*'} {pattern!r}")

    def fallback(self, route_id: int) -> None:
        """Lets requests be pulled that no route matches."""
        check(quick.server_fallback_pull(self._use(), route_id), "fallback")

    def start(self, address: str) -> None:
        """Listens, and begins to serve. Raises with the address and the reason."""
        if "\0" in address:
            raise BadAddressError(f"bad address {address!r}: it holds a NUL")
        if not _is_unicode(address):
            raise BadAddressError(f"bad address {address!r}: it holds half a character")
        if _state.forked:
            raise ForkedError("this process was forked from one that has run a server: it cannot run one")
        slot = ErrorSlot()
        slot.check(waiting.server_start(self._use(), address.encode(), slot.reference))
        self.started = _state.started = True

    @property
    def port(self) -> int:
        """The port that is listened on; 0 if there is none."""
        return int(quick.server_port(self._use()))

    @property
    def addresses(self) -> list[str]:
        """All addresses that are listened on."""
        found: list[str] = []
        buffer = create_string_buffer(256)
        while quick.server_address(self._use(), len(found), buffer, len(buffer)):
            found.append(buffer.value.decode())
        return found

    @property
    def event_fd(self) -> int:
        """A descriptor that is readable while requests wait."""
        fd = int(quick.server_event_fd(self._use()))
        if fd < 0:
            raise make(native.IO, "the event descriptor could not be made")
        return fd

    def stop(self, timeout: float) -> None:
        """Begins to stop and never waits. Exchanges get `timeout` seconds to end."""
        check(quick.server_stop(self._use(), milliseconds(timeout)))

    def wait(self, timeout: float) -> bool:
        """Whether all has stopped; waits for it up to `timeout` seconds."""
        code = waiting.server_wait(self._use(), milliseconds(timeout))
        if code == native.TIMEOUT:
            return False
        check(code)
        return True

    def report(self) -> Report:
        """The numbers as of now."""
        numbers = ReportStruct()
        check(quick.server_report(self._use(), byref(numbers)))
        return Report(numbers.finished, numbers.cut, numbers.pending)

    def free(self) -> None:
        """Frees the native server now. Nobody may use the handle any more."""
        self.pointer = 0
        self._finalizer()

    def forget(self) -> None:
        """Gives the native server up without freeing it: it is another process's."""
        self._forgotten = True
        self.pointer = 0
        self._finalizer.detach()


def milliseconds(timeout: float | None) -> int:
    """A time as the library takes it; `None` is for ever, and what is not zero is at least 1."""
    if timeout is None:
        return native.FOREVER
    return max(int(timeout * 1000), int(timeout > 0))


def _is_unicode(value: str) -> bool:
    """Whether it can be encoded: half of a surrogate pair cannot."""
    return not any("\ud800" <= letter <= "\udfff" for letter in value)


def _known(name: str) -> bytes:
    """A name as the library takes it: one that could not be a name stays unknown."""
    return name.encode("ascii", "backslashreplace").replace(b"\0", b"\\0")


class _State:
    """What matters to forks: threads of the library, once started, are only in the parent."""

    started = False
    forked = False


_state = _State()
_handles: weakref.WeakSet[Handle] = weakref.WeakSet()


def _after_fork_in_child() -> None:
    """What the threads of started servers have locked stays locked here."""
    _state.forked = _state.started
    for handle in list(_handles):
        if handle.started:
            handle.forget()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
