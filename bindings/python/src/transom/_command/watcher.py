"""The files of a program in development: it says when one of them has changed."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator

#: The time between two looks at the files, in seconds.
_PAUSE = 0.3
_SKIPPED = {"__pycache__", "node_modules", "site-packages", "venv"}


class Watcher:
    """A thread that looks at the times of Python files, and calls a function after each change."""

    def __init__(self, folders: list[str], on_change: Callable[[list[str]], object]) -> None:
        self._folders = folders
        self._on_change = on_change
        self._over = threading.Event()
        self._seen = self._look()
        self._thread = threading.Thread(target=self._run, name="transom-watcher", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Ends the thread."""
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._over.wait(_PAUSE):
            found = self._look()
            changed = {path for path, _ in found.items() ^ self._seen.items()}
            self._seen = found
            if changed:
                self._on_change(sorted(changed))

    def _look(self) -> dict[str, tuple[int, int]]:
        """Returns the time and the size of each file."""
        return {path: stamp for folder in self._folders for path, stamp in _files(folder)}


def _files(folder: str) -> Iterator[tuple[str, tuple[int, int]]]:
    try:
        entries = list(os.scandir(folder))
    except OSError:
        return
    for entry in entries:
        try:
            if entry.is_dir(follow_symlinks=False):
                if entry.name not in _SKIPPED and not entry.name.startswith("."):
                    yield from _files(entry.path)
            elif entry.name.endswith(".py"):
                there = entry.stat()
                yield entry.path, (there.st_mtime_ns, there.st_size)
        except OSError:
            # The file has just been removed.
            pass
