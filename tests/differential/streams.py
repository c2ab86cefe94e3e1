"""The byte streams that are sent: the wire corpus, shapes that smuggle, mutations."""

import random
import re
from collections.abc import Iterator
from itertools import product
from pathlib import Path

CORPUS = Path(__file__).resolve().parent.parent / "wire"

# Every route of the corpus that reads a body is /echo here, where bodies show.
BODY_ROUTES = re.compile(rb"\b(POST|PUT) /[!-~]*")
OTHER_ROUTES = re.compile(rb"\b(GET|OPTIONS|DELETE) /[!-~]*")

REPETITION = re.compile(r"\{((?:\\.|[^\\}])*)\*(\d+)\}")
ESCAPE = re.compile(r"\\(x[0-9a-f]{2}|.)", re.DOTALL)
NAMED = {"r": "\r", "n": "\n", "t": "\t"}


def unescape(text: str) -> bytes:
    """The bytes that a line of the corpus stands for (tests/wire/README.md)."""

    def escaped(found: re.Match[str]) -> str:
        code = found[1]
        return chr(int(code[1:], 16)) if code[0] == "x" else NAMED.get(code, code)

    text = REPETITION.sub(lambda found: found[1] * int(found[2]), text)
    return ESCAPE.sub(escaped, text).encode("latin-1")


def corpus() -> Iterator[bytes]:
    """What each case of the corpus sends."""
    for path in sorted(CORPUS.glob("*.txt")):
        stream = b""
        for line in [*path.read_text("utf-8").splitlines(), "case end"]:
            if line.startswith("> "):
                stream += unescape(line[2:])
            elif line.startswith("case ") and stream:
                # The refusal of a HEAD does not say which rule was broken.
                stream = stream.replace(b"HEAD ", b"GET ")
                stream = BODY_ROUTES.sub(rb"\1 /echo", stream)
                yield OTHER_ROUTES.sub(rb"\1 /plain", stream)
                stream = b""


def request(*lines: bytes, body: bytes = b"") -> bytes:
    head = [b"POST /echo HTTP/1.1", b"Host: h", *lines]
    return b"".join(line + b"\r\n" for line in [*head, b""]) + body


INNER = b"GET /plain HTTP/1.1\r\nHost: h\r\n\r\n"
LENGTH = [b"%d", b"+%d", b"-%d", b"0%d", b"%d ", b"%d, %d", b"%d,%d", b"%d,", b"0x%x"]
LENGTH += [b"%d.0", b"%d;", b"%d\t", b"\x0b%d", b'"%d"', b"%d %d", b"0%d,%d", b"%d e0"]
CODING = [b"chunked", b"Chunked", b"CHUNKED", b" chunked", b"\tchunked", b"chunked "]
CODING += [b"\x0bchunked", b"chunked\x0b", b"xchunked", b"chunkedx", b"chunked;q=1"]
CODING += [b"chunked, chunked", b"gzip, chunked", b"chunked, gzip", b"identity", b""]
CODING += [b"chunked, identity", b"identity, chunked", b'"chunked"', b"chunked,"]
CODING += [b",chunked", b"chunk\xe9d", b"chunked\x00", b"\r\n chunked", b"chunked\r"]
NAME = [b"Transfer-Encoding:", b"Transfer-Encoding :", b"transfer-encoding:"]
NAME += [b"Transfer_Encoding:", b"Transfer-Encoding\t:", b" Transfer-Encoding:"]
NAME += [
    b"X: y\rTransfer-Encoding:",
    b"X: y\nTransfer-Encoding:",
    b"\x00Transfer-Encoding:",
]
SIZE = [b"%x", b"0%x", b"+%x", b"-%x", b"0x%x", b"%x ", b" %x", b"%x;a=b", b"%x ;a"]
SIZE += [
    b"%x;a=\x00",
    b'%x;a="\r\n"',
    b"%x;a\rb",
    b"%x;\nb",
    b"%x\x0b",
    b"%xg",
    b"%x\xb2",
]
SIZE += [b"%x\t;a", b"%x; a = b", b"1" + b"0" * 16 + b"%x", b"0" * 15 + b"%x"]
SIZE += [b"0" * 40 + b"%x", b"%x,", b"%x.0", b"", b"%X"]
END = [b"\r\n", b"\n", b"\r", b"\r\r\n", b"\n\r\n", b"\r\n\r\n", b"xx", b"\r\n "]


