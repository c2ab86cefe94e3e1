"""The addresses that a server listens on: texts, and sockets of the program's."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from typing import TypeAlias

from transom._check import got, shown
from transom._errors import BadAddressError, InvalidArgumentError
from transom._handle import Handle, expect_no_fork
from transom._tls import Tls

#: A text such as `127.0.0.1:8080` or `unix:/path`, or a socket that listens.
Address: TypeAlias = "str | socket.socket"
#: One address, or several.
Addresses: TypeAlias = "Address | Sequence[Address]"

#: The beginning of the address that stands for a descriptor of this process.
_DESCRIPTOR = "fd:"


def checked(given: object) -> list[Address]:
    """Returns the addresses in a list. Raises `TypeError`, or `InvalidArgumentError` if there is none."""
    if _is_address(given):
        return [given]  # type: ignore[list-item]
    if not isinstance(given, Sequence) or isinstance(given, (bytes, bytearray)):
        raise TypeError(
            f"an address is a str such as '127.0.0.1:8080', or a socket, or a list of them, got {got(given)}"
        )
    for address in given:
        if not _is_address(address):
            raise TypeError(f"an address is a str such as '127.0.0.1:8080', or a socket, got {got(address)}")
    if not given:
        raise InvalidArgumentError("there is no address to listen on")
    return list(given)


def _is_address(given: object) -> bool:
    return isinstance(given, (str, socket.socket))


def checked_redirect(given: object) -> Address | None:
    """Returns the address of a redirect. Raises `TypeError` if it is none."""
    if given is not None and not _is_address(given):
        raise TypeError(f"redirect is an address such as '0.0.0.0:80', or a socket, got {got(given)}")
    return given  # type: ignore[return-value]


def listen(
    handle: Handle, addresses: list[Address], inherit: bool, tls: Tls | None, redirect: Address | None
) -> None:
    """Listens on the addresses, or on the sockets that were inherited, and starts the library.

    Without an address, the server has no sockets.
    """
    expect_no_fork()
    if not addresses:
        handle.set_unbound()
        handle.start()
        return
    inherited = handle.listen_inherited() if inherit else 0
    # A predecessor passes its sockets in their order: the redirect is the last.
    count = inherited - (redirect is not None) if inherited else len(addresses)
    if len(handle.reserved) > count:
        raise InvalidArgumentError(f"reserve is for {len(handle.reserved)} addresses, and there are {count}")
    if not inherited:
        for index, address in enumerate(addresses):
            _add(handle, index, address, tls)
        if redirect is not None:
            _add_redirect(handle, count, redirect)
    elif tls is not None:
        for index in range(count):
            handle.set_listener_tls(index, tls)
        if redirect is not None:
            handle.set_listener_redirect(count, 0)
    for index, places in enumerate(handle.reserved):
        handle.set_listener_reserve(index, places)
    handle.start()


def _add(handle: Handle, index: int, address: Address, tls: Tls | None) -> None:
    """Listens on one address, which is the next."""
    if isinstance(address, str) and not address.startswith(_DESCRIPTOR):
        if tls is None:
            handle.bind(address)
        else:
            handle.bind_tls(address, tls)
        return
    _add_copy(handle, address)
    if tls is not None:
        handle.set_listener_tls(index, tls)


def _add_redirect(handle: Handle, index: int, address: Address) -> None:
    """Listens on one address, which is the next, and redirects its requests to https."""
    if isinstance(address, str) and not address.startswith(_DESCRIPTOR):
        handle.bind_redirect(address, 0)
    else:
        _add_copy(handle, address)
        handle.set_listener_redirect(index, 0)


def _add_copy(handle: Handle, address: Address) -> None:
    """Adds a copy of a socket that listens."""
    with _copy(address) as copy:
        handle.listen_fd(copy.fileno())
        # It is the server's now.
        copy.detach()


def _copy(address: Address) -> socket.socket:
    """Returns a copy of a socket that listens. The original stays the program's."""
    try:
        copy = copy_of(_number(address) if isinstance(address, str) else address.fileno())
    except OSError as error:
        raise BadAddressError(f"bad address {shown(address)}: {error.strerror}") from error
    try:
        if copy.type != socket.SOCK_STREAM or not _listens(copy):
            raise BadAddressError(f"bad address {shown(address)}: it is no stream socket that listens")
    except BaseException:
        copy.close()
        raise
    return copy


def copy_of(descriptor: int) -> socket.socket:
    """Returns a socket with a copy of a descriptor.

    The method `dup` of a socket would also make the socket blocking. Copies share that with the original, so
    that a server that already accepts from the socket, perhaps in another process, could hang there.
    """
    return socket.socket(fileno=socket.dup(descriptor))


def _listens(copy: socket.socket) -> bool:
    return bool(copy.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))


def _number(address: str) -> int:
    number = address.removeprefix(_DESCRIPTOR)
    if not (number.isascii() and number.isdigit() and len(number) < 10):
        raise BadAddressError(f"bad address {shown(address)}: a descriptor is a number, as in 'fd:3'")
    return int(number)
