"""An ASGI application, as a type and as a check."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Literal, TypeAlias

from transom._check import got, shown
from transom._errors import InvalidArgumentError
from transom._functions import name_of

#: What a server tells an application about a request or a run, and an event.
Scope: TypeAlias = MutableMapping[str, Any]
Message: TypeAlias = MutableMapping[str, Any]
#: The functions by which an application gets events, and sends them.
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
#: An application of ASGI 3.
ASGIApplication: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]

#: If the lifespan protocol is used: `"auto"` for applications that support it.
LifespanMode: TypeAlias = Literal["auto", "on", "off"]


def expect_application(application: Any) -> None:
    """Raises `TypeError` unless an application can be called as ASGI 3 says."""
    if not callable(application):
        raise TypeError(
            f"an ASGI application is an async function (scope, receive, send), got {got(application)}"
        )
    try:
        inspect.signature(application).bind({}, None, None)
    except TypeError as error:
        raise TypeError(
            f"{name_of(application)} is no ASGI 3 application: it cannot be called with "
            f"(scope, receive, send): {error}"
        ) from None
    except ValueError:
        pass  # some builtins have no signature


def expect_mode(mode: Any) -> LifespanMode:
    """Returns the mode of the lifespan. Raises `InvalidArgumentError` for another value."""
    if mode not in ("auto", "on", "off"):
        raise InvalidArgumentError(f"lifespan is 'auto', 'on' or 'off', got {shown(mode)}")
    checked: LifespanMode = mode
    return checked
