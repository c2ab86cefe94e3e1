"""The extension `tls` of a scope: what the handshake of the connection settled."""

from __future__ import annotations

from base64 import b64encode
from typing import Any

from transom._request import Request

#: The numbers of the versions of TLS (RFC 8446 4.2.1).
_VERSIONS = {"TLSv1.2": 0x0303, "TLSv1.3": 0x0304}
#: The numbers of the cipher suites that the library has, in the registry of IANA.
_CIPHERS = {
    "TLS_AES_128_GCM_SHA256": 0x1301,
    "TLS_AES_256_GCM_SHA384": 0x1302,
    "TLS_CHACHA20_POLY1305_SHA256": 0x1303,
    "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256": 0xC02B,
    "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384": 0xC02C,
    "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256": 0xC02F,
    "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384": 0xC030,
    "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256": 0xCCA8,
    "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256": 0xCCA9,
}


def tls_extension(request: Request) -> dict[str, Any]:
    """Returns the extension. The certificate of the server and the name of the client's are left `None`."""
    info = request.tls
    assert info is not None
    return {
        "server_cert": None,
        "client_cert_chain": [_pem(certificate) for certificate in info.peer_certificates],
        "client_cert_name": None,
        "client_cert_error": None,
        "tls_version": _VERSIONS.get(info.version),
        "cipher_suite": _CIPHERS.get(info.cipher),
    }


def _pem(certificate: bytes) -> str:
    text = b64encode(certificate).decode()
    lines = "\n".join(text[at : at + 64] for at in range(0, len(text), 64))
    return f"-----BEGIN CERTIFICATE-----\n{lines}\n-----END CERTIFICATE-----\n"
