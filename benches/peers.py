"""The environments with the Python servers that the scripts in the folders here measure beside Transom."""

import shutil
import subprocess
import venv
from collections.abc import Sequence
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
