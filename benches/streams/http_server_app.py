"""The standard library's http.server: an upload, read in pieces of 64 KiB."""

from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from common import PIECE, port


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        length = int(self.headers["content-length"])
        total = 0
        while piece := self.rfile.read(min(PIECE, length - total)):
            total += len(piece)
        body = b"%d" % total
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format, *args):
        pass


if __name__ == "__main__":
    ThreadingHTTPServer(("127.0.0.1", port()), Handler).serve_forever()
