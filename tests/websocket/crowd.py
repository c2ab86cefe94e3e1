"""Ten thousand WebSockets that are idle: their memory, a Ping to each, and deadlines that end them."""

from __future__ import annotations

import os
import resource
import socket
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

CROWD = 10_000
#: The most resident bytes for each connection. What the kernel holds for a socket is not in them.
EACH = 2048
#: How much the resident memory may grow from the first crowd to the last: pages that an allocator keeps.
GROWTH = 2 << 20
#: Longer than anything takes on a machine with other work to do.
PATIENCE = 120

HANDSHAKE = (
    "GET {path} HTTP/1.1\r\nHost: crowd\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    "Sec-WebSocket-Version: 13\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n"
)
MESSAGE, ECHO = b"\x81\x85\0\0\0\0hello", b"\xca\x48\xcd\xc9\xc9\x07\x00"
PING, PONG = b"\x89\x84\0\0\0\0ping", b"\x8a\x04ping"


def resident(pid: int) -> int:
    """Returns the resident bytes of a process that are its own: not those of files."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("RssAnon")).split()[1]) * 1024


def descriptors(pid: int) -> int:
    return len(os.listdir(f"/proc/{pid}/fd"))


def receive(client: socket.socket, end: bytes) -> bytes:
    """Reads until something ends with these bytes."""
    received = b""
    while not received.endswith(end):
        chunk = client.recv(4096)
        assert chunk, f"the server has closed after {received!r}"
        received += chunk
    return received


def join(port: int, path: str, source: str) -> socket.socket:
    """Opens a connection, without an answer yet."""
    client = socket.socket()
    client.settimeout(PATIENCE)
    # A round leaves its ports in TIME_WAIT: the next one comes from another address.
    client.setsockopt(socket.IPPROTO_IP, 24, 1)  # IP_BIND_ADDRESS_NO_PORT
    client.bind((source, 0))
    client.connect(("127.0.0.1", port))
    client.sendall(HANDSHAKE.format(path=path).encode())
    return client


def gather(count: int, port: int, path: str, source: str) -> list[socket.socket]:
    """Opens connections on each of which a message has come back."""
    clients = []
    while len(clients) < count:
        batch = [join(port, path, source) for _ in range(min(100, count - len(clients)))]
        for client in batch:
            receive(client, b"\r\n\r\n")
            client.sendall(MESSAGE)
        for client in batch:
            receive(client, ECHO)
        clients += batch
    return clients


def until(what: str, holds: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < end, what
        time.sleep(0.05)


def crowd(port: int, pid: int) -> None:
    """Three crowds: two leave, and the last one is ended by the server, because it answers no Ping."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    count = CROWD if hard == resource.RLIM_INFINITY else min(CROWD, hard - 200)
    for client in gather(100, port, "/echo", "127.0.0.1"):
        client.close()
    idle = descriptors(pid)
    before, after, sizes = resident(pid), [], []
    for turn, path in enumerate(("/echo", "/echo", "/brief")):
        clients = gather(count, port, path, f"127.0.0.{2 + turn}")
        if path == "/echo":
            sizes.append(each := (resident(pid) - before) / count)
            print(f"{count} idle connections: {each:.0f} resident bytes for each", flush=True)
            for client in clients:
                client.sendall(PING)
            for client in clients:
                assert receive(client, PONG) == PONG
        else:
            # The server's Pings get no answer: each connection ends, after the time of a silence and a Ping.
            for client in clients:
                while client.recv(4096):
                    pass
        for client in clients:
            client.close()
        until("the descriptors are back", lambda: descriptors(pid) <= idle)
        after.append(resident(pid))
    # A page more or less, by where the allocator puts what.
    assert min(sizes) <= EACH, sizes
    assert after[2] - after[0] <= GROWTH, after
    print(f"{before >> 10} KiB before; {[size >> 10 for size in after]} KiB after the crowds", flush=True)


def few(port: int, pid: int) -> None:
    """Holds a server that does not end idle connections to the same memory for each, with fewer of them."""
    count = CROWD // 5
    clients = gather(100, port, "/echo", "127.0.0.1")
    before = resident(pid)
    clients += gather(count, port, "/echo", "127.0.0.1")
    each = (resident(pid) - before) / count
    print(f"{count} idle connections: {each:.0f} resident bytes for each", flush=True)
    assert each <= EACH, each
    for client in clients:
        client.close()


def raise_limit() -> None:
    """Lets this process, and those that it starts, have as many descriptors as it may."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
