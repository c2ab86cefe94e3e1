"""A host that forks while it serves, and then stops: its clients see the end, its port is free."""

import os
import select
import socket
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
PATIENCE = 10.0
GET = b"GET /plain HTTP/1.1\r\nHost: abuse\r\n\r\n"


class Host:
    """forking_host.py, told what to do a line at a time."""

    def __init__(self, library, model):
        environment = {
            **os.environ,
            "TRANSOM_LIBRARY": library,
            "PYTHONPATH": str(HERE.parent.parent / "bindings/python/src"),
        }
        command = [sys.executable, str(HERE / "forking_host.py"), model]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment, text=True
        )

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        try:
            self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
        self.process.stdout.close()

    def hear(self):
        """What it says next; nothing if that takes too long."""
        ready, _, _ = select.select([self.process.stdout], [], [], PATIENCE)
        return self.process.stdout.readline().strip() if ready else ""

    def tell(self):
        self.process.stdin.write("go on\n")
        self.process.stdin.flush()


def ends(client):
    """Whether the server has ended the connection."""
    try:
        while client.recv(65536):
            pass
    except ConnectionError:
        pass
    except TimeoutError:
        return False
    return True


def one(library, model):
    """What is wrong, if anything."""
    with Host(library, model) as host:
        listening = host.hear()
        if "listening" not in listening:
            return "the host does not start"
        address = ("127.0.0.1", int(listening.rpartition(":")[2]))
        # One that has had an answer, one with half a head, one with half a body, one that is silent.
        # One at a time is all that one model serves: the others wait in the backlog.
        starts = [GET, GET[:20], b"POST /echo HTTP/1.1\r\nHost: abuse\r\nContent-Length: 9\r\n\r\nhalf", b""]
        clients = [socket.create_connection(address, PATIENCE) for _ in starts]
        for client, start in zip(clients, starts, strict=True):
            client.sendall(start)
        if not clients[0].recv(4096).startswith(b"HTTP/1.1 200 "):
            return "no answer before the fork"
        host.tell()
        if host.hear() != "forked":
            return "the host does not fork"
        host.tell()
        if host.hear() != "stopped":
            return "the host does not stop"
        stay = sum(not ends(client) for client in clients)
        for client in clients:
            client.close()
        if stay:
            return f"{stay} clients do not see the end"
        if host.hear() != "bound again":
            return "the port cannot be bound again"
        # Each of a few: had the child the listener too, some would be its.
        for _ in range(5):
            with socket.create_connection(address, PATIENCE) as client:
                client.sendall(GET)
                if not client.recv(4096).startswith(b"HTTP/1.1 200 "):
                    return "no answer on the port that was bound again"
        host.tell()
        if host.hear() != "over":
            return "the second server does not stop"
    return None if host.process.returncode == 0 else f"status {host.process.returncode}"


def fork_and_stop(library):
    """The faults, in each model."""
    found = {model: one(library, model) for model in ("event", "threads", "sequential")}
    return [f"{model}: {fault}" for model, fault in found.items() if fault]
