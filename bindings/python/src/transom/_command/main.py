"""The command, from its arguments to its exit status."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from transom._command.arguments import parsed
from transom._command.logs import set_up_logs
from transom._command.mistake import ENDED, FAILED, Mistake
from transom._command.plan import Plan
from transom._command.planning import plan_of
from transom._command.supervisor import say, serve
from transom._command.worker import server_of, tls_of
from transom._errors import Error


def main(words: Sequence[str] | None = None) -> int:
    """Runs the command with these arguments, by default those of the process. Returns the exit status."""
    try:
        arguments = parsed(sys.argv[1:] if words is None else words)
        plan = plan_of(arguments, os.environ)
        # The processes get the path, too.
        sys.path.insert(0, os.path.abspath(plan["app-dir"]))
        set_up_logs(plan["log-level"])
        if arguments.checks:
            return _check(plan)
        return serve(plan, lambda: plan_of(arguments, os.environ))
    except Mistake as mistake:
        say(str(mistake))
        return mistake.status


def _check(plan: Plan) -> int:
    """Loads the application, checks the options and says so."""
    try:
        if plan["tls-cert"]:
            tls_of(plan)
        server, interface = server_of(plan)
        server._settings.configured().free()
    except Error as error:
        say(str(error))
        return FAILED
    say(f"{plan.app} can be served ({interface})")
    return ENDED
