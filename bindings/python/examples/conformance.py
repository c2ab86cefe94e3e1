"""The application that HTTP conformance probes expect: echo, streams, sleeps, header dumps."""

import argparse
import asyncio

from transom import Response, Server


def build(workers: int, model: str = "event") -> Server:
    app = Server(model=model, workers=workers)

    @app.get("/plain")
    def plain(request):
        return Response("hello", content_type="text/plain")

    @app.route("/echo", methods=["POST", "PUT"])
    def echo(request):
        kind = request.headers.get("content-type", "application/octet-stream")
        return Response(request.body, content_type=kind)

    @app.get("/chunked")
    def chunked(request):
        return Response.stream(["a", "bb", "ccc"], content_type="text/plain")

    @app.get("/empty")
    def empty(request):
        return None

    @app.get("/headers")
    def headers(request):
        lines = [name.lower() + b": " + value + b"\n" for name, value in request.headers.raw]
        return Response(b"".join(lines), content_type="text/plain")

    @app.get("/sleep/{ms}")
    async def sleep(request):
        await asyncio.sleep(int(request.params["ms"]) / 1000)
        return Response("slept", content_type="text/plain")

    return app


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--model", choices=["sequential", "threads", "event"], default="event")
    options = parser.parse_args()
    build(options.workers, options.model).run(f"127.0.0.1:{options.port}")
