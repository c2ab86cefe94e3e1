"""TLS: certificates and keys, and what a handshake settled."""

from __future__ import annotations

import os
import weakref
from collections.abc import Iterable
from ctypes import Array, Structure, c_char_p, c_size_t
from dataclasses import dataclass
from typing import TypeAlias

from transom import _native as native
from transom._check import flag, got, seconds
from transom._errors import ErrorSlot, InvalidArgumentError, WrongTypeError, check, make
from transom._native import quick, waiting

#: A file by its path, or PEM as bytes.
Pem: TypeAlias = "str | os.PathLike[str] | bytes"


@dataclass(frozen=True, slots=True)
class TlsInfo:
    """What the TLS handshake of a connection settled; see `Request.tls`."""

    #: `"TLSv1.3"` or `"TLSv1.2"`.
    version: str
    #: The cipher suite by its name in the registry of IANA, such as `TLS_AES_128_GCM_SHA256`.
    cipher: str
    #: The host name that the client asked for (SNI); `None` if it named none, as for an IP address.
    server_name: str | None
    #: The protocol that client and server agreed on (ALPN); `None` if the client offered none.
    alpn: str | None
    #: `True` if the client resumed an earlier session.
    resumed: bool
    #: The certificates of the client in DER, its own first. They were verified. Empty if it sent none.
    peer_certificates: list[bytes]


class Tls:
    """TLS for the connections of a server: certificates, keys, and what else a handshake needs.

    `certificate` and `key` are files in PEM by their paths (`str` or a path), or PEM as `bytes`.
    The certificate comes first, and those that lead to a known authority follow. The key has no
    passphrase. `certificates` has more pairs: a client gets the certificate that has the name that
    it asks for, or else the first.

    - `client_authorities` asks each client for a certificate that one of these authorities has
      issued; `Request.tls` has it. With `client_certificates_optional=True`, a client may have
      none. `client_revocations` is a file with a list of certificates that are revoked.
    - `protocols` are those that the server offers by ALPN; empty ignores what a client offers.
    - `least_version` is `"1.2"` or `"1.3"`.
    - `watch` reads the files again when they have changed: a handshake looks for that, at most
      once in so many seconds. Without it, `reload` does.

    TLS is given to `Server.run`, `Server.start` or `Server.serve`, and several servers may share
    it. Any thread may call its methods.

    >>> from transom import Tls
    >>> Tls("/no/such/site.pem", "/no/such/site.key")
    Traceback (most recent call last):
    transom._errors.BadTlsError: TLS: /no/such/site.pem: No such file or directory (os error 2)

    Raises `BadTlsError`, which names the file, if something cannot be used.
    """

    __slots__ = ("__weakref__", "_finalizer", "_pointer")

    def __init__(
        self,
        certificate: Pem,
        key: Pem,
        *,
        certificates: Iterable[tuple[Pem, Pem]] = (),
        client_authorities: Pem | None = None,
        client_revocations: str | os.PathLike[str] | None = None,
        client_certificates_optional: bool = False,
        protocols: Iterable[str] = ("http/1.1",),
        least_version: str = "1.2",
        watch: float | None = None,
    ) -> None:
        pairs = [(certificate, key), *certificates]
        flag("client_certificates_optional", client_certificates_optional)
        if not isinstance(least_version, str):
            raise WrongTypeError(f"least_version is a str, got {got(least_version)}")
        if isinstance(protocols, str):
            raise WrongTypeError(f"protocols are several str, such as [{protocols!r}], got one str")
        offered = [protocol.encode("latin-1") for protocol in protocols]
        interval = None if watch is None else seconds("watch", watch, zero=True)
        pointer = quick.tls_new()
        if not pointer:
            raise make(native.FORKED)
        #: The native object.
        self._pointer: int = pointer
        self._finalizer = weakref.finalize(self, quick.tls_free, pointer)
        self._finalizer.atexit = False
        for chain, private in pairs:
            self._add(chain, private)
        if client_authorities is not None:
            pem = _pem("client_authorities", client_authorities)
            if isinstance(client_authorities, bytes):
                check(quick.tls_add_client_authorities(pointer, pem, len(pem)))
            else:
                check(quick.tls_add_client_authorities_file(pointer, pem))
        if client_revocations is not None:
            if isinstance(client_revocations, bytes):
                raise WrongTypeError("client_revocations is a path, got bytes")
            path = _pem("client_revocations", client_revocations)
            check(quick.tls_add_client_revocations_file(pointer, path))
        if client_certificates_optional:
            check(quick.tls_set_client_certificates_optional(pointer))
        check(quick.tls_set_protocols(pointer, _texts(offered), len(offered)))
        slot = ErrorSlot()
        version = least_version.encode("ascii", "backslashreplace").replace(b"\0", b"\\0")
        slot.check(quick.tls_set_least_version(pointer, version, slot.reference))
        if interval is not None:
            check(quick.tls_set_watch(pointer, max(int(interval * 1000), int(interval > 0))))
        self.reload()

    def _add(self, certificate: Pem, key: Pem) -> None:
        chain, private = _pem("a certificate", certificate), _pem("a key", key)
        if isinstance(certificate, bytes) != isinstance(key, bytes):
            raise WrongTypeError("a certificate and its key are both files, or both PEM as bytes")
        if isinstance(certificate, bytes):
            check(quick.tls_add_pem(self._pointer, chain, len(chain), private, len(private)))
        else:
            check(quick.tls_add_files(self._pointer, chain, private))

    def reload(self) -> None:
        """Reads the files again. Handshakes that begin from now on use what was read.

        Connections that are open stay as they are. Raises `BadTlsError` if something cannot be
        used; what was in use stays in use.
        """
        slot = ErrorSlot()
        slot.check(waiting.tls_reload(self._pointer, slot.reference))

    def replace(self, certificate: bytes, key: bytes) -> None:
        """Puts a certificate and a key in PEM in place of all that there were.

        Raises what `reload` raises.
        """
        if not isinstance(certificate, bytes) or not isinstance(key, bytes):
            found = f"{got(certificate)} and {got(key)}"
            raise WrongTypeError(f"a certificate and a key in PEM are bytes, got {found}")
        slot = ErrorSlot()
        code = waiting.tls_replace(
            self._pointer, certificate, len(certificate), key, len(key), slot.reference
        )
        slot.check(code)

    def __repr__(self) -> str:
        return "<Tls>"


class _Bytes(Structure):
    """`transom_bytes`."""

    _fields_ = [("data", c_char_p), ("len", c_size_t)]


def _texts(texts: list[bytes]) -> Array[_Bytes]:
    """Converts texts to an array of `transom_bytes`."""
    return (_Bytes * len(texts))(*(_Bytes(text, len(text)) for text in texts))


def _pem(what: str, given: Pem) -> bytes:
    """Returns PEM, or the path of a file with it, for the library."""
    if isinstance(given, bytes):
        return given
    if not isinstance(given, str | os.PathLike):
        raise WrongTypeError(f"{what} is a path, or PEM as bytes, got {got(given)}")
    path = os.fsencode(given)
    if b"\0" in path:
        raise InvalidArgumentError(f"{what} is a path without NUL, got {given!r}")
    return path
