"""Several processes that serve on the same sockets."""

import contextlib
import http.client
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import unittest
from pathlib import Path

import processes_app
from support import HAS_GIL, LIMIT, SOURCE, Quiet, fetch, is_refused, read_all, send_get, until

from transom import (
    AddressInUseError,
    AlreadyStartedError,
    BadAddressError,
    Error,
    InvalidArgumentError,
    Processes,
    SystemCallError,
)


def is_gone(pid):
    """Returns `True` if there is no such process, or if it has ended and nobody has waited for it."""
    try:
        os.kill(pid, 0)
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except ProcessLookupError:
        return True
    except FileNotFoundError:
        return Path("/proc/self").exists()


def serves(processes):
    """Returns `True` if one of the processes answers. One that is being replaced may answer no more."""
    with contextlib.suppress(OSError, http.client.HTTPException):
        return int(fetch(processes, "/").text) in processes.pids
    return False


class Load:
    """Clients that ask without a pause, and count what they get."""

    def __init__(self, port):
        self.port = port
        self.answered = 0
        self.failures = []
        self._over = threading.Event()
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=each) for each in (self._anew, self._keep, self._keep)]

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._over.set()
        for thread in self._threads:
            thread.join(LIMIT)

    def _anew(self):
        """Opens a connection for each request."""
        while not self._over.is_set():
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=LIMIT)
            self._ask(connection)
            connection.close()

    def _keep(self):
        """Keeps a connection open until the server closes it."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=LIMIT)
        while not self._over.is_set():
            self._ask(connection)
        connection.close()

    def _ask(self, connection):
        try:
            connection.request("GET", "/")
            response = connection.getresponse()
            response.read()
            if response.status != 200:
                raise ValueError(f"status {response.status}")
        except Exception as error:
            connection.close()
            with self._lock:
                self.failures.append(repr(error))
        else:
            with self._lock:
                self.answered += 1


class TestProcesses(Quiet, unittest.TestCase):
    def start(self, make=processes_app.make, address="127.0.0.1:0", **settings):
        """Starts processes that are stopped at the end of the test."""
        settings.setdefault("count", 2)
        processes = Processes(make, address, **settings)
        self.addCleanup(processes.stop, 0)
        processes.start()
        return processes

    @staticmethod
    def has_replaced(processes, before):
        """Returns `True` once two processes serve that are not those two."""
        pids = processes.pids
        return len(pids) == 2 and pids != before

    def test_no_request_fails_while_all_processes_are_replaced(self):
        # A client that is slow must not meet the end of its connection.
        processes = self.start(processes_app.make_patient, stop_timeout=LIMIT)
        before = processes.pids
        self.assertEqual(len(set(before)), 2)
        with Load(processes.port) as load:
            for _ in range(2):
                answered, replaced = load.answered, processes.pids
                self.assertTrue(until(lambda answered=answered: load.answered > answered + 50))
                processes.restart()
                self.assertFalse(set(processes.pids) & set(replaced))
        self.assertEqual(load.failures, [])
        self.assertTrue(all(is_gone(pid) for pid in before))
        self.assertEqual(len(processes.pids), 2)
        self.assertEqual(self.log, [])

    def test_a_run_calls_a_function_once_each_process_serves(self):
        processes = Processes(processes_app.make, "127.0.0.1:0", count=2)
        seen = []

        def ready(it):
            seen.append(len(it.pids))
            it.stop(0)

        processes.run(quiet=True, ready=ready)
        self.assertEqual(seen, [2])

    def test_a_process_that_never_served_is_not_replaced_while_the_others_start(self):
        with self.assertRaisesRegex(SystemCallError, "does not serve: ValueError: no settings"):
            Processes(processes_app.fail, "127.0.0.1:0", count=2).start()
        self.assertEqual([line for line in self.log if "another one starts" in line], [])

    def test_the_number_of_processes_changes_and_no_request_fails(self):
        processes = self.start(count=1)
        with Load(processes.port) as load:
            for count in (3, 1, 2):
                answered = load.answered
                self.assertTrue(until(lambda answered=answered: load.answered > answered + 20))
                before = processes.pids
                processes.resize(count)
                self.assertEqual(len(processes.pids), count)
                # Those that stay are the same.
                self.assertEqual(processes.pids[:1], before[:1])
        self.assertEqual(load.failures, [])
        # A process that was added is looked after like the others.
        os.kill(processes.pids[1], signal.SIGKILL)
        before = processes.pids
        self.assertTrue(until(lambda: len(processes.pids) == 2 and processes.pids != before))

    def test_processes_that_cannot_be_added_leave_the_others(self):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "full"
            processes = self.start(processes_app.Once(str(path)), count=1)
            before = processes.pids
            path.touch()
            with self.assertRaisesRegex(SystemCallError, "does not serve: ValueError: the file is there"):
                processes.resize(3)
            self.assertEqual(processes.pids, before)
            self.assertTrue(serves(processes))
        for wrong in (0, 1025, True, "2"):
            with self.assertRaises((TypeError, InvalidArgumentError)):
                processes.resize(wrong)
        processes.stop(0)
        for count in (1, 2):
            with self.assertRaisesRegex(Error, "the processes have stopped"):
                processes.resize(count)

    def test_a_process_that_dies_is_replaced(self):
        processes = self.start()
        for path, outcome in (("/die", "exit status 7"), ("/stop", "exit status 0")):
            before = processes.pids
            try:
                fetch(processes, path)
            except (OSError, http.client.HTTPException):
                pass
            self.assertTrue(
                until(lambda before=before: len(processes.pids) == 2 and processes.pids != before)
            )
            said = f"({outcome}); another one starts in"
            self.assertTrue(until(lambda said=said: any(said in line for line in self.log)), self.log)
        self.assertTrue(until(lambda: serves(processes)))

    def test_a_process_gets_sigterm_and_finishes_its_requests(self):
        processes = self.start(count=1)
        (pid,) = processes.pids
        with send_get(processes.port, "/slow") as connection:
            # The answer of another request shows that this one was read.
            fetch(processes, "/")
            os.kill(pid, signal.SIGTERM)
            self.assertTrue(until(lambda: is_gone(pid)))
            answer = read_all(connection)
            self.assertTrue(answer.endswith(str(pid).encode()) or not answer, answer)
        self.assertTrue(until(lambda: processes.pids not in ([], [pid])))

    @unittest.skipUnless(HAS_GIL, "no handler can hold up the others")
    def test_a_process_that_hangs_is_killed_and_replaced(self):
        processes = self.start(hang_timeout=3.0)
        before = processes.pids
        connection = send_get(processes.port, "/hang")
        self.addCleanup(connection.close)
        self.assertTrue(until(lambda: self.has_replaced(processes, before), 2 * LIMIT))
        said = "is killed: it shows no sign of life"
        self.assertTrue(until(lambda: any(said in line for line in self.log)), self.log)
        self.assertTrue(until(lambda: serves(processes)))

    def test_a_stop_is_bounded(self):
        processes = self.start(count=1)
        (pid,) = processes.pids
        port = processes.port
        connection = send_get(port, "/never")
        self.addCleanup(connection.close)
        fetch(processes, "/")
        processes.stop(0.2)
        self.assertTrue(until(lambda: is_gone(pid)))
        self.assertTrue(until(lambda: is_refused(port)))
        self.assertEqual((processes.pids, processes.addresses, processes.port), ([], [], 0))
        processes.stop()
        with self.assertRaisesRegex(Error, "do not run"):
            _ = processes.url
        with self.assertRaisesRegex(Error, "have stopped"):
            processes._spawn(None)
        # They may be started again.
        with processes:
            processes.start()
            with self.assertRaises(AlreadyStartedError):
                processes.start()
            self.assertEqual(int(fetch(processes, "/").text), processes.pids[0])

    def test_a_start_that_fails_leaves_nothing(self):
        for make, sentence in (
            (processes_app.fail, "does not serve: ValueError: no settings"),
            (processes_app.exit_early, "does not serve: exit status 3"),
            (
                processes_app.make_none,
                "does not serve: TypeError: the function of Processes returns a Server",
            ),
        ):
            processes = Processes(make, "127.0.0.1:0", count=2)
            with self.subTest(sentence), self.assertRaisesRegex(SystemCallError, sentence):
                processes.start()
            self.assertEqual(processes.addresses, [])
        processes = Processes(processes_app.wait_long, "127.0.0.1:0", count=1, start_timeout=0.5)
        with self.assertRaisesRegex(SystemCallError, "does not serve: it did not serve in time"):
            processes.start()
        names = "transom-proc"
        self.assertTrue(
            until(lambda: not [one for one in threading.enumerate() if one.name.startswith(names)])
        )

    def test_a_restart_that_fails_leaves_the_old_processes_serving(self):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "file")
            processes = self.start(processes_app.Once(path))
            before = processes.pids
            Path(path).touch()
            with self.assertRaisesRegex(SystemCallError, "ValueError: the file is there"):
                processes.restart()
            self.assertEqual(processes.pids, before)
            self.assertIn(int(fetch(processes, "/").text), before)
            os.unlink(path)
            processes.restart()
            self.assertFalse(set(processes.pids) & set(before))

    def test_unix_sockets_and_sockets_of_the_program(self):
        with tempfile.TemporaryDirectory() as folder, socket.create_server(("127.0.0.1", 0)) as own:
            path = os.path.join(folder, "socket")
            addresses = [own, f"unix:{path}", "localhost:0", f"fd:{own.fileno()}"]
            processes = self.start(address=addresses, count=1, unix_mode=0o600)
            self.assertEqual(os.stat(path).st_mode & 0o777, 0o600)
            port = own.getsockname()[1]
            self.assertEqual(processes.addresses[:2], [f"127.0.0.1:{port}", f"unix:{path}"])
            self.assertEqual((processes.port, processes.url), (port, f"http://127.0.0.1:{port}"))
            self.assertEqual(int(fetch(processes, "/").text), processes.pids[0])
            with self.assertRaises(AddressInUseError):
                Processes(processes_app.make, f"unix:{path}", count=1).start()
            processes.stop(1)
            self.assertFalse(os.path.exists(path))

    def test_wrong_arguments(self):
        for wrong in (None, 7):
            with self.assertRaises(TypeError):
                Processes(wrong)
        for name, settings in (("make", {"make": lambda: None}), ("tls", {"tls": lambda: None})):
            with self.assertRaisesRegex(TypeError, f"{name} is a function of a module"):
                Processes(**{"make": processes_app.make, **settings})
        for settings in (
            {"count": 0},
            {"count": "2"},
            {"address": 7},
            {"address": []},
            {"tls": 7},
            {"unix_mode": 0o1000},
            {"start_timeout": 0},
            {"hang_timeout": 0},
            {"stop_timeout": -1},
        ):
            with self.subTest(settings), self.assertRaises((InvalidArgumentError, TypeError)):
                Processes(processes_app.make, **settings)
        for address in ("nothing", "127.0.0.1", ":80", "127.0.0.1:port", "fd:9999", "unix:/no/such/folder/s"):
            with self.subTest(address), self.assertRaises((BadAddressError, SystemCallError)):
                Processes(processes_app.make, address, count=1).start()
        with socket.create_server(("127.0.0.1", 0)) as taken, self.assertRaises(AddressInUseError):
            Processes(processes_app.make, f"127.0.0.1:{taken.getsockname()[1]}", count=1).start()


#: A program that serves with two processes.
PROGRAM = """
import sys
import processes_app, transom
if __name__ == "__main__":
    processes = transom.Processes(processes_app.make, "127.0.0.1:0", count=2)
    if sys.argv[1] == "run":
        processes.run()
    else:
        processes.start()
        print("listening on", processes.url, flush=True)
        sys.stdin.readline()
    print("ended", flush=True)
