"""The log messages of the library arrive at the logger of the package."""

import logging
import unittest

from support import Quiet, exchange, fetch, until, ways

from transom import Response, Server


class TestLog(Quiet, unittest.TestCase):
    def test_messages_of_the_library_arrive_in_order_at_the_logger(self):
        logger = logging.getLogger("transom")
        level = logger.level
        self.addCleanup(logger.setLevel, level)
        for way, app, start in ways():

            @app.get("/")
            async def handler(request):
                return "hello"

            with self.subTest(way=way), start() as running:
                self.log.clear()
                logger.setLevel(logging.DEBUG)
                for version in (b"HTTP/1.1", b"HTTP/1.1", b"HTTP/3.0"):
                    exchange(running, b"GET / %s\r\n\r\n" % version)
                self.assertTrue(until(lambda: len(self.log) >= 3), self.log)
                self.assertEqual(len(self.log), 3, self.log)
                self.assertTrue(all("refused a request of 127.0.0.1" in line for line in self.log))
                self.assertEqual(self.log[0].split()[-1], self.log[1].split()[-1])
                self.assertNotEqual(self.log[0].split()[-1], self.log[2].split()[-1])
                logger.setLevel(level)

    def test_a_percent_sign_is_no_format(self):
        app = Server()

        @app.get("/{name}")
        def handler(request):
            return Response("x", headers={"content-length": "%s"})

        with app.start("127.0.0.1:0") as running:
            fetch(running, "/%25s")
        self.assertTrue(all("Logging error" not in line for line in self.log))
