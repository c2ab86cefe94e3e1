"""Files: ranges, conditional requests, and the names under which clients store them."""

import http.client
import os
import tempfile
import time
import unittest
from email.utils import formatdate, parsedate_to_datetime
from pathlib import Path

from support import LIMIT, Answer, Quiet, fetch

from transom import Response, Server

DATA = bytes(range(100))
CHANGED = 1_700_000_000
#: Requests with the answers that Rust, C and Python give. `tests/files.rs` in the repository reads it too.
TABLE = Path(__file__).resolve().parent / "../../../tests/files/conditions.txt"
TEN = b"0123456789"


def ask(running, method, path, fields):
    """Sends a request with fields that have `\\r\\n` between them, and returns the response."""
    connection = http.client.HTTPConnection("127.0.0.1", running.port, timeout=LIMIT)
    try:
        connection.putrequest(method, path)
        for field in filter(None, fields.strip().split(r"\r\n")):
            name, _, value = field.partition(":")
            connection.putheader(name, value.strip())
        connection.endheaders()
        return Answer(connection.getresponse())
    finally:
        connection.close()


class TestFiles(Quiet, unittest.TestCase):
    def setUp(self):
        super().setUp()
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        path = Path(folder.name, "data.bin")
        path.write_bytes(DATA)
        os.utime(path, (CHANGED, CHANGED))
        app = Server(error_format="json")
        app.get("/")(lambda request: Response.file(path))
        app.post("/")(lambda request: Response.file(path))
        app.get("/part")(lambda request: Response.file(path, offset=10, length=5))
        app.get("/plain")(lambda request: Response.file(path, conditional=False))
        app.get("/tag")(lambda request: Response.file(path, headers={"ETag": 'W/"own"'}))
        app.get("/named")(lambda request: Response.file(path, download_as='../a"b\r\n\u00e9 \u20ac.txt'))
        self.running = app.start("127.0.0.1:0")
        self.addCleanup(self.running.stop)

    def get(self, path="/", method="GET", **fields):
        headers = {name.replace("_", "-"): value for name, value in fields.items()}
        return fetch(self.running, path, method, headers=headers)

    def test_ranges(self):
        tag = self.get().headers["etag"]
        for wanted, status, body, told in (
            (None, 200, DATA, None),
            ("bytes=0-0", 206, DATA[:1], "bytes 0-0/100"),
            ("bytes=10-19", 206, DATA[10:20], "bytes 10-19/100"),
            ("bytes=90-", 206, DATA[90:], "bytes 90-99/100"),
            ("bytes=90-1000", 206, DATA[90:], "bytes 90-99/100"),
            ("bytes=-10", 206, DATA[90:], "bytes 90-99/100"),
            ("bytes=-1000", 206, DATA, "bytes 0-99/100"),
            ("bytes=100-", 416, None, "bytes */100"),
            ("bytes=-0", 416, None, "bytes */100"),
            ("bytes=9-8", 200, DATA, None),
            ("bytes=-", 200, DATA, None),
            ("bytes=a-b", 200, DATA, None),
            ("lines=1-2", 200, DATA, None),
            ("bytes=0-1,5-6", 206, DATA[:7], "bytes 0-6/100"),
            ("bytes=0 -1", 200, DATA, None),
            ("bytes=0-1,5-", 206, DATA, "bytes 0-99/100"),
            ("bytes= 3-4 ,, 0-1", 206, DATA[:5], "bytes 0-4/100"),
            ("bytes=0-1,100-", 206, DATA[:2], "bytes 0-1/100"),
            ("bytes=0-1,x", 200, DATA, None),
            ("bytes=100-,200-", 416, None, "bytes */100"),
            ("bytes=" + ",".join(["0-1"] * 32), 206, DATA[:2], "bytes 0-1/100"),
            ("bytes=" + ",".join(["0-1"] * 33), 200, DATA, None),
            ("bytes=" + "9" * 5000 + "-", 416, None, "bytes */100"),
            ("bytes=0-" + "9" * 30, 206, DATA, "bytes 0-99/100"),
            ("bytes=" + "0" * 5000 + "-1", 206, DATA[:2], "bytes 0-1/100"),
        ):
            answer = self.get(**({} if wanted is None else {"Range": wanted}))
            self.assertEqual((answer.status, answer.headers.get("content-range")), (status, told), wanted)
            if body is not None:
                self.assertEqual(answer.body, body, wanted)
            if status != 416:
                self.assertEqual(answer.headers["etag"], tag)
                self.assertEqual(answer.headers["accept-ranges"], "bytes")
        self.assertEqual(self.get(Range="bytes=100-").headers["content-type"], "application/problem+json")
        for method in ("HEAD", "POST"):
            self.assertEqual(self.get(method=method, Range="bytes=0-1").status, 200)
        self.assertEqual(self.log, [])

    def test_several_ranges(self):
        whole = self.get()
        answer = self.get(Range="bytes=99-,0-4")
        self.assertEqual(answer.status, 206)
        kind, _, boundary = answer.headers["content-type"].partition("; boundary=")
        self.assertEqual(kind, "multipart/byteranges")
        parts = b"".join(
            b"--%b\r\ncontent-type: application/octet-stream\r\ncontent-range: bytes %b/100\r\n\r\n%b\r\n"
            % (boundary.encode(), told, data)
            for told, data in ((b"99-99", DATA[99:]), (b"0-4", DATA[:5]))
        )
        self.assertEqual(answer.body, parts + b"--%b--\r\n" % boundary.encode())
        self.assertEqual(answer.headers["content-length"], str(len(answer.body)))
        self.assertNotIn("content-range", answer.headers)
        for name in ("etag", "last-modified", "accept-ranges"):
            self.assertEqual(answer.headers[name], whole.headers[name])
        other = self.get(Range="bytes=99-,0-4").headers["content-type"]
        self.assertNotEqual(other, answer.headers["content-type"], "nobody can guess a boundary")
        self.assertEqual(self.get(Range="bytes=0-1,99-", If_Range='"x"').status, 200)
        self.assertEqual(self.get(method="HEAD", Range="bytes=0-1,99-").status, 200)
        self.assertEqual(self.log, [])

    def test_several_ranges_of_a_large_file(self):
        content = bytes(at * 31 >> 7 & 255 for at in range(300_000))
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "large.bin")
            path.write_bytes(content)
            app = Server()
            app.get("/")(lambda request: Response.file(path))

            @app.get("/async")
            async def asynchronous(request):
                return Response.file(path)

            with app.start("127.0.0.1:0") as running:
                for target in ("/", "/async", "/"):
                    fields = {"Range": "bytes=0-199999,-99000"}
                    body = fetch(running, target, headers=fields).body
                    first, second = body.split(b"\r\n\r\n", 1)[1], body.rsplit(b"\r\n\r\n", 1)[1]
                    self.assertEqual(first[:200_000], content[:200_000])
                    self.assertEqual(second[:99_000], content[201_000:])

    def test_a_file_that_has_just_been_changed_has_a_weak_tag_and_no_parts_by_it(self):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "new.bin")
            path.write_bytes(DATA)
            for age, weak in ((-3600, True), (3600, False)):
                os.utime(path, (time.time() - age, time.time() - age))
                app = Server()
                app.get("/")(lambda request: Response.file(path))
                with app.start("127.0.0.1:0") as running:
                    answer = fetch(running, "/")
                    tag = answer.headers["etag"]
                    self.assertEqual(tag.startswith("W/"), weak)
                    changed = parsedate_to_datetime(answer.headers["last-modified"]).timestamp()
                    self.assertLessEqual(changed, time.time(), "RFC 9110 8.8.2.1")
                    for condition in (tag, answer.headers["last-modified"]):
                        fields = {"Range": "bytes=0-1", "If-Range": condition}
                        self.assertEqual(fetch(running, "/", headers=fields).status, 200 if weak else 206)
                    self.assertEqual(fetch(running, "/", headers={"If-None-Match": tag}).status, 304)

    def test_conditions(self):
        tag = self.get().headers["etag"]
        now, before, after = (formatdate(CHANGED + by, usegmt=True) for by in (0, -1, 1))
        self.assertEqual(self.get().headers["last-modified"], now)
        for fields, status in (
            ({"If_None_Match": tag}, 304),
            ({"If_None_Match": f'"x", W/{tag}'}, 304),
            ({"If_None_Match": "*"}, 304),
            ({"If_None_Match": '"x"'}, 200),
            ({"If_None_Match": '"x"', "If_Modified_Since": now}, 200),
            ({"If_Modified_Since": now}, 304),
            ({"If_Modified_Since": after}, 304),
            ({"If_Modified_Since": before}, 200),
            ({"If_Modified_Since": "yesterday"}, 200),
            ({"If_Match": tag}, 200),
            ({"If_Match": f"W/{tag}"}, 412),
            ({"If_Match": '"x"'}, 412),
            ({"If_Unmodified_Since": now}, 200),
            ({"If_Unmodified_Since": before}, 412),
            ({"If_Range": tag, "Range": "bytes=0-1"}, 206),
            ({"If_Range": now, "Range": "bytes=0-1"}, 206),
            ({"If_Range": '"x"', "Range": "bytes=0-1"}, 200),
            ({"If_Range": before, "Range": "bytes=0-1"}, 200),
            ({"If_None_Match": tag, "Range": "bytes=0-1"}, 304),
        ):
            answer = self.get(**fields)
            self.assertEqual(answer.status, status, fields)
            if status == 304:
                self.assertEqual((answer.body, answer.headers["etag"]), (b"", tag))
                self.assertNotIn("content-type", answer.headers)
        self.assertEqual(self.get(method="POST", If_None_Match=tag).status, 412)
        self.assertEqual(self.get(method="HEAD", If_None_Match=tag).status, 304)

    @unittest.skipUnless(TABLE.exists(), "the table is part of the repository")
    def test_conditions_and_ranges_are_those_of_rust_and_c(self):
        with tempfile.TemporaryDirectory() as folder:
            for name, content in (("ten", TEN), ("empty", b"")):
                path = Path(folder, name)
                path.write_bytes(content)
                os.utime(path, (784_111_777, 784_111_777))
            app = Server()
            app.static("/static", folder)
            app.get("/own/{name}")(lambda request: Response.file(Path(folder, request.params["name"])))
            with app.start("127.0.0.1:0") as running:
                tag = fetch(running, "/static/ten").headers["etag"]
                self.assertEqual(fetch(running, "/own/ten").headers["etag"], tag)
                # A file without a size may be one that the system generates, and has no tag.
                self.assertNotIn("etag", fetch(running, "/own/empty").headers)
                lines = [line for line in TABLE.read_text().splitlines() if line and not line.startswith("#")]
                self.assertGreater(len(lines), 100)
                for line in lines:
                    answer, _, fields = line.partition("|")
                    method, name, status, told = answer.split()
                    size = len(TEN) if name == "ten" else 0
                    own = tag.replace("-a", f"-{size:x}")
                    for place in ("static", "own") if size else ("static",):
                        with self.subTest(line, place=place):
                            found = ask(running, method, f"/{place}/{name}", fields.replace("TAG", own))
                            self.assertEqual(found.status, int(status))
                            content_range = found.headers.get("content-range")
                            self.assertEqual(content_range, None if told == "-" else f"bytes {told}")
                            if status == "206":
                                first, last = map(int, told.partition("/")[0].split("-"))
                                self.assertEqual(found.body, TEN[first : last + 1])

    def test_what_is_not_conditional(self):
        for path in ("/part", "/plain"):
            answer = self.get(path, Range="bytes=0-1", If_None_Match="*")
            self.assertEqual((answer.status, answer.headers.get("etag")), (200, None))
        self.assertEqual(self.get("/tag", If_None_Match='W/"own"').status, 304)
        # A weak tag identifies no part.
        self.assertEqual(self.get("/tag", If_Range='W/"own"', Range="bytes=0-1").status, 200)

    def test_names(self):
        self.assertEqual(
            self.get("/named").headers["content-disposition"],
            "attachment; filename=\"_a_b___ _.txt\"; filename*=UTF-8''_a_b__%C3%A9%20%E2%82%AC.txt",
        )


if __name__ == "__main__":
    unittest.main()
