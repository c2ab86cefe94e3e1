"""The log of the command on standard error."""

from __future__ import annotations

import logging

_FORMAT = "%(asctime)s %(levelname)s %(message)s"


def set_up_logs(level: str) -> None:
    """Shows the lines of the log `transom` from a level on. Other logs are the application's."""
    log = logging.getLogger("transom")
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter(_FORMAT))
    log.handlers[:] = [handler]
    log.setLevel(level.upper())
    # An application that logs to standard error, too, would show each line twice.
    log.propagate = False
