"""The files of a folder, served by the library."""

import os
import tempfile
import unittest
from pathlib import Path

from support import Quiet, fetch

from transom import (
    AlreadyStartedError,
    BadHeaderError,
    BadRouteError,
    InvalidArgumentError,
    Server,
    SystemCallError,
)


class TestStatic(Quiet, unittest.TestCase):
    def setUp(self):
        super().setUp()
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name) / "public"
        self.folder.mkdir()
        for name, content in {
            "index.html": "index",
            "a.txt": "0123456789",
            ".env": "secret",
            "app.js": "plain",
            "app.js.gz": "gzipped",
            "LICENSE": "free",
            "../outside.txt": "secret",
        }.items():
            (self.folder / name).write_text(content)
            os.utime(self.folder / name, (784111777, 784111777))

    def test_files_of_a_folder_are_served_with_conditions_and_ranges(self):
        app = Server()
        app.static("/static", self.folder)
        with app.start("127.0.0.1:0") as running:
            whole = fetch(running, "/static/a.txt")
            self.assertEqual((whole.status, whole.text), (200, "0123456789"))
            self.assertEqual(whole.headers["content-type"], "text/plain; charset=utf-8")
            self.assertEqual(whole.headers["last-modified"], "Sun, 06 Nov 1994 08:49:37 GMT")
            self.assertEqual(fetch(running, "/static/").text, "index")
            for fields, status, body in [
                ({"Range": "bytes=2-4"}, 206, "234"),
                ({"Range": "bytes=10-"}, 416, "416 Range Not Satisfiable\n"),
                ({"If-None-Match": whole.headers["etag"]}, 304, ""),
                ({"If-Match": '"other"'}, 412, "412 Precondition Failed\n"),
                ({"If-Range": '"other"', "Range": "bytes=2-4"}, 200, "0123456789"),
            ]:
                answer = fetch(running, "/static/a.txt", headers=fields)
                self.assertEqual((answer.status, answer.text), (status, body), fields)
            parts = fetch(running, "/static/a.txt", headers={"Range": "bytes=0-0,-1"})
            self.assertEqual((parts.status, parts.headers["content-range"]), (206, "bytes 0-9/10"))
            for path in ("/static/.env", "/static/..%2foutside.txt", "/staticx/a.txt", "/static/none"):
                self.assertEqual(fetch(running, path).status, 404, path)
            self.assertEqual(fetch(running, "/static/a.txt", method="POST").status, 405)

    def test_settings_of_static_files(self):
        app = Server()
        app.static(
            "/a",
            self.folder,
            index=None,
            single_page="a.txt",
            precompressed=True,
            cache_control={"*.js": "max-age=60", "**": "no-cache"},
            content_types={"": "text/plain"},
            charset=None,
            downloads=True,
            range_limit=0,
        )
        app.static("", str(self.folder), index=None, listing=True, listing_limit=1, dotfiles=True)

        @app.get("/")
        def home(request):
            return "home"

        with app.start("127.0.0.1:0") as running:
            script = fetch(running, "/a/app.js", headers={"Accept-Encoding": "gzip"})
            self.assertEqual((script.text, script.headers["content-encoding"]), ("gzipped", "gzip"))
            self.assertEqual(script.headers["cache-control"], "max-age=60")
            self.assertEqual(script.headers["content-disposition"], 'attachment; filename="app.js"')
            self.assertEqual(script.headers["content-type"], "text/javascript")
            page = fetch(running, "/a/somewhere", headers={"Range": "bytes=0-0"})
            self.assertEqual((page.status, page.text), (200, "0123456789"))
            self.assertEqual(page.headers["cache-control"], "no-cache")
            self.assertEqual(fetch(running, "/a/LICENSE").headers["content-type"], "text/plain")
            self.assertEqual(fetch(running, "/").text, "home")
            self.assertEqual(fetch(running, "/.env").text, "secret")
            (self.folder / "sub").mkdir()
            for name in "ab":
                (self.folder / "sub" / name).touch()
            self.assertIn("There are more entries", fetch(running, "/sub/").text)

    def test_bad_static_files_are_refused_at_once(self):
        app = Server()
        with self.assertRaisesRegex(SystemCallError, "none: No such file"):
            app.static("/static", self.folder / "none")
        with self.assertRaises(BadHeaderError):
            app.static("/static", self.folder, cache_control={"*": "a\nb"})
        with self.assertRaises(BadHeaderError):
            app.static("/static", self.folder, content_types={"x": "a\nb"})
        with self.assertRaises(BadHeaderError):
            app.static("/static", self.folder, charset="a b")
        for bad in ({"cache_control": [1]}, {"listing": 1}, {"index": 1}):
            with self.assertRaises(TypeError, msg=str(bad)):
                app.static("/static", self.folder, **bad)
        with self.assertRaises(TypeError):
            app.static("/static", 1)
        with self.assertRaises(InvalidArgumentError):
            app.static("/static", self.folder, range_limit=-1)
        with self.assertRaises(InvalidArgumentError):
            app.static("/static", "a\0b")
        with self.assertRaises(BadRouteError):
            app.static("static", self.folder)
        app.static("/static", self.folder)
        with self.assertRaises(BadRouteError):
            app.static("/static", self.folder)
        with app.start("127.0.0.1:0"), self.assertRaises(AlreadyStartedError):
            app.static("/other", self.folder)
