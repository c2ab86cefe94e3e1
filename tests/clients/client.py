"""Uploads with `requests` as often as it is told, and says in JSON what went wrong how often.

client.py URL METHOD SIZE FRAMING RUNS STATUS
"""

import json
import sys
from collections import Counter
from collections.abc import Iterator
from urllib.parse import urljoin

import requests


def pieces(size: int) -> Iterator[bytes]:
    for at in range(0, size, 65536):
        yield bytes(min(65536, size - at))


def upload(session: requests.Session, url: str, method: str, size: int, framing: str, status: int) -> str:
    body = bytes(size) if framing == "length" else pieces(size)
    answer = session.request(method, url, data=body, timeout=60)
    if answer.status_code != status or not answer.content:
        return f"status {answer.status_code}, {len(answer.content)} bytes"
    follow = session.get(urljoin(url, "/plain"), timeout=60)
    return "" if follow.status_code == 200 else f"the next request: status {follow.status_code}"


def main() -> None:
    url, method, size, framing, runs, status = sys.argv[1:]
    wrongs: Counter[str] = Counter()
    session = requests.Session()
    session.trust_env = False
    for _ in range(int(runs)):
        try:
            wrong = upload(session, url, method, int(size), framing, int(status))
        except requests.RequestException as error:
            wrong = f"{error}"
        if wrong:
            wrongs[wrong] += 1
    print(json.dumps(wrongs))


if __name__ == "__main__":
    main()
