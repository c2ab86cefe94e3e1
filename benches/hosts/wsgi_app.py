"""The application for WSGI servers."""

import json
import time

from common import PAGE, PIECES, record


def answer(start_response, kind, body):
    start_response("200 OK", [("Content-Type", kind), ("Content-Length", str(len(body)))])
    return [body]


def app(environ, start_response):
    path = environ["PATH_INFO"]
    if path == "/hello":
        return answer(start_response, "text/plain", b"hello")
    if path.startswith("/json/"):
        return answer(start_response, "application/json", json.dumps(record(path[6:])).encode())
    if path.startswith("/page/"):
        return answer(start_response, "text/html; charset=utf-8", PAGE.format(name=path[6:]).encode())
    if path == "/upload":
        body = environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]))
        return answer(start_response, "text/plain", b"%d" % len(body))
    if path == "/stream":
        start_response("200 OK", [("Content-Type", "text/plain")])
        return iter(PIECES)
    if path == "/wait":
        time.sleep(0.01)
        return answer(start_response, "text/plain", b"waited")
    raise LookupError(path)
