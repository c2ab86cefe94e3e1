"""What the Python servers share: their command line, and what there is to answer with."""

import argparse
import json
import os
from collections.abc import Iterator
from itertools import repeat
from typing import Any

WAIT = 0.01
MIB = 1 << 20
PIECE = 64 * 1024
PIECES = 100 * MIB // PIECE
MEBIBYTE = b"x" * MIB
FILE = os.environ["BENCH_FILE"]
BACKLOG = 4096
ITEMS = [{"id": id, "label": f"item {id}", "price": id * 1.5, "tags": ["a", "b"]} for id in range(18)]


def port() -> int:
    """The port of the command line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    return parser.parse_args().port


def pieces() -> Iterator[bytes]:
    """100 MiB, piece by piece."""
    return repeat(MEBIBYTE[:PIECE], PIECES)


def record(name: str) -> dict[str, Any]:
    """What /json/{name} answers: about 1 KB of JSON."""
    return {"name": name, "items": ITEMS}


def json_record(name: str) -> bytes:
    """The same for servers that leave JSON to the application."""
    return json.dumps(record(name), separators=(",", ":")).encode()


def file() -> bytes:
    """The file, whole."""
    with open(FILE, "rb") as opened:
        return opened.read()
