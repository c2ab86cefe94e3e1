"""The numbers of standard input, output and error, where the host has closed those."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress


@contextmanager
def standard_held() -> Iterator[None]:
    """Meanwhile no descriptor that is opened gets such a number.

    The system gives a number that is free to whatever is opened next: the event loop's
    descriptors would get what the host prints.
    """
    held: list[int] = []
    try:
        with suppress(OSError):
            while not held or held[-1] <= 2:
                held.append(os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC))
        yield
    finally:
        for descriptor in held:
            os.close(descriptor)
