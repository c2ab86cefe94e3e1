"""Runs the suite in several processes: most tests wait most of the time.

Each process takes one test after another. The output of a test is shown if it fails. Options of
the interpreter, such as `-W error`, also hold in the processes.

    python3 run.py [--jobs N] [--slowest N] [TEST ...]
"""

import argparse
import contextlib
import faulthandler
import io
import json
import os
import queue
import subprocess
import sys
import tempfile
import threading
import time
import unittest
from pathlib import Path

#: A test that takes longer ends its process, with the stacks of its threads. In seconds.
LONGEST = 900


def names_of(suite):
    """Yields a name for each test of a suite, under which a process can load it."""
    for test in suite:
        if isinstance(test, unittest.TestSuite):
            yield from names_of(test)
        elif type(test).__name__ == "_FailedTest":
            # A module that cannot be imported: to load it again says why.
            yield test._testMethodName
        else:
            yield test.id()


def work():
    """Runs the tests whose names come by standard input, and writes a line about each."""
    orders, reports = os.fdopen(os.dup(0)), os.fdopen(os.dup(1), "w")
    # What tests read and print, and their children, has nothing to do with either.
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(2, 1)
    for line in orders:
        faulthandler.dump_traceback_later(LONGEST, exit=True)
        out = io.StringIO()
        begun = time.monotonic()
        suite = unittest.defaultTestLoader.loadTestsFromName(line.strip())
        warnings = None if sys.warnoptions else "default"
        result = unittest.TextTestRunner(stream=out, warnings=warnings).run(suite)
        faulthandler.cancel_dump_traceback_later()
        report = {
            "ok": result.wasSuccessful(),
            "ran": result.testsRun,
            "skipped": len(result.skipped),
            "out": out.getvalue(),
            "seconds": time.monotonic() - begun,
        }
        print(json.dumps(report), file=reports, flush=True)
    # The end of the interpreter must not last forever either.
    faulthandler.dump_traceback_later(LONGEST, exit=True)


class Run:
    """A run of the suite."""

    def __init__(self, names):
        self._left = queue.SimpleQueue()
        for name in names:
            self._left.put(name)
        self._expected = self._left.qsize()
        self._lock = threading.Lock()
        self.ran = self.skipped = self.failed = 0
        #: How long each test took, in seconds.
        self.times = []

    def end(self):
        """Checks that each test has run."""
        if len(self.times) != self._expected:
            self._fail("the runner", f"{len(self.times)} of {self._expected} tests have run\n")

    def serve(self):
        """Has one process run tests until none is left. One that dies is replaced."""
        while self._left.qsize():
            with tempfile.TemporaryFile("w+", errors="replace") as printed:
                code = self._serve(printed)
                if code:
                    printed.seek(0)
                    self._fail("a process of tests", f"it has ended with {code}\n{printed.read()}")

    def _serve(self, printed):
        """Runs tests in a process. Returns how it has ended, or 0 if a test was blamed for that."""
        options = [f"-W{option}" for option in sys.warnoptions]
        with subprocess.Popen(
            [sys.executable, "-X", "faulthandler", *options, __file__, "--work"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=printed,
            text=True,
        ) as process:
            line = "none"
            while True:
                try:
                    name = self._left.get_nowait()
                except queue.Empty:
                    break
                line = ""
                # A process that has ended reads no name.
                with contextlib.suppress(BrokenPipeError):
                    process.stdin.write(f"{name}\n")
                    process.stdin.flush()
                    line = process.stdout.readline()
                printed.seek(0)
                text = printed.read()
                printed.seek(0)
                printed.truncate()
                if not line:
                    ended = {"ok": False, "ran": 1, "skipped": 0, "seconds": 0.0}
                    self._note(name, {**ended, "out": "its process ended\n"}, text)
                    break
                self._note(name, json.loads(line), text)
            with contextlib.suppress(BrokenPipeError):
                process.stdin.close()
            code = process.wait()
        return code if line else 0

    def _note(self, name, report, printed):
        with self._lock:
            self.ran += report["ran"]
            self.skipped += report["skipped"]
            self.times.append((report["seconds"], name))
            if not report["ok"]:
                self._fail(name, f"{report['out']}{printed}")

    def _fail(self, name, text):
        self.failed += 1
        print(f"==== {name}\n{text}", file=sys.stderr, flush=True)


def main():
    parser = argparse.ArgumentParser(description="Runs the suite in several processes.")
    parser.add_argument("--jobs", type=int, default=min(4, (os.cpu_count() or 1) + 1))
    parser.add_argument("--slowest", type=int, default=0, help="how many tests to list with their times")
    parser.add_argument("tests", nargs="*")
    options = parser.parse_args()
    loader = unittest.defaultTestLoader
    here = str(Path(__file__).parent)
    suite = loader.loadTestsFromNames(options.tests) if options.tests else loader.discover(here)
    run = Run(names_of(suite))
    begun = time.monotonic()
    threads = [threading.Thread(target=run.serve) for _ in range(options.jobs)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    run.end()
    for seconds, name in sorted(run.times, reverse=True)[: options.slowest]:
        print(f"{seconds:8.2f} s  {name}", file=sys.stderr)
    print(f"Ran {run.ran} tests in {time.monotonic() - begun:.3f}s\n", file=sys.stderr)
    what = f"FAILED (failures={run.failed}, " if run.failed else "OK ("
    print(f"{what}skipped={run.skipped})", file=sys.stderr)
    return 1 if run.failed or not run.ran else 0


if __name__ == "__main__":
    if sys.argv[1:] == ["--work"]:
        work()
    else:
        sys.exit(main())
