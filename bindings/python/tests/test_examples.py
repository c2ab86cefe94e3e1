"""The example applications do what they say, also for clients that send something else."""

import http.client
import json
import runpy
import tempfile
import unittest
from http.cookies import SimpleCookie
from pathlib import Path
from urllib.parse import urlencode

from support import LIMIT, Quiet, connect, fetch, until

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"


def example(name):
    """Returns the function `build` of an example."""
    return runpy.run_path(str(EXAMPLES / f"{name}.py"))["build"]


class Browser:
    """A client that keeps cookies, and reads errors in JSON."""

    def __init__(self, running):
        self._running = running
        self.cookies = {}

    def ask(self, method, path, form=None, json_body=None):
        """Sends a request. Returns the status and the value of the response."""
        headers = {"Cookie": "; ".join(f"{name}={value}" for name, value in self.cookies.items())}
        body = None
        if form is not None:
            headers["Content-Type"] = "application/x-www-form-urlencoded"
            body = urlencode(form, errors="surrogateescape")
        elif json_body is not None:
            body = json_body if isinstance(json_body, str) else json.dumps(json_body)
        answer = fetch(self._running, path, method, body=body, headers=headers)
        for line in answer.headers.get_all("set-cookie", ()):
            for name, cookie in SimpleCookie(line).items():
                if cookie["max-age"] == "0":
                    self.cookies.pop(name, None)
                else:
                    self.cookies[name] = cookie.value
        kind = answer.headers["content-type"]
        assert kind in (None, "application/json", "application/problem+json"), kind
        return answer.status, json.loads(answer.body) if answer.body else None


class TestApi(Quiet, unittest.TestCase):
    def setUp(self):
        super().setUp()
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.running = example("api")(str(Path(folder.name) / "notes.db")).start("127.0.0.1:0")
        self.addCleanup(self.running.stop, 0)
        self.ada, self.bob = Browser(self.running), Browser(self.running)

    def sign_up(self, browser, name):
        form = {"name": name, "password": "correct horse"}
        self.assertEqual(browser.ask("POST", "/users", form), (201, {"name": name}))

    def test_each_user_sees_the_own_notes(self):
        self.sign_up(self.ada, "ada")
        self.sign_up(self.bob, "bob")
        status, note = self.ada.ask("POST", "/api/notes", json_body={"text": "buy milk"})
        self.assertEqual((status, note["text"]), (201, "buy milk"))
        path = f"/api/notes/{note['id']}"
        self.assertEqual(self.ada.ask("GET", "/api/notes"), (200, [note]))
        self.assertEqual(self.ada.ask("GET", path), (200, note))
        self.assertEqual(self.bob.ask("GET", "/api/notes"), (200, []))
        for method in ("GET", "DELETE"):
            self.assertEqual(self.bob.ask(method, path)[0], 404)
        self.assertEqual(self.ada.ask("DELETE", path), (204, None))
        self.assertEqual(self.ada.ask("GET", path)[1]["detail"], "no such note")
        self.assertEqual(self.log, [])

    def test_sessions_begin_and_end(self):
        self.sign_up(self.ada, "ada")
        token = self.ada.cookies["session"]
        self.assertEqual(self.ada.ask("DELETE", "/session"), (204, None))
        self.assertEqual(self.ada.cookies, {})
        self.ada.cookies["session"] = token
        self.assertEqual(self.ada.ask("GET", "/api/notes")[0], 401)
        form = {"name": "ada", "password": "correct horse"}
        self.assertEqual(self.ada.ask("POST", "/session", form), (200, {"name": "ada"}))
        self.assertNotEqual(self.ada.cookies["session"], token)
        self.assertEqual(self.ada.ask("GET", "/api/notes"), (200, []))

    def test_errors_are_json(self):
        self.sign_up(self.ada, "ada")
        for browser, method, path, form, value, status, detail in (
            (self.bob, "GET", "/api/notes", None, None, 401, "sign in first"),
            (
                self.bob,
                "POST",
                "/users",
                {"name": "ada", "password": "12345678"},
                None,
                409,
                "this name is taken",
            ),
            (self.bob, "POST", "/users", {"name": "bob", "password": "1"}, None, 422, "at least 8"),
            (self.bob, "POST", "/users", {"name": "bob"}, None, 400, "form field 'password' is missing"),
            (
                self.bob,
                "POST",
                "/users",
                {"name": "\udcff", "password": "12345678"},
                None,
                422,
                "not Unicode",
            ),
            (
                self.bob,
                "POST",
                "/session",
                {"name": "ada", "password": "12345678"},
                None,
                401,
                "wrong password",
            ),
            (
                self.bob,
                "POST",
                "/session",
                {"name": "eve", "password": "12345678"},
                None,
                401,
                "wrong password",
            ),
            (self.bob, "POST", "/session", None, {}, 415, "the body is neither"),
            (self.ada, "POST", "/api/notes", None, {"text": 5}, 422, "a note is an object"),
            (self.ada, "POST", "/api/notes", None, ["text"], 422, "a note is an object"),
            (self.ada, "POST", "/api/notes", None, "{", 400, "not JSON"),
            (self.ada, "POST", "/api/notes", None, '{"text": "\\ud800"}', 422, "not Unicode"),
            (self.ada, "GET", f"/api/notes/{10**30}", None, None, 404, None),
            (self.ada, "GET", "/api/notes/one", None, None, 404, None),
            (self.ada, "PUT", "/api/notes", None, {}, 405, None),
            (self.ada, "GET", "/none", None, None, 404, None),
        ):
            with self.subTest(method=method, path=path, form=form, value=value):
                got, problem = browser.ask(method, path, form, value)
                self.assertEqual((got, problem["status"]), (status, status))
                self.assertEqual("detail" in problem, detail is not None, problem)
                self.assertIn(detail or "", problem.get("detail", ""))
        self.assertEqual(self.log, [])


