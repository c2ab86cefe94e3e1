"""The server in Python that `metrics.py` counts with: `metrics_server.py --port 0 --model event`."""

import sys

from transom import Metrics, Server

_, _, port, _, model = sys.argv
app = Server(model=model, metrics=Metrics())
app.metrics_route("/metrics")


@app.get("/users/{id}")
def user(request):
    return request.params["id"]


@app.get("/busy")
def busy(request):
    return "busy", 503


@app.get("/endless")
def endless(request):
    while True:
        yield b"a" * 65536


app.run(f"127.0.0.1:{port}")
