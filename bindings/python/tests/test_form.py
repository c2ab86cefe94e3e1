"""Forms: multipart bodies however they are split, limits, files in memory and on disk, refusals."""

import asyncio
import contextlib
import errno
import gc
import os
import random
import re
import tempfile
import unittest
from pathlib import Path
from unittest import mock

from support import Quiet, fetch, ways

import transom
from transom import BodyError, Form, FormLimits, Server
from transom._form import FormReader
from transom._parameters import decode_extended, parse_parameters
from transom._unnamed_file import give_name, unnamed_file

MIB = 1024 * 1024
KIND = "multipart/form-data; boundary=XX"


def part(head, content=b""):
    """Returns a part of a multipart body, after its boundary."""
    return b"--XX\r\n" + head.encode() + b"\r\n\r\n" + content + b"\r\n"


def field(name, content=b""):
    return part(f'Content-Disposition: form-data; name="{name}"', content)


def file(name, filename, content=b"", kind="text/html"):
    head = f'Content-Disposition: form-data; name="{name}"; filename="{filename}"\r\nContent-Type: {kind}'
    return part(head, content)


END = b"--XX--\r\n"


def read(body, kind=KIND, limits=None, sizes=(None,)):
    """Reads a form in pieces of these sizes, one after another; `None` is the rest."""
    reader = FormReader(kind, limits or FormLimits())
    at = 0
    turn = 0
    while at < len(body):
        size = sizes[turn % len(sizes)]
        turn += 1
        end = len(body) if size is None else at + size
        reader.feed(body[at:end])
        at = end
    return reader.finish()


def seen(body, **options):
    """Returns what a form has, or the text of its refusal."""
    try:
        form = read(body, **options)
    except BodyError as error:
        return str(error)
    files = [f for name in form.files for f in form.files.get_all(name)]
    return form.pairs, [(f.name, f.filename, f.content_type, f.size, f.read()) for f in files]


BODIES = {
    "fields": field("a", b"1") + field("b", b"") + field("a", b"2\r\n3\r\n") + END,
    "file": file("f", "a.html", b"<p>\r\n--X\r\n-\r-\n\r\n") + END,
    "preamble": b"preamble\r\n--X\r\n" + field("a", b"1") + END,
    "epilogue": field("a", b"1") + b"--XX--\r\nepilogue\r\n--XX\r\n",
    "no line after the end": field("a", b"1") + b"--XX--",
    "padding": b"--XX \t \r\n" + field("a", b"1")[6:] + b"--XX-- \r\n",
    "empty": END,
    "no content at all": b'--XX\r\nContent-Disposition: form-data; name="a"\r\n\r\n--XX--\r\n',
    "utf-8": field("ä", "€".encode()) + END,
    "not utf-8": field("a", b"\xff") + END,
    "null": file("f", "", b"") + END,
    # Bodies that are refused.
    "nothing": b"",
    "no end": field("a", b"1"),
    "no end of a part": field("a", b"1")[:-2],
    "cut boundary": field("a", b"1") + b"--X",
    "other boundary": b"--YY\r\n" + field("a")[6:] + b"--YY--\r\n",
    "longer boundary": field("a", b"1") + b"--XXX\r\n",
    "dash": field("a", b"1") + b"--XX-\r\n",
    "line feed": b"--XX\n" + field("a", b"1")[6:] + END,
    "much padding": b"--XX" + b" " * 65 + b"\r\n" + field("a")[6:] + END,
    "no head": b"--XX\r\n\r\ncontent\r\n" + END,
    "no disposition": part("Content-Type: text/plain", b"1") + END,
    "no name": part("Content-Disposition: form-data", b"1") + END,
    "attachment": part('Content-Disposition: attachment; name="a"', b"1") + END,
    "no colon": part("Content-Disposition", b"1") + END,
    "folded": part('Content-Disposition: form-data;\r\n name="a"', b"1") + END,
    "twice": part('Content-Disposition: form-data; name="a"\r\ncontent-disposition: form-data; name="b"')
    + END,
    "name twice": part('Content-Disposition: form-data; name="a"; NAME="b"') + END,
    "unclosed": part('Content-Disposition: form-data; name="a', b"1") + END,
    "bare line feed": part('Content-Disposition: form-data; name="a"\nX: y', b"1") + END,
    "encoded": part('Content-Disposition: form-data; name="a"\r\nContent-Transfer-Encoding: base64', b"MQ==")
    + END,
}


CORPUS = Path(__file__).resolve().parents[3] / "tests/forms/multipart.txt"


