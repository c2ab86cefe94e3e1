"""The use of a finalizer before its object is gone."""

from __future__ import annotations

import weakref
from typing import Any


def finish(finalizer: weakref.finalize[[Any], Any]) -> None:
    """Calls what a finalizer calls, once, also while the interpreter ends.

    A `weakref.finalize` that is called itself does nothing once `weakref` has run its own function for the
    end of the interpreter. That is mostly before the functions of this package.
    """
    kept = finalizer.detach()
    if kept is not None:
        _, function, arguments, _ = kept
        function(*arguments)
