#!/usr/bin/env python3
"""What a scanner of TLS looks for, asked with hellos that are made by hand.

    tests/clients/scan.py PORT

Each version from SSL 2.0 on, each number of a cipher suite that there can be, compression, the
extensions for renegotiation and heartbeats, and groups of keys. How often the keys of tickets change
cannot be seen within the six hours of one. A downgrade is told by the server's random, which clients
check, and not by an alert for TLS_FALLBACK_SCSV.
"""

import os
import socket
import struct
import sys

PATIENCE = 20.0
# The only suites: forward secrecy by ECDHE, AEAD, no CBC, RC4, 3DES, NULL, EXPORT, static RSA or DHE.
SUITES_12 = {0xC02B, 0xC02C, 0xC02F, 0xC030, 0xCCA8, 0xCCA9}
SUITES_13 = {0x1301, 0x1302, 0x1303}
# x25519, secp256r1, secp384r1, X25519MLKEM768 and the like.
LEAST_GROUPS = {29, 23, 24}
RENEGOTIATION, HEARTBEAT, EXTENDED_SECRET, VERSIONS, KEY_SHARE = 0xFF01, 15, 23, 43, 51
ALERT, HANDSHAKE, HEARTBEAT_RECORD = 21, 22, 24
# Suites that no server may choose: signals, and values that are reserved so that servers ignore them.
NO_SUITES = {0x00FF, 0x5600}
# One offer of suites has to fit into two bytes of length.
MOST_OFFERED = 16_000


def extension(number: int, content: bytes) -> bytes:
    return struct.pack("!HH", number, len(content)) + content


def extensions(
    versions: list[int] | None = None, groups: tuple[int, ...] = (29, 23, 24), share: int | None = None
) -> bytes:
    """Extensions of a hello, with a share of random bytes: the keys are never computed here."""
    made = extension(10, struct.pack(f"!H{len(groups)}H", 2 * len(groups), *groups))
    made += extension(11, b"\x01\x00")
    signatures = (0x0403, 0x0503, 0x0603, 0x0804, 0x0805, 0x0806, 0x0401, 0x0501, 0x0601, 0x0203, 0x0201)
    made += extension(13, struct.pack(f"!H{len(signatures)}H", 2 * len(signatures), *signatures))
    made += extension(RENEGOTIATION, b"\x00") + extension(EXTENDED_SECRET, b"")
    made += extension(HEARTBEAT, b"\x01")
    if versions:
        made += extension(VERSIONS, bytes([2 * len(versions)]) + struct.pack(f"!{len(versions)}H", *versions))
        key = struct.pack("!HH", share or 29, 32) + os.urandom(32)
        made += extension(KEY_SHARE, struct.pack("!H", len(key)) + key)
    return made


def hello(version: int, suites: list[int], more: bytes, compression: bytes = b"\x00") -> bytes:
    """A ClientHello in as many records as it needs."""
    body = struct.pack("!H", version) + os.urandom(32) + b"\x00"
    body += struct.pack(f"!H{len(suites)}H", 2 * len(suites), *suites)
    body += bytes([len(compression)]) + compression + struct.pack("!H", len(more)) + more
    message = b"\x01" + struct.pack("!I", len(body))[1:] + body
    pieces = [message[at : at + 16384] for at in range(0, len(message), 16384)]
    outer = min(version, 0x0301)
    return b"".join(struct.pack("!BHH", HANDSHAKE, outer, len(piece)) + piece for piece in pieces)


class Answer:
    """The first record of a server: its hello, or an alert."""

    def __init__(self, record: bytes) -> None:
        self.alert = record[6] if record and record[0] == ALERT else None
        self.version = self.suite = self.compression = None
        self.extensions: dict[int, bytes] = {}
        if not record or record[0] != HANDSHAKE or record[5] != 2:
            return
        body = record[9:]
        self.version = struct.unpack("!H", body[:2])[0]
        self.random = body[2:34]
        at = 35 + body[34]
        self.suite, self.compression = struct.unpack("!HB", body[at : at + 3])
        at += 5
        end = at + struct.unpack("!H", body[at - 2 : at])[0]
        while at < end:
            number, length = struct.unpack("!HH", body[at : at + 4])
            self.extensions[number] = body[at + 4 : at + 4 + length]
            at += 4 + length
        if VERSIONS in self.extensions:
            self.version = struct.unpack("!H", self.extensions[VERSIONS])[0]


