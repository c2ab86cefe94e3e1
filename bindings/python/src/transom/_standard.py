"""Protection of the descriptor numbers 0, 1 and 2 while the host has closed them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress


@contextmanager
def standard_held() -> Iterator[None]:
    """Occupies the numbers of the standard streams that are closed.

    The system gives the lowest free number to the next descriptor. Without this, a
    descriptor of the event loop could get number 1, and with it what the host prints.
    """
    held: list[int] = []
    try:
        with suppress(OSError):
            while not held or held[-1] <= 2:
                held.append(os.open(os.devnull, os.O_RDWR))
        yield
    finally:
        for descriptor in held:
            os.close(descriptor)
