"""What an ASGI application sends: how its response is started, framed, ended and refused."""

import asyncio
import os
import socket
import tempfile
import threading
import unittest
from unittest import mock

from support import LIMIT, Quiet, connect, exchange, read_all, receive, until, ways

from transom import _native as native
from transom import serve_asgi
from transom._native import quick

GET = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
HEAD = GET.replace(b"GET", b"HEAD")
OLD = b"GET / HTTP/1.0\r\n\r\n"
PLAIN = [(b"content-type", b"text/plain")]


def sending(*messages):
    """Returns an application that sends these messages; an exception among them is raised."""

    async def application(scope, receive, send):
        if scope["type"] == "http":
            for message in messages:
                if isinstance(message, BaseException):
                    raise message
                await send(message)

    return application


def start(status=200, headers=PLAIN, **more):
    return {"type": "http.response.start", "status": status, "headers": headers, **more}


def part(body=b"", more=False):
    return {"type": "http.response.body", "body": body, "more_body": more}


def answered(application, data=GET, **settings):
    """Returns the head and the rest of what a client gets that sends `data`."""
    with serve_asgi(application, "127.0.0.1:0", lifespan="off", **settings) as running:
        head, _, rest = exchange(running, data, end=False).partition(b"\r\n\r\n")
    return head.decode("latin-1"), rest


def fields(head, name):
    """Returns the values of a field in the head of a response."""
    pairs = [line.partition(": ")[::2] for line in head.split("\r\n")[1:]]
    return [value for key, value in pairs if key.lower() == name]


