"""Files that a WSGI application sends with `wsgi.file_wrapper`."""

# The wrapper closes the files.
# ruff: noqa: SIM115

import gzip
import io
import os
import tempfile
import unittest
from unittest import mock

from support import LIMIT, Quiet, exchange, fetch, until

from transom import serve_wsgi
from transom._wsgi import exchange as exchange_module
from transom._wsgi.file_wrapper import FileWrapper

CONTENT = bytes(range(256)) * 2000


class Around:
    """A file of a framework around another file."""

    def __init__(self, file):
        self.file = file

    read = property(lambda self: self.file.read)
    close = property(lambda self: self.file.close)


class Secret(Around):
    """A file that changes what it reads."""

    def read(self, size=-1):
        return self.file.read(size).upper()


class TestFiles(Quiet, unittest.TestCase):
    def setUp(self):
        super().setUp()
        with tempfile.NamedTemporaryFile(delete=False) as file:
            file.write(CONTENT)
        self.path = file.name
        self.addCleanup(os.unlink, self.path)
        #: The parts that the system was asked to send: offsets and lengths.
        self.sent = []
        send = exchange_module.send_descriptor

        def noted(token, status, fields, descriptor, offset, length):
            self.sent.append((offset, length))
            send(token, status, fields, descriptor, offset, length)

        patched = mock.patch.object(exchange_module, "send_descriptor", noted)
        patched.start()
        self.addCleanup(patched.stop)

    def answered(self, make, headers=(), method="GET"):
        """Returns the response of an application that sends the file that `make` returns."""
        files = []

        def application(environ, start_response):
            start_response("200 OK", list(headers))
            files.append(make())
            return environ["wsgi.file_wrapper"](files[-1], 1000)

        with serve_wsgi(application, "127.0.0.1:0") as running:
            answer = fetch(running, "/", method)
            self.assertTrue(until(lambda: files[0].closed if hasattr(files[0], "closed") else True))
        return answer

    def test_the_system_sends_a_file(self):
        for buffering in (-1, 0):
            answer = self.answered(lambda buffering=buffering: open(self.path, "rb", buffering))
            self.assertEqual(answer.body, CONTENT)
            self.assertEqual(answer.headers["content-length"], str(len(CONTENT)))
        self.assertEqual(self.sent, [(0, len(CONTENT))] * 2)

    def test_the_current_offset_is_honoured(self):
        def make():
            file = open(self.path, "rb")
            # The descriptor is ahead of what was read.
            self.assertEqual(file.read(10), CONTENT[:10])
            return file

        answer = self.answered(make)
        self.assertEqual(answer.body, CONTENT[10:])
        self.assertEqual(self.sent, [(10, len(CONTENT) - 10)])

    def test_the_applications_content_length_is_respected(self):
        answer = self.answered(lambda: open(self.path, "rb"), [("Content-Length", "7")])
        self.assertEqual((answer.body, answer.headers["content-length"]), (CONTENT[:7], "7"))
        self.assertEqual(self.sent, [(0, 7)])

    def test_a_file_that_is_shorter_than_announced_closes_the_connection(self):
        def application(environ, start_response):
            start_response("200 OK", [("Content-Length", str(len(CONTENT) + 1))])
            return environ["wsgi.file_wrapper"](open(self.path, "rb"))

        with serve_wsgi(application, "127.0.0.1:0") as running:
            response = exchange(running, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", end=False)
        self.assertEqual(response.partition(b"\r\n\r\n")[2], CONTENT)

    def test_head_gets_the_length(self):
        answer = self.answered(lambda: open(self.path, "rb"), method="HEAD")
        self.assertEqual((answer.body, answer.headers["content-length"]), (b"", str(len(CONTENT))))

    def test_objects_without_a_descriptor_are_read(self):
        class Plain:
            def __init__(self):
                self.left = [b"a", b"bc"]

            def read(self, size):
                return self.left.pop(0) if self.left else b""

        self.assertEqual(self.answered(Plain).body, b"abc")
        self.assertEqual(self.answered(lambda: io.BytesIO(CONTENT)).body, CONTENT)
        self.assertEqual(self.sent, [])

    def test_objects_that_change_what_they_read_are_read(self):
        packed = tempfile.NamedTemporaryFile(suffix=".gz", delete=False)
        self.addCleanup(os.unlink, packed.name)
        with packed, gzip.open(packed, "wb") as file:
            file.write(b"content")
        self.assertEqual(self.answered(lambda: gzip.open(packed.name)).body, b"content")
        self.assertEqual(self.answered(lambda: Secret(open(self.path, "rb"))).body, CONTENT.upper())
        self.assertEqual(self.sent, [])

    def test_objects_that_only_pass_calls_on_are_sent_by_the_system(self):
        def temporary():
            file = tempfile.NamedTemporaryFile()
            file.write(b"temporary")
            file.seek(4)
            return file

        self.assertEqual(self.answered(temporary).body, b"orary")
        self.assertEqual(self.answered(lambda: Around(open(self.path, "rb"))).body, CONTENT)
        self.assertEqual(self.answered(lambda: Around(Around(open(self.path, "rb")))).body, CONTENT)
        self.assertEqual(self.sent, [(4, 5), (0, len(CONTENT)), (0, len(CONTENT))])

    def test_a_pipe_and_an_empty_file_are_read(self):
        def pipe():
            reader, writer = os.pipe()
            with os.fdopen(writer, "wb") as file:
                file.write(b"through a pipe")
            return os.fdopen(reader, "rb")

        self.assertEqual(self.answered(pipe).body, b"through a pipe")
        self.assertEqual(self.answered(lambda: open(os.devnull, "rb")).body, b"")
        self.assertEqual(self.sent, [])

    def test_a_file_of_proc_is_read(self):
        if os.path.exists("/proc/version"):
            answer = self.answered(lambda: open("/proc/version", "rb"))
            with open("/proc/version", "rb") as file:
                self.assertEqual(answer.body, file.read())

    def test_middleware_may_iterate(self):
        def application(environ, start_response):
            start_response("200 OK", [])
            wrapper = environ["wsgi.file_wrapper"](open(self.path, "rb"), 1000)
            try:
                return [block.upper() for block in wrapper]
            finally:
                wrapper.close()

        with serve_wsgi(application, "127.0.0.1:0") as running:
            self.assertEqual(fetch(running, "/").body, CONTENT.upper())

    def test_the_file_is_closed_once(self):
        closed = []

        class Noted(io.FileIO):
            def close(self):
                closed.append(1)
                super().close()

        def application(environ, start_response):
            start_response("200 OK", [])
            return environ["wsgi.file_wrapper"](Noted(self.path))

        with serve_wsgi(application, "127.0.0.1:0") as running:
            self.assertEqual(fetch(running, "/").body, CONTENT)
            self.assertTrue(until(lambda: closed, LIMIT))
        self.assertGreaterEqual(len(closed), 1)
        self.assertEqual(FileWrapper(io.BytesIO(b"abc")).__next__(), b"abc")


if __name__ == "__main__":
    unittest.main()
