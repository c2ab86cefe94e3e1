"""What a WSGI application answers: how its response is started, framed, ended and refused."""

import http.client
import socket
import sys
import threading
import unittest

from support import LIMIT, Quiet, connect, exchange, fetch, read_all, receive, until

from transom import serve_wsgi
from transom._body_start import _arrays as kept_arrays
from transom._wsgi.head import _heads as kept_heads
from transom._wsgi.head import _lines as kept_lines
from transom._wsgi.head import head_of

PLAIN = [("Content-Type", "text/plain")]
GET = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
HEAD = GET.replace(b"GET", b"HEAD")
OLD = b"GET / HTTP/1.0\r\n\r\n"


def answered(application, data=GET, **settings):
    """Returns the head and the rest of what a client gets that sends `data`."""
    with serve_wsgi(application, "127.0.0.1:0", **settings) as running:
        head, _, rest = exchange(running, data, end=False).partition(b"\r\n\r\n")
    return head.decode("latin-1"), rest


def fields(head, name):
    """Returns the values of a field in the head of a response."""
    pairs = [line.partition(": ")[::2] for line in head.split("\r\n")[1:]]
    return [value for key, value in pairs if key.lower() == name]


class Body:
    """An iterable whose calls are noted: the chunks may be functions."""

    def __init__(self, *chunks):
        self.chunks = iter(chunks)
        self.iterated = []
        self.closed = []

    def __iter__(self):
        return self

    def __next__(self):
        self.iterated.append(threading.get_ident())
        chunk = next(self.chunks)
        return chunk() if callable(chunk) else chunk

    def close(self):
        self.closed.append(threading.get_ident())


def returning(body, headers=PLAIN, status="200 OK"):
    def application(environ, start_response):
        start_response(status, list(headers))
        return body() if callable(body) else body

    return application


