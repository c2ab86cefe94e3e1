#!/usr/bin/env python3
"""Transom against other strict servers: the same bytes, how many messages each sees.

    python3 tests/differential/run.py [--binary PATH] [--count 20000] [--seed 1]

Sends the requests of the wire corpus, shapes known from request smuggling, and seeded
mutations of both to the conformance example, to h11 (if it can be imported) and to
Node's http (if there is `node`), and compares where they differ first: one takes a
message that the other does not, or takes another body for it. Differences are listed
by class. explained.toml says of each known class who is right, by which rule; a class
that is not there, or a body that differs, is exit status 1.
"""

import argparse
import json
import re
import subprocess
import sys
import time
import tomllib
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from peers import H11, Node, Seen, Transom
from streams import all_streams

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent


@dataclass
class Difference:
    """The first place where a peer saw something else than Transom."""

    peer: str
    ours: str
    theirs: str
    stream: bytes

    @property
    def kind(self) -> tuple[str, str, str]:
        return (self.peer, self.ours, self.theirs)


class Explained:
    """The rules of explained.toml; each must match whole."""

    def __init__(self, path: Path) -> None:
        self.rules = tomllib.loads(path.read_text("utf-8"))["class"]
        self.used: Counter[int] = Counter()

    def rule(self, found: Difference) -> str | None:
        """The name of the rule that explains it."""
        for number, rule in enumerate(self.rules):
            if (
                found.peer in rule["peers"]
                and re.fullmatch(rule["transom"], found.ours)
                and re.fullmatch(rule["peer"], found.theirs)
                and re.search(rule.get("bytes", ""), found.stream.decode("latin-1"))
            ):
                self.used[number] += 1
                return str(rule["name"])
        return None


def compare(stream: bytes, ours: Seen, peer: str, theirs: Seen) -> Difference | None:
    """How many messages, and which bodies; what is no message is not compared."""
    for place in range(max(len(ours.messages), len(theirs.messages))):
        here, there = ours.at(place), theirs.at(place)
        if place >= min(len(ours.messages), len(theirs.messages)):
            return Difference(peer, here, there, stream)
        body, other = ours.messages[place], theirs.messages[place]
        if body is not None and other is not None and body != other:
            return Difference(peer, f"body {body!r}", f"body {other!r}", stream)
    return None


def binary_of_the_example() -> str:
    command = ["cargo", "build", "--release", "--example", "conformance"]
    subprocess.run(command, cwd=ROOT, check=True)
    metadata = ["cargo", "metadata", "--format-version", "1", "--no-deps"]
    found = json.loads(subprocess.check_output(metadata, cwd=ROOT))
    return str(Path(found["target_directory"]) / "release/examples/conformance")


def start_peers() -> Iterator[H11 | Node]:
    for make in (H11, Node):
        try:
            yield make()
        except (ImportError, FileNotFoundError) as error:
            print(f"without {make.name}: {error}")


def play(transom: Transom, peers: list[H11 | Node], stream: bytes) -> list[Difference]:
    ours = transom.see(stream)
    found = (compare(stream, ours, peer.name, peer.see(stream)) for peer in peers)
    return [difference for difference in found if difference]


def report(found: list[Difference], explained: Explained) -> int:
    """Prints the classes; how many differences are not explained."""
    known: Counter[tuple[str, str]] = Counter()
    unknown: dict[tuple[str, str, str], list[Difference]] = {}
    for difference in found:
        rule = explained.rule(difference)
        if rule is None:
            unknown.setdefault(difference.kind, []).append(difference)
        else:
            known[rule, difference.peer] += 1
    for (rule, peer), count in sorted(known.items()):
        print(f"  explained {count:5} {peer:5} {rule}")
    for (peer, ours, theirs), all_of_it in unknown.items():
        shortest = min(all_of_it, key=lambda difference: len(difference.stream)).stream
        print(f"UNEXPLAINED {len(all_of_it):3} {peer:5} transom: {ours} | {peer}: {theirs}")
        print(f"    {shortest!r}")
    return sum(len(all_of_it) for all_of_it in unknown.values())


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--binary", help="the conformance example; built if not given")
    parser.add_argument("--count", type=int, default=20_000, help="mutations")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=60, help="stop after so many")
    args = parser.parse_args()
    explained = Explained(HERE / "explained.toml")
    transom = Transom(args.binary or binary_of_the_example())
    peers: list[H11 | Node] = []
    started = time.monotonic()
    found: list[Difference] = []
    played = 0
    try:
        peers += start_peers()
        streams = list(all_streams(args.count, args.seed))
        with ThreadPoolExecutor(8) as pool:
            for start in range(0, len(streams), 64):
                if time.monotonic() - started > args.seconds:
                    print(f"stopped after {args.seconds:.0f} s, {played} of {len(streams)} streams")
                    break
                part = streams[start : start + 64]
                for differences in pool.map(lambda stream: play(transom, peers, stream), part):
                    found += differences
                played += len(part)
    finally:
        for server in [transom, *peers]:
            server.stop()
    names = ", ".join(f"{peer.name} {peer.version}" for peer in peers) or "nobody"
    seconds = time.monotonic() - started
    print(f"{played} streams in {seconds:.0f} s, against {names}: {len(found)} differences")
    unexplained = report(found, explained)
    print(f"{unexplained} differences are not explained")
    return 1 if unexplained or not peers else 0


if __name__ == "__main__":
    sys.exit(main())
