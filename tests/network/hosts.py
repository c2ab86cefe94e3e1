"""Hosts of one's own: network namespaces on one bridge, each with an address."""

import os
import subprocess
from pathlib import Path
from typing import IO


def run(*command: str) -> str:
    return subprocess.run(command, check=True, text=True, stdout=subprocess.PIPE).stdout


class Process:
    """A program on a host. It is ended by its own id."""

    def __init__(self, process: "subprocess.Popen[bytes]", output: Path) -> None:
        self.process, self.output = process, output

    @property
    def pid(self) -> int:
        return self.process.pid

    def said(self) -> str:
        return self.output.read_text(errors="replace")

    def kill(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()


class Network:
    """A few hosts, by name. Deleted with its block, and all that runs on them ended."""

    def __init__(self, folder: Path, label: str, **hosts: str) -> None:
        self.folder, self.hosts = folder, hosts
        self.prefix = f"tr{os.getpid():x}{label}"
        self.processes: list[Process] = []
        self.made: list[str] = []

    def space(self, host: str) -> str:
        return f"{self.prefix}-{host}"

    def __enter__(self) -> "Network":
        try:
            self.make("switch")
            self.on("switch", "ip", "link", "add", "bridge", "type", "bridge")
            self.on("switch", "ip", "link", "set", "bridge", "up")
            for number, (host, address) in enumerate(self.hosts.items()):
                self.make(host)
                port, inner, outer = f"port{number}", self.space(host), self.space("switch")
                run(
                    "ip",
                    "link",
                    "add",
                    port,
                    "netns",
                    outer,
                    "type",
                    "veth",
                    "peer",
                    "name",
                    "eth0",
                    "netns",
                    inner,
                )
                self.on("switch", "ip", "link", "set", port, "master", "bridge", "up")
                self.on(host, "ip", "address", "add", f"{address}/24", "dev", "eth0")
                self.on(host, "ip", "link", "set", "eth0", "up")
                self.on(host, "ip", "link", "set", "lo", "up")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for process in self.processes:
            process.kill()
        for host in self.made:
            # Programs that a program started, such as a successor, are on the host too.
            for pid in run("ip", "netns", "pids", self.space(host)).split():
                subprocess.run(["kill", "-KILL", pid], check=False, stderr=subprocess.DEVNULL)
            run("ip", "netns", "delete", self.space(host))
        self.made.clear()

    def make(self, host: str) -> None:
        run("ip", "netns", "add", self.space(host))
        self.made.append(host)

    def on(self, host: str, *command: str) -> str:
        """Runs a program on a host, to its end."""
        return run("ip", "netns", "exec", self.space(host), *command)

    def start(
        self, host: str, name: str, *command: str, stdin: "int | IO[bytes]" = subprocess.DEVNULL
    ) -> Process:
        """Starts a program on a host. What it prints is in a file of that name."""
        output = self.folder / f"{name}.out"
        with output.open("ab") as file:
            process = subprocess.Popen(
                ["ip", "netns", "exec", self.space(host), *command],
                stdin=stdin,
                stdout=file,
                stderr=file,
                env={**os.environ, "PYTHONUNBUFFERED": "1"},
            )
        started = Process(process, output)
        self.processes.append(started)
        return started
