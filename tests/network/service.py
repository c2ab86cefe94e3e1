"""The program that run.py runs on several hosts, behind proxies: service.rs in Python."""

import argparse
import os
import signal
import sys
import time
from collections.abc import Iterator

from transom import Request, Response, Server

STOP = 20.0
SUCCESSION = 10.0


def build(options: argparse.Namespace) -> Server:
    proxies = [options.trust_forwarded] if options.trust_forwarded else None
    app = Server(
        model=options.model,
        timeouts={"stop_delay": options.stop_delay / 1000, "watchdog": 10.0},
        inherit=True,
        notify_systemd=True,
        proxy_protocol=[options.trust_proxy] if options.trust_proxy else None,
        forwarded="x-forwarded" if proxies else None,
        trusted_proxies=proxies,
    )
    record = os.open(options.record, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)

    def note(request: Request) -> None:
        # One write for each line: others append too.
        os.write(record, f"{request.params['id']} {options.name}\n".encode())

    app.readiness("/ready")
    app.liveness("/alive")

    @app.get("/where")
    def where(request: Request) -> str:
        address = request.client[0] if request.client else "unix"
        return f"{options.name} {address} {request.scheme}\n"

    @app.get("/small/{id}")
    def small(request: Request) -> str:
        note(request)
        return f"{request.params['id']}\n"

    @app.post("/upload/{id}")
    def upload(request: Request) -> str:
        note(request)
        return f"{len(request.body)}\n"

    @app.get("/stream/{id}")
    def stream(request: Request) -> Response:
        note(request)

        def lines() -> Iterator[str]:
            for number in range(10):
                time.sleep(0.05)
                yield f"{number}\n"

        return Response.stream(lines(), content_type="text/plain")

    return app


def main() -> None:
    parser = argparse.ArgumentParser()
    for name in ("bind", "name", "record"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--stop-delay", type=int, default=0)
    parser.add_argument("--model", default="event")
    parser.add_argument("--trust-proxy")
    parser.add_argument("--trust-forwarded")
    options = parser.parse_args()
    # Before any thread starts: only sigwait gets them then. A successor inherits the mask.
    signals = {signal.SIGTERM, signal.SIGHUP}
    signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    running = build(options).start(options.bind)
    print(f"listening on {options.bind}", flush=True)
    while signal.sigwait(signals) == signal.SIGHUP:
        try:
            print(f"handed over to {running.hand_over(timeout=SUCCESSION)}", flush=True)
            break
        except OSError as error:
            print(error, file=sys.stderr)
    report = running.stop(STOP)
    print(f"finished {report.finished}, cut {report.cut}, pending {report.pending}", flush=True)


main()
