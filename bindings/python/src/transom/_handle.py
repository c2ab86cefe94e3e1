"""The handle of a native server: it owns the pointer and makes the calls."""

from __future__ import annotations

import os
import weakref
from ctypes import byref, c_char_p, c_int64, c_size_t, c_uint64, c_void_p, create_string_buffer, sizeof
from types import EllipsisType

from transom import _native as native
from transom._access_log import AccessLog
from transom._arguments import encode_address, encode_name, expect_pattern, milliseconds
from transom._check import seconds, text, whole
from transom._compression import Compression
from transom._errors import ErrorSlot, ForkedError, check, make
from transom._events import Events
from transom._finalizing import finish
from transom._memory import MemoryConnection
from transom._metrics import Metrics
from transom._native import ReportStruct, quick, waiting
from transom._overload import Overload
from transom._ready import ReadyMiddleware
from transom._ready_native import NativeMiddleware
from transom._report import Report
from transom._route_options import RouteSettings
from transom._static import StaticFiles
from transom._stats import Connection, Stats, connections_of, stats_of
from transom._stuck import Stuck, stuck_of
from transom._tls import Tls


class Handle:
    """The owner of a native server. It frees the server in `free`, or when it is collected.

    A thread that uses `pointer` holds a reference to the handle meanwhile, so the server
    outlives each call.
    """

    __slots__ = (
        "__weakref__",
        "_finalizer",
        "_forgotten",
        "_ready",
        "overload",
        "pointer",
        "reserved",
        "started",
    )

    def __init__(self) -> None:
        pointer = quick.server_new()
        if not pointer:
            raise make(native.IO, "the native server could not be made")
        self.pointer: int = pointer
        self.started = False
        #: How long requests may wait, if that is limited.
        self.overload: Overload | None = None
        #: The places for the connections of each address.
        self.reserved: list[int] = []
        self._forgotten = False
        #: The native middleware that the routes use.
        self._ready = NativeMiddleware()
        self._finalizer = weakref.finalize(self, waiting.server_free, pointer)
        # `_running` stops the running servers at exit, in its own order.
        self._finalizer.atexit = False
        _handles.add(self)

    def _use(self) -> int:
        if not self.pointer:
            if self._forgotten:
                raise ForkedError("this server was started before a fork: in the child it cannot be used")
            raise make(native.NOT_STARTED, "the server has stopped")
        return self.pointer

    def set_model(self, name: str) -> None:
        """Sets the connection model, by its name."""
        slot = ErrorSlot()
        slot.check(quick.server_set_model(self._use(), encode_name(name), slot.reference))

    def set_workers(self, count: int) -> None:
        """Sets the number of native threads that serve connections."""
        slot = ErrorSlot()
        slot.check(quick.server_set_workers(self._use(), count, slot.reference))

    def set_unix_mode(self, mode: int) -> None:
        """Sets the file mode of Unix sockets."""
        slot = ErrorSlot()
        slot.check(quick.server_set_unix_mode(self._use(), mode, slot.reference))

    def set_overload(self, overload: Overload) -> None:
        """Limits how long requests wait."""
        slot = ErrorSlot()
        code = quick.server_set_overload(self._use(), *overload._milliseconds, slot.reference)
        slot.check(code)
        self.overload = overload

    def compress(self, compression: Compression) -> None:
        """Compresses responses."""
        compression._give(self._use())

    def use(self, middleware: ReadyMiddleware) -> None:
        """Runs ready middleware around all routes."""
        check(quick.server_use(self._use(), self._ready.of(middleware)))

    def set_reuse_port(self) -> None:
        """Lets other sockets listen on the TCP addresses of this server."""
        slot = ErrorSlot()
        slot.check(quick.server_set_reuse_port(self._use(), True, slot.reference))

    def set_proxy_protocol(self, networks: list[str]) -> None:
        """Expects a PROXY header from these networks on the address that `start` binds."""
        slot = ErrorSlot()
        slot.check(
            quick.server_set_proxy_protocol(self._use(), encode_name(",".join(networks)), slot.reference)
        )

    def trust_forwarded(self, fields: str, networks: list[str], with_host: bool) -> None:
        """Believes proxies in these networks where requests came from, in a family of fields."""
        slot = ErrorSlot()
        slot.check(
            quick.server_trust_forwarded(
                self._use(), encode_name(fields), encode_name(",".join(networks)), with_host, slot.reference
            )
        )

    def set_limit(self, name: str, value: int) -> None:
        """Sets a limit by its name, in bytes or a count.

        Raises `InvalidArgumentError` with the range, or with the names of the limits.
        """
        key = encode_name(text("the name of a limit", name))
        least, most = c_uint64(), c_uint64()
        if quick.limit_range(key, byref(least), byref(most)) == native.OK:
            value = whole(f"limit {name!r}", value, least.value, most.value)
        else:
            value = 0  # The library refuses the name, whatever the value is.
        slot = ErrorSlot()
        slot.check(quick.server_set_limit(self._use(), key, value, slot.reference))

    def set_timeout(self, name: str, value: float | None) -> None:
        """Sets a timeout by its name, in seconds; `None` turns it off. Raises what `set_limit` raises."""
        key = encode_name(text("the name of a timeout", name))
        least, most = c_int64(), c_int64()
        if quick.timeout_range(key, byref(least), byref(most)) == native.OK:
            # Any time above 0 is at least 1 ms for the library.
            shortest = least.value / 1000 if least.value > 1 else 0.0
            value = seconds(f"timeout {name!r}", value, zero=least.value == 0, none=True, least=shortest)
        else:
            value = None
        slot = ErrorSlot()
        slot.check(quick.server_set_timeout(self._use(), key, milliseconds(value), slot.reference))

    def route(self, method: str | None, pattern: str, route_id: int, settings: RouteSettings) -> None:
        """Adds a route whose requests are pulled; `None` stands for any method."""
        expect_pattern(pattern, method)
        around = self._ready.all_of(settings.middleware)
        made = quick.route_new_pull(method and method.encode(), pattern.encode(), route_id)
        _set_up(made, settings, around)
        slot = ErrorSlot()
        slot.check(quick.server_add(self._use(), made, slot.reference))

    def fallback(self, route_id: int, settings: RouteSettings) -> None:
        """Adds the route of requests that no other route matches."""
        around = self._ready.all_of(settings.middleware)
        made = quick.route_new_pull(None, None, route_id)
        _set_up(made, settings, around)
        slot = ErrorSlot()
        slot.check(quick.server_set_fallback(self._use(), made, slot.reference))

    def own_body(self, status: int, content_type: str, body: str) -> None:
        """Sets the body of the library's own answers with a status; 0 stands for all others."""
        data = body.encode()
        slot = ErrorSlot()
        slot.check(
            quick.server_set_own_body(
                self._use(), status, encode_name(content_type), data, len(data), slot.reference
            )
        )

    def readiness(self, pattern: str) -> None:
        """Adds the route that tells of readiness."""
        expect_pattern(pattern, "GET")
        slot = ErrorSlot()
        slot.check(quick.server_add_readiness(self._use(), pattern.encode(), slot.reference))

    def liveness(self, pattern: str) -> None:
        """Adds the route that tells of liveness."""
        expect_pattern(pattern, "GET")
        slot = ErrorSlot()
        slot.check(quick.server_add_liveness(self._use(), pattern.encode(), slot.reference))

    def count_in(self, metrics: Metrics) -> None:
        """Has the responses counted."""
        check(quick.server_add_metrics(self._use(), metrics._pointer))

    def metrics_route(self, pattern: str, metrics: Metrics) -> None:
        """Adds the route that answers with metrics."""
        expect_pattern(pattern, "GET")
        slot = ErrorSlot()
        code = quick.server_add_metrics_route(self._use(), pattern.encode(), metrics._pointer, slot.reference)
        slot.check(code)

    def status_page(self, path: str, metrics: Metrics, password: tuple[str, str] | None) -> None:
        """Adds the status page."""
        expect_pattern(path, "GET")
        slot = ErrorSlot()
        where = (self._use(), path.encode(), metrics._pointer)
        if password is None:
            code = quick.server_add_status(*where, None, None, None, slot.reference)
        else:
            user, secret = (each.encode() for each in password)
            code = quick.server_add_status_password(*where, user, secret, slot.reference)
        slot.check(code)

    def static(self, files: StaticFiles) -> None:
        """Adds the files of a folder."""
        if files.prefix:
            expect_pattern(files.prefix, "GET")
        slot = ErrorSlot()
        prefix = files.prefix.encode()
        slot.check(quick.server_add_files(self._use(), prefix, files.pointer, slot.reference))

    def refuse(self, token: int, reject: int) -> None:
        """Answers a request as the library does when it refuses one. Any thread may call it."""
        code = quick.responder_refuse(quick.token_responder(token), reject)
        if code not in (native.GONE, native.ALREADY_ANSWERED):
            check(code)

    def stuck(self) -> list[Stuck]:
        """Returns the parts of the server that are stuck."""
        return stuck_of(self._use())

    def set_load(self, name: str, waiting: int, begun: int) -> None:
        """Tells the watchdog how many jobs wait, and how many were begun so far."""
        check(quick.server_set_load(self._use(), name.encode(), waiting, begun))

    def watch_events(self, events: Events, name: str, detail: str) -> None:
        """Has the watchdog watch the thread that delivers these events."""
        check(quick.server_watch_events(self._use(), events.pointer, name.encode(), detail.encode()))

    def add_access_log(self, log: AccessLog) -> None:
        """Has a line written to a log for each response."""
        check(quick.server_add_access_log(self._use(), log._pointer))

    def note_successor(self) -> None:
        """Notes that other processes serve on the same sockets: a stop leaves new clients to them."""
        check(quick.server_note_successor(self._use()))

    def notify_systemd(self) -> None:
        """Has systemd told what the server does."""
        check(quick.server_notify_systemd(self._use()))

    def notify_reloading(self) -> None:
        """Tells systemd that the program reloads."""
        check(quick.server_notify_reloading(self._use()))

    def notify_ready(self) -> None:
        """Tells systemd that the program has reloaded."""
        check(quick.server_notify_ready(self._use()))

    def notify_status(self, status: str) -> None:
        """Shows a text in `systemctl status`."""
        shown = status.replace("\0", " ").encode("utf-8", "replace")
        check(quick.server_notify_status(self._use(), shown))

    def listen_inherited(self) -> int:
        """Adds the listening sockets that were passed to this process, and returns their number."""
        count, slot = c_size_t(), ErrorSlot()
        slot.check(waiting.server_listen_inherited(self._use(), byref(count), slot.reference))
        return count.value

    def hand_over(self, argv: list[bytes], timeout: float) -> int:
        """Starts a successor and waits until it serves. Returns its process id."""
        words = (c_char_p * (len(argv) + 1))(*argv)
        pid, slot = c_int64(), ErrorSlot()
        code = waiting.server_hand_over(self._use(), words, milliseconds(timeout), byref(pid), slot.reference)
        slot.check(code)
        return pid.value

    def set_listener_reserve(self, index: int, places: int) -> None:
        """Reserves places for the connections of a socket that was added before."""
        slot = ErrorSlot()
        slot.check(quick.server_set_listener_reserve(self._use(), index, places, slot.reference))

    def bind(self, address: str) -> None:
        """Listens on an address."""
        slot, encoded = ErrorSlot(), encode_address(address)
        slot.check(waiting.server_bind(self._use(), encoded, slot.reference))

    def listen_fd(self, descriptor: int) -> None:
        """Adds a listening socket. It belongs to the server if this succeeds."""
        slot = ErrorSlot()
        slot.check(quick.server_listen_fd(self._use(), descriptor, slot.reference))

    def bind_tls(self, address: str, tls: Tls) -> None:
        """Listens on an address, and speaks TLS there."""
        slot, encoded = ErrorSlot(), encode_address(address)
        slot.check(waiting.server_bind_tls(self._use(), encoded, tls._pointer, slot.reference))

    def bind_redirect(self, address: str, https_port: int) -> None:
        """Listens on an address, and redirects its requests to https. 0: the port of the first TLS socket."""
        slot, encoded = ErrorSlot(), encode_address(address)
        slot.check(waiting.server_bind_redirect(self._use(), encoded, https_port, slot.reference))

    def set_listener_tls(self, index: int, tls: Tls) -> None:
        """Gives TLS to a socket that was added before."""
        slot = ErrorSlot()
        slot.check(quick.server_set_listener_tls(self._use(), index, tls._pointer, slot.reference))

    def set_listener_redirect(self, index: int, https_port: int) -> None:
        """Redirects the requests of a socket that was added before."""
        slot = ErrorSlot()
        code = quick.server_set_listener_redirect(self._use(), index, https_port, slot.reference)
        slot.check(code)

    def set_unbound(self) -> None:
        """Lets the server start without an address."""
        check(quick.server_set_unbound(self._use()))

    def connect(self, peer: str | None) -> MemoryConnection:
        """Connects to the server in memory. `peer` is the address that the server has for the client."""
        return MemoryConnection(self._use(), peer)

    def start(self) -> None:
        """Serves on the sockets that were added. Raises an error with the reason."""
        slot = ErrorSlot()
        slot.check(waiting.server_start(self._use(), None, slot.reference))
        self.started = _state.started = True

    @property
    def port(self) -> int:
        """The TCP port on which the server listens; 0 if there is none."""
        return int(quick.server_port(self._use()))

    @property
    def addresses(self) -> list[str]:
        """The addresses on which the server listens."""
        found: list[str] = []
        buffer = create_string_buffer(256)
        while quick.server_address(self._use(), len(found), buffer, len(buffer)):
            found.append(buffer.value.decode())
        return found

    def listener_name(self, index: int) -> str | None:
        """The name of a socket that was passed to this process, or `None`."""
        # systemd's names have at most 255 bytes.
        buffer = create_string_buffer(1024)
        named = quick.server_listener_name(self._use(), index, buffer, len(buffer))
        return buffer.value.decode("utf-8", "replace") if named else None

    @property
    def event_fd(self) -> int:
        """A descriptor that is readable while requests are queued."""
        fd = int(quick.server_event_fd(self._use()))
        if fd < 0:
            raise make(native.IO, "the event descriptor could not be made")
        return fd

    def stop(self, timeout: float) -> None:
        """Begins to stop, without waiting. Requests get `timeout` seconds to finish."""
        check(quick.server_stop(self._use(), milliseconds(timeout)))

    def wait(self, timeout: float) -> bool:
        """Waits up to `timeout` seconds for the server to stop. Returns `True` if it has stopped."""
        code = waiting.server_wait(self._use(), milliseconds(timeout))
        if code == native.TIMEOUT:
            return False
        check(code)
        return True

    def report(self) -> Report:
        """Returns the numbers so far."""
        numbers = ReportStruct(size=sizeof(ReportStruct))
        check(quick.server_report(self._use(), byref(numbers)))
        return Report(numbers.finished, numbers.cut, numbers.pending)

    def stats(self) -> Stats:
        """Returns the counters."""
        return stats_of(self._use())

    def connections(self) -> list[Connection]:
        """Returns the connections."""
        return connections_of(self._use())

    def free(self) -> None:
        """Frees the native server. The handle cannot be used afterwards."""
        self.pointer = 0
        finish(self._finalizer)

    def forget(self) -> None:
        """Drops the native server without freeing it: it belongs to the parent process."""
        self._forgotten = True
        self.pointer = 0
        self._finalizer.detach()


