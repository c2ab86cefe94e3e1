"""The processes of the command: they follow the plan, and tell systemd what they do."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

from transom._command.logs import set_up_logs
from transom._command.mistake import Mistake
from transom._command.plan import Plan
from transom._command.systemd import Notifier
from transom._command.worker import make_server, make_tls
from transom._errors import InvalidArgumentError
from transom._processes import MOST_PROCESSES, Processes
from transom._running import STOP_TIMEOUT
from transom._shared_sockets import SharedSockets

#: The options that hold from the start of the command to its end.
_FIXED = ("bind", "redirect", "unix-mode", "app-dir", "reload", "reload-dir")
#: The longest time that a request has when the code has changed, in development, in seconds.
_SHORT = 2.0


class CommandProcesses(Processes):
    """The processes that a plan asks for. A restart reads the plan again.

    `replan` returns the plan as its sources are now, and raises `Mistake`. `say` shows a line to the person
    who runs the command.
    """

    def __init__(
        self,
        plan: Plan,
        shared: SharedSockets,
        notifier: Notifier,
        replan: Callable[[], Plan],
        say: Callable[[str], None],
    ) -> None:
        super().__init__(
            partial(make_server, plan),
            shared.sockets,
            count=plan["workers"],
            tls=partial(make_tls, plan) if plan["tls-cert"] else None,
            redirect=shared.redirect,
        )
        self._notifier = notifier
        self._replan = replan
        self._say = say
        self._plan = plan
        #: Held by a restart while it reads the plan, and until its processes serve.
        self._renewing = threading.Lock()
        self._follow(plan)

    @property
    def plan(self) -> Plan:
        """The plan of the processes that start from now on."""
        return self._plan

    def _follow(self, plan: Plan) -> None:
        """Has the processes that start from now on follow a plan."""
        stop_timeout = plan["stop-timeout"]
        with self._lock:
            self._plan = plan
            self._make = partial(make_server, plan)
            self._tls = partial(make_tls, plan) if plan["tls-cert"] else None
            self._start_timeout = plan["start-timeout"]
            self._hang_timeout = None if plan["reload"] else plan["hang-timeout"]
            self._stop_timeout = min(stop_timeout, _SHORT) if plan["reload"] else stop_timeout

    def restart(self) -> None:
        """Reads the plan again, and replaces the processes. Raises `Error` with the reason if that fails.

        The plan that was there before stays then.
        """
        self._notifier.tell("RELOADING=1")
        try:
            with self._renewing:
                self._renew()
        finally:
            self._notifier.tell("READY=1")

    def _renew(self) -> None:
        old = self._plan
        try:
            new = self._replan()
        except Mistake as mistake:
            raise InvalidArgumentError(str(mistake)) from None
        for name in _FIXED:
            if new[name] != old[name]:
                self._say(f"--{name} has changed: that holds when the command starts again")
                new = new.with_value_of(old, name)
        if new["redirect"] and not new["tls-cert"]:
            raise InvalidArgumentError("--redirect needs --tls-cert")
        self._follow(new)
        try:
            super().restart()
            if new["workers"] != old["workers"]:
                self.resize(new["workers"])
        except BaseException:
            self._follow(old)
            raise
        set_up_logs(new["log-level"])

    def add(self, number: int) -> None:
        """Makes the processes more by a number, or fewer by a negative one; at least one stays."""
        with self._restarting:
            before = len(self._slots)
            count = max(1, min(MOST_PROCESSES, before + number))
            if count != before:
                self._resize(count)
                self._say("1 process serves" if count == 1 else f"{count} processes serve")

    @contextmanager
    def resized_by_signals(self) -> Iterator[None]:
        """Starts one more process for each SIGTTIN, and stops one for each SIGTTOU."""
        numbers = {signal.SIGTTIN: 1, signal.SIGTTOU: -1}

        def handle(signum: int, _frame: object) -> None:
            number = numbers[signal.Signals(signum)]
            self._aside("change of the number of processes", lambda: self.add(number))

        before = {each: signal.signal(each, handle) for each in numbers}
        try:
            yield
        finally:
            for each, handler in before.items():
                signal.signal(each, handler)

    def stop(self, timeout: float = STOP_TIMEOUT) -> None:
        """Stops the processes, as `Processes.stop`."""
        self._notifier.tell("STOPPING=1")
        super().stop(timeout)
