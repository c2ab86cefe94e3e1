"""The environments with the Python peers of the scripts in the folders here, and the start of a server."""

import shutil
import subprocess
import time
import venv
from collections.abc import Callable, Sequence
from pathlib import Path


def environment(folder: Path, packages: Sequence[str]) -> str:
    """Makes an environment with these packages, unless it is there. Returns its interpreter."""
    python = folder / "bin" / "python"
    if not python.exists():
        venv.create(folder, with_pip=True, clear=True)
        try:
            subprocess.run([python, "-m", "pip", "install", "--quiet", *packages], check=True)
        except BaseException:
            # One that lacks a package is not taken for one that is whole.
            shutil.rmtree(folder)
            raise
    return str(python)


def answers(process: subprocess.Popen[bytes], ask: Callable[[], object], patience: float = 60) -> bool:
    """Asks a server until it answers. Returns `False` if it has ended, or `patience` seconds have passed."""
    end = time.monotonic() + patience
    while True:
        try:
            ask()
        except OSError:
            if process.poll() is not None or time.monotonic() > end:
                return False
            time.sleep(0.05)
        else:
            return True
