"""A WSGI application that `wsgiref.validate` checks, under load."""

import hashlib
import http.client
import unittest
from wsgiref.validate import validator

from support import LIMIT, Quiet, at_once, until

from transom import serve_wsgi

CLIENTS = 8
REQUESTS = 40


def application(environ, start_response):
    """Answers with a hash of the body in one of several ways, as the path says."""
    stream = environ["wsgi.input"]
    body = b""
    while piece := stream.read(1000):
        body += piece
    way = environ["PATH_INFO"]
    text = way.encode() + hashlib.sha256(body).hexdigest().encode()
    headers = [("Content-Type", "text/plain"), ("X-Way", way)]
    environ["wsgi.errors"].flush()
    if way == "/sized":
        start_response("200 OK", [*headers, ("Content-Length", str(len(text)))])
        return [text]
    if way == "/written":
        start_response("200 OK", headers)(text[:5])
        return [text[5:]]
    start_response("200 OK", headers)
    return iter([text[:5], text[5:]]) if way == "/stream" else [text]


class TestValidated(Quiet, unittest.TestCase):
    def test_the_validator_finds_no_fault(self):
        errors = []

        def client(number):
            connection = http.client.HTTPConnection("127.0.0.1", running.port, timeout=LIMIT)
            for turn in range(REQUESTS):
                way = ("/list", "/sized", "/stream", "/written")[turn % 4]
                method = ("GET", "POST")[turn // 4 % 2]
                body = b"%d" % number * (turn * 500) if method == "POST" else b""
                chunked = iter([body[:7], body[7:]]) if turn % 8 > 4 and body else body
                connection.request(method, way, body=chunked or None)
                answer = connection.getresponse()
                text = answer.read()
                expected = way.encode() + hashlib.sha256(body).hexdigest().encode()
                if (answer.status, text) != (200, expected):
                    errors.append((number, turn, answer.status, text))
            connection.close()
            return number

        with serve_wsgi(validator(application), "127.0.0.1:0") as running:
            self.assertEqual(at_once(client, CLIENTS), list(range(CLIENTS)))
        self.assertEqual(errors, [])
        self.assertEqual(self.log, [])

    def test_the_validator_would_find_one(self):
        def wrong(environ, start_response):
            start_response("200 OK", [("Content-Type", "text/plain")])
            return "x"

        with serve_wsgi(validator(wrong), "127.0.0.1:0") as running:
            connection = http.client.HTTPConnection("127.0.0.1", running.port, timeout=LIMIT)
            connection.request("GET", "/")
            self.assertEqual(connection.getresponse().status, 500)
            connection.close()
            self.assertTrue(until(lambda: self.log))
        self.assertIn("AssertionError", self.log[0])


if __name__ == "__main__":
    unittest.main()
