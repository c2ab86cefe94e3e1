"""The numbers of a stop."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Report:
    """The numbers of requests that finished or were cut off when a server stopped."""

    #: Requests whose response was sent in full after the stop began.
    finished: int
    #: Requests that were cut off at the timeout of the stop.
    cut: int
    #: Requests that are still being served; zero once the server has stopped.
    pending: int