class TestStart(Quiet, unittest.TestCase):
    def test_the_first_chunk_that_is_not_empty_sends_the_head(self):
        # The status is replaced after empty chunks, so nothing was sent with them.
        def application(environ, start_response):
            start_response("200 OK", PLAIN)
            yield b""
            yield b""
            try:
                raise ValueError("late")
            except ValueError:
                start_response("503 Later", [("X-Replaced", "1")], sys.exc_info())
            yield b"sorry"

        head, rest = answered(application)
        self.assertTrue(head.startswith("HTTP/1.1 503 "), head)
        self.assertEqual(fields(head, "x-replaced"), ["1"])
        self.assertEqual(fields(head, "content-type"), [])
        self.assertEqual(rest, b"5\r\nsorry\r\n0\r\n\r\n")

    def test_a_chunk_is_sent_before_the_next_is_made(self):
        come = threading.Event()

        def application(environ, start_response):
            start_response("200 OK", PLAIN)
            yield b"first"
            come.wait(LIMIT)
            yield b"second"

        with serve_wsgi(application, "127.0.0.1:0") as running, connect(running) as client:
            client.sendall(GET)
            receive(client, b"first")
            come.set()
            receive(client, b"second\r\n0\r\n\r\n")

    def test_start_response_may_be_called_as_late_as_the_first_chunk(self):
        def application(environ, start_response):
            def chunks():
                start_response("201 Created", PLAIN)
                yield b"late"

            return chunks()

        self.assertTrue(answered(application)[0].startswith("HTTP/1.1 201 "))

    def test_a_chunk_without_start_response_is_an_error(self):
        for body in ([b"x"], [], Body(b"x"), Body()):
            head, _ = answered(lambda environ, start_response, body=body: body)
            self.assertTrue(head.startswith("HTTP/1.1 500 "), head)
        self.assertIn("has not called start_response", self.log[0])

    def test_a_second_call_without_exc_info_is_an_error(self):
        def application(environ, start_response):
            start_response("200 OK", PLAIN)
            start_response("201 Created", PLAIN)
            return [b"x"]

        self.assertTrue(answered(application)[0].startswith("HTTP/1.1 500 "))
        self.assertIn("start_response was called before", self.log[0])

    def test_exc_info_after_the_head_was_sent_is_raised_again(self):
        raised = []

        def application(environ, start_response):
            start_response("200 OK", PLAIN)
            yield b"first"
            try:
                raise ValueError("too late")
            except ValueError:
                try:
                    start_response("500 Oops", PLAIN, sys.exc_info())
                except ValueError as error:
                    raised.append(error)
                    raise

        head, rest = answered(application)
        self.assertTrue(head.startswith("HTTP/1.1 200 "))
        self.assertEqual(rest, b"5\r\nfirst\r\n")
        self.assertEqual(str(raised[0]), "too late")
        self.assertTrue(until(lambda: self.log))
        self.assertIn("too late", self.log[0])

    def test_write_sends_at_once_and_before_what_is_returned(self):
        come = threading.Event()

        def application(environ, start_response):
            write = start_response("200 OK", PLAIN)
            write(b"")
            write(b"one")
            come.wait(LIMIT)
            write(b"two")
            return [b"three"]

        with serve_wsgi(application, "127.0.0.1:0") as running, connect(running) as client:
            client.sendall(GET)
            receive(client, b"one")
            come.set()
            self.assertEqual(read_all(client), b"\r\n3\r\ntwo\r\n5\r\nthree\r\n0\r\n\r\n"[2:])

    def test_what_is_written_counts_for_the_content_length(self):
        def application(environ, start_response):
            write = start_response("200 OK", [("Content-Length", "8")])
            write(b"one")
            return iter([b"three"])

        self.assertEqual(answered(application)[1], b"onethree")

    def test_what_is_written_beyond_the_content_length_is_cut(self):
        def application(environ, start_response):
            write = start_response("200 OK", [("Content-Length", "5")])
            for _ in range(3):
                write(b"one")
            return [b"two"]

        self.assertEqual(answered(application)[1], b"oneon")
        self.assertTrue(until(lambda: self.log))
        self.assertIn("cut at its Content-Length", self.log[0])

    def test_write_after_the_end_is_an_error(self):
        kept = []

        def application(environ, start_response):
            kept.append(start_response("200 OK", PLAIN))
            return iter([b"a", b"b"])

        answered(application)
        self.assertTrue(until(lambda: kept))
        with self.assertRaisesRegex(RuntimeError, "after the end"):
            while True:
                # The client may have the last chunk before the end was noted.
                kept[0](b"")

    def test_a_list_after_write_ends_the_body(self):
        def application(environ, start_response):
            start_response("200 OK", [("Content-Length", "3")])(b"one")
            return []

        self.assertEqual(answered(application)[1], b"one")

    def test_text_is_no_body(self):
        for body in (["text"], ["a", "b"], iter(["text"]), "text", None, 7):
            head, _ = answered(returning(body))
            self.assertTrue(head.startswith("HTTP/1.1 500 "), head)
        self.assertIn("consists of bytes, got str", self.log[0])