def number(form: bytes, value: int) -> bytes:
    return re.sub(rb"%[dxX]", lambda found: (found[0].decode() % value).encode(), form)


def shapes() -> Iterator[bytes]:
    """Requests that two recipients may cut differently, each with one behind it."""
    for form in LENGTH:
        yield request(b"Content-Length: " + number(form, 5), body=b"hello" + INNER)
    for first, second in product([b"5", b"6", b"05", b"0", b"+5", b""], repeat=2):
        lines = [b"Content-Length: " + first, b"Content-Length: " + second]
        yield request(*lines, body=b"hello" + INNER)
    chunked = b"5\r\nhello\r\n0\r\n\r\n"
    for name, coding in product(NAME, CODING):
        line = name + b" " + coding
        yield request(line, body=chunked + INNER)
        for length in (b"0", b"5", str(len(chunked)).encode()):
            lines = [b"Content-Length: " + length, line]
            yield request(*lines, body=chunked + INNER)
            yield request(*reversed(lines), body=chunked + INNER)
    for form, end in product(SIZE, END):
        size = number(form, 5)
        body = size + end + b"hello\r\n0\r\n\r\n"
        yield request(b"Transfer-Encoding: chunked", body=body + INNER)
        body = b"5\r\nhello" + end + number(form, 0) + b"\r\n\r\n"
        yield request(b"Transfer-Encoding: chunked", body=body + INNER)
    for end, trailer in product(END, [b"a: b", b"a : b", b" a: b", b"a", b": b", b"a:\x00"]):
        body = b"5\r\nhello\r\n0\r\n" + trailer + end + b"\r\n"
        yield request(b"Transfer-Encoding: chunked", body=body + INNER)
    for end in END:
        head = b"POST /echo HTTP/1.1" + end + b"Host: h" + end + b"Content-Length: 5" + end
        yield head + end + b"hello" + INNER
        yield INNER[:-2] + end + INNER


SPECIAL = [
    b"\r",
    b"\n",
    b"\r\n",
    b"\0",
    b" ",
    b"\t",
    b":",
    b",",
    b";",
    b"\x0b",
    b"\x7f",
]
SPECIAL += [b"\xff", b"0", b"5", b"\r\n\r\n", b"\r\n ", b"Content-Length: 5\r\n"]
SPECIAL += [b"Transfer-Encoding: chunked\r\n", b"Connection: close\r\n", b"0\r\n\r\n"]
SPECIAL += [b"Connection: keep-alive\r\n", b"Host: h\r\n", b"Expect: 100-continue\r\n"]


def mutated(stream: bytes, others: list[bytes], dice: random.Random) -> bytes:
    """The stream with a few small changes."""
    for _ in range(dice.choice([1, 1, 1, 2, 3])):
        at = dice.randrange(len(stream) + 1)
        what = dice.randrange(9)
        if what < 3:
            stream = stream[:at] + dice.choice(SPECIAL) + stream[at:]
        elif what == 3:
            stream = stream[:at] + stream[at + 1 :]
        elif what == 4:
            stream = stream[:at] + bytes([dice.randrange(256)]) + stream[at + 1 :]
        elif what == 5:
            stream = stream[:at]
        elif what == 6:
            lines = stream.split(b"\r\n")
            lines.insert(dice.randrange(len(lines)), dice.choice(lines))
            stream = b"\r\n".join(lines)
        elif what == 7:
            lines = stream.split(b"\r\n")
            del lines[dice.randrange(len(lines))]
            stream = b"\r\n".join(lines)
        else:
            stream += dice.choice(others)
    return stream


def all_streams(count: int, seed: int) -> Iterator[bytes]:
    """The corpus, the shapes, and as many mutations of both as are wanted."""
    dice = random.Random(seed)
    known = [stream for stream in [*corpus(), *shapes()] if len(stream) < 100_000]
    yield from known
    short = [stream for stream in known if len(stream) < 2_000]
    for _ in range(count):
        yield mutated(dice.choice(short), short, dice)
