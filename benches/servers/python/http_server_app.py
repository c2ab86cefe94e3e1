"""The standard library's http.server, with a thread for each connection."""

import os
import shutil
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from common import BACKLOG, FILE, MEBIBYTE, MIB, PIECE, WAIT, json_record, pieces, port

TEXT = "text/plain"
OCTETS = "application/octet-stream"


class Server(ThreadingHTTPServer):
    request_queue_size = BACKLOG


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # One write for an answer, and no delay of it.
    wbufsize = PIECE
    disable_nagle_algorithm = True

    def do_GET(self):
        if self.path == "/plain":
            self.answer(TEXT, b"hello")
        elif self.path.startswith("/json/"):
            self.answer("application/json", json_record(self.path[6:]))
        elif self.path == "/wait":
            time.sleep(WAIT)
            self.answer(TEXT, b"waited")
        elif self.path == "/bytes/1m":
            self.answer(OCTETS, MEBIBYTE)
        elif self.path == "/bytes/100m":
            self.head(OCTETS, 100 * MIB)
            for piece in pieces():
                self.wfile.write(piece)
        elif self.path == "/file":
            with open(FILE, "rb") as opened:
                self.head(OCTETS, os.fstat(opened.fileno()).st_size)
                shutil.copyfileobj(opened, self.wfile)
        else:
            self.answer(TEXT, b"not found", 404)

    def do_POST(self):
        length = int(self.headers["content-length"] or 0)
        total = 0
        while piece := self.rfile.read(min(PIECE, length - total)):
            total += len(piece)
        if self.path == "/upload":
            self.answer(TEXT, b"%d" % total)
        else:
            self.answer(TEXT, b"not found", 404)

    def head(self, kind, length, status=200):
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(length))
        self.end_headers()

    def answer(self, kind, body, status=200):
        self.head(kind, len(body), status)
        self.wfile.write(body)

    def log_message(self, format, *args):
        pass


if __name__ == "__main__":
    Server(("127.0.0.1", port()), Handler).serve_forever()