class TestFraming(Quiet, unittest.TestCase):
    def test_a_body_in_one_message_gets_a_length(self):
        head, rest = answered(sending(start(), part(b"hello")))
        self.assertTrue(head.startswith("HTTP/1.1 200 OK"), head)
        self.assertEqual((fields(head, "content-length"), rest), (["5"], b"hello"))
        self.assertEqual(len(fields(head, "date")), 1)

    def test_a_body_in_parts_comes_in_chunks(self):
        head, rest = answered(sending(start(), part(b"a", True), part(b"", True), part(b"bc", True), part()))
        self.assertEqual(fields(head, "transfer-encoding"), ["chunked"])
        # What was sent in one turn of the loop comes together.
        self.assertEqual(rest, b"3\r\nabc\r\n0\r\n\r\n")

    def test_a_part_leaves_at_the_end_of_its_turn(self):
        told = []

        async def application(scope, receive, send):
            seen = asyncio.Event()
            told[:] = [asyncio.get_running_loop(), seen]
            await send(start())
            await send(part(b"a", True))
            await send(part(b"b", True))
            await seen.wait()
            await send(part(b"c", True))
            await send(part())

        with serve_asgi(application, "127.0.0.1:0", lifespan="off") as running, connect(running) as client:
            client.sendall(GET)
            received = receive(client, b"2\r\nab\r\n")
            self.assertIn(b"transfer-encoding: chunked", received)
            told[0].call_soon_threadsafe(told[1].set)
            self.assertTrue(read_all(client).endswith(b"1\r\nc\r\n0\r\n\r\n"))

    def test_without_memory_for_the_first_parts_they_leave_with_the_next(self):
        seen = []

        async def application(scope, receive, send):
            await send(start())
            await send(part(b"kept", True))
            while not told.called:
                await asyncio.sleep(0)
            await send(part(b"more", True))
            seen.append(told.call_count)
            await send(part(b"end"))

        real, answers = quick.responder_start_with, iter([native.NO_MEMORY])
        with mock.patch.object(
            quick, "responder_start_with", side_effect=lambda *given: next(answers, None) or real(*given)
        ) as told:
            _, rest = answered(application)
        self.assertEqual(seen, [2])
        self.assertEqual(rest, b"8\r\nkeptmore\r\n3\r\nend\r\n0\r\n\r\n")

    def test_many_parts_in_one_turn(self):
        for count, size in ((3, 20_000), (200, 1000), (2, 40_000)):
            parts = [part(b"x" * size, True) for _ in range(count)]
            _, rest = answered(sending(start(), *parts, part(b"end")), data=OLD)
            self.assertEqual(rest, b"x" * (count * size) + b"end")

    def test_a_large_body_in_one_message(self):
        body = bytes(range(256)) * 8000
        length = (b"Content-Length", b"%d" % len(body))
        for headers in (PLAIN, [*PLAIN, length]):
            for data in (GET, OLD, HEAD):
                head, rest = answered(sending(start(headers=headers), part(body)), data)
                self.assertEqual(fields(head, "content-length"), [str(len(body))])
                self.assertEqual(fields(head, "transfer-encoding"), [])
                self.assertEqual(rest, b"" if data is HEAD else body)
        for status in (204, 304):
            head, rest = answered(sending(start(status), part(body)))
            self.assertEqual((fields(head, "transfer-encoding"), rest), ([], b""))

    def test_an_old_client_gets_the_parts_until_the_end(self):
        head, rest = answered(sending(start(), part(b"a", True), part(b"b")), OLD)
        self.assertEqual((fields(head, "transfer-encoding"), rest), ([], b"ab"))

    def test_a_length_that_the_application_announces_is_kept(self):
        headers = [*PLAIN, (b"Content-Length", b"3")]
        for messages in ((part(b"abc"),), (part(b"a", True), part(b"bc")), (part(b"abc", True), part())):
            head, rest = answered(sending(start(headers=headers), *messages))
            self.assertEqual((fields(head, "content-length"), rest), (["3"], b"abc"))
            self.assertEqual(fields(head, "transfer-encoding"), [])

    def test_a_body_of_another_length_is_no_clean_end(self):
        for length, messages in (
            (b"3", (part(b"ab", True), part())),
            (b"3", (part(b"ab", True), part(b"cd"))),
        ):
            head, rest = answered(sending(start(headers=[(b"content-length", length)]), *messages))
            self.assertEqual(fields(head, "content-length"), ["3"])
            self.assertLess(len(rest), 3)
            self.assertTrue(
                until(lambda: any("than the Content-Length" in line for line in self.log)), self.log
            )
            self.log.clear()
        for body in (b"ab", b"abcd"):
            head, _ = answered(sending(start(headers=[(b"content-length", b"3")]), part(body)))
            self.assertTrue(head.startswith("HTTP/1.1 500 "), head)
            self.assertIn("Content-Length", self.log[0])
            self.log.clear()

    def test_no_body_for_head_204_and_304(self):
        whole = (part(b"hello"),)
        parts = (part(b"hel", True), part(b"lo"))
        for messages in (whole, parts):
            for data, status in ((HEAD, 200), (GET, 204), (GET, 304)):
                head, rest = answered(sending(start(status), *messages), data)
                self.assertTrue(head.startswith(f"HTTP/1.1 {status} "), head)
                self.assertEqual(rest, b"")
                if status == 204:
                    self.assertEqual(fields(head, "content-length") + fields(head, "transfer-encoding"), [])
        for messages in (whole, parts, (part(),)):
            for data, status in ((HEAD, 200), (GET, 304)):
                headers = [(b"content-length", b"5")]
                head, rest = answered(sending(start(status, headers), *messages), data)
                self.assertEqual((fields(head, "content-length"), rest), (["5"], b""), (data, messages))

    def test_a_length_is_left_out_where_there_can_be_none(self):
        for status in (204, 205):
            for messages in ((part(),), (part(b"", True), part())):
                headers = [(b"Content-Length", b"0"), (b"x-a", b"1")]
                head, rest = answered(sending(start(status, headers), *messages))
                self.assertTrue(head.startswith(f"HTTP/1.1 {status} "), head)
                self.assertEqual((fields(head, "x-a"), rest), (["1"], b""))
                # What a client may see of a 205 is the server's own.
                self.assertEqual(fields(head, "content-length"), [] if status == 204 else ["0"])

    def test_case_order_and_duplicates_of_fields_are_kept(self):
        headers = [
            (b"X-B", b"1"),
            (b"Set-Cookie", b"a=1"),
            (b"x-a", b"\xe9"),
            (b"Set-Cookie", b"b=2"),
            (b"X-B", b""),
        ]
        for given in (headers, iter(headers), [list(pair) for pair in headers], tuple(headers)):
            head, _ = answered(sending(start(headers=given), part(b"x")))
            lines = [line for line in head.split("\r\n") if line.lower().startswith(("x-", "set-"))]
            self.assertEqual(lines, ["X-B: 1", "Set-Cookie: a=1", "x-a: \xe9", "Set-Cookie: b=2", "X-B: "])

    def test_an_application_may_leave_out_what_has_a_default(self):
        head, rest = answered(
            sending({"type": "http.response.start", "status": 201}, {"type": "http.response.body"})
        )
        self.assertTrue(head.startswith("HTTP/1.1 201 "), head)
        self.assertEqual((fields(head, "content-length"), rest), (["0"], b""))

    def test_other_kinds_of_bytes(self):
        headers = [(bytearray(b"x-a"), memoryview(b"1"))]
        messages = part(bytearray(b"a"), True), part(memoryview(b"b"))
        head, rest = answered(sending(start(headers=headers), *messages))
        self.assertEqual((fields(head, "x-a"), rest), (["1"], b"2\r\nab\r\n0\r\n\r\n"))

    def test_the_connection_is_kept_and_closed_on_demand(self):
        application = sending(start(), part(b"x"))
        with serve_asgi(application, "127.0.0.1:0") as running, connect(running) as client:
            for _ in range(3):
                client.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
                receive(client, b"\r\n\r\nx")
        head, _ = answered(
            sending(start(headers=[(b"Connection", b"close")]), part(b"x")), GET[:-21] + b"\r\n"
        )
        self.assertEqual(fields(head, "connection"), ["close"])


