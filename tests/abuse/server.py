"""A program under test, in a process of its own, and how it must be when an abuse is over."""

import os
import re
import resource
import socket
import struct
import subprocess
import time
from pathlib import Path

HEALTH = 0.1
ALLOWANCE = 8 << 20


class Server:
    """A conformance program on a free port, in a process of its own."""

    def __init__(self, command, descriptors=None, address_space=None):
        def limit():
            if descriptors:
                resource.setrlimit(resource.RLIMIT_NOFILE, (descriptors, descriptors))
            if address_space:
                resource.setrlimit(resource.RLIMIT_AS, (address_space, address_space))

        # Large blocks go back to the system when they are freed, so that what is resident
        # is what the server holds: glibc would keep some for later (mallopt(3)).
        environment = {**os.environ, "MALLOC_MMAP_THRESHOLD_": str(1 << 20)}
        # A port that is free may be somebody else's a moment later.
        for _ in range(5):
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", 0))
                self.port = probe.getsockname()[1]
            arguments = [*command, "--port", str(self.port), "--workers", "2"]
            self.process = subprocess.Popen(
                arguments, stdout=subprocess.PIPE, preexec_fn=limit, env=environment
            )
            if b"listening" in self.process.stdout.readline():
                return
            self.process.kill()
            self.process.wait()
        raise SystemExit(f"{command[0]} does not start")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        if self.process.wait(timeout=30) != 0:
            raise SystemExit(f"it ended with status {self.process.returncode}")

    def connect(self):
        return socket.create_connection(("127.0.0.1", self.port), timeout=10)

    def health(self):
        """Seconds to an answer on a new connection."""
        begun = time.monotonic()
        with self.connect() as client:
            client.sendall(b"GET /plain HTTP/1.1\r\nHost: abuse\r\nConnection: close\r\n\r\n")
            answer = b"".join(iter(lambda: client.recv(4096), b""))
        if not answer.startswith(b"HTTP/1.1 200 ") or not answer.endswith(b"hello"):
            raise SystemExit(f"not healthy: {answer[:80]!r}")
        return time.monotonic() - begun

    def descriptors(self):
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def resident(self):
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+)", status)[1]) * 1024

    def cpu(self):
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def recovered(self, descriptors, resident=None):
        """Waits until it is as it was; says what is not."""
        for _ in range(100):
            grown = 0 if resident is None else self.resident() - resident
            if self.descriptors() <= descriptors and grown < ALLOWANCE:
                break
            time.sleep(0.1)
        else:
            return f"{self.descriptors() - descriptors} descriptors and {grown >> 10} KiB are not back"
        fastest = min(self.health() for _ in range(3))
        return None if fastest <= HEALTH else f"health takes {fastest:.3f} s"


def reset(client):
    """Closes with a reset."""
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()
