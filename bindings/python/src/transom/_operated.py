"""The use of a native server that runs, from any thread, until it is freed."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Sequence

from transom._check import got, seconds, shown, text
from transom._errors import Error, ForkedError, InvalidArgumentError
from transom._handle import Handle
from transom._memory import MemoryConnection
from transom._native import NOT_STARTED
from transom._report import Report
from transom._stats import Connection, Stats
from transom._stuck import Stuck


class Operated:
    """The part of a running server that asks it and hands it over, and does not stop it."""

    def __init__(self, handle: Handle) -> None:
        self._handle = handle
        #: Held while the handle is used from outside, and while it is freed. It is reentrant,
        #: because a signal handler may run on the thread that holds it.
        self._using = threading.RLock()
        #: The numbers of the stop, once the server has stopped.
        self._report: Report | None = None
        #: `True` in a child process of the one that started the server.
        self._forked = False
        #: How many calls of `hand_over` use the handle. It is not freed meanwhile.
        self._hand_overs = 0

    def _expect_unforked(self) -> None:
        """Raises `ForkedError` in a child process of the one that started the server."""
        if self._forked:
            raise ForkedError("this server was started before a fork: in the child it cannot be used")

    def hand_over(
        self, argv: Sequence[str | bytes | os.PathLike[str]] | None = None, *, timeout: float = 30.0
    ) -> int:
        """Starts a successor of this program and hands the server over to it. Returns its process id.

        `argv` is the command of the successor; the default is the command line of this process,
        with the same interpreter. The successor gets the listening sockets if its server has
        `inherit=True`. The call waits until the successor serves, at most `timeout` seconds. Call
        `stop` then: requests that are being served finish, and no client is refused in between.
        The successor is a child of this process: `os.waitpid` waits for its end. Linux only.

        Raises `SystemCallError` with the reason if the successor cannot be started, ends, or does
        not serve in time, or if another hand-over is in progress. The successor was killed then,
        and this server goes on.
        """
        self._expect_unforked()
        seconds("the timeout of a hand-over", timeout)
        command = [sys.executable, *sys.orig_argv[1:]] if argv is None else argv
        if isinstance(command, (str, bytes)) or not isinstance(command, Sequence):
            raise TypeError(f"argv is the words of a command, such as ['python', 'app.py'], got {got(argv)}")
        words = [os.fsencode(word) for word in command]
        if not words or not words[0] or any(b"\0" in word for word in words):
            raise InvalidArgumentError(f"argv is the words of a command, without NUL, got {shown(command)}")
        with self._using:
            self._expect_served()
            self._hand_overs += 1
        try:
            return self._handle.hand_over(words, timeout)
        finally:
            with self._using:
                self._hand_overs -= 1

    def note_successor(self) -> None:
        """Notes that other processes serve on the same sockets. A stop leaves new clients to them.

        For the timeout `stop_delay`, connections that wait for requests stay open then, and each closes after
        an answer. `hand_over` notes it by itself, and so do `Processes`.
        """
        self._use_handle(Handle.note_successor)

    def connect(self, peer: str | None = None) -> MemoryConnection:
        """Connects to the server in memory, without a socket, for tests: see `transom.testing`.

        `peer` is the address that handlers see for the client, such as `127.0.0.1:50000`; without it they see
        none. TLS and the PROXY protocol do not apply. Raises `BadAddressError` or `SystemCallError`, and
        `Error` once the server has stopped.
        """
        self._expect_unforked()
        if peer is not None:
            text("peer", peer)
        with self._using:
            self._expect_served()
            return self._handle.connect(peer)

    def notify_reloading(self) -> None:
        """Tells systemd that the program reloads, if the server has `notify_systemd=True`."""
        self._use_handle(Handle.notify_reloading)

    def notify_ready(self) -> None:
        """Tells systemd that the program has reloaded. At the start the server tells it itself."""
        self._use_handle(Handle.notify_ready)

    def notify_status(self, status: str) -> None:
        """Shows a text in `systemctl status`."""
        text("a status", status)
        self._use_handle(lambda handle: handle.notify_status(status))

    def stats(self) -> Stats:
        """Returns the counters of the server. Raises `Error` once it has stopped.

        Goes through all connections: ask once a second rather than for each request.
        """
        self._expect_unforked()
        with self._using:
            self._expect_served()
            return self._handle.stats()

    def connections(self) -> list[Connection]:
        """Returns the connections of the server, each with what it does. Raises `Error` once it has stopped.

        Connections that have not begun with HTTP, such as those in a TLS handshake, are left out.
        """
        self._expect_unforked()
        with self._using:
            self._expect_served()
            return self._handle.connections()

    def stuck(self) -> list[Stuck]:
        """Returns the parts of the server that have not turned for the timeout `watchdog`.

        These are Python as a whole, if a handler holds the interpreter lock; an event loop that a handler
        blocks; the thread pool or the pull queue, if requests wait there and none is begun; and native
        threads. Without that timeout the list is empty. Raises `Error` once the server has stopped.
        """
        self._expect_unforked()
        with self._using:
            self._expect_served()
            return self._handle.stuck()

    def _expect_served(self) -> None:
        if self._report is not None:
            raise Error("the server has stopped", NOT_STARTED)

    def _use_handle(self, use: Callable[[Handle], object]) -> None:
        """Uses the handle unless the server has stopped."""
        self._expect_unforked()
        with self._using:
            if self._report is None:
                use(self._handle)