def multipart(*files):
    """Returns the body and the headers of a form with files: pairs of name and content."""
    parts = b"".join(
        b'--XX\r\nContent-Disposition: form-data; name="file"; filename="%s"\r\n\r\n%s\r\n'
        % (name.encode(), content)
        for name, content in files
    )
    return {"body": parts + b"--XX--\r\n", "headers": {"Content-Type": "multipart/form-data; boundary=XX"}}


class TestFiles(Quiet, unittest.TestCase):
    def setUp(self):
        super().setUp()
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        self.running = example("files")(self.folder).start("127.0.0.1:0")
        self.addCleanup(self.running.stop, 0)

    def names(self):
        return sorted(path.name for path in self.folder.iterdir())

    def test_uploads_come_back(self):
        large = bytes(range(256)) * 20_000
        answer = fetch(self.running, "/files", "POST", **multipart(("large.bin", large), ("a.txt", b"hello")))
        self.assertEqual((answer.status, answer.headers["location"]), (303, "/"))
        answer = fetch(self.running, "/files/b%20%C3%A4.html", "PUT", body=iter([b"<h1>", b"hello"]))
        self.assertEqual(
            (answer.status, json.loads(answer.body)), (201, {"name": "b \u00e4.html", "size": 9})
        )
        self.assertEqual(self.names(), ["a.txt", "b \u00e4.html", "large.bin"])
        listing = json.loads(fetch(self.running, "/files").body)
        self.assertEqual([item["size"] for item in listing], [5, 9, len(large)])
        self.assertIn('<a href="/files/b%20%C3%A4.html">', fetch(self.running, "/").text)

        self.assertEqual(fetch(self.running, "/files/large.bin").body, large)
        answer = fetch(self.running, "/files/b%20%C3%A4.html")
        self.assertEqual(
            answer.headers["content-disposition"],
            "attachment; filename=\"b _.html\"; filename*=UTF-8''b%20%C3%A4.html",
        )
        part = fetch(self.running, "/files/large.bin", headers={"Range": "bytes=1000000-1000003"})
        self.assertEqual((part.status, part.body), (206, large[1_000_000:1_000_004]))
        again = fetch(self.running, "/files/large.bin", headers={"If-None-Match": part.headers["etag"]})
        self.assertEqual((again.status, again.body), (304, b""))

        self.assertEqual(fetch(self.running, "/files/a.txt", "DELETE").status, 204)
        for method in ("GET", "DELETE"):
            self.assertEqual(fetch(self.running, "/files/a.txt", method).status, 404)

    def test_names_are_safe(self):
        for name in ("..%2Fa", ".hidden", "%00a", "a%0Ab", "a" * 101, "%FF", "a%5Cb"):
            for method in ("GET", "PUT", "DELETE"):
                answer = fetch(self.running, f"/files/{name}", method, body=b"x" if method == "PUT" else None)
                self.assertEqual(answer.status, 422, (method, name))
        # A form gives the name without its folders.
        fetch(
            self.running, "/files", "POST", **multipart(("../../up.txt", b"x"), (r"C:\\docs\\down.txt", b"x"))
        )
        self.assertEqual(self.names(), ["down.txt", "up.txt"])
        for wrong in (".hidden", "", "a:b"):
            answer = fetch(self.running, "/files", "POST", **multipart(("good.txt", b"x"), (wrong, b"x")))
            self.assertEqual(answer.status, 422, wrong)
        self.assertEqual(self.names(), ["down.txt", "up.txt"])

    def test_half_an_upload_leaves_nothing(self):
        with connect(self.running) as connection:
            connection.sendall(b"PUT /files/half HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nhalf")
            self.assertTrue(until(self.names))
            self.assertNotEqual(self.names(), ["half"])
        self.assertTrue(until(lambda: not self.names()))


