"""What systemd passes to the command, and what the command tells it."""

from __future__ import annotations

import os
import socket
from time import monotonic_ns

from transom._command.mistake import Mistake

_FIRST = 3


def passed_addresses() -> list[str]:
    """Returns the sockets that systemd has passed, as addresses. Raises `Mistake` if there are none.

    The variables are removed: the processes do not take the sockets for their own.
    """
    pid, count = os.environ.pop("LISTEN_PID", ""), os.environ.pop("LISTEN_FDS", "")
    os.environ.pop("LISTEN_FDNAMES", None)
    if pid != str(os.getpid()) or not count.isdigit() or count == "0":
        raise Mistake("--bind systemd: systemd has passed no socket to this process")
    descriptors = range(_FIRST, _FIRST + int(count))
    for descriptor in descriptors:
        os.set_inheritable(descriptor, False)
    return [f"fd:{descriptor}" for descriptor in descriptors]


class Notifier:
    """The socket on which systemd waits for news, with `Type=notify`."""

    def __init__(self) -> None:
        # The processes must not tell it that they serve: the supervisor does.
        self._path = os.environ.pop("NOTIFY_SOCKET", "")

    def tell(self, state: str) -> None:
        """Tells a state such as `READY=1`. Nothing happens without systemd."""
        if not self._path:
            return
        path = f"\0{self._path[1:]}" if self._path.startswith("@") else self._path
        if state == "RELOADING=1":
            state += f"\nMONOTONIC_USEC={monotonic_ns() // 1000}"
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as there:
                there.sendto(state.encode(), path)
        except OSError:
            # systemd does not listen any more.
            pass
