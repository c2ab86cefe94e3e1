"""Making the plan: joining the sources of the options, and checking that they fit together."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from typing import Any, cast

from transom._command.arguments import Arguments
from transom._command.configuration import from_file
from transom._command.environment import from_environment
from transom._command.loading import split
from transom._command.mistake import Mistake, nearest
from transom._command.options import OPTIONS
from transom._command.plan import Plan
from transom._command.server_settings import server_settings
from transom._command.setting_names import setting_names
from transom._errors import Error
from transom._websocket_options import WebSocketLimits, WebSocketSettings

#: Each option of these needs the other one.
_NEEDS = (
    ("tls-cert", "tls-key"),
    ("tls-key", "tls-cert"),
    ("tls-client-ca", "tls-cert"),
    ("tls-client-optional", "tls-client-ca"),
    ("tls-revocations", "tls-client-ca"),
    ("redirect", "tls-cert"),
    ("forwarded", "forwarded-allow-ips"),
    ("forwarded-host", "forwarded-allow-ips"),
    ("access-log-format", "access-log"),
    ("status-page", "metrics"),
    ("status-password", "status-page"),
    ("reload-dir", "reload"),
)


def plan_of(arguments: Arguments, environment: Mapping[str, str]) -> Plan:
    """Returns the plan. The command line goes before the environment, and both before the file.

    Raises `Mistake`.
    """
    app: str | None = None
    sources: list[Mapping[str, Any]] = [arguments.given, from_environment(environment)]
    path = arguments.config or environment.get("TRANSOM_CONFIG")
    if path:
        app, given = from_file(path)
        sources.append(given)
    app = arguments.app or environment.get("TRANSOM_APP") or app
    if not app:
        raise Mistake(
            "what is to be served? transom MODULE:APP, such as transom shop:app; transom --help says more"
        )
    split(app)
    plan = Plan(app, _joined(sources))
    _check(plan)
    return plan


def _joined(sources: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Returns the values of all sources; the first one goes before the others. Tables are joined by names."""
    joined: dict[str, Any] = {}
    for option in OPTIONS:
        values = [source[option.key] for source in sources if option.key in source]
        if values and option.is_table:
            joined[option.key] = {name: value for each in reversed(values) for name, value in each.items()}
        elif values:
            joined[option.key] = values[0]
    return joined


def _check(plan: Plan) -> None:
    for name, needed in _NEEDS:
        if plan.has(name) and plan[name] is not False and not plan[needed]:
            raise Mistake(f"--{name} needs --{needed}")
    if not os.path.isdir(plan["app-dir"]):
        raise Mistake(f"--app-dir: there is no folder {plan['app-dir']}")
    if plan["reload"] and plan["workers"] != 1:
        raise Mistake("--reload is for one process; it does not go with --workers")
    if plan["loop"] == "uvloop" and find_spec("uvloop") is None:
        raise Mistake("--loop uvloop: it is not installed; pip install uvloop")
    for kind in ("limit", "timeout", "websocket"):
        for name in plan[kind] or {}:
            names = setting_names(kind)
            if name not in names:
                close = nearest(name, names) or f"; there are: {', '.join(names)}"
                what = "setting" if kind == "websocket" else kind
                raise Mistake(f"--{kind}: there is no {what} {name!r}{close}")
    try:
        # The ranges of limits and timeouts, and the networks, are known to the library only.
        server_settings(plan, opens_log=False).configured().free()
        WebSocketSettings(cast(WebSocketLimits, plan["websocket"] or {}))
    except (Error, TypeError) as error:
        raise Mistake(str(error)) from None
