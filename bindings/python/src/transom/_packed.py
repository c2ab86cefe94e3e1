"""The layout of packed request and response records.

`transom.h` describes the layouts at `transom_server_next_batch` and
`transom_server_respond_batch`.
"""

from __future__ import annotations

import struct
from typing import TypeAlias

#: The head of a request record: record_len, route_id, token, method_len, target_len,
#: path_len, query_len, headers_len, peer_len, param_count, version, flags, body_len.
REQUEST = struct.Struct("=IIQIIIIIIIHHQ")
REQUEST_LEN = REQUEST.size

#: The first fields of that head: record_len, route_id, token.
REQUEST_START = struct.Struct("=IIQ")

#: The fields of a request record's head, in that order.
RequestHead: TypeAlias = tuple[int, int, int, int, int, int, int, int, int, int, int, int, int]

#: The head of a response record: record_len, status, token, headers_len, body_len. The flags and
#: the reserved field between them are 0.
RESPONSE = struct.Struct("=IHxxQIxxxxQ")
RESPONSE_LEN = RESPONSE.size
#: The same with its flags.
_FLAGGED = struct.Struct("=IHHQIxxxxQ")

#: The bytes that pad a record to a multiple of 8, by its length modulo 8.
PADDING = tuple(b"\0" * (-length % 8) for length in range(8))

#: Pieces of one response record: head, header block, body, padding.
Pieces: TypeAlias = tuple[bytes, bytes, bytes, bytes]

#: Status, header block and body of a response. The block consists of `name: value` lines that end in CRLF.
Parts: TypeAlias = tuple[int, bytes, bytes]

_PAIR = struct.Struct("=II")
#: version_len, cipher_len, server_name_len, alpn_len, certificate_count, resumed.
_TLS = struct.Struct("=IIIIII")
_LENGTH = struct.Struct("=I")


def encode(token: int, status: int, block: bytes, body: bytes, flags: int = 0) -> Pieces:
    """Returns the pieces of a response record, to be joined with those of other records.

    >>> len(b"".join(encode(1, 200, b"a: b\\r\\n", b"hello")))
    48
    """
    length = RESPONSE_LEN + len(block) + len(body)
    padding = PADDING[length & 7]
    return (
        _FLAGGED.pack(length + len(padding), status, flags, token, len(block), len(body)),
        block,
        body,
        padding,
    )


def decode_params(data: bytes, at: int, count: int) -> tuple[dict[str, str], int]:
    """Returns the path parameters at `at`, and where they end. See `Request.params`."""
    params = {}
    for _ in range(count):
        name_len, value_len = _PAIR.unpack_from(data, at)
        name_at = at + 8
        value_at = name_at + name_len
        at = value_at + value_len
        value = data[value_at:at]
        try:
            # Takes half the time of a call with arguments.
            text = value.decode()
        except UnicodeDecodeError:
            text = value.decode("utf-8", "surrogateescape")
        params[data[name_at:value_at].decode()] = text
    return params, at


def decode_tls(data: bytes, at: int) -> tuple[list[str], list[bytes], bool]:
    """Returns what a TLS handshake settled, at `at`: the texts, the certificates, and if it was resumed."""
    *lengths, count, resumed = _TLS.unpack_from(data, at)
    at += _TLS.size
    texts = []
    for length in lengths:
        texts.append(data[at : at + length].decode("latin-1"))
        at += length
    certificates = []
    for _ in range(count):
        (length,) = _LENGTH.unpack_from(data, at)
        at += 4
        certificates.append(data[at : at + length])
        at += length
    return texts, certificates, bool(resumed)


def end_of_params(data: bytes, at: int, count: int) -> int:
    """Returns where the path parameters at `at` end."""
    for _ in range(count):
        name_len, value_len = _PAIR.unpack_from(data, at)
        at += 8 + name_len + value_len
    return at
