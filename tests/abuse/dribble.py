"""Clients that send or take a byte now and then: no byte may make a deadline begin again."""

import select
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from server import Server

# A byte comes well within each deadline, and at a rate that is below every least rate.
TICK = 0.2
DEADLINE = 1000
SETTINGS = {
    "timeouts.head": DEADLINE,
    "timeouts.idle": DEADLINE,
    "timeouts.body": DEADLINE,
    "timeouts.write": DEADLINE,
    "timeouts.drain": DEADLINE,
    "timeouts.linger": 2 * DEADLINE,
    "timeouts.linger_idle": DEADLINE,
}
MODELS = ("event", "threads", "sequential")
# By then the connection has ended: a deadline, a linger behind it, and a machine with other work to do.
BOUND = 8.0


@dataclass(frozen=True)
class Dribble:
    """A request, and what then comes a byte at a time, over and over."""

    name: str
    request: bytes
    drops: bytes = b"x"
    # Takes bytes of the answer too, so many each time.
    takes: int = 0


def post(path, *fields):
    return "\r\n".join([f"POST {path} HTTP/1.1", "Host: abuse", *fields, "", ""]).encode()


LENGTH = "Content-Length: 1000000"
CHUNKED = "Transfer-Encoding: chunked"
GET_LARGE = b"GET /unread/50000000 HTTP/1.1\r\nHost: abuse\r\n\r\n"
DRIBBLES = [
    Dribble("a head", b"GET /plain HTTP/1.1\r\nHost: abuse\r\nX: "),
    Dribble("a request line", b"GET /"),
    Dribble("a body by length", post("/echo", LENGTH)),
    Dribble("a body in chunks of a byte", post("/echo", CHUNKED), b"1\r\nx\r\n"),
    Dribble("a body in a large chunk", post("/echo", CHUNKED) + b"fffff\r\n"),
    Dribble("an extension of a chunk", post("/echo", CHUNKED) + b"1;"),
    Dribble("the size of a chunk", post("/echo", CHUNKED), b"0"),
    Dribble("trailers", post("/echo", CHUNKED) + b"0\r\nX: "),
    Dribble("a body that its handler reads", post("/count", LENGTH)),
    Dribble("chunks that their handler reads", post("/count", CHUNKED), b"1\r\nx\r\n"),
    Dribble("a body over the limit", post("/echo", "Content-Length: 99999999")),
    Dribble("a body that nobody wants, small enough to drop", post("/missing", "Content-Length: 200000")),
    Dribble("a body that nobody wants", post("/missing", LENGTH)),
    Dribble("chunks that nobody wants", post("/missing", CHUNKED), b"1\r\nx\r\n"),
    Dribble("a body that is answered unread", post("/unread/9", LENGTH)),
    Dribble("after a refusal", b"GET / HTTP/1.1\r\n\r\n"),
    Dribble("after a head over the limit", b"GET / HTTP/1.1\r\nX: " + b"x" * 40_000),
    Dribble("after a last answer", b"GET /plain HTTP/1.1\r\nHost: abuse\r\nConnection: close\r\n\r\n"),
    Dribble("a large answer", GET_LARGE, b"", takes=1),
    Dribble("a large streamed answer", post("/unread/stream/50000000", CHUNKED) + b"0\r\n\r\n", b"", takes=1),
    Dribble("a large answer to a body that comes too", post("/unread/50000000", LENGTH), takes=1),
]


def has_ended(client, seconds):
    """Whether the server has closed both ways, or reset the connection."""
    poll = select.poll()
    poll.register(client, 0)
    time.sleep(seconds)
    return bool(poll.poll(0) and poll.poll(0)[0][1] & (select.POLLERR | select.POLLHUP))


def connect(server):
    client = socket.socket()
    # What the systems hold between the two is little.
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.settimeout(10)
    client.connect(("127.0.0.1", server.port))
    return client


def lasts(server, dribble):
    """Seconds until the connection ends."""
    with connect(server) as client:
        begun = time.monotonic()
        client.sendall(dribble.request)
        client.setblocking(False)
        number = 0
        while time.monotonic() - begun < BOUND:
            try:
                if dribble.drops:
                    client.send(dribble.drops[number % len(dribble.drops) :][:1])
                    number += 1
                if dribble.takes:
                    client.recv(dribble.takes)
            except BlockingIOError:
                pass
            except ConnectionError:
                break
            if has_ended(client, TICK):
                break
        return time.monotonic() - begun


def serves_meanwhile(server):
    """Seconds until another client has its answer."""
    time.sleep(2 * TICK)
    begun = time.monotonic()
    with socket.create_connection(("127.0.0.1", server.port), timeout=2 * BOUND) as client:
        client.sendall(b"GET /plain HTTP/1.1\r\nHost: abuse\r\nConnection: close\r\n\r\n")
        answer = b"".join(iter(lambda: client.recv(4096), b""))
    if not answer.startswith(b"HTTP/1.1 200 "):
        return float("inf")
    return time.monotonic() - begun


def warm_up(server):
    """Has the server make what it keeps: a thread for each of several clients at once."""
    clients = [server.connect() for _ in range(4)]
    for client in clients:
        # Served, and not only connected, all four are there together.
        client.sendall(b"GET /plain HTTP/1.1\r\nHost: a\r\n\r\n")
        assert client.recv(4096).startswith(b"HTTP/1.1 200 ")
    for client in clients:
        client.close()
    for _ in range(3):
        server.health()
    time.sleep(0.2)


def one(command, model, dribble):
    """What is wrong, if anything."""
    options = [word for name, value in SETTINGS.items() for word in ("--set", f"{name}={value}")]
    with Server([*command, "--model", model, *options]) as server, ThreadPoolExecutor(1) as pool:
        warm_up(server)
        descriptors = server.descriptors()
        other = pool.submit(serves_meanwhile, server)
        seconds, others = lasts(server, dribble), other.result()
        fault = server.recovered(descriptors)
    name = f"{model}: {dribble.name}"
    if seconds >= BOUND:
        return f"{name}: the connection does not end in {BOUND:.0f} s"
    if others > (BOUND if model == "sequential" else 1):
        return f"{name}: another client waits {others:.1f} s"
    print(f"    {name}: {seconds:.1f} s", flush=True)
    return f"{name}: {fault}" if fault else None


def dribbles(command):
    """Each in each model at once, on a server of its own."""
    todo = [(model, dribble) for dribble in DRIBBLES for model in MODELS]
    with ThreadPoolExecutor(len(todo)) as pool:
        faults = pool.map(lambda it: one(command, *it), todo)
        return [fault for fault in faults if fault]