def unescaped(text):
    """Returns the bytes that a text of the corpus stands for."""
    text = re.sub(r"(?<!\\)\{(\w)\*(\d+)\}", lambda match: match[1] * int(match[2]), text)
    text = text.replace(r"\{", "{").replace(r"\}", "}")
    return text.encode("latin-1").decode("unicode_escape").encode("latin-1")


def shown(text):
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


class TestMultipart(unittest.TestCase):
    @unittest.skipUnless(CORPUS.exists(), "the corpus is in the source tree")
    def test_each_form_of_the_corpus_is_read_as_told(self):
        cases = CORPUS.read_text().split("\ncase ")[1:]
        self.assertGreater(len(cases), 250)
        for case in cases:
            lines = [line.partition(" ")[::2] for line in case.splitlines()[1:] if line]
            body = b"".join(unescaped(rest) for word, rest in lines if word == ">")
            expected = [
                f"{word} {unescaped(rest).decode('utf-8', 'replace')}" for word, rest in lines if word != ">"
            ]
            for sizes in ((None,), (1,), (7,)):
                found = seen(body, sizes=sizes)
                if isinstance(found, str):
                    told = [f"error {found}"]
                else:
                    told = ["field " + "|".join(map(shown, pair)) for pair in found[0]]
                    for name, filename, kind, _, content in found[1]:
                        texts = (shown(name), shown(filename), kind, content.decode("utf-8", "replace"))
                        told.append("file " + "|".join(texts))
                self.assertEqual(told, expected, case.splitlines()[0])

    def test_a_body_is_the_same_however_it_is_split(self):
        for name, body in BODIES.items():
            whole = seen(body)
            for at in range(1, len(body)):
                self.assertEqual(seen(body, sizes=(at, None)), whole, (name, at))
            for sizes in ((1,), (2,), (3,), (1, 7), (5, 1, 2)):
                self.assertEqual(seen(body, sizes=sizes), whole, (name, sizes))

    def test_broken_bodies_give_the_same_however_they_are_split(self):
        chance = random.Random(7)
        source = [body for body in BODIES.values() if body]
        refused = 0
        for _ in range(3000):
            body = bytearray(chance.choice(source))
            for _ in range(chance.randrange(1, 4)):
                at = chance.randrange(len(body))
                body[at : at + chance.randrange(3)] = chance.choice(
                    (b"", b"\r", b"\n", b"\r\n", b"-", b"--XX", b'"', b";", b"\\", b"\0", b"x", b":")
                )
                body = body or bytearray(b"x")
            data = bytes(body)
            whole = seen(data)
            refused += isinstance(whole, str)
            split = tuple(chance.randrange(1, 9) for _ in range(4))
            self.assertEqual(seen(data, sizes=split), whole, (data, split))
        self.assertGreater(refused, 300)

    def test_what_is_accepted(self):
        for name, expected in (
            ("fields", ([("a", "1"), ("b", ""), ("a", "2\r\n3\r\n")], [])),
            ("file", ([], [("f", "a.html", "text/html", 16, b"<p>\r\n--X\r\n-\r-\n\r\n")])),
            ("preamble", ([("a", "1")], [])),
            ("epilogue", ([("a", "1")], [])),
            ("no line after the end", ([("a", "1")], [])),
            ("padding", ([("a", "1")], [])),
            ("empty", ([], [])),
            ("no content at all", ([("a", "")], [])),
            ("utf-8", ([("ä", "€")], [])),
            ("not utf-8", ([("a", "\udcff")], [])),
            # The field of a file for which the user has chosen none.
            ("null", ([], [])),
        ):
            self.assertEqual(seen(BODIES[name]), expected, name)

    def test_what_is_refused(self):
        for name, said in (
            ("nothing", "400 the form ends before its last boundary"),
            ("no end", "400 the form ends before its last boundary"),
            ("no end of a part", "400 the form ends before its last boundary"),
            ("cut boundary", "400 the form ends before its last boundary"),
            ("other boundary", "400 the form ends before its last boundary"),
            ("longer boundary", "400 a boundary of the form is malformed"),
            ("dash", "400 a boundary of the form is malformed"),
            ("line feed", "400 a boundary of the form is malformed"),
            ("much padding", "400 a boundary of the form is malformed"),
            ("no head", "400 a part of the form has no Content-Disposition"),
            ("no disposition", "400 a part of the form has no Content-Disposition"),
            ("no name", "400 a part of the form has no name"),
            ("attachment", "400 a part of the form has no name"),
            ("no colon", "400 a header field of a part is malformed"),
            ("folded", "400 a header field of a part is malformed"),
            ("bare line feed", "400 a header field of a part is malformed"),
            ("twice", "400 a part has a header field twice"),
            ("name twice", "400 the Content-Disposition of a part is malformed"),
            ("unclosed", "400 the Content-Disposition of a part is malformed"),
            ("encoded", "400 a part of the form has a Content-Transfer-Encoding"),
        ):
            self.assertEqual(seen(BODIES[name]), said, name)

    def test_the_boundary_of_the_content_type(self):
        body = field("a", b"1") + END
        for kind in (
            'Multipart/Form-Data; charset=utf-8; boundary="XX"',
            "multipart/form-data;boundary=XX;",
            "multipart/form-data ; BOUNDARY = XX",
        ):
            self.assertEqual(read(body, kind=kind)["a"], "1", kind)
        odd = "'()+_,-./:=? x"
        strange = body.replace(b"XX", odd.encode())
        self.assertEqual(read(strange, kind=f'multipart/form-data; boundary="{odd}"')["a"], "1")
        for kind, said in (
            ("multipart/form-data", "400 the form has no boundary of 1 to 70 characters"),
            ('multipart/form-data; boundary=""', "400 the form has no boundary"),
            (f"multipart/form-data; boundary={'x' * 71}", "400 the form has no boundary"),
            ("multipart/form-data; boundary=\xe9", "400 the form has no boundary"),
            ("multipart/form-data; boundary=a; boundary=b", "400 the Content-Type of the form is malformed"),
            ("multipart/mixed; boundary=XX", "415 the body is neither application/x-www-form-urlencoded nor"),
            ("", "415 the body is neither"),
        ):
            self.assertIn(said, seen(body, kind=kind), kind)

    def test_names_of_files(self):
        for given, expected in (
            ('filename="a.txt"', "a.txt"),
            ("filename=a b.txt", "a b.txt"),
            (r'filename="a\"b\\c.txt"', "c.txt"),
            (r'filename="a\"b.txt"', 'a"b.txt'),
            ('filename="a%22b.txt"', "a%22b.txt"),
            (r'filename="C:\path\to\a.txt"', "a.txt"),
            ('filename="../../etc/passwd"', "passwd"),
            ('filename="/"', ""),
            ('filename=".."', ""),
            ('filename="a\tb"', "ab"),
            (r'filename="ends\"', ["ends", ""][1]),
            ('filename="ä;.txt"', "ä;.txt"),
            ("filename=\"e.txt\"; filename*=UTF-8''%e2%82%ac.txt", "€.txt"),
            ("filename*=iso-8859-1'en'%A3.txt", "£.txt"),
            ("filename*=UTF-8''..%2F..%2Fx", "x"),
        ):
            body = part(f'Content-Disposition: form-data; name="f"; {given}', b"x") + END
            form = read(body)
            self.assertEqual(form.files["f"].filename, expected, given)
        for given in ("filename*=UTF-8''%ff", "filename*=koi8-r''x", "filename*=x", "filename*=UTF-8''%2"):
            body = part(f'Content-Disposition: form-data; name="f"; {given}', b"x") + END
            self.assertEqual(seen(body), "400 the Content-Disposition of a part is malformed", given)

    def test_parameters(self):
        self.assertEqual(parse_parameters(b'A; b=c ;; d="e"'), ("a", {"b": b"c", "d": b"e"}))
        self.assertEqual(decode_extended(b"utf-8'de'a"), "a")
        for broken in (b"a; b", b"a; =b", b'a; b="c"d', b'a; b=c"d', b"a;;;x y=1"):
            with self.assertRaises(ValueError):
                parse_parameters(broken)


