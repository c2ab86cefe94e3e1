"""Running the processes of the command until a signal ends them."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from transom._command.mistake import ENDED, FAILED, REFUSED
from transom._command.plan import Plan
from transom._command.processes import CommandProcesses
from transom._command.systemd import Notifier, passed_addresses
from transom._command.watcher import Watcher
from transom._errors import Error
from transom._processes import Processes
from transom._shared_sockets import SharedSockets
from transom._signals import signals_taken, wait_for_sign
from transom._thread import SimpleQueue


def serve(plan: Plan, replan: Callable[[], Plan]) -> int:
    """Serves until a signal, and returns the exit status of the command.

    `replan` reads the options again, and raises `Mistake`.
    """
    notifier = Notifier()
    addresses: list[str] = []
    for address in plan["bind"]:
        addresses += passed_addresses() if address == "systemd" else [address]
    try:
        # They outlive processes that do not start: in development, clients wait for the next change.
        shared = SharedSockets(list(addresses), plan["unix-mode"], plan["redirect"])
    except Error as error:
        say(str(error))
        return REFUSED
    try:
        processes = CommandProcesses(plan, shared, notifier, replan, say)
        if plan["reload"]:
            _develop(plan, processes)
            return ENDED
        return _operate(processes, notifier)
    finally:
        shared.close()


def _operate(processes: CommandProcesses, notifier: Notifier) -> int:
    def ready(_: Processes) -> None:
        _say_where(processes.plan, processes)
        notifier.tell("READY=1")

    with _reopens(processes), processes.resized_by_signals():
        try:
            processes.run(quiet=True, ready=ready)
        except Error as error:
            say(str(error))
            return FAILED
    return ENDED


def _develop(plan: Plan, processes: CommandProcesses) -> None:
    """Serves with one process, and replaces it when a file changes. Errors are shown."""
    signs: SimpleQueue[object] = SimpleQueue()
    watcher = Watcher(plan["reload-dir"] or [plan["app-dir"]], signs.put)
    serves = False
    try:
        with signals_taken(signs, processes._kill_all, processes._give_up), _reopens(processes):
            while True:
                try:
                    if serves:
                        processes.restart()
                    else:
                        processes.start()
                        serves = True
                        _say_where(plan, processes)
                except Error as error:
                    if processes._gives_up:
                        return
                    say(f"{error}\n" + ("the old code serves on" if serves else "waiting for a change"))
                sign = wait_for_sign(signs)
                if not isinstance(sign, list):
                    return
                say(f"changed: {', '.join(os.path.relpath(path) for path in sign)}")
    finally:
        watcher.stop()
        processes.stop(processes._stop_timeout)


@contextmanager
def _reopens(processes: Processes) -> Iterator[None]:
    """Passes SIGUSR1 on to the processes, which open their access logs again."""

    def handle(*_: object) -> None:
        for pid in processes.pids:
            try:
                os.kill(pid, signal.SIGUSR1)
            except ProcessLookupError:
                pass

    before = signal.signal(signal.SIGUSR1, handle)
    try:
        yield
    finally:
        signal.signal(signal.SIGUSR1, before)


def _say_where(plan: Plan, processes: Processes) -> None:
    from transom import __version__

    scheme = "https" if plan["tls-cert"] else "http"
    urls = [each if each.startswith("unix:") else f"{scheme}://{each}" for each in processes.addresses]
    if plan["redirect"]:
        urls[-1] = f"http://{processes.addresses[-1]} (a redirect)"
    count = plan["workers"]
    number = "1 process" if count == 1 else f"{count} processes"
    say(f"{__version__} serves {plan.app} on {', '.join(urls)} with {number}; pid {os.getpid()}")


def say(text: str) -> None:
    """Prints a line on standard error."""
    try:
        print(f"transom: {text}", file=sys.stderr, flush=True)
    except (OSError, ValueError):
        # Standard error is closed.
        pass
