"""Response bodies that are files."""

import gc
import os
import sys
import tempfile
import unittest
import warnings
from pathlib import Path

from support import LIMIT, Quiet, connect, fetch, read_all, until

from transom import BadHeaderError, BadStatusError, HTTPError, Response, Server

CONTENT = bytes(at * 31 >> 7 & 255 for at in range(1_000_000))


class TestFiles(Quiet, unittest.TestCase):
    def setUp(self):
        super().setUp()
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.folder = Path(scratch.name)
        self.path = self.folder / "page.html"
        self.path.write_bytes(CONTENT)

    def descriptors(self):
        """Returns the number of open descriptors of a file."""
        found = 0
        for entry in os.listdir("/proc/self/fd"):
            try:
                found += os.readlink(f"/proc/self/fd/{entry}") == str(self.path)
            except OSError:
                continue
        return found

    def test_a_file_from_any_kind_of_handler(self):
        app = Server()

        @app.get("/pool", blocking=True)
        def pool(request):
            return Response.file(self.path)

        @app.get("/place", blocking=False)
        def place(request):
            return Response.file(str(self.path))

        @app.get("/loop")
        async def loop(request):
            return Response.file(self.path)

        @app.get("/part")
        def part(request):
            return Response.file(self.path, offset=10, length=70_000), 206, {"X-A": "b"}

        kept = Response.file(self.path, offset=999_990)

        @app.get("/kept")
        def again(request):
            return kept

        with app.start("127.0.0.1:0") as running:
            for _ in range(3):
                for path in ("/pool", "/place", "/loop"):
                    answer = fetch(running, path)
                    self.assertEqual(
                        (answer.status, answer.headers["content-type"]), (200, "text/html"), path
                    )
                    self.assertEqual(answer.headers["content-length"], "1000000")
                    self.assertTrue(answer.body == CONTENT, path)
                answer = fetch(running, "/part")
                self.assertEqual((answer.status, answer.headers["x-a"]), (206, "b"))
                self.assertTrue(answer.body == CONTENT[10:70_010])
                self.assertEqual(fetch(running, "/kept").body, CONTENT[-10:])
                self.assertEqual(fetch(running, "/pool", method="HEAD").headers["content-length"], "1000000")
            self.assertTrue(until(lambda: self.descriptors() == 1), "only the kept response is open")

    def test_what_cannot_be_a_file(self):
        app = Server()

        @app.get("/missing")
        def missing(request):
            try:
                return Response.file(self.folder / "nothing")
            except FileNotFoundError:
                raise HTTPError(404, "no such page") from None

        with app.start("127.0.0.1:0") as running:
            answer = fetch(running, "/missing")
            self.assertEqual((answer.status, answer.text), (404, "no such page\n"))
        fifo = self.folder / "fifo"
        os.mkfifo(fifo)
        for error, path, options in (
            (FileNotFoundError, self.folder / "nothing", {}),
            (IsADirectoryError, self.folder, {}),
            (ValueError, fifo, {}),
            (ValueError, self.path, {"offset": -1}),
            (ValueError, self.path, {"offset": 1_000_001}),
            (ValueError, self.path, {"length": 1_000_001}),
            (ValueError, self.path, {"offset": 999_999, "length": 2}),
            (ValueError, self.path, {"length": -1}),
            (BadStatusError, self.path, {"status": 100}),
            (BadHeaderError, self.path, {"headers": {"a": "\n"}}),
            (BadHeaderError, self.path, {"content_type": "\n"}),
        ):
            with self.subTest(path=path.name, **options), self.assertRaises(error):
                Response.file(path, **options)
        self.assertEqual(self.descriptors(), 0)

    @unittest.skipUnless(sys.platform == "linux", "such files are Linux's")
    def test_a_file_whose_size_says_nothing(self):
        app = Server()
        app.get("/{*path}")(lambda request: Response.file("/" + request.params["path"]))
        with app.start("127.0.0.1:0") as running:
            for path in ("/proc/version", "/proc/self/limits", "/sys/class/net/lo/mtu"):
                if os.path.exists(path):
                    with open(path) as file:
                        self.assertEqual(fetch(running, path).text, file.read(), path)
            # The file has no known end.
            self.assertEqual(fetch(running, "/proc/self/pagemap").status, 500)

    def test_content_types(self):
        for name, given, expected in (
            ("a.html", None, "text/html"),
            ("a.png", None, "image/png"),
            ("a", None, "application/octet-stream"),
            ("a.tar.gz", None, "application/octet-stream"),
            ("a.html", "text/x", "text/x"),
        ):
            (self.folder / name).write_bytes(b"x")
            response = Response.file(self.folder / name, content_type=given)
            self.assertEqual(response.fields[:1], [("content-type", expected)])
            self.assertEqual(response.body, b"")
        self.assertEqual(
            repr(Response.file(self.path, length=9)), "<Response 200 text/html, 9 bytes of a file>"
        )

    def test_nothing_is_left_open_and_nobody_is_warned(self):
        # Objects of earlier tests must not warn here.
        gc.collect()
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            Response.file(self.path)
            gc.collect()
        self.assertEqual(caught, [])
        self.assertEqual(self.descriptors(), 0)

    def test_a_client_that_leaves(self):
        app = Server()
        app.get("/")(lambda request: Response.file(self.path))
        with app.start("127.0.0.1:0") as running:
            for _ in range(4):
                with connect(running) as connection:
                    connection.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
                    self.assertTrue(connection.recv(1000))
            self.assertTrue(until(lambda: self.descriptors() == 0))
            with connect(running) as connection:
                connection.settimeout(LIMIT)
                connection.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
                self.assertTrue(read_all(connection).endswith(CONTENT[-1000:]))
