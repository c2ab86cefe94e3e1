"""The lifespan of an ASGI application: its start-up before the server listens, and its shutdown."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

from transom._asgi.application import LifespanMode, Message
from transom._asgi.errors import StartupError
from transom._check import shown
from transom._functions import name_of

_log = logging.getLogger("transom")

#: How long requests that are still being served have, once they were told that their clients are gone, in
#: seconds. Then they are cancelled.
GRACE = 1.0
#: How long the shutdown may take, in seconds.
SHUTDOWN_TIMEOUT = 3.0


class LifespanTask:
    """The task in which an application runs its lifespan, in one run of a server: a context manager."""

    def __init__(
        self,
        application: Any,
        mode: LifespanMode,
        timeout: float | None,
        state: dict[str, Any],
        drain: Callable[[float], Any],
    ) -> None:
        self._application = application
        self._name = name_of(application)
        self._mode = mode
        self._timeout = timeout
        self._state = state
        self._drain = drain
        self._task: asyncio.Task[None] | None = None
        #: `True` once the application has taken the event `lifespan.startup`.
        self._is_asked = False
        #: `True` if the application has sent what has no place in a lifespan.
        self._is_confused = False

    async def __aenter__(self) -> None:
        """Starts the application up. Raises `StartupError` if it fails or takes too long."""
        if self._mode == "off":
            return
        loop = asyncio.get_running_loop()
        self._events: asyncio.Queue[Message] = asyncio.Queue()
        self._started: asyncio.Future[str | None] = loop.create_future()
        self._stopped: asyncio.Future[str | None] = loop.create_future()
        self._events.put_nowait({"type": "lifespan.startup"})
        task = self._task = loop.create_task(self._run())
        try:
            await asyncio.wait(
                (task, self._started), timeout=self._timeout, return_when=asyncio.FIRST_COMPLETED
            )
            if self._started.done():
                message = self._started.result()
                if message is None:
                    return
                await self._end()
                raise StartupError(message or f"{self._name} could not start")
            if not task.done():
                raise StartupError(f"{self._name} did not start within {self._timeout:g} seconds")
            self._task = None
            self._explain(None if task.cancelled() else task.exception())
        except BaseException:
            await self._end()
            raise

    def _explain(self, error: BaseException | None) -> None:
        """Says why the application has ended its lifespan. Raises `StartupError` if it could not start."""
        supports = self._is_asked and not self._is_confused and error is not None
        if self._mode == "on" or supports:
            what = "returned before it had started" if error is None else f"failed to start: {error!r}"
            raise StartupError(f"{self._name} {what}") from error
        _log.debug("%s has no lifespan: %r", self._name, error)

    async def __aexit__(self, *_: object) -> None:
        """Shuts the application down, after its requests."""
        await self._drain(GRACE)
        task = self._task
        if task is None:
            return
        if not task.done():
            self._events.put_nowait({"type": "lifespan.shutdown"})
            await asyncio.wait(
                (task, self._stopped), timeout=SHUTDOWN_TIMEOUT, return_when=asyncio.FIRST_COMPLETED
            )
        if not task.done() and not self._stopped.done():
            _log.error(
                "%s did not shut down within %g seconds: it is cancelled", self._name, SHUTDOWN_TIMEOUT
            )
        elif self._stopped.done() and self._stopped.result() is not None:
            _log.error("%s failed to shut down: %s", self._name, self._stopped.result())
        await self._end()

    async def _end(self) -> None:
        """Ends the task. One that has answered has a moment to return."""
        task, self._task = self._task, None
        if task is None:
            return
        if self._started.done() and (self._stopped.done() or self._started.result() is not None):
            await asyncio.wait((task,), timeout=GRACE)
        if not task.done():
            task.cancel()
            await asyncio.wait((task,), timeout=GRACE)
        if task.done() and not task.cancelled():
            error = task.exception()
            if error is not None and not (self._started.done() and self._started.result() is not None):
                _log.error("the lifespan of %s failed: %s", self._name, error, exc_info=error)

    async def _run(self) -> None:
        scope = {
            "type": "lifespan",
            "asgi": {"version": "3.0", "spec_version": "2.0"},
            "state": self._state,
        }
        await self._application(scope, self._receive, self._send)

    async def _receive(self) -> Message:
        self._is_asked = True
        return await self._events.get()

    async def _send(self, message: Message) -> None:
        kind = message["type"]
        start, verdict = {
            "lifespan.startup.complete": (True, None),
            "lifespan.startup.failed": (True, message.get("message", "")),
            "lifespan.shutdown.complete": (False, None),
            "lifespan.shutdown.failed": (False, message.get("message", "")),
        }.get(kind, (True, ...))
        future = self._started if start else self._stopped
        if verdict is ... or future.done() or (not start and not self._started.done()):
            self._is_confused = not self._started.done()
            raise RuntimeError(f"the application sent the message {shown(kind)} in its lifespan")
        future.set_result(verdict)
