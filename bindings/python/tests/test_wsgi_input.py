"""The body of a request, as a WSGI application reads it from `wsgi.input`."""

import io
import threading
import unittest

from support import LIMIT, Quiet, connect, exchange, fetch, read_all, receive, until

from transom import BodyError, ClientGoneError, serve_wsgi
from transom._wsgi.input import Input

LINES = b"first\nsecond\n\nfourth without end"


def of_pieces(*pieces):
    """Returns the input for a body that comes in these pieces."""
    return Input(lambda: iter(pieces))


def cuts(data):
    """Returns the ways to cut bytes into pieces: whole, at each place, and byte by byte."""
    whole = [[data], [data[at : at + 1] for at in range(len(data))]]
    return whole + [[data[:at], data[at:]] for at in range(1, len(data))]


def reading(read, answers):
    """Returns an application that calls `read(wsgi.input)` and notes the result or the exception."""

    def application(environ, start_response):
        try:
            answers.append(read(environ["wsgi.input"]))
        except Exception as error:
            answers.append(error)
            raise
        start_response("200 OK", [])
        return [b"read"]

    return application


def post(body, *fields, method="POST"):
    lines = [f"{method} / HTTP/1.1", "Host: a", "Connection: close", *fields]
    return "\r\n".join([*lines, "", ""]).encode() + body


def chunked(*pieces):
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces)
    return post(chunks + b"0\r\n\r\n", "Transfer-Encoding: chunked")


class TestInput(unittest.TestCase):
    """The same as a file in memory, however the body is cut."""

    def test_read(self):
        for pieces in cuts(LINES):
            for size in (-1, None, 0, 1, 5, len(LINES), 1000):
                stream, read = of_pieces(*pieces), b""
                self.assertEqual(stream.read(0), b"")
                while data := stream.read(size):
                    read += data
                    expected = len(LINES) if size in (-1, None) else min(size, len(LINES))
                    self.assertTrue(len(data) == expected or read == LINES)
                self.assertEqual(read, b"" if size == 0 else LINES)
                self.assertEqual(of_pieces(*pieces).read(), LINES)

    def test_lines(self):
        lines = LINES.splitlines(True)
        for pieces in cuts(LINES):
            self.assertEqual(list(of_pieces(*pieces)), lines)
            self.assertEqual(of_pieces(*pieces).readlines(), lines)
            self.assertEqual(of_pieces(*pieces).readlines(None), lines)
            self.assertEqual(of_pieces(*pieces).readlines(7), lines[:2])
            stream = of_pieces(*pieces)
            self.assertEqual(stream.readline(0), b"")
            self.assertEqual(stream.readline(3), b"fir")
            self.assertEqual(stream.readline(100), b"st\n")
            self.assertEqual(stream.read(2), b"se")
            self.assertEqual(stream.readline(-1), b"cond\n")
            self.assertEqual(stream.readline(), b"\n")
            self.assertEqual(stream.read(), lines[3])
            self.assertEqual((stream.readline(), stream.read(5), stream.readlines()), (b"", b"", []))