class TestLimits(unittest.TestCase):
    def test_each_limit_holds_at_its_value_and_not_above(self):
        def body(count):
            return b"".join(field(str(number), b"x") for number in range(count)) + END

        for limit, value, fits, exceeds, said in (
            ("parts", 3, body(3), body(4), "the form has more than 3 parts"),
            ("parts", 0, END, body(1), "the form has more than 0 parts"),
            (
                "files",
                1,
                file("a", "b", b"x") + field("c") + END,
                file("a", "b", b"x") * 2 + END,
                "the form has more than 1 files",
            ),
            (
                "head",
                60,
                part('Content-Disposition: form-data; name="a"'.ljust(60)) + END,
                part('Content-Disposition: form-data; name="a"'.ljust(61)) + END,
                "the header section of a part is larger than 60 bytes",
            ),
            ("name", 3, field("abc") + END, field("abcd") + END, "a name in the form is longer than 3 bytes"),
            (
                "name",
                3,
                file("f", "abc", b"x") + END,
                file("f", "abcd", b"x") + END,
                "a name in the form is longer than 3 bytes",
            ),
            ("field", 5, field("a", b"12345") + END, field("a", b"123456") + END, "a field of the form"),
            (
                "fields",
                6,
                field("a", b"12") + field("b", b"34") + END,
                field("a", b"12") + field("b", b"345") + END,
                "the fields of the form are larger than 6 bytes",
            ),
            (
                "file",
                5,
                file("f", "f", b"12345") + END,
                file("f", "f", b"123456") + END,
                "a file of the form",
            ),
        ):
            limits = FormLimits(**{limit: value})
            for sizes in ((None,), (1,), (3,)):
                self.assertNotIsInstance(seen(fits, limits=limits, sizes=sizes), str, limit)
                refused = seen(exceeds, limits=limits, sizes=sizes)
                self.assertIsInstance(refused, str, limit)
                self.assertTrue(refused.startswith("413 ") and said in refused, refused)
        kind = "application/x-www-form-urlencoded"
        self.assertEqual(read(b"a=1", kind=kind, limits=FormLimits(fields=3)).pairs, [("a", "1")])
        self.assertIn("413 the fields", seen(b"a=12", kind=kind, limits=FormLimits(fields=3)))
        self.assertEqual(len(read(b"a=1&" * 999 + b"a=1", kind=kind).pairs), 1000)
        self.assertEqual(seen(b"a=1&" * 9999, kind=kind), "413 the form has more than 1000 parts")

    def test_a_head_without_an_end_takes_no_more_than_its_limit(self):
        reader = FormReader(KIND, FormLimits())
        with self.assertRaisesRegex(BodyError, "413 the header section of a part is larger than 8192 bytes"):
            reader.feed(b"--XX\r\n")
            for _ in range(100):
                reader.feed(b"x" * 1000)

    def test_wrong_limits_are_told(self):
        for options, said in (
            ({"parts": -1}, "parts of a form is 0 to"),
            ({"file": "1"}, "file of a form is an int"),
            ({"memory": None}, "memory of a form is an int"),
            ({"folder": b"x"}, "folder of a form is a str"),
        ):
            with self.assertRaises((transom.InvalidArgumentError, TypeError)) as caught:
                FormLimits(**options)
            self.assertIn(said, str(caught.exception))