"""


class Program:
    """The program in a process of its own."""

    def __init__(self, folder, how):
        file = os.path.join(folder, "program.py")
        Path(file).write_text(PROGRAM)
        path = os.pathsep.join([str(SOURCE), str(Path(__file__).parent)])
        self.process = subprocess.Popen(
            [sys.executable, "-X", "dev", file, how],
            env=dict(os.environ, PYTHONPATH=path),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        )
        line = self.process.stdout.readline()
        if "http://127.0.0.1:" not in line:
            raise AssertionError(f"{line!r} {self.process.stderr.read()}")
        self.port = int(line.split()[2].rpartition(":")[2])

    def __enter__(self):
        return self

    def __exit__(self, *_):
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.process.communicate()

    def pids(self, count=40):
        """Returns the processes that have answered some requests."""
        return {int(fetch(self, "/").text) for _ in range(count)}

    def end(self):
        """Waits for the end. Returns the exit code and what was printed."""
        out, err = self.process.communicate(timeout=LIMIT)
        return self.process.returncode, out, err


class TestProgram(unittest.TestCase):
    def program(self, how):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        program = Program(folder.name, how)
        self.addCleanup(program.__exit__)
        return program

    def test_a_signal_to_all_processes_ends_them_in_order(self):
        for number in (signal.SIGINT, signal.SIGTERM):
            program = self.program("run")
            before = program.pids()
            os.killpg(program.process.pid, number)
            self.assertEqual(program.end(), (0, "ended\n", ""))
            self.assertTrue(until(lambda before=before: all(map(is_gone, before))))
            self.assertTrue(until(lambda program=program: is_refused(program.port)))

    def test_sighup_restarts_the_processes(self):
        program = self.program("run")
        before = set()
        # One process may take all requests for a while.
        self.assertTrue(until(lambda: before.update(program.pids()) or len(before) == 2))
        program.process.send_signal(signal.SIGHUP)
        self.assertTrue(until(lambda: all(map(is_gone, before))))
        self.assertFalse(program.pids() & before)
        program.process.send_signal(signal.SIGTERM)
        self.assertEqual(program.end(), (0, "ended\n", ""))

    def test_processes_end_with_the_interpreter_of_their_supervisor(self):
        program = self.program("start")
        before = program.pids()
        self.assertEqual(program.end(), (0, "ended\n", ""))
        self.assertTrue(until(lambda: all(map(is_gone, before))))

    def test_processes_end_if_their_supervisor_is_killed(self):
        program = self.program("run")
        before = program.pids()
        program.process.kill()
        self.assertTrue(until(lambda: all(map(is_gone, before))))
        self.assertTrue(until(lambda: is_refused(program.port)))


if __name__ == "__main__":
    unittest.main()
