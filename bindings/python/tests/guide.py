"""The code in `docs/python.md`: its blocks, and the commands of its terminals, which need no curl."""

import argparse
import doctest
import http.client
import json
import re
import shlex
import subprocess
import time
from base64 import b64encode
from dataclasses import dataclass
from pathlib import Path

from support import LIMIT

#: The address of the guide's servers, for which the tests take any free port.
ADDRESS = "127.0.0.1:8080"
#: Before a block that is not run, because it needs another program.
NOT_RUN = "<!-- not run -->"
_BOUNDARY = "guide"


@dataclass
class Block:
    """A block of code: its language, its text, and the line where it begins."""

    language: str
    text: str
    line: int
    is_run: bool


def sections(path):
    """Returns the blocks of each section (`## `) of a document, by its title."""
    found, title, block, before = {}, "", None, ""
    for number, line in enumerate(path.read_text().splitlines(), 1):
        if block is not None:
            if line == "```":
                block = None
            else:
                block.text += f"{line}\n"
        elif line.startswith("```"):
            block = Block(line[3:], "", number + 1, before != NOT_RUN)
            found.setdefault(title, []).append(block)
        elif line.startswith("## "):
            title = line[3:]
        before = line
    return found


def commands(block):
    """Yields the commands of a terminal, each with its line and the output that is shown."""
    lines = block.text.splitlines()
    at = 0
    while at < len(lines):
        command, line = lines[at].removeprefix("$ "), block.line + at
        at += 1
        while command.endswith("\\"):
            command = command[:-1] + lines[at].removeprefix("> ")
            at += 1
        begin = at
        while at < len(lines) and not lines[at].startswith("$ "):
            at += 1
        yield line, command, "\n".join(lines[begin:at])


def is_shown(wanted, got):
    """Returns `True` if an output is the one that is shown, in which `...` stands for anything."""
    return doctest.OutputChecker().check_output(f"{wanted}\n", f"{got}\n", doctest.ELLIPSIS)


def shell(command, folder):
    """Runs a command in a folder, and returns its output."""
    run = subprocess.run(["sh", "-c", command], cwd=folder, capture_output=True, text=True, timeout=LIMIT)
    return (run.stdout + run.stderr).rstrip("\n")


_curl = argparse.ArgumentParser("curl", exit_on_error=False)
_curl.add_argument("url")
for _flag in ("-i", "-I", "-N"):
    _curl.add_argument(_flag, action="store_true")
for _option in ("-X", "-b", "-c", "-r", "-T", "-u"):
    _curl.add_argument(_option)
for _option in ("-H", "-d", "-F"):
    _curl.add_argument(_option, action="append", default=[])


def curl(command, port, folder, wanted):
    """Does what a curl command does, and returns its output.

    With `-N`, the output that is wanted ends the command, because a stream of events may have no end.
    """
    options = _curl.parse_args(shlex.split(command)[1:])
    address, _, path = options.url.removeprefix("http://").partition("/")
    assert address == ADDRESS, address
    headers = dict(line.split(": ", 1) for line in options.H)
    body = _body(options, headers, folder)
    if options.b is not None:
        jar = json.loads((folder / options.b).read_text()) if "=" not in options.b else None
        headers["Cookie"] = options.b if jar is None else "; ".join(f"{name}={jar[name]}" for name in jar)
    if options.r is not None:
        headers["Range"] = f"bytes={options.r}"
    if options.u is not None:
        headers["Authorization"] = "Basic " + b64encode(options.u.encode()).decode()
    usual = "HEAD" if options.I else "PUT" if options.T else "GET" if body is None else "POST"
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=LIMIT)
    try:
        connection.request(options.X or usual, f"/{path}", body=body, headers={"Host": ADDRESS, **headers})
        response = connection.getresponse()
        if options.c is not None:
            _keep_cookies(response, folder / options.c)
        head = ""
        if options.i or options.I:
            head = f"HTTP/1.1 {response.status} {response.reason}\n"
            head += "".join(f"{name}: {value}\n" for name, value in response.getheaders()) + "\n"
        return (head + _text(response, wanted if options.N else None)).rstrip("\n")
    finally:
        connection.close()


def _body(options, headers, folder):
    """Returns the body of a command, and sets its Content-Type."""
    if options.T:
        return (folder / options.T).read_bytes()
    if options.F:
        headers["Content-Type"] = f"multipart/form-data; boundary={_BOUNDARY}"
        return b"".join(_part(field, folder) for field in options.F) + f"--{_BOUNDARY}--\r\n".encode()
    if options.d:
        headers.setdefault("Content-Type", "application/x-www-form-urlencoded")
        return "&".join(options.d).encode()
    return None


def _part(field, folder):
    name, _, value = field.partition("=")
    filename, content = "", value.encode()
    if value.startswith("@"):
        filename = f'; filename="{value[1:]}"'
        content = (folder / value[1:]).read_bytes()
    head = f'--{_BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"{filename}\r\n\r\n'
    return head.encode() + content + b"\r\n"


def _keep_cookies(response, path):
    jar = json.loads(path.read_text()) if path.exists() else {}
    for line in response.headers.get_all("set-cookie", ()):
        name, _, value = line.partition(";")[0].partition("=")
        jar[name] = value
    path.write_text(json.dumps(jar))


def _text(response, wanted):
    if wanted is None:
        return response.read().decode()
    text, end = "", time.monotonic() + LIMIT
    while not is_shown(wanted, text.rstrip("\n")) and time.monotonic() < end:
        line = response.readline()
        if not line:
            break
        text += line.decode()
    return text


def cells(path, title):
    """Yields the lines and the code in the last column of the tables of a section."""
    inside = False
    for number, line in enumerate(path.read_text().splitlines(), 1):
        if line.startswith("## "):
            inside = line == f"## {title}"
        elif inside and line.startswith("| ") and "`" in line:
            last = re.split(r"(?<!\\)\|", line)[-2].replace("\\|", "|")
            for code in re.findall(r"`([^`]+)`", last):
                yield number, code


def folder_of_repository():
    """Returns the folder of the repository, or `None` in a source archive, which has no `docs`."""
    folder = Path(__file__).resolve().parents[3]
    return folder if (folder / "docs" / "python.md").exists() else None
