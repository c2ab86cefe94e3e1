"""What Django and Starlette expect of a server, in three set-ups of the command, seen byte by byte."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import unittest
from pathlib import Path

HERE = Path(__file__).resolve().parent
#: How long a client and the command may take, in seconds.
LIMIT = 60
SETUPS = (
    ("--workers", "1"),
    ("--workers", "2", "--threads", "2", "--loop", "uvloop"),
    ("--workers", "2", "--native-threads", "2", "--loop", "asyncio"),
)
APPLICATIONS = ("django_wsgi", "django_asgi", "starlette")


def served(application, options):
    """Starts the command, and returns its process and its port."""
    command = subprocess.Popen(
        [
            *(sys.executable, "-m", "transom", f"setups_app:{application}"),
            *("--app-dir", str(HERE), "--bind", "127.0.0.1:0", *options),
        ],
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
        stderr=subprocess.PIPE,
        text=True,
    )
    said = ""
    for line in command.stderr:
        said += line
        if found := re.search(r"serves .* on http://127.0.0.1:(\d+)", line):
            return command, int(found[1])
    raise AssertionError(said)


class Client:
    """A client that keeps its connection, and sees the bytes of an answer."""

    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port), LIMIT)
        self.file = self.socket.makefile("rb")

    def ask(self, method, target, body=b"", fields=""):
        """Returns the status, the fields and the content: chunks are checked and joined."""
        length = f"Content-Length: {len(body)}\r\n" if body and not fields else ""
        head = f"{method} {target} HTTP/1.1\r\nHost: 127.0.0.1\r\n{length}{fields}\r\n"
        self.socket.sendall(head.encode("latin-1") + body)
        status = int(self.file.readline().split()[1])
        lines = []
        while line := self.file.readline().strip():
            name, _, value = line.decode("latin-1").partition(":")
            lines.append((name.lower(), value.strip()))
        found = dict(lines)
        content = b""
        if method != "HEAD" and status not in (204, 304):
            if found.get("transfer-encoding") == "chunked":
                # Where a chunk ends has no meaning (RFC 9112, section 7.1): the host may join parts.
                while size := int(self.file.readline(), 16):
                    content += self.file.read(size)
                    assert self.file.read(2) == b"\r\n", content
                assert self.file.read(2) == b"\r\n", content
            else:
                content = self.file.read(int(found["content-length"]))
        return status, lines, content

    def close(self):
        self.file.close()
        self.socket.close()


class TestSetups(unittest.TestCase):
    def test_each_application_in_each_set_up(self):
        for application in APPLICATIONS:
            for options in SETUPS:
                with self.subTest(application=application, options=options):
                    command, port = served(application, options)
                    client = Client(port)
                    try:
                        self.ask(application, client)
                    finally:
                        client.close()
                        command.send_signal(signal.SIGTERM)
                        said = command.communicate(timeout=LIMIT)[1]
                    self.assertEqual(command.returncode, 0, said)
                    self.assertNotIn("Traceback", said)

    def ask(self, application, client):
        """Asks on one connection: what belongs to an answer must not be left for the next."""
        status, lines, body = client.ask("GET", "/text")
        self.assertEqual((status, dict(lines)["content-length"], body), (200, "5", b"hello"))
        names = [name for name, _ in lines]
        for name in ("date", "content-length", "content-type"):
            self.assertEqual(names.count(name), 1, lines)

        # Django removes the body itself, and says no length.
        status, lines, body = client.ask("HEAD", "/text")
        self.assertEqual((status, dict(lines).get("content-length", "5"), body), (200, "5", b""))

        status, lines, body = client.ask("GET", "/stream")
        self.assertNotIn("content-length", dict(lines))
        self.assertEqual(dict(lines)["transfer-encoding"], "chunked")
        self.assertEqual(body, b"one,two,three")
        self.assertEqual(client.ask("HEAD", "/stream")[2], b"")

        status, lines, _ = client.ask("GET", "/204")
        self.assertEqual(status, 204)
        self.assertFalse({"content-length", "transfer-encoding"} & set(dict(lines)), lines)
        status, lines, _ = client.ask("GET", "/304")
        self.assertEqual((status, dict(lines)["etag"]), (304, '"1"'))
        self.assertNotIn("transfer-encoding", dict(lines))

        _, lines, body = client.ask("GET", "/twice")
        cookies = [value.partition(";")[0] for name, value in lines if name == "set-cookie"]
        self.assertEqual((cookies, body), (["a=1", "b=2"], b"twice"))

        told = json.loads(client.ask("GET", "/path/caf%C3%A9%20x?q=%20%C3%A9")[2])
        self.assertEqual(told["query"], "q=%20%C3%A9")
        self.assertIn(told["path"], ("/path/café x", "/path/caf%C3%A9%20x"))

        self.assertEqual(client.ask("POST", "/body", b"x" * 100_000)[2], b"100000")
        chunks = b"5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n"
        told = client.ask("POST", "/body", chunks, "Transfer-Encoding: chunked\r\n")[2]
        # Django reads no body without a Content-Length by WSGI.
        self.assertEqual(told, b"0" if application == "django_wsgi" else b"11")
        # The connection is where the next answer begins.
        self.assertEqual(client.ask("GET", "/text")[2], b"hello")


if __name__ == "__main__":
    unittest.main()
