"""An application of Flask, asked by three clients: files, streams, redirects, cookies, large bodies."""

import hashlib
import json
import logging
import os
import tempfile
import unittest

import flask
from web_clients import CLIENTS
from wsgi_servers import SERVERS

LARGE = bytes(range(256)) * 40_000


def make_app(folder):
    app = flask.Flask(__name__, static_folder=folder, static_url_path="/static")
    app.secret_key = "test"
    app.config["TESTING"] = False
    closed = app.config["CLOSED"] = []

    @app.route("/echo/<path:name>", methods=["GET", "POST", "PUT", "DELETE", "PATCH"])
    def echo(name):
        request = flask.request
        return {
            "method": request.method,
            "name": name,
            "args": request.args.to_dict(flat=False),
            "body": hashlib.sha256(request.get_data()).hexdigest(),
            "x": request.headers.getlist("X-Test"),
            "url": request.url.removeprefix(request.host_url),
        }

    @app.post("/form")
    def form():
        files = {
            name: [file.filename, hashlib.sha256(file.read()).hexdigest()]
            for name, file in flask.request.files.items()
        }
        return {"fields": flask.request.form.to_dict(), "files": files}

    @app.post("/read")
    def read():
        digest = hashlib.sha256()
        while piece := flask.request.stream.read(50_000):
            digest.update(piece)
        return digest.hexdigest()

    @app.get("/stream")
    def stream():
        def pieces():
            for number in range(20):
                yield f"{number},"

        response = flask.Response(flask.stream_with_context(pieces()), mimetype="text/plain")
        response.call_on_close(lambda: closed.append("stream"))
        return response

    @app.get("/fails")
    def fails():
        raise LookupError("on purpose")

    @app.get("/fails-late")
    def fails_late():
        def pieces():
            yield "begun"
            raise LookupError("on purpose")

        return flask.Response(pieces())

    @app.get("/large")
    def large():
        return flask.Response(LARGE, mimetype="application/octet-stream")

    @app.get("/empty")
    def empty():
        return "", 204

    @app.get("/from")
    def redirect():
        response = flask.redirect("/to?a=b")
        response.set_cookie("first", "1")
        response.set_cookie("second", "two words")
        return response

    @app.get("/to")
    def target():
        return {"args": flask.request.args, "cookies": flask.request.cookies}

    @app.get("/count")
    def count():
        flask.session["count"] = flask.session.get("count", 0) + 1
        return str(flask.session["count"])

    @app.get("/download")
    def download():
        return flask.send_file(os.path.join(folder, "file.bin"), as_attachment=True)

    return app


class TestFlask(unittest.TestCase):
    def each(self):
        """Yields a client of each kind for each server."""
        for server, url in self.urls.items():
            for name, kind in CLIENTS.items():
                client = kind(url)
                with self.subTest(server=server, client=name):
                    yield client
                client.close()

    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(folder.cleanup)
        with open(os.path.join(folder.name, "file.bin"), "wb") as file:
            file.write(LARGE)
        cls.app = make_app(folder.name)
        cls.app.logger.disabled = True
        cls.urls = {name: cls.enterClassContext(serve(cls.app)) for name, serve in SERVERS.items()}

    def test_requests_arrive_as_they_are(self):
        for client in self.each():
            for method in ("GET", "POST", "PUT", "DELETE", "PATCH"):
                body = None if method == "GET" else b"body of " + method.encode()
                answer = client.ask(method, "/echo/caf%C3%A9/x?a=1&a=2&b=%20", body, {"X-Test": "1"})
                self.assertEqual(answer.status, 200)
                told = json.loads(answer.body)
                self.assertEqual(told["method"], method)
                self.assertEqual(told["name"], "caf\xe9/x")
                self.assertEqual(told["args"], {"a": ["1", "2"], "b": [" "]})
                self.assertEqual(told["body"], hashlib.sha256(body or b"").hexdigest())
                self.assertEqual(told["x"], ["1"])

    def test_head_and_options(self):
        for client in self.each():
            answer = client.ask("HEAD", "/large")
            self.assertEqual((answer.status, answer.body), (200, b""))
            self.assertEqual(answer.headers["content-length"], str(len(LARGE)))
            answer = client.ask("OPTIONS", "/form")
            self.assertEqual(set(answer.headers["allow"].split(", ")), {"POST", "OPTIONS"})
            self.assertEqual(client.ask("GET", "/form").status, 405)
            self.assertEqual(client.ask("GET", "/nothing").status, 404)
            answer = client.ask("GET", "/empty")
            self.assertEqual((answer.status, answer.body), (204, b""))

    def test_a_form_with_a_file(self):
        for client in self.each():
            answer = client.send_form("/form", {"a": "1"}, {"upload": ("caf.bin", LARGE)})
            told = json.loads(answer.body)
            digest = hashlib.sha256(LARGE).hexdigest()
            self.assertEqual(told, {"fields": {"a": "1"}, "files": {"upload": ["caf.bin", digest]}})

    def test_a_body_of_unknown_length(self):
        for client in self.each():
            pieces = [LARGE[at : at + 1_000_000] for at in range(0, len(LARGE), 1_000_000)]
            answer = client.ask("POST", "/read", iter(pieces))
            self.assertEqual(answer.text, hashlib.sha256(LARGE).hexdigest())

    def test_a_stream_and_its_end(self):
        closed = self.app.config["CLOSED"]
        for client in self.each():
            closed.clear()
            self.assertEqual(b"".join(client.pieces("/stream")), b"".join(b"%d," % n for n in range(20)))
            # The application learns of the end after the client has it.
            for _ in range(3000):
                if closed:
                    break
                client.ask("GET", "/empty")
            self.assertEqual(closed, ["stream"])

    def test_errors(self):
        logging.disable(logging.CRITICAL)
        self.addCleanup(logging.disable, logging.NOTSET)
        for client in self.each():
            self.assertEqual(client.ask("GET", "/fails").status, 500)
            with self.assertRaises(Exception):  # noqa: B017 - each client has its own
                list(client.pieces("/fails-late"))
            self.assertEqual(client.ask("GET", "/empty").status, 204)

    def test_a_large_answer(self):
        for client in self.each():
            self.assertEqual(client.ask("GET", "/large").body, LARGE)

    def test_redirects_and_cookies(self):
        for client in self.each():
            answer = client.ask("GET", "/from")
            self.assertEqual((answer.status, answer.headers["location"]), (302, "/to?a=b"))
            told = json.loads(client.ask("GET", "/from", follow=True).body)
            self.assertEqual(told["args"], {"a": "b"})
            if client.cookies() is not None:
                self.assertEqual(told["cookies"], {"first": "1", "second": "two words"})
                self.assertEqual([client.ask("GET", "/count").text for _ in range(3)], ["1", "2", "3"])

    def test_files(self):
        for client in self.each():
            for path in ("/static/file.bin", "/download"):
                answer = client.ask("GET", path)
                self.assertEqual(answer.body, LARGE)
                self.assertEqual(answer.headers["content-length"], str(len(LARGE)))
                tag = answer.headers["etag"]
                answer = client.ask("GET", path, headers={"If-None-Match": tag})
                self.assertEqual((answer.status, answer.body), (304, b""))
                answer = client.ask("GET", path, headers={"Range": "bytes=100-299"})
                self.assertEqual((answer.status, answer.body), (206, LARGE[100:300]))
                self.assertEqual(answer.headers["content-range"], f"bytes 100-299/{len(LARGE)}")


if __name__ == "__main__":
    unittest.main()