class TestClose(Quiet, unittest.TestCase):
    def closed(self, body, data=GET, headers=PLAIN):
        with serve_wsgi(returning(body, headers), "127.0.0.1:0") as running:
            exchange(running, data, end=False)
            self.assertTrue(until(lambda: body.closed))
        self.assertEqual(len(body.closed), 1)
        self.assertLessEqual(set(body.iterated), set(body.closed))

    def test_close_is_called_once_after_the_end(self):
        for body in (Body(), Body(b""), Body(b"a"), Body(b"a", b"b")):
            for data in (GET, HEAD, OLD):
                with self.subTest(data=data):
                    self.closed(Body(*body.chunks), data)

    def test_close_is_called_once_after_an_exception(self):
        self.closed(Body(lambda: 1 / 0))
        self.closed(Body(b"a", lambda: 1 / 0))
        self.closed(Body("text"))
        self.closed(Body(b"a", "text"))
        self.closed(Body(b"too long", b"and longer"), headers=[("Content-Length", "5")])
        self.closed(Body(b"short"), headers=[("Content-Length", "50")])

    def test_close_is_called_once_when_the_client_has_left(self):
        left = threading.Event()
        body = Body(b"first", lambda: left.wait(LIMIT) and b"x", *[b"x" * 65536] * 1000)
        with serve_wsgi(returning(body), "127.0.0.1:0") as running:
            client = connect(running)
            client.sendall(GET)
            receive(client, b"first")
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            client.close()
            left.set()
            self.assertTrue(until(lambda: body.closed))
        self.assertEqual(len(body.closed), 1)
        self.assertLessEqual(set(body.iterated), set(body.closed))

    def test_an_exception_of_close_is_logged(self):
        class Failing(Body):
            def close(self):
                super().close()
                raise ValueError("close failed")

        body = Failing(b"a", b"b")
        self.assertEqual(answered(returning(body))[1], b"1\r\na\r\n1\r\nb\r\n0\r\n\r\n")
        self.assertTrue(until(lambda: self.log))
        self.assertIn("close failed", self.log[0])
        self.assertEqual(len(body.closed), 1)

    def test_the_whole_response_comes_before_close_returns(self):
        done = threading.Event()

        class Slow(Body):
            def close(self):
                done.wait(LIMIT)
                super().close()

        body = Slow(b"whole")
        with serve_wsgi(returning(body, [("Content-Length", "5")]), "127.0.0.1:0") as running:
            self.assertEqual(fetch(running, "/").text, "whole")
            self.assertEqual(body.closed, [])
            done.set()
            self.assertTrue(until(lambda: body.closed))

    def test_the_application_runs_on_the_thread_that_iterates(self):
        called = []

        def application(environ, start_response):
            start_response("200 OK", PLAIN)
            called.append((threading.get_ident(), Body(b"a", b"b")))
            return called[-1][1]

        with serve_wsgi(application, "127.0.0.1:0") as running:
            # The first ones run on the pool, and the others in place.
            for _ in range(60):
                fetch(running, "/")
            self.assertTrue(until(lambda: all(body.closed for _, body in called)))
        for thread, body in called:
            self.assertEqual({thread, *body.iterated, *body.closed}, {thread})

    def test_threads_whose_clients_have_left_are_replaced(self):
        never = threading.Event()
        self.addCleanup(never.set)

        def application(environ, start_response):
            start_response("200 OK", PLAIN)
            if environ["PATH_INFO"] == "/":
                return Body(b"first", lambda: never.wait(4 * LIMIT) and b"x")
            return [b"other"]

        with serve_wsgi(application, "127.0.0.1:0", threads=2) as running:
            for _ in range(2):
                client = connect(running)
                client.sendall(GET)
                receive(client, b"first")
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                client.close()
            # The first requests of a kind run on the pool.
            self.assertEqual(fetch(running, "/other", "POST").text, "other")
            never.set()


