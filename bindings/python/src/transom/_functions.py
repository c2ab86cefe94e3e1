"""Functions of the application: their names, and whether they are asynchronous."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any


def name_of(function: Callable[..., Any]) -> str:
    """Returns the name of a function of the application in messages."""
    name = getattr(function, "__qualname__", None) or repr(function)
    return f"{getattr(function, '__module__', None) or '?'}.{name}"


def is_async(function: Callable[..., Any]) -> bool:
    """Returns `True` if calling a function gives something to await, or an asynchronous generator."""
    kinds = (inspect.iscoroutinefunction, inspect.isasyncgenfunction)
    called = getattr(function, "__call__", None)  # noqa: B004 - an object whose method is asynchronous
    return any(is_kind(function) or is_kind(called) for is_kind in kinds)