class TestFiles(Quiet, unittest.TestCase):
    def test_files_together_take_a_bounded_amount_of_memory(self):
        limits = FormLimits(memory=1000)
        contents = [b"a" * 400, b"b" * 500, b"c" * 200, b"d" * 5000, b"e" * 100, b"f" * 100]
        body = b"".join(file(str(n), f"{n}.txt", content) for n, content in enumerate(contents)) + END
        for sizes in ((None,), (7,), (1000,)):
            form = read(body, limits=limits, sizes=sizes)
            files = list(form.files.values())
            self.assertEqual([f.read() for f in files], contents)
            self.assertEqual([f.size for f in files], [len(content) for content in contents])
            self.assertLessEqual(sum(f.size for f in files if f.in_memory), 1000)
            self.assertFalse(files[3].in_memory)
            self.assertTrue(files[0].in_memory)

    def test_a_file_is_saved_whole_and_its_temporary_file_ends_with_it(self):
        with tempfile.TemporaryDirectory() as folder:
            body = file("f", "f.bin", b"x" * 3000, "application/octet-stream") + END
            for memory in (0, 10_000):
                form = read(body, limits=FormLimits(memory=memory, folder=Path(folder)))
                upload = form.files["f"]
                self.assertEqual(upload.in_memory, memory > 0)
                self.assertEqual(upload.file.read(1), b"x")
                upload.save_to(Path(folder) / "copy")
                self.assertEqual((Path(folder) / "copy").read_bytes(), b"x" * 3000)
                (Path(folder) / "copy").unlink()
                self.assertEqual(list(Path(folder).iterdir()), [])
                opened = upload.file
                del form, upload
                gc.collect()
                self.assertTrue(opened.closed)
        with self.assertRaises(FileNotFoundError):
            read(body, limits=FormLimits(memory=0, folder="/no/such/folder"))

    def test_a_temporary_file_gets_a_name_instead_of_a_copy(self):
        with tempfile.TemporaryDirectory() as folder:
            folder = Path(folder)
            with unnamed_file(str(folder)) as unnamed:
                if not give_name(unnamed.fileno(), folder / "it"):
                    self.skipTest("the file system has no files without names")
            body = file("f", "f.bin", b"x" * 3000) + END
            upload = read(body, limits=FormLimits(memory=0, folder=folder)).files["f"]
            upload.save_to(folder / "first")
            self.assertTrue(os.path.samestat(os.stat(folder / "first"), os.fstat(upload.file.fileno())))
            with open(folder / "usual", "wb") as usual:
                self.assertEqual(os.stat(folder / "first").st_mode, os.fstat(usual.fileno()).st_mode)
            # Each other file is a copy. The file itself is not emptied.
            (folder / "old").write_bytes(b"y" * 5000)
            for name in ("first", "second", "old", "first"):
                upload.save_to(folder / name)
                self.assertEqual((folder / name).read_bytes(), b"x" * 3000)
                self.assertEqual((folder / name).samefile(folder / "first"), name == "first")
            self.assertEqual(upload.read(), b"x" * 3000)
            self.assertRaises(FileNotFoundError, upload.save_to, folder / "no" / "folder")
            self.assertRaises(IsADirectoryError, upload.save_to, folder)

    def test_a_file_is_copied_where_it_cannot_get_the_name(self):
        with tempfile.TemporaryDirectory() as folder:
            folder = Path(folder)
            body = file("f", "f.bin", bytes(range(256)) * 1000) + END
            for in_system in (True, False):
                upload = read(body, limits=FormLimits(memory=0, folder=folder)).files["f"]
                upload.file.read(5)
                upload.file.write(b"more")
                with contextlib.ExitStack() as stack:
                    refuse = mock.Mock(side_effect=OSError(errno.EXDEV, "another file system"))
                    stack.enter_context(mock.patch("os.link", refuse))
                    if not in_system:
                        stack.enter_context(mock.patch("os.copy_file_range", refuse, create=True))
                    upload.save_to(folder / "copy")
                content = (folder / "copy").read_bytes()
                self.assertEqual(content, upload.read())
                self.assertEqual((len(content), content[5:9]), (256_000, b"more"))
                os.unlink(folder / "copy")

    def test_a_file_that_is_not_there_is_a_400(self):
        form = read(END)
        self.assertIsNone(form.files.get("photo"))
        self.assertEqual(form.files.get_all("photo"), [])
        with self.assertRaisesRegex(transom.MissingValueError, "400 file 'photo' is missing"):
            form.files["photo"]

    def test_forms_in_every_kind_of_handler(self):
        content = bytes(range(256)) * 12_000
        body = field("title", b"a title") + file("f", "f.bin", content) + END
        for name, app, start in ways(limits={"body": 8 * MIB}):

            def tell(form):
                self.assertIsInstance(form, Form)
                upload = form.files["f"]
                self.assertEqual(upload.file.tell(), 0)
                self.assertEqual(upload.read(), content)
                return f"{form['title']}, {upload.filename}, {upload.size}"

            @app.post("/whole")
            def whole(request, tell=tell):
                form = request.form()
                self.assertIs(request.form(), form)
                return tell(form)

            @app.post("/stream", stream=True)
            def streamed(request, tell=tell):
                form = request.form(FormLimits(memory=0))
                self.assertIs(request.form(), form)
                return tell(form)

            @app.post("/async-whole")
            async def async_whole(request, tell=tell):
                self.assertIs(await request.read_form(), request.form())
                return tell(request.form())

            @app.post("/async-stream", stream=True)
            async def async_stream(request, tell=tell):
                form = await request.read_form(FormLimits(memory=100_000))
                self.assertIs(await request.read_form(), form)
                upload = form.files["f"]
                with tempfile.TemporaryDirectory() as folder:
                    await asyncio.to_thread(upload.save_to, f"{folder}/copy")
                upload.file.seek(0)
                return tell(form)

            with start() as running:
                for path in ("/whole", "/stream", "/async-whole", "/async-stream"):
                    with self.subTest(way=name, path=path):
                        answer = fetch(running, path, "POST", body, {"Content-Type": KIND})
                        self.assertEqual(answer.text, f"a title, f.bin, {len(content)}")
                        answer = fetch(running, path, "POST", body[:-4], {"Content-Type": KIND})
                        self.assertEqual(answer.status, 400)
                        self.assertEqual(answer.text, "the form ends before its last boundary\n")
                        answer = fetch(running, path, "POST", body, {"Content-Type": "text/plain"})
                        self.assertEqual(answer.status, 415)
        self.assertEqual(self.log, [])

    def test_form_in_an_event_loop_says_what_to_call(self):
        app = Server()

        @app.post("/", stream=True)
        async def handler(request):
            return request.form()["a"]

        with app.start("127.0.0.1:0") as running:
            kind = {"Content-Type": "application/x-www-form-urlencoded"}
            self.assertEqual(fetch(running, "/", "POST", "a=1", kind).status, 500)
        self.assertIn("async", self.log.pop())


if __name__ == "__main__":
    unittest.main()