class TestFraming(Quiet, unittest.TestCase):
    def test_a_list_of_one_gets_a_content_length(self):
        for body, text in (([b"hello"], b"hello"), ((b"a", b"bc"), b"abc"), ([], b""), ([b""], b"")):
            for data in (GET, OLD):
                head, rest = answered(returning(body), data)
                self.assertEqual(fields(head, "content-length"), [str(len(text))])
                self.assertEqual(fields(head, "transfer-encoding"), [])
                self.assertEqual(rest, text)

    def test_an_iterable_with_one_item_gets_a_content_length(self):
        class One(Body):
            def __len__(self):
                return 1

        head, rest = answered(returning(One(b"hello")))
        self.assertEqual((fields(head, "content-length"), rest), (["5"], b"hello"))

    def test_an_empty_iterable_gets_a_content_length(self):
        head, rest = answered(returning(Body(b"", b"")))
        self.assertEqual((fields(head, "content-length"), rest), (["0"], b""))

    def test_other_bodies_are_chunked_and_no_chunk_is_empty(self):
        head, rest = answered(returning(Body(b"a", b"", b"bc", b"")))
        self.assertEqual(fields(head, "transfer-encoding"), ["chunked"])
        self.assertEqual(fields(head, "content-length"), [])
        self.assertEqual(rest, b"1\r\na\r\n2\r\nbc\r\n0\r\n\r\n")

    def test_an_old_client_gets_the_end_of_the_connection(self):
        for data in (OLD, OLD.replace(b"\r\n\r\n", b"\r\nConnection: keep-alive\r\n\r\n")):
            head, rest = answered(returning(Body(b"a", b"", b"bc")), data)
            self.assertEqual(fields(head, "transfer-encoding"), [])
            self.assertEqual(fields(head, "connection"), ["close"])
            self.assertEqual(rest, b"abc")

    def test_the_applications_content_length_is_kept(self):
        for body in ([b"ab", b"c"], Body(b"ab", b"c"), Body(b"abc"), Body(b"abc", b"")):
            head, rest = answered(returning(body, [("content-length", "3")]))
            self.assertEqual(fields(head, "content-length"), ["3"])
            self.assertEqual((fields(head, "transfer-encoding"), rest), ([], b"abc"))

    def test_a_generator_runs_to_its_end_after_the_content_length(self):
        ended = threading.Event()

        def application(environ, start_response):
            start_response("200 OK", [("Content-Length", "3")])
            yield b"abc"
            ended.set()

        answered(application)
        self.assertTrue(ended.wait(LIMIT))

    def test_no_body_for_head(self):
        for body in ([b"abc"], Body(b"abc"), [b"a", b"bc"], Body(b"a", b"bc"), []):
            head, rest = answered(returning(body, [("Content-Length", "3")]), HEAD)
            self.assertEqual((fields(head, "content-length"), rest), (["3"], b""))
        head, rest = answered(returning([b"abc"]), HEAD)
        self.assertEqual((fields(head, "content-length"), rest), (["3"], b""))
        self.assertEqual(answered(returning(Body(b"a", b"bc")), HEAD)[1], b"")

    def test_no_body_for_statuses_without_one(self):
        for status in ("204 No Content", "304 Not Modified"):
            for body in ([b"abc"], Body(b"abc"), Body(b"a", b"bc"), [], Body()):
                head, rest = answered(returning(body, [], status))
                self.assertTrue(head.startswith(f"HTTP/1.1 {status[:3]} "), head)
                self.assertEqual(rest, b"")
                self.assertEqual(fields(head, "transfer-encoding"), [])
                self.assertEqual(fields(head, "content-length"), [])

    def test_a_length_is_left_out_where_there_can_be_none(self):
        # Django adds `Content-Length: 0`.
        for _ in range(2):
            for status in ("204 No Content", "205 Reset Content"):
                for body in ([b""], Body()):
                    head, rest = answered(returning(body, [("Content-Length", "0"), *PLAIN], status))
                    self.assertTrue(head.startswith(f"HTTP/1.1 {status[:3]} "), head)
                    self.assertIn(fields(head, "content-length"), ([], ["0"]))
                    self.assertEqual(rest, b"")
        self.assertEqual(
            fields(answered(returning([], [("Content-Length", "0")], "204 None"))[0], "content-length"), []
        )

    def test_a_304_may_tell_the_length_of_the_200(self):
        head, rest = answered(returning([], [("Content-Length", "30")], "304 Not Modified"))
        self.assertEqual((fields(head, "content-length"), rest), (["30"], b""))

    def test_the_connection_goes_on_after_a_response_without_a_body(self):
        def application(environ, start_response):
            start_response(environ["QUERY_STRING"].replace("+", " "), [])
            return iter([b"body", b"more"])

        with serve_wsgi(application, "127.0.0.1:0") as running, connect(running) as client:
            for method, status in (("HEAD", "200+OK"), ("GET", "204+None"), ("GET", "304+Same")) * 5:
                client.sendall(f"{method} /?{status} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
                self.assertTrue(receive(client, b"\r\n\r\n").endswith(b"\r\n\r\n"))
            client.sendall(GET.replace(b"/", b"/?200+OK", 1))
            self.assertTrue(read_all(client).endswith(b"4\r\nbody\r\n4\r\nmore\r\n0\r\n\r\n"))

    def test_an_interim_status_is_no_response(self):
        for status in ("100 Continue", "101 Switching Protocols", "103 Early Hints"):
            head, _ = answered(returning([b""], [], status))
            self.assertTrue(head.startswith("HTTP/1.1 500 "), head)

    def test_a_longer_body_is_cut_and_logged(self):
        for body in ([b"abcdef"], Body(b"abcdef"), Body(b"ab", b"cdef"), Body(b"abc", b"d")):
            self.log.clear()
            head, rest = answered(returning(body, [("Content-Length", "3")]))
            self.assertEqual((fields(head, "content-length"), rest), (["3"], b"abc"))
            self.assertTrue(until(lambda: self.log))
            self.assertIn("Content-Length", self.log[0])

    def test_a_shorter_body_closes_the_connection(self):
        for body in ([b"abc"], Body(b"abc"), Body(b"a", b"bc"), [], Body()):
            self.log.clear()
            data = GET.replace(b"close", b"keep-alive")
            head, rest = answered(returning(body, [("Content-Length", "9")]), data)
            self.assertEqual(fields(head, "content-length"), ["9"])
            self.assertLess(len(rest), 9)
            self.assertTrue(until(lambda: self.log))

    def test_a_late_exception_aborts_without_the_last_chunk(self):
        body = Body(b"abc", lambda: 1 / 0)
        self.assertEqual(answered(returning(body))[1], b"3\r\nabc\r\n")
        self.assertTrue(until(lambda: self.log))
        self.assertIn("division by zero", self.log[0])
        head, rest = answered(returning(Body(b"abc", lambda: 1 / 0), [("Content-Length", "9")]))
        self.assertEqual((fields(head, "content-length"), rest), (["9"], b"abc"))

    def test_an_early_exception_is_a_500(self):
        for body in (lambda: 1 / 0, Body(lambda: 1 / 0), Body(b"", lambda: 1 / 0)):
            self.log.clear()
            head, _ = answered(returning(body))
            self.assertTrue(head.startswith("HTTP/1.1 500 "), head)
            self.assertEqual(fields(head, "content-type"), ["text/plain; charset=utf-8"])
            self.assertIn("returning.<locals>.application failed on GET /", self.log[0])

    def test_pipelined_requests_are_answered_in_order(self):
        def application(environ, start_response):
            start_response("200 OK", PLAIN)
            name = environ["PATH_INFO"].encode()
            return [name] if name < b"/5" else iter([name, b"."])

        data = b"".join(b"GET /%d HTTP/1.1\r\nHost: a\r\n\r\n" % number for number in range(9))
        with serve_wsgi(application, "127.0.0.1:0") as running, connect(running) as client:
            client.sendall(data + GET.replace(b"/", b"/9", 1))
            received = read_all(client)
        places = [received.index(b"\r\n/%d" % number) for number in range(10)]
        self.assertEqual(places, sorted(places))


class TestFields(Quiet, unittest.TestCase):
    def test_fields_are_sent_as_they_are(self):
        given = [
            ("x-B", "1"),
            ("Set-Cookie", "a=1"),
            ("X-a", "caf\xe9"),
            ("set-cookie", "b=2"),
            ("X-Empty", ""),
            ("x-B", "2"),
        ]
        for body in ([b"x"], Body(b"x", b"y")):
            head, _ = answered(returning(body, given))
            lines = [tuple(line.split(": ")) for line in head.split("\r\n")]
            self.assertEqual([line for line in lines if line in given], given)

    def test_no_second_date_and_no_second_server(self):
        date = "Tue, 15 Nov 1994 08:12:31 GMT"
        head, _ = answered(returning([b"x"], [("Date", date), ("Server", "mine")]))
        self.assertEqual((fields(head, "date"), fields(head, "server")), ([date], ["mine"]))
        head, _ = answered(returning([b"x"]))
        self.assertEqual(len(fields(head, "date")), 1)

    def test_line_breaks_are_refused(self):
        for mark in ("\r", "\n", "\0", "\r\n", "\r\nX-B: 2"):
            for fields_given in ([("X-A", f"1{mark}2")], [(f"X{mark}A", "1")], [("X-A", f"1{mark}")]):
                head, _ = answered(returning([b"x"], fields_given))
                self.assertTrue(head.startswith("HTTP/1.1 500 "), head)
                self.assertNotIn("X-B", head)
            head, _ = answered(returning([b"x"], [], f"200 O{mark}K"))
            self.assertTrue(head.startswith("HTTP/1.1 500 "), head)
        self.assertIn("is not allowed", self.log[0])
        self.assertNotIn("During handling", self.log[0])

    def test_what_is_no_field_is_refused(self):
        wrong = (
            [("A: b", "c")],
            [("", "a")],
            [("a b", "c")],
            [("a", 1)],
            [(1, "a")],
            [("a", "\u20ac")],
            ["ab"],
        )
        for given in (*wrong, [("a", b"b")], [("a", "b", "c")], (("a", "b"),), None, {"a": "b"}):

            def application(environ, start_response, given=given):
                start_response("200 OK", given)
                return [b"x"]

            head, _ = answered(application)
            self.assertTrue(head.startswith("HTTP/1.1 500 "), (given, head))
        for status in ("200", "20 OK", "200OK", "600 Far", "abc", b"200 OK", 200, None, " 200 OK"):
            head, _ = answered(returning([b"x"], [], status))
            expected = "200" if status == "200" else "500"
            self.assertTrue(head.startswith(f"HTTP/1.1 {expected} "), (status, head))

    def test_fields_are_the_same_whatever_was_sent_before(self):
        def application(environ, start_response):
            number = int(environ["PATH_INFO"][1:])
            fields = [
                ("Content-Type", "text/plain"),
                ("Content-Length", str(number)),
                ("ETag", f'"{number}"'),
            ]
            start_response("200 OK", [*fields, ("Set-Cookie", f"last={number}")])
            return [b"x" * number]

        with serve_wsgi(application, "127.0.0.1:0") as running:
            client = http.client.HTTPConnection("127.0.0.1", running.port, timeout=LIMIT)
            self.addCleanup(client.close)
            # More lengths and tags than are kept, and some of them again.
            for number in [*range(600), *range(590, 610)]:
                client.request("GET", f"/{number}")
                answer = client.getresponse()
                self.assertEqual(len(answer.read()), number)
                self.assertEqual(
                    [answer.headers[name] for name in ("content-length", "etag", "set-cookie")],
                    [str(number), f'"{number}"', f"last={number}"],
                )

    def test_the_fields_of_streams_are_kept_unless_they_are_for_one_client(self):
        def application(environ, start_response):
            kind = environ["PATH_INFO"][1:]
            start_response("200 OK", [("X-Kind", kind)] + [("Set-Cookie", "a=private")] * (kind == "secret"))
            return iter([b"a", b"b"])

        with serve_wsgi(application, "127.0.0.1:0") as running:
            for path in ("/shared", "/secret") * 2:
                response = fetch(running, path)
                self.assertEqual((response.body, response.headers["x-kind"]), (b"ab", path[1:]))
                self.assertEqual(response.headers["set-cookie"], "a=private" if path == "/secret" else None)
            for number in range(300):
                self.assertEqual(fetch(running, f"/{number}").body, b"ab")
        self.assertLessEqual(len(kept_arrays), 256)
        self.assertNotIn(b"private", b"".join(kept_arrays))

    def test_what_is_for_one_client_or_long_is_not_kept(self):
        for value in ("secret", "l" * 1000):
            name = "Set-Cookie" if value == "secret" else "X-Long"
            for _ in range(3):
                _, block, length = head_of("200 OK", [("Content-Length", "5"), (name, value)])
                self.assertEqual((block, length), (f"Content-Length: 5\r\n{name}: {value}\r\n".encode(), 5))
            for kept in (kept_heads, kept_lines):
                self.assertNotIn(value, repr(kept))
                self.assertLessEqual(len(kept), 512)

    def test_fields_that_frame_a_message_are_refused(self):
        refused = [
            ("Transfer-Encoding", "chunked"),
            ("Keep-Alive", "timeout=5"),
            ("TE", "trailers"),
            ("Trailer", "X-A"),
            ("Proxy-Connection", "close"),
            ("Upgrade", "websocket"),
            ("Connection", "upgrade"),
            ("Connection", "x-a"),
            ("Content-Length", "x"),
            ("Content-Length", "-1"),
        ]
        for given in refused:
            head, _ = answered(returning([b"x"], [("X-A", "b"), given]))
            self.assertTrue(head.startswith("HTTP/1.1 500 "), (given, head))

    def test_close_is_honoured(self):
        for body in ([b"x"], Body(b"x", b"y")):
            data = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
            head, _ = answered(returning(body, [("Connection", "close")]), data)
            self.assertEqual(fields(head, "connection"), ["close"])

    def test_early_hints(self):
        link = ("Link", "</a.css>; rel=preload")

        def application(environ, start_response):
            environ["wsgi.early_hints"]([link])
            start_response("200 OK", PLAIN)
            yield b"a"
            environ["wsgi.early_hints"]([link])
            yield b"b"

        head, rest = answered(application)
        self.assertEqual(head, "HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload")
        self.assertTrue(rest.startswith(b"HTTP/1.1 200 OK\r\n"), rest)
        self.assertTrue(rest.endswith(b"1\r\na\r\n1\r\nb\r\n0\r\n\r\n"), rest)
        self.assertTrue(answered(application, OLD)[0].startswith("HTTP/1.1 200 OK"))

        def injecting(environ, start_response):
            environ["wsgi.early_hints"]([("Link", "a\r\nb: c")])

        self.assertTrue(answered(injecting)[0].startswith("HTTP/1.1 500 "))


if __name__ == "__main__":
    unittest.main()
