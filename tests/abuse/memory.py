"""Clients that send more than there is memory for, all of it permitted."""

import select
import time

from server import reset

ADDRESS_SPACE = 256 << 20
CLIENTS = 14
BODY = 9 << 20
PIECE = bytes(64 << 10)
PATIENCE = 30.0


class Sender:
    """A client that sends what it has as far as it is taken, and reads nothing until asked."""

    def __init__(self, server, parts):
        self.socket = server.connect()
        self.socket.setblocking(False)
        self.parts, self.at = iter(parts), memoryview(b"")
        self.is_over = False

    def send(self):
        """Sends what is taken at once."""
        try:
            while not self.is_over:
                if not self.at:
                    self.at = memoryview(next(self.parts))
                self.at = self.at[self.socket.send(self.at) :]
        except BlockingIOError:
            pass
        except (StopIteration, ConnectionError):
            self.is_over = True

    def status(self):
        """The status of its first answer; 0 if the connection ended without one."""
        self.socket.settimeout(PATIENCE)
        try:
            answer = self.socket.recv(65536)
        except ConnectionError:
            answer = b""
        return int(answer[9:12] or 0)


def send_all(senders, seconds=5.0):
    """Sends at once for all of them, until all is sent or nothing is taken for half a second."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        open_ones = [sender for sender in senders if not sender.is_over]
        ready = select.select([], [sender.socket for sender in open_ones], [], 0.5)[1] if open_ones else []
        if not ready:
            return
        for sender in open_ones:
            if sender.socket in ready:
                sender.send()


def by_length(path):
    head = f"POST {path} HTTP/1.1\r\nHost: abuse\r\nContent-Length: {BODY}\r\n\r\n".encode()
    yield head
    for _ in range(BODY // len(PIECE)):
        yield PIECE


def chunked(path, size=64 << 10):
    yield f"POST {path} HTTP/1.1\r\nHost: abuse\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
    chunk = b"%x\r\n" % size + bytes(size) + b"\r\n"
    for _ in range(BODY // size):
        yield chunk
    yield b"0\r\n\r\n"


def held_back(parts):
    """All but the end of a request."""
    parts = list(parts)
    return [*parts[:-1], parts[-1][:-1]], parts[-1][-1:]


def bodies(server, make):
    """All of the bodies but their last bytes are there at once; then they end."""
    start, end = held_back(make)
    senders = [Sender(server, start) for _ in range(CLIENTS)]
    send_all(senders)
    for sender in senders:
        sender.parts, sender.is_over = iter([end]), False
    send_all(senders)
    statuses = [sender.status() for sender in senders]
    for sender in senders:
        reset(sender.socket)
    # A handler that finds no memory for what it wants fails, which is a 500.
    strange = set(statuses) - {0, 200, 500, 503}
    if strange:
        raise SystemExit(f"statuses {strange}")
    return f"{statuses.count(200)} of {CLIENTS} served, {statuses.count(503)} refused"


def half_heads(server, count=1500):
    """Heads of 30 KiB without their ends."""
    head = b"GET /plain HTTP/1.1\r\nHost: abuse\r\nX: " + b"x" * (30 << 10)
    return together(server, [[head]] * count)


def unread_answers(server, count=1000):
    """Pipelined requests whose answers nobody reads."""
    size = 60 << 10
    request = f"POST /echo HTTP/1.1\r\nHost: abuse\r\nContent-Length: {size}\r\n\r\n".encode() + bytes(size)
    return together(server, [[request] * 6] * count)


def together(server, requests):
    """Clients that are there at once, and then gone."""
    senders = []
    for parts in requests:
        try:
            senders.append(Sender(server, parts))
        except (TimeoutError, ConnectionError):
            break  # It takes no more, which is an answer too.
        senders[-1].send()
    for sender in senders:
        reset(sender.socket)
    return f"{len(senders)} clients"


def is_offered(server, path):
    with server.connect() as client:
        client.sendall(f"POST {path} HTTP/1.1\r\nHost: abuse\r\nContent-Length: 1\r\n\r\nx".encode())
        return not client.recv(100).startswith(b"HTTP/1.1 404 ")


def more_than_there_is_memory_for(server):
    """Each in turn; after each it must answer again."""
    turns = {
        "bodies by length": lambda: bodies(server, by_length("/echo")),
        "chunked bodies": lambda: bodies(server, chunked("/echo")),
        "bodies of small chunks": lambda: bodies(server, chunked("/echo", 1 << 10)),
        "half heads": lambda: half_heads(server),
        "answers that nobody reads": lambda: unread_answers(server),
    }
    if is_offered(server, "/hold/1"):
        turns["bodies that nobody reads"] = lambda: bodies(server, by_length("/hold/1000"))
    for name, turn in turns.items():
        print(f"    {name}: {turn()}", flush=True)
        recovers(server)


def recovers(server):
    end = time.monotonic() + PATIENCE
    while True:
        try:
            server.health()
            return
        except (SystemExit, OSError):
            if server.process.poll() is not None or time.monotonic() > end:
                raise
            time.sleep(0.1)
