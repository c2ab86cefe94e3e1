"""A server that is handed over to a successor, readiness, and what systemd is told."""

import contextlib
import os
import socket
import sys
import tempfile
import threading
import time
import unittest
from unittest.mock import patch

from support import LIMIT, SOON, Program, fetch, is_refused, until, ways

from transom import AlreadyStartedError, BadRouteError, InvalidArgumentError, Server, SystemCallError

#: A program that serves until it reads "stop", and hands over when it reads "hand over".
PROGRAM = """
import os, sys, transom
app = transom.Server(model=sys.argv[1], inherit=True, notify_systemd=True)
@app.get("/")
def name(request):
    return str(os.getpid())
running = app.start("127.0.0.1:0")
print("listening on", running.url, flush=True)
for line in sys.stdin:
    if line == "hand over\\n":
        successor = running.hand_over()
        running.stop(60)
        _, status = os.waitpid(successor, 0)
        sys.exit(status)
    if line == "status\\n":
        running.notify_status("well\\nX=1")
        running.notify_reloading()
        running.notify_ready()
    if line == "stop\\n":
        break
running.stop(60)
"""


class Port:
    """A server of which the port is known."""

    def __init__(self, port):
        self.port = port

    def ask(self):
        return fetch(self, "/").text


#: A program that gets two sockets as systemd passes them: from descriptor 3 on, with names.
PASSED = """
import os, socket, transom
sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(3)]
addresses = ["127.0.0.1:%d" % one.getsockname()[1] for one in sockets[:2]]
descriptors = [os.dup(one.fileno()) for one in sockets[:2]]
for number, descriptor in enumerate(descriptors):
    os.dup2(descriptor, 3 + number, inheritable=False)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS="2", LISTEN_FDNAMES="web:admin")
"""

ACTIVATED = (
    PASSED
    + """
app = transom.Server(inherit=True)
app.get("/")(lambda request: "well")
with app.start("127.0.0.1:0") as running:
    assert running.addresses == addresses, (running.addresses, addresses)
    print(running.names, flush=True)
"""
)

#: The first argument has the places of its sockets. The one common place is taken; then the second is asked.
RESERVED = (
    PASSED
    + """
import sys, time, urllib.request
app = transom.Server(inherit=True, limits={"connections": 1}, reserve=map(int, sys.argv[1].split()))
app.get("/")(lambda request: "well")
with app.start("127.0.0.1:0") as running:
    taken = socket.create_connection(("127.0.0.1", running.port))
    while running.stats().connections < 1:
        time.sleep(0.01)
    print(urllib.request.urlopen(f"http://{addresses[1]}/", timeout=60).read().decode())
"""
)


class Names(unittest.TestCase):
    def test_sockets_that_were_passed_have_their_names(self):
        with Program(ACTIVATED) as program:
            code, out, err = program.end()
        self.assertEqual((code, out), (0, "['web', 'admin']\n"), err)

    def test_sockets_that_were_passed_have_places_in_their_order(self):
        with Program(RESERVED, "0 1") as program:
            code, out, err = program.end()
        self.assertEqual((code, out), (0, "well\n"), err)

    def test_places_for_more_sockets_than_were_passed_are_a_mistake(self):
        with Program(RESERVED, "0 1 1") as program:
            code, _, err = program.end()
        self.assertEqual(code, 1)
        self.assertIn("InvalidArgumentError: reserve is for 3 addresses, and there are 2", err)

    def test_a_socket_of_the_program_itself_has_no_name(self):
        with Server().start("127.0.0.1:0") as running:
            self.assertEqual(running.names, [None])


