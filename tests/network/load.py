"""Constant load through a proxy: small answers, uploads and streams on connections that are kept.

    load.py ADDRESS PORT WORKERS RECORD

Each request has an id of its own. The record gets a line for each request: `ok ID`, or `failed ID WHY`.
Ends when its standard input is closed, once all requests are answered.
"""

import http.client
import itertools
import sys
import threading
import time
from collections.abc import Iterator

PATIENCE = 30.0
UPLOAD = 200_000
STREAM = "".join(f"{number}\n" for number in range(10))
# Seconds between two requests of a worker.
PAUSE = 0.02


def request(connection: http.client.HTTPConnection, name: str) -> str | None:
    """Sends the request with that id. Returns what is wrong with its answer."""
    kind = int(name.rsplit("-", 1)[1]) % 10
    if kind == 0:
        connection.request("GET", f"/stream/{name}")
        wanted = STREAM
    elif kind < 4:
        connection.request("POST", f"/upload/{name}", body=bytes(UPLOAD))
        wanted = f"{UPLOAD}\n"
    else:
        connection.request("GET", f"/small/{name}")
        wanted = f"{name}\n"
    response = connection.getresponse()
    body = response.read().decode()
    if response.status != 200:
        return f"{response.status} {body[:80]!r}"
    return None if body == wanted else f"the body is {body[:80]!r}"


def work(address: str, port: int, number: int, over: threading.Event) -> Iterator[str]:
    connection = http.client.HTTPConnection(address, port, timeout=PATIENCE)
    for count in itertools.count():
        if over.is_set():
            return
        name = f"{number}-{count}"
        try:
            wrong = request(connection, name)
        except (OSError, http.client.HTTPException) as error:
            wrong = repr(error)
            connection.close()
        yield f"failed {name} {wrong}" if wrong else f"ok {name}"
        time.sleep(PAUSE)


def main() -> None:
    address, port, workers, record = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
    over, lock = threading.Event(), threading.Lock()
    with open(record, "w", buffering=1) as file:

        def run(number: int) -> None:
            for line in work(address, port, number, over):
                with lock:
                    file.write(f"{line}\n")

        threads = [threading.Thread(target=run, args=(number,)) for number in range(workers)]
        for thread in threads:
            thread.start()
        sys.stdin.read()
        over.set()
        for thread in threads:
            thread.join()


main()
