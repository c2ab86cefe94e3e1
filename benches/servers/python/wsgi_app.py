"""The application for WSGI servers, without a framework."""

import os
import time
from wsgiref.util import FileWrapper

from common import FILE, MEBIBYTE, MIB, PIECE, WAIT, json_record, pieces

TEXT = "text/plain"
OCTETS = "application/octet-stream"


def head(start_response, kind, length, status="200 OK"):
    start_response(status, [("Content-Type", kind), ("Content-Length", str(length))])


def text(start_response, body, status="200 OK"):
    head(start_response, TEXT, len(body), status)
    return [body]


def count(body):
    total = 0
    while piece := body.read(PIECE):
        total += len(piece)
    return total


def app(environ, start_response):
    path = environ["PATH_INFO"]
    if path == "/plain":
        return text(start_response, b"hello")
    if path.startswith("/json/"):
        body = json_record(path[6:])
        head(start_response, "application/json", len(body))
        return [body]
    if path == "/wait":
        time.sleep(WAIT)
        return text(start_response, b"waited")
    if path == "/bytes/1m":
        head(start_response, OCTETS, MIB)
        return [MEBIBYTE]
    if path == "/bytes/100m":
        head(start_response, OCTETS, 100 * MIB)
        return pieces()
    if path == "/upload":
        return text(start_response, b"%d" % count(environ["wsgi.input"]))
    if path == "/file":
        opened = open(FILE, "rb")  # noqa: SIM115 - the server closes it
        head(start_response, OCTETS, os.fstat(opened.fileno()).st_size)
        return environ.get("wsgi.file_wrapper", FileWrapper)(opened, PIECE)
    return text(start_response, b"not found", "404 Not Found")
