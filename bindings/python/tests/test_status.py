"""The live status page: who may see it, and that it goes on while a handler holds the interpreter lock."""

import base64
import ctypes
import json
import os
import subprocess
import sys
import unittest

from support import LIMIT, Quiet, fetch

import transom
from transom import Metrics, Server

PASSWORD = "Basic " + base64.b64encode(b"ada:sesame").decode()

# Another process reads the events of a page. When two have shown the handler, it writes to a pipe.
VIEWER = """
import os, sys, urllib.request
url, password, pipe = sys.argv[1:]
request = urllib.request.Request(url, headers={"Authorization": password})
shown = 0
for line in urllib.request.urlopen(request, timeout=60):
    if line.startswith(b"data: {\\"state\\""):
        print(line[6:].decode().strip(), flush=True)
        shown += b"/hold" in line
        if shown == 2:
            os.write(int(pipe), b"x")
"""


class TestStatus(Quiet, unittest.TestCase):
    def test_a_password_opens_the_page(self):
        app = Server(metrics=Metrics())
        app.status_page("/status", password=("ada", "sesame"))
        app.status_page("/here")
        with app.start("127.0.0.1:0") as running:
            refused = fetch(running, "/status")
            self.assertEqual(refused.status, 401)
            self.assertEqual(refused.headers["www-authenticate"], 'Basic realm="status", charset="UTF-8"')
            page = fetch(running, "/status", headers={"Authorization": PASSWORD})
            self.assertEqual((page.status, page.headers["cache-control"]), (200, "no-store"))
            self.assertIn("<!doctype html>", page.text)
            self.assertEqual(fetch(running, "/here").status, 200)
            self.assertEqual(fetch(running, "/here", headers={"X-Forwarded-For": "203.0.113.9"}).status, 403)

    def test_events_come_while_a_handler_holds_the_interpreter_lock(self):
        app = Server(metrics=Metrics())
        app.status_page("/status", password=("ada", "sesame"))
        reading, writing = os.pipe()
        self.addCleanup(os.close, reading)

        @app.get("/hold", blocking=False)
        def hold(request):
            # A function of a PyDLL keeps the lock. The viewer ends the wait, or its end does.
            return str(ctypes.PyDLL(None).read(reading, ctypes.create_string_buffer(1), 1))

        with app.start("127.0.0.1:0") as running:
            command = [sys.executable, "-c", VIEWER, f"{running.url}/status/events", PASSWORD, str(writing)]
            viewer = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, pass_fds=[writing])
            os.close(writing)
            with viewer:
                first = viewer.stdout.readline()
                self.assertIn('"state":"running"', first)
                self.assertEqual(fetch(running, "/hold").text, "1")
                running.stop(LIMIT)
                events = [json.loads(line) for line in viewer.stdout]
        shown = [(each["route"], each["state"]) for event in events for each in event["slowest"]]
        self.assertGreaterEqual(shown.count(("/hold", "handling")), 2)
        self.assertEqual(events[-1]["state"], "stopping")

    def test_mistakes_are_named(self):
        with self.assertRaisesRegex(transom.InvalidArgumentError, "needs Server\\(metrics=\\)"):
            Server().status_page("/status")
        app = Server(metrics=Metrics())
        app.status_page("/status")
        with self.assertRaises(transom.BadRouteError):
            app.status_page("/status")
        for bad in "ada", ("ada",), ("ada", 1), 7:
            with self.subTest(bad=bad), self.assertRaises(TypeError):
                app.status_page("/other", password=bad)
        with self.assertRaises(transom.InvalidArgumentError):
            app.status_page("/other", password=("ada", "\0"))
        for bad in (("ada", ""), ("a:da", "sesame")):
            with self.assertRaises(transom.InvalidArgumentError):
                app.status_page("/other", password=bad)
