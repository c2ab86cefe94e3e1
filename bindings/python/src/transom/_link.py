"""The links of a test client: one exchange over a connection in memory, or over a socket."""

from __future__ import annotations

import select
import socket
import ssl
from collections import deque
from time import monotonic
from typing import Protocol

from transom._memory import MemoryConnection

#: How long a write waits before the link looks at what the server sends, in seconds.
_TURN = 0.02
_PIECE = 64 * 1024


class Link(Protocol):
    """A connection that an exchange goes over."""

    def write(self, data: bytes) -> bool:
        """Sends bytes. Returns `False` if the server takes no more."""

    def read(self) -> bytes:
        """Returns what the server has sent; empty at the end."""

    def finish(self) -> None:
        """Ends the connection in order."""

    def close(self) -> None:
        """Breaks the connection off."""


class MemoryLink:
    """A link in memory. No call waits longer than `timeout` seconds for the server."""

    def __init__(self, connection: MemoryConnection, timeout: float) -> None:
        self._connection = connection
        self._timeout = timeout
        #: What the server has sent while the client wrote.
        self._early: deque[bytes] = deque()

    def write(self, data: bytes) -> bool:
        """Sends bytes. Returns `False` if the server takes no more."""
        end = monotonic() + self._timeout
        try:
            while True:
                # A server that sends while it reads must not wait for this client to read.
                if self._take_early():
                    end = monotonic() + self._timeout
                if self._early and not self._early[-1]:
                    return False
                try:
                    self._connection.write(data, _TURN)
                    return True
                except TimeoutError:
                    if monotonic() >= end:
                        raise
        except ConnectionResetError:
            return False

    def _take_early(self) -> bool:
        """Takes what the server has sent so far. Returns `True` if there was something."""
        count = len(self._early)
        try:
            while not self._early or self._early[-1]:
                self._early.append(self._connection.read(0))
        except TimeoutError:
            pass
        return len(self._early) > count

    def read(self) -> bytes:
        """Returns what the server has sent; empty at the end."""
        return self._early.popleft() if self._early else self._connection.read(self._timeout)

    def finish(self) -> None:
        """Ends the connection in order."""
        self._connection.finish()
        self._connection.close()

    def close(self) -> None:
        """Breaks the connection off."""
        self._connection.close()


class SocketLink:
    """A link over a socket. No call waits longer than `timeout` seconds for the server."""

    def __init__(self, address: str, secure: bool, timeout: float) -> None:
        if address.startswith("unix:"):
            self._socket = socket.socket(socket.AF_UNIX)
            name = address[5:]
            target: str | tuple[str, int] = f"\0{name[1:]}" if name.startswith("@") else name
        else:
            host, _, port = address.rpartition(":")
            host = host.strip("[]")
            self._socket = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
            # A server on all interfaces is also on the loopback interface.
            target = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host), int(port)
        try:
            self._socket.settimeout(timeout)
            self._socket.connect(target)
            if secure:
                context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
                # A test knows its server: most certificates of tests are signed by nobody.
                context.check_hostname = False
                context.verify_mode = ssl.CERT_NONE
                self._socket = context.wrap_socket(self._socket)
        except BaseException:
            self._socket.close()
            raise
        self._is_secure = secure
        self._timeout = timeout
        self._early: deque[bytes] = deque()

    def write(self, data: bytes) -> bool:
        """Sends bytes. Returns `False` if the server takes no more."""
        try:
            if self._is_secure:
                self._socket.sendall(data)
                return True
            rest = memoryview(data)
            while rest:
                readable, writable, _ = select.select([self._socket], [self._socket], [], self._timeout)
                if not readable and not writable:
                    raise TimeoutError("the server has taken nothing in time")
                if writable:
                    rest = rest[self._socket.send(rest) :]
                elif not self._take_early():
                    return False
            return True
        except (BrokenPipeError, ConnectionResetError):
            return False

    def _take_early(self) -> bool:
        self._early.append(self._socket.recv(_PIECE))
        return bool(self._early[-1])

    def read(self) -> bytes:
        """Returns what the server has sent; empty at the end."""
        return self._early.popleft() if self._early else self._socket.recv(_PIECE)

    def finish(self) -> None:
        """Ends the connection in order."""
        self._socket.close()

    def close(self) -> None:
        """Breaks the connection off."""
        self._socket.close()
