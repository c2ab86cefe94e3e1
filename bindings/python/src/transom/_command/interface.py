"""What an application is: WSGI, ASGI, or a server of this package."""

from __future__ import annotations

import functools
import inspect
from typing import Any

from transom._command.mistake import LoadMistake

WSGI, ASGI, SERVER = "wsgi", "asgi", "server"
_ASGI_2 = (
    "is an application for ASGI 2, which is called with the scope alone; ASGI 3 has (scope, receive, send). "
    "asgiref.compatibility.guarantee_single_callable converts it"
)


def interface_of(application: Any, name: str, wanted: str) -> str:
    """Returns the interface of an application. `wanted` is what the command says, or `"auto"`.

    Raises `LoadMistake` if it is no application, or if one cannot tell which.
    """
    from transom._server import Server

    if isinstance(application, Server):
        if wanted != "auto":
            raise LoadMistake(f"{name} is a transom.Server, and no application for {wanted.upper()}")
        return SERVER
    if not callable(application):
        raise LoadMistake(f"{name} is no application: {type(application).__name__} cannot be called")
    found = _seen(application)
    if found == "class":
        raise LoadMistake(f"{name} is a class; with --factory, the application is what a call of it returns")
    if found == "factory":
        raise LoadMistake(f"{name} takes no arguments; if it returns the application, say --factory")
    if found == "asgi2" and wanted != WSGI:
        raise LoadMistake(f"{name} {_ASGI_2}")
    if wanted != "auto":
        if found in (WSGI, ASGI) and found != wanted:
            raise LoadMistake(f"{name} is an application for {found.upper()}, and not for {wanted.upper()}")
        return wanted
    if found not in (WSGI, ASGI):
        raise LoadMistake(f"{name} may be for WSGI or for ASGI; say --interface wsgi or --interface asgi")
    return found


def _seen(application: Any) -> str:
    """Returns what an application looks like: `wsgi`, `asgi`, `asgi2`, `factory`, `class` or `?`."""
    target = application
    while isinstance(target, functools.partial):
        target = target.func
    if inspect.isclass(target):
        return _seen_in_class(application, target)
    called = target if inspect.isroutine(target) else getattr(type(target), "__call__", target)  # noqa: B004
    kind = _by_arguments(application)
    if any(inspect.iscoroutinefunction(each) for each in (called, inspect.unwrap(called))):
        return {"wsgi": "?", "factory": "factory", "asgi2": "?"}.get(kind, ASGI)
    return kind


def _seen_in_class(application: Any, target: type) -> str:
    """A call makes an instance, which decides: it is called later, iterated, or awaited."""
    kind = _by_arguments(application)
    if kind == "asgi2":
        own = next((vars(each)["__call__"] for each in target.__mro__ if "__call__" in vars(each)), None)
        return "asgi2" if inspect.iscoroutinefunction(own) else "class"
    if kind == WSGI:
        return WSGI if hasattr(target, "__iter__") else "class"
    if kind == ASGI:
        return ASGI if hasattr(target, "__await__") else "class"
    return "class"


def _by_arguments(application: Any) -> str:
    try:
        signature = inspect.signature(application)
    except (TypeError, ValueError):
        # It is written in C.
        return "?"
    names = list(signature.parameters)
    fits = [count for count in range(4) if _takes(signature, count)]
    if fits == [2]:
        return WSGI
    if fits == [3]:
        return ASGI
    if 2 in fits or 3 in fits:
        first = names[0] if names else ""
        if first in ("environ", "env"):
            return WSGI if 2 in fits else "?"
        if first == "scope":
            return ASGI if 3 in fits else "?"
        if 2 in fits and 3 not in fits and 1 not in fits and 0 not in fits:
            return WSGI
        return "?" if fits == [0, 1, 2, 3] or {2, 3} <= set(fits) else (WSGI if 2 in fits else ASGI)
    return "factory" if 0 in fits else "asgi2" if 1 in fits else "?"


def _takes(signature: inspect.Signature, count: int) -> bool:
    try:
        signature.bind(*[None] * count)
    except TypeError:
        return False
    return True