def expect_no_fork() -> None:
    """Raises `ForkedError` if this process was forked from one that has run a server."""
    if _state.forked:
        raise ForkedError("this process was forked from one that has run a server: it cannot run one")


def _set_up(route: int, settings: RouteSettings, around: list[c_void_p]) -> None:
    """Gives a native route its settings. Adding the route reports what is wrong with them."""
    if settings.stream:
        quick.route_set_streaming(route, True)
    if settings.max_body is not None:
        quick.route_set_body_limit(route, settings.max_body)
    if settings.decompression is not None:
        quick.route_set_decompression(route, settings.decompression.limit)
        quick.route_set_decompression_memory(route, settings.decompression.max_memory)
    if not isinstance(settings.timeout, EllipsisType):
        quick.route_set_timeout(route, milliseconds(settings.timeout))
    if settings.priority != "normal":
        quick.route_set_priority(route, settings.priority.encode())
    for middleware in around:
        quick.route_use(route, middleware)


class _State:
    """The state that a fork depends on: the threads of the library exist only in the parent."""

    started = False
    forked = False


_state = _State()
_handles: weakref.WeakSet[Handle] = weakref.WeakSet()


def _after_fork_in_child() -> None:
    """Drops the servers of the parent: the locks that its threads held stay locked in this process."""
    _state.forked = _state.started
    for handle in list(_handles):
        if handle.started:
            handle.forget()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
