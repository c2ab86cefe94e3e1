#!/usr/bin/env python3
"""Two instances of a program on two hosts, behind HAProxy or nginx on a third, as deploy/ has them.

    tests/network/run.py [--languages rust,c,python] [--rounds 10] [--release target/release]

The hosts are network namespaces, so this needs root, iproute2, haproxy and nginx. For each proxy and
language, all at once:

- rolling restarts under constant load on connections that are kept, with uploads and streams: no request
  fails, and none is served twice;
- hand-overs under the same load: the same;
- an instance that is killed: only requests that it had fail;
- each instance is told the real address of the client: by the PROXY protocol, and by X-Forwarded-For.
"""

import argparse
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from hosts import Network, Process

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
PATIENCE = 30.0
WORKERS = 6
# The addresses of deploy/.
CLIENT, PROXY = "10.0.0.2", "10.0.0.1"
INSTANCES = {"a": "10.0.0.11", "b": "10.0.0.12"}
PORT = 8080
# Milliseconds; a little more than HAProxy takes to notice (inter 500ms, fall 1).
STOP_DELAY = 1500
# Seconds from one restart or hand-over to the next, for the load.
PACE = 0.3


class Failure(Exception):
    """What should not have happened."""


def program(name: str) -> str:
    found = shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
    if not found:
        raise SystemExit(f"{name} is not installed")
    return found


