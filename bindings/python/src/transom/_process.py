"""A process that serves on shared sockets: what it does from its start to its end."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait

from transom._check import got
from transom._errors import Error
from transom._running import Running
from transom._server import Server
from transom._tls import Tls

#: The time to let connections end after an answer, if the application sets no other, in seconds.
_STOP_DELAY = 1.0

#: A process serves; it turns; it could not start, with the reason.
READY, BEAT, FAILED = "ready", "beat", "failed"


class StartFailure(SystemExit):
    """The reason why a process does not serve, for its supervisor to say. No traceback follows."""

    def __init__(self, reason: str) -> None:
        super().__init__(1)
        self.reason = reason


@dataclass(frozen=True)
class Task:
    """What a process gets from its supervisor."""

    make: Callable[[], Server]
    tls: Callable[[], Tls] | None
    sockets: list[socket.socket]
    #: The socket whose requests are redirected to https.
    redirect: socket.socket | None
    #: How long requests may take to end if the process gets SIGTERM or loses its supervisor, in seconds.
    stop_timeout: float
    #: The time between two signs of life, in seconds.
    beat: float


def serve(task: Task, supervisor: Connection) -> None:
    """Serves until the supervisor says to stop or ends, or until SIGTERM."""
    # Ctrl-C reaches the whole group of processes. The supervisor stops this one in order.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _end_start)
    try:
        app, running, has_own_delay = _start(task)
        reader, writer = os.pipe()
        os.set_blocking(writer, False)
        signal.signal(signal.SIGTERM, lambda *_: os.write(writer, b"t"))
    except BaseException as error:
        reason = error.reason if isinstance(error, StartFailure) else f"{type(error).__name__}: {error}"
        _tell(supervisor, (FAILED, reason))
        if isinstance(error, Error) and error.__cause__ is None:
            # The reason says all that a traceback would.
            raise SystemExit(1) from None
        raise
    finally:
        for each in [*task.sockets, *([task.redirect] if task.redirect is not None else [])]:
            each.close()
    _tell(supervisor, (READY, ""))
    timeout, others_serve = task.stop_timeout, True
    # The server may also end by itself: a handler stops it, or raises `SystemExit`.
    while app.running is not None and running._fatal is None:
        ready = wait([supervisor, reader], task.beat)
        if supervisor in ready:
            try:
                timeout, others_serve = supervisor.recv()
            except (EOFError, OSError):
                # The supervisor has ended, and so do the others.
                others_serve = False
        if ready:
            break
        if not _is_stuck(running):
            _tell(supervisor, (BEAT, ""))
    # Without a delay of the application's own, there is no load balancer that needs time to notice.
    if others_serve or not has_own_delay:
        running.note_successor()
    running.stop(timeout)
    if running._fatal is not None:
        raise running._fatal


def _end_start(*_: object) -> None:
    """Ends the process at SIGTERM before it serves: the application may take long to load."""
    raise StartFailure("it was told to stop")


def _start(task: Task) -> tuple[Server, Running, bool]:
    """Starts the application. Returns with it whether it has a timeout `stop_delay` of its own."""
    app = task.make()
    if not isinstance(app, Server):
        raise TypeError(f"the function of Processes returns a Server, got {got(app)}")
    timeouts = app._settings.timeouts
    has_own_delay = "stop_delay" in timeouts
    timeouts.setdefault("stop_delay", _STOP_DELAY)
    tls = None if task.tls is None else task.tls()
    return app, app.start(task.sockets, tls=tls, redirect=task.redirect), has_own_delay


def _is_stuck(running: Running) -> bool:
    try:
        return bool(running.stuck())
    except Error:
        # The server has just ended by itself.
        return False


def _tell(supervisor: Connection, message: tuple[str, str]) -> None:
    try:
        supervisor.send(message)
    except OSError:
        # The supervisor has ended. The next wait says so.
        pass
