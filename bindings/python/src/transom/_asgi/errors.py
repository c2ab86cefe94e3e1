"""The exception of a server whose application could not start."""

from __future__ import annotations

from transom._errors import Error


class StartupError(Error, RuntimeError):
    """An ASGI application could not start up. The message is the application's own, if it has told one."""
