"""Clients on bare sockets that send all they have before they read anything, or do worse."""

import socket
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

SIZE = 20 << 20
RUNS = 8
PATIENCE = 60.0
PIECE = bytes(64 << 10)


@dataclass(frozen=True)
class Variant:
    """A way to behave; it returns what went wrong, if anything."""

    name: str
    behave: Callable[[int], str]
    # A route that a conformance program may lack.
    route: str = ""


def connect(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), PATIENCE)


def status_of_small(port: int, method: str, path: str) -> int:
    """The status of an answer to a request that needs no manners."""
    with connect(port) as client:
        client.sendall(head(method, path, "Content-Length: 1", "Connection: close") + b"x")
        return int(read_all(client)[9:12])


def head(method: str, path: str, *fields: str, version: str = "1.1") -> bytes:
    lines = [f"{method} {path} HTTP/{version}", "Host: h", *fields, "", ""]
    return "\r\n".join(lines).encode()


def upload(method: str, path: str, *fields: str, version: str = "1.1") -> bytes:
    return head(method, path, f"Content-Length: {SIZE}", *fields, version=version)


def read_all(client: socket.socket) -> bytes:
    return b"".join(iter(lambda: client.recv(1 << 20), b""))


def send(client: socket.socket, size: int = SIZE, pause: float = 0) -> None:
    """Sends zeros, whatever comes back."""
    for _ in range(size // len(PIECE)):
        client.sendall(PIECE)
        time.sleep(pause)


def statuses(answers: bytes) -> list[int]:
    """The statuses of answers whose bodies hold no line that looks like a head."""
    return [int(part[:3]) for part in answers.split(b"HTTP/1.1 ")[1:]]


def expect(answers: bytes, *wanted: int) -> str:
    got = statuses(answers)
    return "" if got == list(wanted) else f"statuses {got}, {len(answers)} bytes"


def sends_all_first(
    request: bytes, *wanted: int, pause: float = 0, after: bytes = b""
) -> Callable[[int], str]:
    def behave(port: int) -> str:
        with connect(port) as client:
            client.sendall(request)
            send(client, pause=pause)
            client.sendall(after)
            return expect(read_all(client), *wanted)

    return behave


def large_answer(port: int, path: str = "/unread/8388608") -> str:
    """Neither side's buffers hold what it sends."""
    with connect(port) as client:
        client.sendall(upload("POST", path))
        send(client)
        answer = read_all(client)
    if expect(answer, 200) or answer.count(b"x", answer.index(b"\r\n\r\n")) != 8388608:
        return f"{expect(answer, 200)} {len(answer)} bytes"
    return ""


def reads_first_and_sends_on(port: int) -> str:
    """Has its answer, and goes on for three seconds without a reset."""
    with connect(port) as client:
        client.sendall(upload("POST", "/missing"))
        send(client, 1 << 20)
        answer = read_all(client)
        send(client, 3 << 20, 0.06)
    return expect(answer, 404)


def pauses(port: int) -> str:
    """Stops for three seconds in the middle of its upload."""
    with connect(port) as client:
        client.sendall(upload("POST", "/missing"))
        send(client, 10 << 20)
        time.sleep(3)
        send(client, 10 << 20)
        return expect(read_all(client), 404)


def chunks_without_end(port: int) -> str:
    """Sends chunks until it has read an answer, as a stream of a camera does."""
    with connect(port) as client:
        client.sendall(head("POST", "/missing", "Transfer-Encoding: chunked"))
        for _ in range(SIZE // len(PIECE)):
            client.sendall(b"10000\r\n" + PIECE + b"\r\n")
        return expect(read_all(client), 404)


def large_head(port: int) -> str:
    with connect(port) as client:
        client.sendall(head("GET", "/plain", "X: " + "x" * (SIZE // 4)))
        return expect(read_all(client), 431)


def waits_for_leave(port: int) -> str:
    """Waits for 100 Continue, gets the final answer, and sends its body all the same."""
    with connect(port) as client:
        client.sendall(upload("POST", "/missing", "Expect: 100-continue"))
        first = client.recv(1)
        send(client)
        return expect(first + read_all(client), 404)


def no_answer_behind_an_error(port: int) -> str:
    """Pipelines: what is behind the upload is not answered, what was before it is."""
    before = head("GET", "/plain")
    behave = sends_all_first(
        before + upload("POST", "/missing"), 200, 404, after=head("GET", "/plain") + bytes(1 << 20)
    )
    return behave(port)


VARIANTS = [
    Variant("unknown path", sends_all_first(upload("POST", "/missing"), 404)),
    Variant("unknown path, slowly", sends_all_first(upload("POST", "/missing"), 404, pause=0.021)),
    Variant("PUT of a wrong method, slowly", sends_all_first(upload("PUT", "/plain"), 405, pause=0.021)),
    Variant("over the limit", sends_all_first(upload("POST", "/echo"), 413)),
    Variant("over the limit, slowly", sends_all_first(upload("POST", "/echo"), 413, pause=0.021)),
    Variant(
        "a route that does not read, slowly",
        sends_all_first(upload("POST", "/unread/9"), 200, pause=0.021),
        "/unread/1",
    ),
    Variant("HTTP/1.0", sends_all_first(upload("POST", "/missing", version="1.0"), 404)),
    Variant(
        "HTTP/1.0, keep-alive",
        sends_all_first(upload("POST", "/missing", "Connection: keep-alive", version="1.0"), 404),
    ),
    Variant(
        "expects leave and does not wait for it",
        sends_all_first(upload("POST", "/missing", "Expect: 100-continue"), 404),
    ),
    Variant("waits for leave, gets the answer, sends on", waits_for_leave),
    Variant("an unknown expectation", sends_all_first(upload("POST", "/missing", "Expect: cake"), 417)),
    Variant("two lengths", sends_all_first(upload("POST", "/echo", "Content-Length: 1"), 400)),
    Variant("a route that fails", sends_all_first(upload("POST", "/fail"), 500), "/fail"),
    Variant("a route that is too late", sends_all_first(upload("POST", "/late"), 503), "/late"),
    Variant("a route that reads a little", sends_all_first(upload("POST", "/partly"), 200), "/partly"),
    Variant("a large head", large_head),
    Variant("chunks", chunks_without_end),
    Variant("a large answer", large_answer, "/unread/1"),
    Variant(
        "a large streamed answer", partial(large_answer, path="/unread/stream/8388608"), "/unread/stream/1"
    ),
    Variant("reads first and sends on slowly", reads_first_and_sends_on),
    Variant("pauses in the middle", pauses),
    Variant("pipelines", no_answer_behind_an_error),
]


def offered(port: int) -> list[Variant]:
    """The variants whose route the server has."""
    return [it for it in VARIANTS if not it.route or status_of_small(port, "POST", it.route) != 404]


def run(variant: Variant, port: int) -> dict[str, int]:
    """What went wrong, and how often, in runs at once."""

    def behave(_: int) -> str:
        try:
            return variant.behave(port)
        except OSError as error:
            return f"{type(error).__name__}: {error}"

    with ThreadPoolExecutor(RUNS) as pool:
        return Counter(wrong for wrong in pool.map(behave, range(RUNS)) if wrong)
