"""The servers that are compared, each as a function from bytes to what it saw."""

import importlib.metadata
import json
import re
import shutil
import socket
import subprocess
import threading
from dataclasses import dataclass, field
from pathlib import Path

PATIENCE = 30.0
# Every stream asks for less than this.
LARGE = 1 << 20


@dataclass
class Seen:
    """What a server saw in a stream."""

    # The body of each whole message; None where the server does not show it.
    messages: list[bytes | None] = field(default_factory=list)
    # Why it stopped, if it objected.
    error: str = ""
    # The last answer was given without waiting for the body of the request.
    early: bool = False

    def at(self, place: int) -> str:
        """What it made of the message at that place."""
        if place < len(self.messages):
            is_early = self.early and place == len(self.messages) - 1
            return "early answer" if is_early else "message"
        return f"error: {self.error}" if self.error else "nothing"


def talk(address: tuple[str, int], stream: bytes, source: str = "127.0.0.1") -> tuple[str, bytes]:
    """Sends a stream and closes that side: the local address, and all that came back."""
    with socket.create_connection(address, PATIENCE, (source, 0)) as client:
        host, port = client.getsockname()
        answer = b""
        try:
            client.sendall(stream)
            client.shutdown(socket.SHUT_WR)
            while piece := client.recv(65536):
                answer += piece
        except ConnectionError:
            pass  # It closed while there was more to send; what it said counts.
        return f"{host}:{port}", answer


class Program:
    """A server in a process of its own that says on which port it listens."""

    def __init__(self, command: list[str]) -> None:
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout
        line = self.process.stdout.readline()
        found = re.search(r":(\d+)\s*$", line)
        if not found:
            raise RuntimeError(f"{command[0]} did not say where it listens: {line!r}")
        self.address = ("127.0.0.1", int(found[1]))

    def stop(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()


class Transom(Program):
    """The conformance example: a message is an answer that is no refusal."""

    name = "transom"
    version = ""

    def __init__(self, binary: str) -> None:
        super().__init__([binary, "--port", "0"])

    def see(self, stream: bytes) -> Seen:
        seen = Seen()
        _, rest = talk(self.address, stream)
        while rest:
            head, _, rest = rest.partition(b"\r\n\r\n")
            status = int(head[9:12])
            if status < 200:
                continue
            length = re.search(rb"\ncontent-length: (\d+)", head)
            size = int(length[1]) if length else 0
            chunked = b"\ntransfer-encoding: chunked" in head
            if chunked:
                body, _, rest = rest.partition(b"0\r\n\r\n")
            elif status in (204, 304) or rest.startswith(b"HTTP/1.1 ") or not rest:
                body = b""  # The answer to a HEAD says its length all the same.
            else:
                body, rest = rest[:size], rest[size:]
            is_early = status in (204, 404, 405)
            if status >= 400 and not is_early:
                seen.error = body.decode("latin-1").strip() or f"{status}"
                if rest:
                    raise RuntimeError(f"more behind a refusal: {rest[:60]!r}")
                break
            is_echo = b"\ncontent-type: application/octet-stream" in head
            seen.messages.append(body if is_echo else None)
            seen.early = is_early
        return seen


class H11:
    """h11, in this process: a message is one that it sees the end of."""

    name = "h11"

    def __init__(self) -> None:
        import h11

        self.h11 = h11
        self.version = importlib.metadata.version("h11")

    def see(self, stream: bytes) -> Seen:
        h11, seen = self.h11, Seen()
        server = h11.Connection(h11.SERVER, max_incomplete_event_size=LARGE)
        server.receive_data(stream)
        server.receive_data(b"")
        body = b""
        try:
            while True:
                event = server.next_event()
                if isinstance(event, h11.Data):
                    body += bytes(event.data)
                elif isinstance(event, h11.EndOfMessage):
                    seen.messages.append(body)
                    body = b""
                    server.send(h11.Response(status_code=404, headers=[("content-length", "0")]))
                    server.send(h11.EndOfMessage())
                    if server.our_state is not h11.DONE:
                        return seen
                    server.start_next_cycle()
                elif not isinstance(event, h11.Request):
                    return seen
        except h11.RemoteProtocolError as error:
            seen.error = str(error)
            return seen

    def stop(self) -> None:
        """Nothing runs."""


class Node(Program):
    """Node's http: a message is one whose end is told to the application."""

    name = "node"

    def __init__(self) -> None:
        node = shutil.which("node")
        if not node:
            raise FileNotFoundError("no node")
        script = Path(__file__).with_name("node_peer.js")
        super().__init__([node, str(script)])
        self.version = subprocess.check_output([node, "--version"], text=True).strip()
        self.reports: dict[str, dict[str, object]] = {}
        # Each thread connects from an address of its own: another connection may get the port of one that is
        # closed before that is reported.
        self.sources = (f"127.0.0.{number}" for number in range(2, 255))
        self.own = threading.local()
        self.told = threading.Condition()
        threading.Thread(target=self.listen, daemon=True).start()

    def listen(self) -> None:
        assert self.process.stdout
        for line in self.process.stdout:
            report = json.loads(line)
            with self.told:
                self.reports[report["client"]] = report
                self.told.notify_all()

    def see(self, stream: bytes) -> Seen:
        with self.told:
            if not hasattr(self.own, "source"):
                self.own.source = next(self.sources)
        client, _ = talk(self.address, stream, self.own.source)
        with self.told:
            if not self.told.wait_for(lambda: client in self.reports, PATIENCE):
                raise TimeoutError("node did not report a connection")
            report = self.reports.pop(client)
        messages = [bytes.fromhex(body) for body in report["bodies"]]  # type: ignore[attr-defined]
        return Seen(list(messages), str(report["error"]))
