#!/usr/bin/env python3
"""The server in Python for the large upload of `run.py`: `server.py FOLDER`. It prints its address."""

import signal
import sys
from pathlib import Path

from transom import FormLimits, Server

folder = Path(sys.argv[1])
app = Server()


@app.post("/save", stream=True, max_body=2**40, timeout=None)
def save(request):
    file = request.form(FormLimits(folder=folder)).files["file"]
    file.save_to(folder / "saved")
    return f"{file.size}\n"


# Blocked before the threads of the server start, so that it waits for the signal alone.
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
with app.start("127.0.0.1:0") as running:
    print(running.url.removeprefix("http://"), flush=True)
    signal.sigwait([signal.SIGTERM])
