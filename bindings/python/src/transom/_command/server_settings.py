"""The settings of a server, from the options of the command."""

from __future__ import annotations

import sys
from typing import Any

from transom._access_log import AccessLog
from transom._command.plan import Plan
from transom._metrics import Metrics
from transom._settings import ServerSettings, Settings

#: The settings of `Server` by the options that give them.
_OPTIONS = {
    "threads": "threads",
    "native-threads": "workers",
    "limit": "limits",
    "timeout": "timeouts",
    "proxy-protocol": "proxy_protocol",
    "forwarded-allow-ips": "trusted_proxies",
    "forwarded-host": "forwarded_host",
}


def given_settings(plan: Plan, opens_log: bool = True) -> ServerSettings:
    """Returns the keyword arguments of `Server` that the options give."""
    given: dict[str, Any] = {setting: plan[name] for name, setting in _OPTIONS.items() if plan.has(name)}
    if plan.has("forwarded-allow-ips"):
        given["forwarded"] = plan["forwarded"]
    if plan.has("metrics"):
        given["metrics"] = Metrics()
    if plan["access-log"] and opens_log:
        target = sys.stdout if plan["access-log"] == "-" else plan["access-log"]
        given["access_log"] = AccessLog(target, format=plan["access-log-format"])
    if plan["reload"]:
        # Whoever develops wants the new code at once.
        given["timeouts"] = {"stop_delay": 0.0, **given.get("timeouts", {})}
    return given  # type: ignore[return-value]


def server_settings(plan: Plan, opens_log: bool = True) -> Settings:
    """Returns the settings of `Server`: what the options give, and else the defaults."""
    from transom._server import Server

    return Server(**given_settings(plan, opens_log))._settings


def apply(plan: Plan, settings: Settings) -> None:
    """Puts what the options give in place of the settings that a server has."""
    given = given_settings(plan)
    checked = server_settings(plan, opens_log=False)
    for name in given:
        if name in ("limits", "timeouts"):
            getattr(settings, name).update(getattr(checked, name))
        elif name == "access_log":
            setattr(settings, name, given["access_log"])
        else:
            setattr(settings, name, getattr(checked, name))
