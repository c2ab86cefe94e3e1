"""Listening sockets that several processes share: binding them, naming them, and closing them."""

from __future__ import annotations

import errno
import os
import socket
import sys
from contextlib import ExitStack

from transom import _native as native
from transom._addresses import Address, copy_of
from transom._check import shown
from transom._errors import BadAddressError, make

#: The length of the kernel's queue of connections that no process has accepted.
_BACKLOG = 1024
_CODES = {errno.EADDRINUSE: native.ADDRESS_IN_USE, errno.EACCES: native.PERMISSION_DENIED}


class SharedSockets:
    """The listening sockets of a supervisor. A process that stops leaves them open for the others."""

    def __init__(
        self, addresses: list[Address], unix_mode: int | None, redirect: Address | None = None
    ) -> None:
        if sys.platform == "win32":
            raise make(native.IO, "several processes share no sockets on Windows: start one Server there")
        self.sockets: list[socket.socket] = []
        #: The socket whose requests are redirected to https.
        self.redirect: socket.socket | None = None
        #: The files of Unix sockets, each with its device and inode.
        self._files: list[tuple[str, tuple[int, int]]] = []
        with ExitStack() as undo:
            undo.callback(self.close)
            for address in addresses:
                self.sockets.append(self._socket(address, unix_mode))
            if redirect is not None:
                self.redirect = self._socket(redirect, unix_mode)
            undo.pop_all()
        #: The addresses, as `Running.addresses` has them.
        self.names = [_name(each) for each in self._all]

    @property
    def _all(self) -> list[socket.socket]:
        return [*self.sockets, *([self.redirect] if self.redirect is not None else [])]

    def _socket(self, address: Address, unix_mode: int | None) -> socket.socket:
        if not isinstance(address, str):
            return copy_of(address.fileno())
        try:
            if address.startswith("fd:"):
                return copy_of(int(address[3:]))
            if address.startswith("unix:@"):
                return _listening(socket.AF_UNIX, f"\0{address[6:]}")
            if address.startswith("unix:"):
                return self._unix(address[5:], unix_mode)
            return _tcp(address)
        except (ValueError, UnicodeError, socket.gaierror) as error:
            raise BadAddressError(f"bad address {shown(address)}: {error}") from error
        except OSError as error:
            code = _CODES.get(error.errno or 0, native.IO)
            raise make(code, f"cannot listen on {address}: {error.strerror}", error.errno or 0) from error

    def _unix(self, path: str, mode: int | None) -> socket.socket:
        if _is_stale(path):
            os.unlink(path)
        made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            made.bind(path)
            there = os.lstat(path)
            self._files.append((path, (there.st_dev, there.st_ino)))
            # No client can connect before the socket listens, so the mode is set in time.
            if mode is not None:
                os.chmod(path, mode)
            made.listen(_BACKLOG)
        except BaseException:
            made.close()
            raise
        return made

    def close(self) -> None:
        """Closes the sockets, and removes the files that were made for them."""
        for each in self._all:
            each.close()
        for path, made in self._files:
            try:
                there = os.lstat(path)
                if (there.st_dev, there.st_ino) == made:
                    os.unlink(path)
            except OSError:
                # Somebody has removed the file.
                pass
        self._files.clear()


def _tcp(address: str) -> socket.socket:
    host, colon, port = address.rpartition(":")
    if not (colon and host and port.isascii() and port.isdigit()):
        raise ValueError("it has no host or no port, as in 127.0.0.1:8080")
    plain = host.removeprefix("[").removesuffix("]")
    failed: OSError | None = None
    for family, _, _, _, at in socket.getaddrinfo(plain, int(port), type=socket.SOCK_STREAM):
        try:
            return _listening(family, at)
        except OSError as error:
            failed = error
    raise failed or ValueError("the host has no address")


def _listening(family: int, at: object) -> socket.socket:
    made = socket.socket(family, socket.SOCK_STREAM)
    try:
        if family != socket.AF_UNIX:
            # Lets a program start anew while old connections are in TIME_WAIT.
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind(at)  # type: ignore[arg-type]
        made.listen(_BACKLOG)
    except BaseException:
        made.close()
        raise
    return made


def _is_stale(path: str) -> bool:
    """Returns `True` if the file is a socket on which no process listens."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as asking:
        # A server with a full backlog would otherwise block this call.
        asking.setblocking(False)
        return asking.connect_ex(path) == errno.ECONNREFUSED


def _name(there: socket.socket) -> str:
    at = there.getsockname()
    if there.family == socket.AF_UNIX:
        return f"unix:@{at[1:].decode('utf-8', 'replace')}" if isinstance(at, bytes) else f"unix:{at}"
    return f"[{at[0]}]:{at[1]}" if there.family == socket.AF_INET6 else f"{at[0]}:{at[1]}"
