"""A host that forks while it serves, and whose child keeps what it was born with.

It does a step for each line that it reads: fork, stop, and be over; and says when it has.
"""

import os
import sys

import transom


def build(model):
    app = transom.Server(model=model, workers=2)

    @app.get("/plain")
    def plain(request):
        return "hello"

    @app.post("/echo")
    def echo(request):
        return request.body

    return app


def main():
    model = sys.argv[1]
    running = build(model).start("127.0.0.1:0")
    port = running.port
    print(f"listening on {running.url}", flush=True)

    sys.stdin.readline()
    ended, kept = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(kept)
        os.read(ended, 1)  # until the parent is over, however that comes about
        os._exit(0)
    os.close(ended)
    print("forked", flush=True)

    sys.stdin.readline()
    running.stop(1)
    print("stopped", flush=True)
    again = build(model).start(f"127.0.0.1:{port}")
    print("bound again", flush=True)

    sys.stdin.readline()
    again.stop(1)
    os.close(kept)
    os.waitpid(child, 0)
    print("over", flush=True)


if __name__ == "__main__":
    main()