class TestBody(Quiet, unittest.TestCase):
    def read(self, data, read=lambda stream: stream.read(), **settings):
        """Sends a request. Returns what the application has read, and the response."""
        answers = []
        with serve_wsgi(reading(read, answers), "127.0.0.1:0", **settings) as running:
            response = exchange(running, data, end=False)
        return (answers[0] if answers else None), response

    def test_a_body_ends_at_its_content_length(self):
        data = post(LINES + b"GET /next", f"Content-Length: {len(LINES)}")
        for read in (lambda stream: stream.read(), lambda stream: b"".join(stream)):
            self.assertEqual(self.read(data, read)[0], LINES)
        self.assertEqual(self.read(data, lambda stream: stream.read(10**6))[0], LINES)
        self.assertEqual(self.read(post(b""))[0], b"")

    def test_a_chunked_body_ends_with_its_last_chunk(self):
        self.assertEqual(self.read(chunked(LINES[:9], LINES[9:]))[0], LINES)
        self.assertEqual(self.read(chunked(LINES), lambda stream: stream.readlines())[0][1], b"second\n")
        self.assertEqual(self.read(chunked())[0], b"")

    def test_the_body_of_a_get(self):
        for method in ("GET", "HEAD", "DELETE"):
            data = post(LINES, f"Content-Length: {len(LINES)}", method=method)
            self.assertEqual(self.read(data)[0], LINES, method)
            data = chunked(LINES).replace(b"POST", method.encode(), 1)
            self.assertEqual(self.read(data)[0], LINES, method)

    def test_the_empty_body_that_requests_share_cannot_be_changed(self):
        answers = []

        def misuse(stream):
            stream.close()
            with self.assertRaises(OSError):
                stream.write(b"for others")
            with self.assertRaises(OSError):
                stream.writelines([b"for others"])
            stream.seek(5)
            with io.BufferedReader(stream) as reader:
                return reader.read(), stream.closed, stream.writable()

        with serve_wsgi(reading(misuse, answers), "127.0.0.1:0") as running:
            for _ in range(3):
                self.assertEqual(fetch(running, "/").status, 200)
        self.assertEqual(answers, [(b"", False, False)] * 3)

    def test_a_chunk_is_read_before_the_next_has_come(self):
        seen = threading.Event()

        def read(stream):
            first = stream.readline()
            seen.set()
            return first + stream.read()

        answers = []
        with serve_wsgi(reading(read, answers), "127.0.0.1:0") as running, connect(running) as client:
            client.sendall(post(b"6\r\nfirst\n\r\n", "Transfer-Encoding: chunked"))
            self.assertTrue(seen.wait(LIMIT))
            client.sendall(b"4\r\nrest\r\n0\r\n\r\n")
            read_all(client)
        self.assertEqual(answers, [b"first\nrest"])

    def test_a_short_body_that_comes_with_its_head_is_a_file_in_memory(self):
        def read(stream):
            return type(stream).__name__, stream.read(3), stream.readline(), stream.read()

        answer = self.read(post(LINES, f"Content-Length: {len(LINES)}"), read)[0]
        self.assertEqual(answer, ("BytesIO", LINES[:3], b"st\n", LINES[6:]))

    def test_a_malformed_chunk_raises(self):
        for bad in (b"zz\r\nabc\r\n0\r\n\r\n", b"3\r\nabcX\r\n0\r\n\r\n", b"3\r\nabc\r\n-1\r\n\r\n"):
            for read in (lambda stream: stream.read(), lambda stream: list(stream)):
                error, response = self.read(post(bad, "Transfer-Encoding: chunked"), read)
                # The library may see the fault before the application is called.
                if error is not None:
                    self.assertIsInstance(error, OSError)
                    self.assertIsInstance(error, BodyError)
                self.assertTrue(response.startswith(b"HTTP/1.1 400 "), response)

    def test_a_body_that_is_cut_off_raises(self):
        for data in (post(b"abc", "Content-Length: 9"), post(b"3\r\nabc\r\n", "Transfer-Encoding: chunked")):
            answers = []
            with serve_wsgi(reading(lambda stream: stream.read(), answers), "127.0.0.1:0") as running:
                exchange(running, data)
                self.assertTrue(until(answers.copy))
            self.assertIsInstance(answers[0], ClientGoneError)
            self.assertIsInstance(answers[0], OSError)

    def test_a_body_beyond_the_limit_raises(self):
        error, response = self.read(chunked(b"x" * 100), limits={"body": 10})
        if error is not None:
            self.assertIsInstance(error, OSError)
        self.assertTrue(response.startswith(b"HTTP/1.1 413 "), response)

    def test_the_client_is_asked_to_continue_at_the_first_read(self):
        come = threading.Event()

        def read(stream):
            come.wait(LIMIT)
            return stream.read(4)

        answers = []
        with serve_wsgi(reading(read, answers), "127.0.0.1:0") as running, connect(running) as client:
            client.sendall(post(b"", "Content-Length: 4", "Expect: 100-continue"))
            client.settimeout(0.1)
            with self.assertRaises(TimeoutError):
                client.recv(1)
            client.settimeout(LIMIT)
            come.set()
            receive(client, b"HTTP/1.1 100 Continue\r\n\r\n")
            client.sendall(b"body")
            self.assertIn(b"HTTP/1.1 200 OK", read_all(client))
        self.assertEqual(answers, [b"body"])

    def test_the_client_is_not_asked_for_a_body_that_is_not_read(self):
        data = post(b"", "Content-Length: 4", "Expect: 100-continue")
        _, response = self.read(data, lambda stream: None)
        self.assertTrue(response.startswith(b"HTTP/1.1 200 OK"), response)

    def test_a_body_that_is_not_read_is_drained_or_the_connection_closes(self):
        with serve_wsgi(reading(lambda stream: None, []), "127.0.0.1:0") as running:
            with connect(running) as client:
                client.sendall(post(b"x" * 100, "Content-Length: 100").replace(b"close", b"keep-alive"))
                receive(client, b"read")
                client.sendall(post(b"", method="GET"))
                self.assertTrue(read_all(client).endswith(b"read"))
            with connect(running) as client:
                client.sendall(post(b"x", "Content-Length: 8000000").replace(b"close", b"keep-alive"))
                # The rest is never sent: the server does not wait for it for ever.
                self.assertIn(b"read", read_all(client))

    def test_the_body_may_be_echoed_while_it_comes(self):
        def application(environ, start_response):
            start_response("200 OK", [])
            return iter(lambda: environ["wsgi.input"].read(3), b"")

        with serve_wsgi(application, "127.0.0.1:0") as running, connect(running) as client:
            client.sendall(post(b"3\r\nabc\r\n", "Transfer-Encoding: chunked"))
            receive(client, b"3\r\nabc\r\n")
            client.sendall(b"3\r\ndef\r\n")
            receive(client, b"3\r\ndef\r\n")
            client.sendall(b"0\r\n\r\n")
            self.assertEqual(read_all(client), b"0\r\n\r\n")

    def test_an_application_that_reads_short_bodies_runs_in_place(self):
        places = []

        def application(environ, start_response):
            body = environ["wsgi.input"].read()
            places.append(threading.current_thread().name.rpartition("-")[0])
            start_response("200 OK", [])
            return [body]

        with serve_wsgi(application, "127.0.0.1:0") as running:

            def is_in_place():
                self.assertEqual(fetch(running, "/", "POST", body=b"short").text, "short")
                return places[-1] == "transom-puller"

            self.assertTrue(until(is_in_place))
            # One that waits for its body there holds nobody up.
            with connect(running) as client:
                client.sendall(post(b"first ", "Content-Length: 11"))
                for method in ("GET", "POST", "GET"):
                    body = b"other" if method == "POST" else None
                    self.assertEqual(fetch(running, "/", method, body).text, "other" if body else "")
                client.sendall(b"later")
                self.assertTrue(read_all(client).endswith(b"first later"))

    def test_a_large_body_takes_little_memory(self):
        most = []

        def read(stream):
            total = 0
            while piece := stream.read(100_000):
                most.append(len(piece))
                total += len(piece)
            return total

        answers = []
        with serve_wsgi(
            reading(read, answers), "127.0.0.1:0", limits={"body": 2**30, "bodies": 2**22}
        ) as running:
            fetch(running, "/", "POST", body=b"x" * 20_000_000)
        self.assertEqual(answers, [20_000_000])
        self.assertEqual(max(most), 100_000)


if __name__ == "__main__":
    unittest.main()