class TestOrder(Quiet, unittest.TestCase):
    def test_what_is_sent_in_the_wrong_order_is_an_error(self):
        for messages, words in (
            ([part(b"x")], "'http.response.body', and what comes next is http.response.start"),
            ([start(), start()], "what comes next is http.response.body"),
            (
                [{"type": "websocket.accept"}],
                "'websocket.accept', and what comes next is http.response.start",
            ),
            ([start(), {"type": "http.response.trailers"}], "what comes next is http.response.body"),
            ([{"type": "http.response.pathsend", "path": "/"}], "what comes next is http.response.start"),
        ):
            head, _ = answered(sending(*messages))
            self.assertTrue(head.startswith("HTTP/1.1 500 "), head)
            self.assertIn(words, self.log[0])
            self.log.clear()

    def test_a_message_after_the_response_is_an_error_and_the_response_was_sent(self):
        for late in (part(b"y"), start()):
            head, rest = answered(sending(start(), part(b"x"), late))
            self.assertTrue(head.startswith("HTTP/1.1 200 "), head)
            self.assertEqual(rest, b"x")
            self.assertTrue(until(lambda: self.log))
            self.assertIn("no message, because the response is complete", self.log[0])
            self.log.clear()

    def test_an_application_without_a_response_is_a_500(self):
        for messages, words in (([], "without a response"), ([start()], "before the end of the response")):
            for name, app, begin in ways():
                app.mount_asgi("/", sending(*messages))
                with self.subTest(name), begin() as running:
                    answer = exchange(running, GET, end=False)
                    self.assertTrue(answer.startswith(b"HTTP/1.1 500 "), answer)
                self.assertIn(words, self.log[0])
                self.log.clear()

    def test_an_exception_before_the_body_is_a_500(self):
        for messages in ([ValueError("oops")], [start(), ValueError("oops")]):
            head, _ = answered(sending(*messages))
            self.assertTrue(head.startswith("HTTP/1.1 500 "), head)
            self.assertIn("ValueError: oops", self.log[0])
            self.log.clear()

    def test_an_exception_in_the_middle_cuts_the_response_off(self):
        for data, ends in ((GET, b"3\r\nabc\r\n"), (OLD, b"abc")):
            for last in ([ValueError("oops")], []):
                with (
                    serve_asgi(sending(start(), part(b"abc", True), *last), "127.0.0.1:0") as running,
                    connect(running) as client,
                ):
                    client.sendall(data)
                    received = read_all(client)
                    self.assertTrue(received.endswith(b"\r\n\r\n" + ends), received)
                self.assertTrue(until(lambda: self.log))
                self.assertIn("oops" if last else "before the end of the response", self.log[0])
                self.log.clear()

    def test_an_old_client_sees_a_reset_instead_of_a_clean_end(self):
        with (
            serve_asgi(sending(start(), part(b"abc", True), ValueError("oops")), "127.0.0.1:0") as running,
            connect(running) as client,
        ):
            client.sendall(OLD)
            with self.assertRaises(ConnectionResetError):
                while client.recv(65536):
                    pass

    def test_an_exception_after_the_response_is_logged(self):
        head, rest = answered(sending(start(), part(b"x"), ValueError("late")))
        self.assertEqual((head[:12], rest), ("HTTP/1.1 200", b"x"))
        self.assertTrue(until(lambda: self.log))
        self.assertIn("ValueError: late", self.log[0])

    def test_what_cannot_be_sent_is_refused(self):
        bad = [
            (start(headers=[(b"x", b"a\r\nb: c")]), "not allowed"),
            (start(headers=[(b"x\n", b"a")]), "not allowed"),
            (start(headers=[(b"a: b", b"c")]), "not allowed"),
            (start(headers=[(b"x", b"a\0")]), "not allowed"),
            (start(headers=[(b"", b"a")]), "empty"),
            (start(headers=[("x", "y")]), "a header of a message is a pair of bytes"),
            (start(headers=[b"ab"]), "a header of a message is a pair of bytes"),
            (start(headers=b"ab"), "pairs of bytes"),
            (start(headers=[(b"transfer-encoding", b"chunked")]), "the server chooses"),
            (start(headers=[(b"connection", b"upgrade")]), "only for `close`"),
            (start(headers=[(b"trailer", b"x")]), "no trailer"),
            (start(headers=[(b"content-length", b"x")]), "not a number"),
            (start(headers=[(b"content-length", b"1"), (b"content-length", b"2")]), "bad header field"),
            (start(status=99), "200 to 599"),
            (start(status="200"), "is an int"),
            (start(status=True), "is an int"),
        ]
        for message, words in bad:
            for _ in range(2):
                head, _ = answered(sending(message, part(b"x")))
                self.assertTrue(head.startswith("HTTP/1.1 500 "), (message, head))
                self.assertIn(words, self.log[0], message)
                self.assertNotIn("During handling", self.log[0], message)
                self.log.clear()
        head, _ = answered(sending(start(), part("text")))
        self.assertTrue(head.startswith("HTTP/1.1 500 "), head)
        self.assertIn("the body of http.response.body is bytes, got str", self.log[0])