class HandOver(unittest.TestCase):
    def test_a_successor_takes_the_port_over(self):
        for model in ("event", "threads", "sequential"):
            with self.subTest(model), Program(PROGRAM, model) as program:
                port = Port(program.port())
                first = port.ask()
                self.assertEqual(first, str(program.process.pid))
                program.write("hand over\n")
                self.assertEqual(program.port(), port.port)
                self.assertTrue(until(lambda port=port, first=first: port.ask() != first))
                program.write("stop\n")
                code, _, err = program.end()
                self.assertEqual(code, 0, err)
                self.assertTrue(until(lambda port=port: is_refused(port.port)))

    def test_a_successor_that_fails_leaves_the_server_serving(self):
        for name, app, start in ways():
            app.get("/")(lambda request: "well")
            with self.subTest(name), start() as running:
                for argv, sentence in (
                    (["/no/such/program"], "No such file"),
                    (["false"], "exit status: 1"),
                    ([sys.executable, "-c", "raise SystemExit(7)"], "exit status: 7"),
                ):
                    with self.assertRaisesRegex(SystemCallError, sentence):
                        running.hand_over(argv)
                with self.assertRaisesRegex(SystemCallError, "did not serve in time"):
                    running.hand_over(["sleep", "600"], timeout=0.1)
                self.assertEqual(fetch(running, "/").text, "well")

    def test_wrong_arguments_of_a_hand_over(self):
        with Server().start("127.0.0.1:0") as running:
            for argv in ([], [""], ["a\0b"]):
                with self.assertRaises(InvalidArgumentError):
                    running.hand_over(argv)
            for argv in ("false", b"false", 7):
                with self.assertRaisesRegex(TypeError, "argv is the words of a command"):
                    running.hand_over(argv)
            with self.assertRaises(InvalidArgumentError):
                running.hand_over(["false"], timeout=-1)

    def test_a_server_that_has_stopped_is_not_handed_over(self):
        running = Server().start("127.0.0.1:0")
        running.stop(0)
        with self.assertRaisesRegex(Exception, "stopped"):
            running.hand_over(["false"])
        running.notify_ready()

    def test_a_stop_does_not_wait_for_a_hand_over(self):
        running = Server().start("127.0.0.1:0")
        failed = []
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        pipe = os.path.join(folder.name, "pipe")
        os.mkfifo(pipe)

        def hand_over():
            try:
                # It waits until somebody opens the pipe for writing.
                running.hand_over(["cat", pipe], timeout=2 * LIMIT)
            except SystemCallError as error:
                failed.append(error)

        thread = threading.Thread(target=hand_over)
        thread.start()
        self.assertTrue(until(lambda: running._hand_overs == 1))
        begun = time.monotonic()
        running.stop(0)
        self.assertLess(time.monotonic() - begun, SOON)

        def has_ended():
            # The stop may have come before the command, which then never opens the pipe.
            with contextlib.suppress(OSError):
                os.close(os.open(pipe, os.O_WRONLY | os.O_NONBLOCK))
            return not thread.is_alive()

        self.assertTrue(until(has_ended))
        self.assertEqual(len(failed), 1)


class Readiness(unittest.TestCase):
    def test_readiness_turns_red_when_a_stop_begins(self):
        for model in ("event", "threads", "sequential"):
            app = Server(model=model, timeouts={"stop_delay": LIMIT})
            app.readiness("/ready")
            app.get("/")(lambda request: "well")
            with self.subTest(model):
                running = app.start("127.0.0.1:0")
                self.assertEqual(fetch(running, "/ready").text, "ready\n")
                with self.assertRaises(AlreadyStartedError):
                    app.readiness("/late")
                stopping = threading.Thread(target=running.stop, args=(2 * LIMIT,))
                stopping.start()
                self.assertTrue(until(lambda running=running: fetch(running, "/ready").status == 503))
                self.assertEqual(fetch(running, "/").text, "well")
                running._hurry()
                stopping.join(LIMIT)
                self.assertTrue(until(lambda running=running: is_refused(running.port)))

    def test_a_bad_pattern_is_refused(self):
        app = Server()
        for pattern in ("ready", "/a\0b", "/\ud800"):
            with self.assertRaises(BadRouteError):
                app.readiness(pattern)
        app.readiness("/ready")
        with self.assertRaises(BadRouteError):
            app.get("/ready")(lambda request: "twice")


class Systemd(unittest.TestCase):
    def test_systemd_is_told(self):
        with (
            tempfile.TemporaryDirectory() as folder,
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd,
        ):
            path = os.path.join(folder, "notify")
            systemd.bind(path)
            systemd.settimeout(LIMIT)
            with patch.dict(os.environ, NOTIFY_SOCKET=path), Program(PROGRAM, "event") as program:
                program.port()
                self.assertEqual(systemd.recv(500), b"READY=1")
                program.write("status\n")
                self.assertEqual(systemd.recv(500), b"STATUS=well X=1")
                self.assertTrue(systemd.recv(500).startswith(b"RELOADING=1\nMONOTONIC_USEC="))
                self.assertEqual(systemd.recv(500), b"READY=1")
                program.write("hand over\n")
                told = [systemd.recv(500), systemd.recv(500)]
                self.assertIn(b"READY=1", told)
                self.assertTrue(any(message.startswith(b"MAINPID=") for message in told))
                program.port()
                program.write("stop\n")
                self.assertEqual(systemd.recv(500), b"STOPPING=1")
                self.assertEqual(program.end()[0], 0)


if __name__ == "__main__":
    unittest.main()
