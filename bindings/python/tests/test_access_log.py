"""The access log of a server."""

import json
import os
import pathlib
import socket
import subprocess
import sys
import tempfile
import unittest

from support import LIMIT, Quiet, fetch, until

import transom
from transom import AccessLog, Server

#: A program that ends while its server has requests in progress, one for each name that it gets.
AT_EXIT = """
import atexit, os, socket, sys, threading, time

# What is registered first runs last: the process is gone then, and nothing more is written.
atexit.register(os._exit, 0)
from transom import AccessLog, Server

app = Server(access_log=AccessLog(sys.argv[1]))
begun = threading.Event()

@app.get("/{name}", blocking=True)
def wait(request):
    begun.set()
    if request.params["name"] == "stuck":
        threading.Event().wait()
    time.sleep(0.3)
    return "hello"

running = app.start("127.0.0.1:0")

def ask(name):
    with socket.create_connection(("127.0.0.1", running.port)) as client:
        client.sendall(f"GET /{name} HTTP/1.1\\r\\nHost: a\\r\\nConnection: close\\r\\n\\r\\n".encode())
        while client.recv(1000):
            pass

for name in sys.argv[2:]:
    threading.Thread(target=ask, args=(name,), daemon=True).start()
    assert begun.wait(60)
    begun.clear()
"""


def served(log):
    app = Server(access_log=log)
    app.get("/users/{id}")(lambda request: request.params["id"])
    return app


class TestAccessLog(Quiet, unittest.TestCase):
    def setUp(self):
        super().setUp()
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.path = os.path.join(self.folder.name, "access.log")

    def lines(self, path=None):
        return pathlib.Path(path or self.path).read_text().splitlines()

    def test_a_path_is_enough(self):
        for path in self.path, pathlib.Path(self.path + ".2"):
            with self.subTest(path=path):
                with served(path).start("127.0.0.1:0") as running:
                    fetch(running, "/users/1?a=%22")
                    with socket.create_connection(("127.0.0.1", running.port), timeout=LIMIT) as client:
                        client.sendall(b"GET / HTTP/1.1\r\n\r\n")
                        self.assertIn(b" 400 ", client.recv(100))
                # All is written when the server has stopped. The threads of the server write independently.
                refusal, line = sorted(self.lines(path), key=lambda line: "GET" in line)
                self.assertRegex(
                    line, r'^127\.0\.0\.1 - - \[.*\+0000\] "GET /users/1\?a=%22 HTTP/1\.1" 200 \d+$'
                )
                self.assertRegex(refusal, r'^127\.0\.0\.1 - - \[.*\+0000\] "-" 400 \d+$')

    def test_formats(self):
        log = AccessLog(self.path, format="json", buffer=100_000)
        with served(log).start("127.0.0.1:0") as running:
            fetch(running, "/users/1", headers={"User-Agent": 'caf\xe9"', "Referer": "x"})
            self.assertTrue(log.flush(LIMIT))
            self.assertTrue(until(lambda: len(self.lines()) == 1))
        line = json.loads(self.lines()[0])
        self.assertEqual((line["http.route"], line["http.response.status_code"]), ("/users/{id}", 200))
        self.assertEqual(line["http.request.header.referer"], ["x"])
        log = AccessLog(self.path, format="combined")
        with served(log).start("127.0.0.1:0") as running:
            fetch(running, "/users/2", headers={"User-Agent": 'caf\xe9"', "Referer": "x"})
        self.assertRegex(self.lines()[1], r'"GET /users/2 HTTP/1\.1" 200 \d+ "x" "caf\\xe9\\x22"$')
        log = AccessLog(self.path, format='%h "%r" %{us}T %{X-A}i %{Content-Type}o %R')
        with served(log).start("127.0.0.1:0") as running:
            fetch(running, "/users/3", headers={"X-A": "one"})
        self.assertRegex(
            self.lines()[2],
            r'^127\.0\.0\.1 "GET /users/3 HTTP/1\.1" \d+ one text/plain; charset=utf-8 /users/\{id\}$',
        )
        self.assertEqual(log.lost, 0)

    def test_a_rotation(self):
        log = AccessLog(self.path)
        with served(log).start("127.0.0.1:0") as running:
            fetch(running, "/users/1")
            self.assertTrue(until(lambda: len(self.lines()) == 1))
            os.rename(self.path, self.path + ".1")

            def is_reopened():
                # It fails if the old file takes its lines for more than two seconds.
                try:
                    log.reopen()
                except transom.SystemCallError:
                    return False
                return True

            self.assertTrue(until(is_reopened))
            fetch(running, "/users/2")
        self.assertEqual((len(self.lines()), len(self.lines(self.path + ".1"))), (1, 1))

    def test_files_and_pipes(self):
        reading, writing = os.pipe()
        with open(reading, "rb") as end, open(writing, "wb") as file:
            log = AccessLog(file)
            with self.assertRaises(transom.SystemCallError):
                log.reopen()
            with served(log).start("127.0.0.1:0") as running:
                fetch(running, "/users/1")
                self.assertIn(b"GET /users/1", end.readline())
        del log

    def test_a_full_disk_is_counted(self):
        log = AccessLog("/dev/full")
        with served(log).start("127.0.0.1:0") as running:
            fetch(running, "/users/1")
            # Once the server has stopped, no message of the library arrives.
            self.assertTrue(until(lambda: log.flush() and log.lost == 1))
            said = "the access log loses lines: No space left"
            self.assertTrue(until(lambda: any(said in line for line in self.log)), self.log)

    def test_bad_arguments(self):
        with self.assertRaisesRegex(transom.SystemCallError, "cannot open /no/such/folder/access.log: "):
            AccessLog("/no/such/folder/access.log")
        with self.assertRaisesRegex(transom.InvalidArgumentError, "has directives such as %h, got 'xml'"):
            AccessLog(self.path, format="xml")
        with self.assertRaisesRegex(transom.InvalidArgumentError, "there is no directive %Z"):
            AccessLog(self.path, format="%h %Z")
        with self.assertRaisesRegex(TypeError, "format is a str"):
            AccessLog(self.path, format=print)
        with self.assertRaisesRegex(TypeError, "a path or a file, got int 7"):
            AccessLog(7)
        with self.assertRaisesRegex(TypeError, "access_log is an AccessLog or a path, got int 7"):
            Server(access_log=7)
        with self.assertRaisesRegex(transom.InvalidArgumentError, "buffer is 0 to"):
            AccessLog(self.path, buffer=-1)
        with self.assertRaisesRegex(transom.InvalidArgumentError, "no NUL"):
            AccessLog("a\0b")
        self.assertEqual(repr(AccessLog(self.path)), f"<AccessLog {self.path!r}>")

    def test_the_last_lines_are_written_at_the_end_of_the_interpreter(self):
        program = f"""
import urllib.request
from transom import AccessLog, Server
log = AccessLog({self.path!r})
app = Server(access_log=log)
app.get("/")(lambda request: "hello")
running = app.start("127.0.0.1:0")
urllib.request.urlopen(running.url).read()
"""
        subprocess.run([sys.executable, "-c", program], check=True, timeout=LIMIT)
        self.assertEqual(len(self.lines()), 1)

    def test_the_lines_of_requests_that_the_end_of_the_interpreter_waits_for_are_written(self):
        for names in ("slow",), ("stuck", "slow"):
            with self.subTest(names):
                path = f"{self.path}.{len(names)}"
                subprocess.run([sys.executable, "-c", AT_EXIT, path, *names], check=True, timeout=LIMIT)
                self.assertEqual(len(self.lines(path)), len(names))