class TestExtensions(Quiet, unittest.TestCase):
    def test_trailers(self):
        trailers = {"type": "http.response.trailers", "headers": [(b"x-sum", b"7")], "more_trailers": True}
        last = {"type": "http.response.trailers", "headers": [(b"x-more", b"8")]}
        begin = start(headers=[(b"trailer", b"x-sum, x-more")], trailers=True)
        for parts in ((part(b"abc"),), (part(b"abc", True), part())):
            head, rest = answered(sending(begin, *parts, trailers, last))
            self.assertEqual(fields(head, "trailer"), ["x-sum, x-more"])
            self.assertEqual(rest, b"3\r\nabc\r\n0\r\nx-sum: 7\r\nx-more: 8\r\n\r\n")
            head, rest = answered(sending(begin, *parts, trailers, last), OLD)
            self.assertEqual(rest, b"abc")

    def test_trailers_that_do_not_come_cut_the_response_off(self):
        _head, rest = answered(sending(start(trailers=True), part(b"abc")))
        self.assertEqual(rest, b"3\r\nabc\r\n")
        self.assertTrue(until(lambda: self.log))
        self.assertIn("without the trailers", self.log[0])

    def test_bad_trailers_are_an_error(self):
        bad = {"type": "http.response.trailers", "headers": [(b"x", b"a\r\nb: c")]}
        _head, rest = answered(sending(start(trailers=True), part(b"abc"), bad))
        self.assertEqual(rest, b"3\r\nabc\r\n")
        self.assertTrue(until(lambda: self.log))
        self.assertIn("not allowed", self.log[0])

    def test_early_hints(self):
        hint = {
            "type": "http.response.early_hint",
            "links": [b"</a.css>; rel=preload", b"</b.js>; rel=preload"],
        }
        head, rest = answered(sending(hint, start(), hint, part(b"x")))
        self.assertTrue(head.startswith("HTTP/1.1 103 Early Hints"), head)
        self.assertEqual(fields(head, "link"), ["</a.css>; rel=preload", "</b.js>; rel=preload"])
        self.assertIn(b"HTTP/1.1 200 OK", rest)
        head, _ = answered(
            sending({"type": "http.response.early_hint", "links": [b"a\r\nb"]}, start(), part())
        )
        self.assertTrue(head.startswith("HTTP/1.1 500 "), head)

    def test_pathsend(self):
        with tempfile.NamedTemporaryFile() as file:
            file.write(bytes(range(256)) * 4000)
            file.flush()
            size = str(os.path.getsize(file.name)).encode()
            send = {"type": "http.response.pathsend", "path": file.name}
            for headers in (PLAIN, [*PLAIN, (b"content-length", size)]):
                for data in (GET, OLD, HEAD):
                    head, rest = answered(sending(start(headers=headers), send), data)
                    self.assertEqual(fields(head, "content-length"), [size.decode()])
                    self.assertEqual(rest, b"" if data is HEAD else bytes(range(256)) * 4000)
        for path in ("/none", "/", "/dev/null", 7):
            send = {"type": "http.response.pathsend", "path": path}
            head, _ = answered(sending(start(), send))
            self.assertTrue(head.startswith("HTTP/1.1 500 "), (path, head))