def record_of(stream: socket.socket) -> bytes:
    """The next record, or nothing if the server closes."""
    record = b""
    while len(record) < 5 or len(record) < 5 + struct.unpack("!H", record[3:5])[0]:
        wanted = 5 - len(record) if len(record) < 5 else 5 + struct.unpack("!H", record[3:5])[0] - len(record)
        try:
            more = stream.recv(wanted)
        except ConnectionResetError:
            more = b""
        if not more:
            return b""
        record += more
    return record


def ask(port: int, said: bytes) -> Answer:
    with socket.create_connection(("127.0.0.1", port), PATIENCE) as stream:
        stream.sendall(said)
        return Answer(record_of(stream))


def holds(condition: bool, told: str) -> None:
    if not condition:
        raise AssertionError(told)


def chosen(port: int, version: int, more: bytes) -> set[int]:
    """All suites that the server chooses: each offer leaves out those that it chose before."""
    found: set[int] = set()
    every = [suite for suite in range(0x10000) if suite not in NO_SUITES]
    for at in range(0, len(every), MOST_OFFERED):
        offered = every[at : at + MOST_OFFERED]
        while offered:
            answer = ask(port, hello(version, offered, more))
            if answer.suite is None:
                holds(answer.alert is not None, "neither a hello nor an alert")
                break
            holds(answer.suite in offered, f"the suite {answer.suite:#06x} was not offered")
            found.add(answer.suite)
            offered.remove(answer.suite)
    return found


def check(port: int) -> None:
    """Fails with an AssertionError that names what is wrong."""
    old = extensions()
    new = extensions(versions=[0x0304])
    # Versions. An SSL 2.0 hello is no record of TLS: it gets no answer but an alert.
    for version in (0x0300, 0x0301, 0x0302):
        answer = ask(port, hello(version, [*SUITES_12, 0x002F, 0xC013], old))
        holds(answer.suite is None and answer.alert == 70, f"version {version:#06x}: {vars(answer)}")
    answer = ask(port, b"\x80\x1c\x01\x00\x02\x00\x03\x00\x00\x00\x10\x01\x00\x80" + os.urandom(16))
    holds(answer.suite is None, "SSL 2.0")
    answer = ask(port, hello(0x0303, [*SUITES_13], extensions(versions=[0x0303, 0x0302, 0x0301])))
    holds(answer.suite is None, "suites of TLS 1.3 without it")
    # Suites.
    found = chosen(port, 0x0303, old)
    holds(bool(found) and found <= SUITES_12, f"suites of TLS 1.2: {sorted(map(hex, found))}")
    found = chosen(port, 0x0303, new)
    holds(found == SUITES_13, f"suites of TLS 1.3: {sorted(map(hex, found))}")
    # Compression, renegotiation, the extended master secret, heartbeats.
    answer = ask(port, hello(0x0303, [*SUITES_12], old, compression=b"\x01\x40\x00"))
    holds(answer.compression in (0, None), "compression")
    answer = ask(port, hello(0x0303, [*SUITES_12], old, compression=b"\x01"))
    holds(answer.suite is None, "no way without compression is offered, and one is taken")
    answer = ask(port, hello(0x0303, [*SUITES_12], old))
    holds(answer.extensions.get(RENEGOTIATION) == b"\x00", "secure renegotiation (RFC 5746)")
    holds(EXTENDED_SECRET in answer.extensions, "the extended master secret (RFC 7627)")
    holds(HEARTBEAT not in answer.extensions, "heartbeats")
    holds(answer.random.endswith(b"DOWNGRD\x01"), "the mark of a downgrade (RFC 8446 4.1.3)")
    with socket.create_connection(("127.0.0.1", port), PATIENCE) as stream:
        # Asks for 16 KiB of which it has sent 3 bytes.
        stream.sendall(hello(0x0303, [*SUITES_12], old) + b"\x18\x03\x03\x00\x03\x01\x40\x00")
        while record := record_of(stream):
            holds(record[0] != HEARTBEAT_RECORD, "Heartbleed")
    # Groups: a share for an unknown group gets a retry with a good one, and FFDHE is not spoken.
    answer = ask(port, hello(0x0303, [*SUITES_13], extensions([0x0304], (0x0100, 0x0101), 0x0100)))
    holds(answer.suite is None, "finite fields")
    for group in LEAST_GROUPS:
        answer = ask(port, hello(0x0303, [*SUITES_13], extensions([0x0304], (group,), 0x2A2A)))
        asked = answer.extensions.get(KEY_SHARE)
        holds(asked == struct.pack("!H", group), f"group {group}: {vars(answer)}")


if __name__ == "__main__":
    check(int(sys.argv[1]))
    print("nothing weak was found")
