"""Compressed responses and requests."""

import gzip
import http.client
import unittest

from support import LIMIT, Quiet

from transom import Compression, Decompression, InvalidArgumentError, Server, ServerSentEvents

TEXT = "a line of a text\n" * 300
MODELS = ("event", "threads", "sequential")


def ask(running, path, headers=(), method="GET", body=None):
    """Returns the status, the fields and the body of an answer."""
    connection = http.client.HTTPConnection("127.0.0.1", running.port, timeout=LIMIT)
    try:
        connection.request(method, path, body, dict(headers))
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read()
    finally:
        connection.close()


def with_routes(app):
    @app.get("/text")
    def plain(request):
        return TEXT

    @app.get("/async")
    async def asynchronous(request):
        return TEXT

    @app.get("/events")
    def events(request):
        return ServerSentEvents(iter(["one", "two"]))

    @app.post("/bytes", decompression=1000)
    def whole(request):
        return request.body

    @app.post("/stream", stream=True, decompression=1000)
    async def streamed(request):
        return b"".join([piece async for piece in request.stream()])

    return app


class TestCompression(Quiet, unittest.TestCase):
    def test_responses_are_compressed_for_clients_that_accept_it(self):
        for model in MODELS:
            with with_routes(Server(model=model, compression=True)).start("127.0.0.1:0") as running:
                for path in ("/text", "/async", "/events"):
                    with self.subTest(model=model, path=path):
                        _, fields, coded = ask(running, path, {"accept-encoding": "gzip"})
                        _, _, content = ask(running, path)
                        self.assertEqual(fields["content-encoding"], "gzip")
                        self.assertEqual(fields["vary"], "accept-encoding")
                        self.assertEqual(gzip.decompress(coded), content)
                        self.assertTrue(path == "/events" or len(coded) < len(content) / 10)
                _, fields, _ = ask(running, "/text", {"accept-encoding": "gzip, br, zstd"})
                self.assertEqual(fields["content-encoding"], "zstd")

    def test_settings_choose_how(self):
        settings = Compression(
            codings=["gzip", "br"], levels={"gzip": 9}, min_size=10, types=["text/*"], max_streams=0
        )
        with with_routes(Server(compression=settings)).start("127.0.0.1:0") as running:
            _, fields, _ = ask(running, "/text", {"accept-encoding": "zstd, br, gzip"})
            self.assertEqual(fields["content-encoding"], "gzip")
            _, fields, _ = ask(running, "/events", {"accept-encoding": "gzip"})
            self.assertIsNone(fields["content-encoding"], "there are as many streams as may be")
        with with_routes(Server()).start("127.0.0.1:0") as running:
            _, fields, _ = ask(running, "/text", {"accept-encoding": "gzip"})
            self.assertIsNone(fields["content-encoding"])

    def test_requests_are_decompressed_up_to_their_limit(self):
        with with_routes(Server()).start("127.0.0.1:0") as running:
            for path in ("/bytes", "/stream"):
                for coding, body, expected in (
                    ("gzip", gzip.compress(b"x" * 1000), (200, b"x" * 1000)),
                    ("gzip", gzip.compress(b"x" * 1001), (413, None)),
                    ("gzip", b"no such coding", (400, None)),
                    ("deflate", b"", (415, None)),
                    ("identity", b"plain", (200, b"plain")),
                ):
                    with self.subTest(path=path, coding=coding, expected=expected[0]):
                        status, fields, content = ask(
                            running, path, {"content-encoding": coding}, "POST", body
                        )
                        self.assertEqual(status, expected[0], content)
                        if expected[1] is not None:
                            self.assertEqual(content, expected[1])
                        if status == 415:
                            self.assertEqual(fields["accept-encoding"], "zstd, br, gzip")

    def test_the_memory_for_decompressed_requests_is_limited(self):
        app = Server()
        for path, bytes_of_memory in (("/enough", 1000), ("/little", 999)):

            @app.post(path, decompression=Decompression(limit=2000, max_memory=bytes_of_memory))
            def whole(request):
                return request.body

        coded = gzip.compress(b"x" * 1000)
        with app.start("127.0.0.1:0") as running:
            for path, expected in (("/enough", 200), ("/little", 503)):
                status, _, content = ask(running, path, {"content-encoding": "gzip"}, "POST", coded)
                self.assertEqual(status, expected, content)

    def test_what_cannot_be_a_setting_is_named(self):
        for error, said, make in (
            (InvalidArgumentError, "'zstd', 'br' or 'gzip', got 'zip'", lambda: Compression(codings=["zip"])),
            (InvalidArgumentError, "the level of br is", lambda: Compression(levels={"br": 12})),
            (InvalidArgumentError, "min_size is", lambda: Compression(min_size=-1)),
            (InvalidArgumentError, "a media type is", lambda: Compression(types=["text"])),
            (TypeError, "codings are several str", lambda: Compression(codings="gzip")),
            (TypeError, "levels are a mapping", lambda: Compression(levels=3)),
            (TypeError, "True, False or a Compression, got", lambda: Server(compression="gzip")),
            (InvalidArgumentError, "decompression is", lambda: Server().get("/", decompression=-1)),
            (InvalidArgumentError, "decompression is", lambda: Decompression(limit=-1)),
            (InvalidArgumentError, "memory for decompression is", lambda: Decompression(max_memory=-1)),
        ):
            with self.subTest(said=said), self.assertRaisesRegex(error, said):
                make()