class Page:
    """A page that reads the events of the room."""

    def __init__(self, running, last=None):
        self._connection = http.client.HTTPConnection("127.0.0.1", running.port, timeout=LIMIT)
        self._connection.request("GET", "/events", headers={} if last is None else {"Last-Event-ID": last})
        self._events = self._connection.getresponse()
        self.last = last

    def next(self):
        """Returns the name and the data of the next event that has data; `None` at the end."""
        name, data = "message", None
        while line := self._events.readline().decode():
            field, _, value = line.rstrip("\n").partition(": ")
            if field == "event":
                name = value
            elif field == "id":
                self.last = value
            elif field == "data":
                data = json.loads(value)
            elif not field and data is not None:
                return name, data
        return None

    def wait(self, name, data):
        """Reads until an event."""
        while (event := self.next()) != (name, data):
            if event is None:
                raise AssertionError(f"the stream ended before {name} {data}")

    def close(self):
        self._connection.close()
        self._events.close()


class TestLive(Quiet, unittest.TestCase):
    def setUp(self):
        super().setUp()
        self.running = example("live")().start("127.0.0.1:0")
        self.addCleanup(self.running.stop, 0)

    def page(self, last=None):
        page = Page(self.running, last)
        self.addCleanup(page.close)
        return page

    def post(self, text):
        answer = fetch(self.running, "/messages", "POST", body=json.dumps({"text": text}))
        self.assertEqual(answer.status, 204)

    def test_every_page_gets_every_message(self):
        first = self.page()
        first.wait("viewers", 1)
        self.post("one")
        first.wait("message", {"text": "one"})
        second = self.page()
        self.assertEqual(second.next(), ("message", {"text": "one"}))
        first.wait("viewers", 2)
        # Half of a surrogate pair is no reason to end.
        self.post("\ud800")
        for page in (first, second):
            page.wait("message", {"text": "\ud800"})
        second.close()
        first.wait("viewers", 1)
        # A page that connects again gets only what it has missed.
        self.post("two")
        self.assertEqual(self.page(second.last).next(), ("message", {"text": "two"}))

    def test_what_is_no_message_is_refused(self):
        for body, status in (("{}", 422), ('{"text": " "}', 422), ("[]", 422), ("x", 400), ("x" * 5000, 413)):
            self.assertEqual(fetch(self.running, "/messages", "POST", body=body).status, status, body)
        self.assertIn("<h1>Room</h1>", fetch(self.running, "/").text)

    def test_streams_end_with_the_server(self):
        pages = [self.page() for _ in range(3)]
        pages[0].wait("viewers", 3)
        self.assertEqual(self.running.stop(LIMIT).cut, 0)
        for page in pages:
            while page.next() is not None:
                pass
        self.assertEqual(self.log, [])


if __name__ == "__main__":
    unittest.main()