def until(what: str, happened: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not happened():
        if time.monotonic() > deadline:
            raise Failure(f"in {PATIENCE:.0f} s not: {what}")
        time.sleep(0.02)


class Instance:
    """The program on one host, and those that come after it."""

    def __init__(self, site: "Site", name: str) -> None:
        self.site, self.name, self.starts = site, name, 0
        self.record = site.folder / f"{name}.record"
        self.record.touch()
        self.start()

    def start(self) -> None:
        self.starts += 1
        options = [
            "--bind",
            f"{INSTANCES[self.name]}:{PORT}",
            "--name",
            self.name,
            "--record",
            str(self.record),
        ]
        options += ["--stop-delay", str(STOP_DELAY), *self.site.options]
        label = f"{self.name}-{self.starts}"
        self.process = self.site.network.start(self.name, label, *self.site.command, *options)
        self.pid, self.output = self.process.pid, self.process
        until(f"{label} listens", lambda: "listening" in self.output.said())
        until(f"{label} gets requests", self.serves)

    def serves(self) -> bool:
        return self.site.ask("/where").startswith(f"{self.name} ")

    def wait(self, process: Process) -> None:
        try:
            status = process.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            raise Failure(f"{self.name} does not end: {process.said()}") from None
        if status or "cut 0, pending 0" not in process.said().rsplit("\n", 2)[-2]:
            raise Failure(f"{self.name} ended with {status}: {process.said()}")

    def restart(self) -> None:
        os.kill(self.pid, signal.SIGTERM)
        self.wait(self.process)
        self.start()

    def hand_over(self) -> None:
        """The successor writes to the same file, so what it says comes behind."""
        said = len(self.output.said())
        os.kill(self.pid, signal.SIGHUP)
        until("handed over", lambda: "handed over to" in self.output.said()[said:])
        new = re.findall(r"handed over to (\d+)", self.output.said()[said:])
        old, self.pid = self.pid, int(new[-1])
        until("the old one ends", lambda: not alive(old))
        tail = self.output.said()[said:]
        if "cut 0, pending 0" not in tail:
            raise Failure(f"{self.name} after a hand-over: {tail}")

    def kill(self) -> None:
        os.kill(self.pid, signal.SIGKILL)
        until("it is gone", lambda: not alive(self.pid))


def alive(pid: int) -> bool:
    try:
        status = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except FileNotFoundError:
        return False
    return status != "Z"


class Site:
    """A client, a proxy and two instances."""

    def __init__(self, folder: Path, network: Network, command: list[str], proxy: str) -> None:
        self.folder, self.network, self.command, self.proxy = folder, network, command, proxy
        self.options = {
            "haproxy": ["--trust-proxy", f"{PROXY}/32"],
            "nginx": ["--trust-forwarded", f"{PROXY}/32"],
        }[proxy]
        self.start_proxy()
        self.instances = [Instance(self, name) for name in INSTANCES]

    def start_proxy(self) -> None:
        deploy = ROOT / "deploy"
        if self.proxy == "haproxy":
            command = [program("haproxy"), "-db", "-f", str(deploy / "haproxy.cfg")]
        else:
            main = f"daemon off; pid {self.folder}/nginx.pid; error_log {self.folder}/nginx.log warn;"
            command = [program("nginx"), "-p", str(self.folder), "-c", str(deploy / "nginx.conf"), "-g", main]
        self.network.start("proxy", self.proxy, *command)

    def ask(self, path: str) -> str:
        """The answer to a client of the proxy, on a connection of its own."""
        curl = [program("curl"), "-s", "--max-time", "5", f"http://{PROXY}{path}"]
        try:
            return self.network.on("client", *curl)
        except subprocess.CalledProcessError:
            return ""

    def load(self, during: Callable[[], None]) -> list[str]:
        """Runs the load meanwhile, and returns its lines."""
        record = self.folder / "load.record"
        command = [sys.executable, str(HERE / "load.py"), PROXY, "80", str(WORKERS), str(record)]
        load = self.network.start("client", "load", *command, stdin=subprocess.PIPE)
        until(
            "requests are answered",
            lambda: record.exists() and len(record.read_text().splitlines()) > WORKERS,
        )
        try:
            during()
        finally:
            assert load.process.stdin
            load.process.stdin.close()
            load.process.wait(2 * PATIENCE)
        if load.process.returncode:
            raise Failure(f"the load ends with {load.process.returncode}: {load.said()}")
        return record.read_text().splitlines()

    def served(self) -> Counter[str]:
        """How often each request was served, and by which instance, since the last call."""
        lines = [line for instance in self.instances for line in instance.record.read_text().splitlines()]
        for instance in self.instances:
            os.truncate(instance.record, 0)
        return Counter(lines)

    def nothing_fails(self, what: str, rounds: int, change: Callable[[Instance], None]) -> str:
        def all_rounds() -> None:
            for count in range(rounds):
                change(self.instances[count % 2])
                time.sleep(PACE)

        lines, served = self.load(all_rounds), self.served()
        failed = [line for line in lines if not line.startswith("ok ")]
        ids = Counter(line.split()[0] for line in served.elements())
        twice = [name for name, count in ids.items() if count > 1]
        missing = [line for line in lines if line.startswith("ok ") and line.split()[1] not in ids]
        if failed or twice or missing:
            wrong = f"failed {failed[:5]}, served twice {twice[:5]}, not served {missing[:5]}"
            raise Failure(f"{what}: {len(lines)} requests; {wrong}")
        return f"{rounds} {what}: {len(lines)} requests, 0 failed, 0 served twice"

    def one_is_killed(self) -> str:
        victim = self.instances[0]

        def kill() -> None:
            time.sleep(1)
            victim.kill()
            time.sleep(2)

        lines, served = self.load(kill), self.served()
        failed = [line.split(" ", 2) for line in lines if not line.startswith("ok ")]
        others = [failure for failure in failed if served[f"{failure[1]} b"]]
        # Each worker has one request at a time.
        if len(failed) > WORKERS or others:
            raise Failure(f"after a kill: {failed}; served by the other: {others}")
        victim.start()
        return f"an instance killed: {len(lines)} requests, {len(failed)} failed, none of the other's"

    def address_arrives(self) -> str:
        for _ in range(4):
            answer = self.ask("/where").split()
            if answer[1].split(":")[0] != CLIENT or answer[2] != "http":
                raise Failure(f"the client is told as {answer}")
        return "the client's address arrives"


def commands(release: Path, languages: list[str]) -> dict[str, list[str]]:
    known = {
        "rust": [str(release / "examples" / "network-service")],
        "c": ["env", f"LD_LIBRARY_PATH={release}", str(release / "network-service-c")],
        "python": [
            "env",
            f"TRANSOM_LIBRARY={release}/libtransom.so",
            f"PYTHONPATH={ROOT}/bindings/python/src",
            sys.executable,
            str(HERE / "service.py"),
        ],
    }
    return {language: known[language] for language in languages}


def play(folder: Path, proxy: str, language: str, command: list[str], rounds: int) -> list[str]:
    folder = folder / f"{proxy}-{language}"
    folder.mkdir()
    label = f"{proxy[0]}{language[0]}"
    with Network(folder, label, client=CLIENT, proxy=PROXY, **INSTANCES) as network:
        site = Site(folder, network, command, proxy)
        return [
            site.address_arrives(),
            site.nothing_fails("restarts", rounds, Instance.restart),
            site.nothing_fails("hand-overs", rounds, Instance.hand_over),
            site.one_is_killed(),
        ]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--languages", default="rust,c,python")
    parser.add_argument("--proxies", default="haproxy,nginx")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--release", type=Path, default=ROOT / "target" / "release")
    options = parser.parse_args()
    begun, bad = time.monotonic(), 0
    with tempfile.TemporaryDirectory(prefix="transom-network-") as folder, ThreadPoolExecutor() as pool:
        os.chmod(folder, 0o755)
        plays = {
            (proxy, language): pool.submit(play, Path(folder), proxy, language, command, options.rounds)
            for proxy in options.proxies.split(",")
            for language, command in commands(options.release.resolve(), options.languages.split(",")).items()
        }
        for (proxy, language), result in plays.items():
            try:
                for line in result.result():
                    print(f"{proxy}, {language}: {line}", flush=True)
            except Failure as failure:
                bad += 1
                print(f"{proxy}, {language}: FAILED: {failure}", flush=True)
    print(f"{time.monotonic() - begun:.0f} s")
    sys.exit(bad > 0)


main()
