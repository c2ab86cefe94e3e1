"""What the servers share: their command line, the pieces of a body, and an event."""

import argparse
import asyncio
from collections.abc import Iterator
from itertools import repeat

MIB = 1 << 20
PIECE = 64 * 1024
BODY = 100 * MIB
#: The data of an event.
EVENT = "x" * 50

_parser = argparse.ArgumentParser()
_parser.add_argument("--port", type=int, required=True)
_parser.add_argument("--uvloop", action="store_true")


def port() -> int:
    """The port of the command line."""
    return _parser.parse_args().port


def use_loop() -> None:
    """Makes the event loops those of uvloop, if the command line says so."""
    if _parser.parse_args().uvloop:
        import uvloop

        asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())


def pieces() -> Iterator[bytes]:
    """100 MiB, piece by piece."""
    return repeat(b"x" * PIECE, BODY // PIECE)
