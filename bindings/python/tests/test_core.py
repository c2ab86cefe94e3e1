"""The package's own copies of rules, texts and defaults of the native library agree with the library."""

import inspect
import queue
import re
import unittest
from ctypes import byref, c_int32, c_uint32
from pathlib import Path

from support import LIMIT, Quiet, exchange, fetch, until

import transom
from transom import BadHeaderError, Response, Server, _native, _server, _settings
from transom._native import quick
from transom._packed import encode
from transom._plain import plain_text
from transom._reserved import check

ROOT = Path(__file__).resolve().parents[1]
#: The sources of the library: in a checkout, or in the package's source archive.
SOURCES = [path for path in (ROOT.parents[1] / "src", ROOT / "rust" / "src") if path.is_dir()]
HEADER = ROOT.parents[1] / "include" / "transom.h"

NAMES = (
    *("te", "trailer", "upgrade", "connection", "keep-alive"),
    *("content-length", "proxy-connection", "transfer-encoding"),
)
VALUES = (
    *("", "close", "Close", "keep-alive", "upgrade", "close, upgrade", "close,, keep-alive", "close, x-a"),
    *("0", "5", "5, 5", "5, 6", "5,", " 5\t", "+5", "zz", "00000000000000000000000005"),
    *(str(2**64 - 1), str(2**64), "9" * 5000, "\N{SUPERSCRIPT TWO}"),
    *("trailers", "chunked", "websocket", "x"),
)
STATUSES = (200, 204, 205, 304, 404, 426)


def source_of(name):
    """Returns the text of a Rust file, without its tests, or `None` without the sources."""
    for folder in SOURCES:
        for path in folder.rglob(name):
            return path.read_text().partition("#[cfg(test)]")[0]
    return None


def faults(status, fields):
    """Returns the reason for which the package refuses header fields, or `None`."""
    try:
        check(status, fields)
    except BadHeaderError as error:
        return str(error).partition(" is not sent: ")[2]
    return None


class Responses:
    """A server that sends the responses it is told to send, without the package's own checks."""

    def __enter__(self):
        self._app = Server()
        self._outcomes = queue.SimpleQueue()
        self._app.get("/", blocking=True)(self._answer)
        self._running = self._app.start("127.0.0.1:0")
        return self

    def __exit__(self, *_):
        self._running.stop()

    def _answer(self, request):
        record = b"".join(encode(request._token, *self._parts))
        result, done = (c_int32 * 1)(), c_uint32()
        status = quick.server_respond_batch(
            self._running._handle.pointer, record, len(record), result, 1, byref(done)
        )
        self._outcomes.put(status or result[0])

    def outcome(self, status, block):
        """Sends a response with a header block. Returns the library's status and the response head."""
        self._parts = status, block, b""
        received = exchange(
            self._running, b"GET / HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n", end=False
        )
        # The client may have the response before this thread has the outcome.
        return self._outcomes.get(timeout=LIMIT), received.partition(b"\r\n\r\n")[0].decode("latin-1")


class TestReserved(Quiet, unittest.TestCase):
    def agree(self, responses, status, fields):
        block = b"".join(f"{name}: {value}\r\n".encode("latin-1") for name, value in fields)
        outcome, _ = responses.outcome(status, block)
        reason = faults(status, fields)
        wanted = _native.OK if reason is None else _native.BAD_HEADER
        self.assertEqual(outcome, wanted, (status, fields, reason))
        return reason

    def test_the_library_refuses_the_same_fields(self):
        def part(line):
            return line.partition(" is not sent: ")[2]

        reasons = set()
        with Responses() as responses:
            for status in STATUSES:
                for value in VALUES:
                    for name in (*NAMES, "x-trailer", "te-x", "allow"):
                        reasons.add(self.agree(responses, status, [(name.title(), value)]))
                for lengths in (("5", "5"), ("5", "6"), ("0", "5"), ("0", "0")):
                    reasons.add(
                        self.agree(responses, status, [("Content-Length", length) for length in lengths])
                    )
        self.assertGreater(len(reasons), 8)
        # The library logs the same sentences.
        self.assertTrue(until(lambda: {part(line) for line in self.log} - {""} == reasons - {None}))

    @unittest.skipUnless(SOURCES, "needs the sources of the library")
    def test_the_names_are_those_of_the_library(self):
        literals = set(re.findall(r'b"([a-z-]+)"', source_of("reserved.rs")))
        # The one option of Connection that is no name of a field.
        self.assertEqual(literals - {"close"}, set(NAMES))

    def test_a_length_that_differs_is_refused_when_it_is_added(self):
        response = Response("hello", headers={"Content-Length": "5"})
        response.add_header("content-length", "5")
        with self.assertRaises(BadHeaderError) as caught:
            response.add_header("Content-Length", "6")
        self.assertEqual(
            str(caught.exception), "header 'Content-Length' is not sent: it differs from the one before"
        )
        response.set_header("Content-Length", "6")


class TestTexts(unittest.TestCase):
    def test_a_status_means_what_the_library_says(self):
        with Responses() as responses:
            for status in range(200, 600):
                _, head = responses.outcome(status, b"")
                line = head.partition("\r\n")[0].removeprefix("HTTP/1.1 ")
                self.assertEqual(plain_text(status), f"{line}\n")

    def test_an_error_without_a_message_has_the_text_that_the_library_gives_it(self):
        app = Server()

        @app.get("/raised")
        def raised(request):
            raise transom.HTTPError(404)

        with app.start("127.0.0.1:0") as running:
            own, library = fetch(running, "/raised"), fetch(running, "/nowhere")
            self.assertEqual((own.status, own.text), (library.status, library.text))
            self.assertEqual(own.headers["content-type"], library.headers["content-type"])


@unittest.skipUnless(HEADER.is_file(), "the header is in the source tree")
class TestDefaults(unittest.TestCase):
    def test_the_model_is_the_librarys(self):
        default = re.search(r'"(\w+)" \(the default\)', HEADER.read_text())[1]
        self.assertEqual(inspect.signature(Server).parameters["model"].default, default)

    def test_the_pool_has_as_long_a_queue_as_the_library(self):
        text = HEADER.read_text()
        table = text[text.index("Sets one limit") : text.index("transom_server_set_limit(")]
        default = re.search(r'"pool_queue".*?(\d+)\n', table, flags=re.DOTALL)[1]
        self.assertEqual(_settings.POOL_QUEUE, int(default))

    def test_a_stop_waits_as_long_as_the_library_does(self):
        text = HEADER.read_text()
        default = re.search(r'"stop" .*?(\d+)\n', text)[1]
        self.assertEqual(_server.STOP_TIMEOUT * 1000, int(default))
