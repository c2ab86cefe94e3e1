"""What each process of the command does before it serves: it loads the application and sets up a server."""

from __future__ import annotations

import logging
import os
import signal
import threading
import warnings
from typing import Any

from transom._access_log import AccessLog
from transom._command.interface import ASGI, SERVER, WSGI, interface_of
from transom._command.loading import load
from transom._command.logs import set_up_logs
from transom._command.mistake import Mistake
from transom._command.plan import Plan
from transom._command.server_settings import apply, given_settings
from transom._errors import Error
from transom._process import StartFailure
from transom._server import Server
from transom._tls import Tls

_log = logging.getLogger("transom")


def make_server(plan: Plan) -> Server:
    """Returns the server of a process. Raises `StartFailure` with what the supervisor says."""
    set_up_logs(plan["log-level"])
    _choose_loop(plan["loop"])
    try:
        server, interface = server_of(plan)
    except (Mistake, Error) as error:
        raise StartFailure(str(error)) from None
    _reopen_at_signal(server)
    _log.info("process %d has loaded %s (%s)", os.getpid(), plan.app, _NAMES[interface])
    return server


_NAMES = {WSGI: "WSGI", ASGI: "ASGI", SERVER: "transom.Server"}


def server_of(plan: Plan) -> tuple[Server, str]:
    """Loads the application, and returns it as a server, and its interface. Raises `Mistake` or `Error`."""
    application = load(plan.app, plan["factory"])
    interface = interface_of(application, plan.app, plan["interface"])
    if interface == SERVER:
        server: Server = application
        if plan["root-path"] != "/":
            raise Mistake("--root-path is for WSGI and ASGI; a transom.Server has its paths itself")
        apply(plan, server._settings)
    else:
        server = Server(**given_settings(plan))
        _mount(server, plan, interface, application)
    _add_routes(server, plan)
    return server, interface


def _mount(server: Server, plan: Plan, interface: str, application: Any) -> None:
    if interface == WSGI:
        server.mount_wsgi(plan["root-path"], application)
    else:
        # The time until the process serves bounds this start-up, too.
        server.mount_asgi(
            plan["root-path"],
            application,
            lifespan=plan["lifespan"],
            startup_timeout=None,
            websocket=plan["websocket"],
        )


def _add_routes(server: Server, plan: Plan) -> None:
    if plan["metrics"]:
        server.metrics_route(plan["metrics"])
    if plan["readiness"]:
        server.readiness(plan["readiness"])
    if plan["liveness"]:
        server.liveness(plan["liveness"])
    if plan["status-page"]:
        server.status_page(plan["status-page"], password=plan["status-password"])


def make_tls(plan: Plan) -> Tls:
    """Returns the TLS of a process. Raises `StartFailure` with what the supervisor says."""
    try:
        return tls_of(plan)
    except Error as error:
        raise StartFailure(str(error)) from None


def tls_of(plan: Plan) -> Tls:
    """Returns the TLS that the options give. Raises what `Tls` raises."""
    return Tls(
        plan["tls-cert"],
        plan["tls-key"],
        client_authorities=plan["tls-client-ca"],
        client_revocations=plan["tls-revocations"],
        client_certificates_optional=bool(plan["tls-client-optional"]),
        least_version=plan["tls-least-version"],
        watch=plan["tls-watch"] or None,
    )


def _choose_loop(name: str) -> None:
    """Has asyncio make event loops of uvloop, if that is wanted and there."""
    if name == "asyncio":
        return
    import asyncio

    try:
        import uvloop  # type: ignore[import-not-found]
    except ImportError as error:
        if name == "uvloop":
            raise StartFailure(f"--loop uvloop: it cannot be imported: {error}") from None
        return
    with warnings.catch_warnings():
        # Python 3.14 warns of policies, and has nothing else for a loop that another module makes.
        warnings.simplefilter("ignore", DeprecationWarning)
        asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())


def _reopen_at_signal(server: Server) -> None:
    """Opens the access log again at SIGUSR1, which the supervisor passes on."""
    log = server._settings.access_log

    def reopen(log: AccessLog) -> None:
        try:
            log.reopen()
        except Error as error:
            _log.error("the access log was not opened again: %s", error)

    def handle(*_: object) -> None:
        # The signal handler may not wait for the log.
        if log is not None:
            threading.Thread(target=reopen, args=(log,), name="transom-reopen", daemon=True).start()

    signal.signal(signal.SIGUSR1, handle)