class TestPressure(Quiet, unittest.TestCase):
    def test_send_waits_while_the_client_does_not_read(self):
        sent = []
        over = threading.Event()

        async def application(scope, receive, send):
            await send(start())
            try:
                for _ in range(4000):
                    await send(part(bytes(65536), True))
                    sent.append(1)
            finally:
                over.set()

        for name, app, begin in ways():
            sent.clear()
            over.clear()
            app.mount_asgi("/", application, lifespan="off")
            with self.subTest(name), begin() as running:
                with socket.socket() as client:
                    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
                    client.settimeout(LIMIT)
                    client.connect(("127.0.0.1", running.port))
                    client.sendall(GET)
                    counts = []

                    def is_waiting(counts=counts):
                        counts.append(len(sent))
                        return len(counts) > 100 and counts[-100] == counts[-1] > 0

                    self.assertTrue(until(is_waiting))
                    # 250 MiB were to be sent, and only what fits in the buffers was.
                    self.assertLess(len(sent), 1000)
                    self.assertFalse(over.is_set())
                    receive(client, b"\0" * 1000)
                # The reader has left: `send` raises.
                self.assertTrue(over.wait(LIMIT))
                self.assertLess(len(sent), 4000)
            self.assertEqual(self.log, [])

    def test_a_stream_that_never_waits_lets_other_requests_run(self):
        ends = threading.Event()

        async def application(scope, receive, send):
            await send(start())
            if scope["path"] == "/stream":
                while not ends.is_set():
                    await send(part(b"x", True))
            await send(part(b"end"))

        with (
            serve_asgi(application, "127.0.0.1:0", lifespan="off") as running,
            connect(running) as client,
        ):
            client.sendall(b"GET /stream HTTP/1.1\r\nHost: a\r\n\r\n")
            receive(client, b"1\r\nx")
            reader = threading.Thread(target=read_all, args=(client,))
            reader.start()
            self.assertTrue(exchange(running, GET, end=False).endswith(b"end"))
            ends.set()
            client.shutdown(socket.SHUT_WR)
            reader.join(LIMIT)


if __name__ == "__main__":
    unittest.main()
