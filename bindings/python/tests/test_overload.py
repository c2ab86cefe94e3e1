"""Overload: what has waited too long is refused, in Python's queues as in those of the library."""

import http.client
import socket
import threading
import time
import unittest
from unittest import mock

from support import LIMIT, Quiet, fetch, plain_route, send_get, served, until, ways

import transom
from transom import Metrics, Overload, Server
from transom import _native as native
from transom._overload import Congestion
from transom._pool import Pool
from transom._shares import Shares, share_of
from transom._timed_jobs import VITAL, TimedJob, TimedJobs

#: Requests may wait for so long, in seconds: long enough for a machine that is busy otherwise.
PATIENCE = 0.5
#: A wait that is too long, for all but vital requests.
TOO_LONG = 0.9
IMPATIENT = Overload(target=PATIENCE, interval=PATIENCE)
PLAIN_503 = "503 Service Unavailable\n"

#: The models in which requests of several connections wait for Python.
MODELS = ("event", "threads")


def answer_of(connection):
    """Reads the response of a connection, which goes on. Returns its status and the text."""
    response = http.client.HTTPResponse(connection)
    response.begin()
    return response.status, response.read().decode()


def nothing():
    """Does nothing, as a job."""


class Holding(Quiet):
    """Tests in which a handler holds a thread or a loop until the test releases it."""

    def setUp(self):
        super().setUp()
        self.begun = threading.Event()
        self.release = threading.Event()
        self.addCleanup(self.release.set)

    def hold(self, request):
        self.begun.set()
        self.release.wait(LIMIT)
        return "held"

    def reset(self):
        self.begun.clear()
        self.release.clear()

    def held(self, running):
        """Holds the thread or the loop, and returns the connection that waits."""
        connection = send_get(running.port, "/hold")
        self.assertTrue(self.begun.wait(LIMIT))
        return connection

    def expect_refusals(self, running, reason, count):
        """Waits for the refusals to be counted: a client may have its response before."""
        self.assertTrue(until(lambda: running.stats().refusals == {reason: count}), running.stats().refusals)

    def check_queue(self, running, waiting):
        """Lets a request wait too long. `waiting` counts the requests in the queue that is held."""
        with (
            self.held(running) as held,
            send_get(running.port, "/") as first,
        ):
            self.assertTrue(until(lambda: waiting() == 1))
            time.sleep(TOO_LONG)
            # What would wait as long as the first has is refused at once.
            refused = fetch(running, "/")
            self.assertEqual((refused.status, refused.text), (503, PLAIN_503))
            self.assertEqual(refused.headers["retry-after"], "1")
            with send_get(running.port, "/vital") as vital:
                self.assertTrue(until(lambda: waiting() >= 1))
                # Health has no need of Python.
                self.assertEqual(fetch(running, "/ready").status, 200)
                self.release.set()
                self.assertEqual(answer_of(held), (200, "held"))
                self.assertEqual(answer_of(vital), (200, "alive"))
            self.assertEqual(answer_of(first), (503, PLAIN_503))
            self.expect_refusals(running, "overloaded", 2)
            # The server goes on.
            self.assertTrue(until(lambda: fetch(running, "/").status == 200))


class TestPool(Holding, unittest.TestCase):
    def app(self, **settings):
        app = Server(threads=1, overload=IMPATIENT, **settings)
        app.readiness("/ready")
        app.get("/hold", blocking=True, priority="vital")(self.hold)
        app.get("/", blocking=True)(lambda request: "hello")
        app.get("/vital", blocking=True, priority="vital")(lambda request: "alive")
        return app

    def test_a_request_that_waits_too_long_for_a_thread_is_refused(self):
        for model in MODELS:
            with self.subTest(model=model), self.app(model=model).start("127.0.0.1:0") as running:
                self.reset()
                self.check_queue(running, lambda: running._pool.load()[0])
                self.assertTrue(until(lambda: any("requests wait too long" in line for line in self.log)))

    def test_so_is_one_in_a_loop_of_the_hosts(self):
        with served(self.app()) as running:
            self.check_queue(running, lambda: running._pool.load()[0])

    def test_the_words_are_those_of_the_server_and_metrics_count(self):
        metrics = Metrics()
        app = self.app(error_format="json", metrics=metrics)
        with app.start("127.0.0.1:0") as running, self.held(running):
            with send_get(running.port, "/") as first:
                self.assertTrue(until(lambda: running._pool.load()[0] == 1))
                time.sleep(TOO_LONG)
                refused = fetch(running, "/")
                self.assertEqual(refused.status, 503)
                self.assertEqual(refused.headers["content-type"], "application/problem+json")
                self.assertEqual(refused.text, '{"status":503,"title":"Service Unavailable"}')
                self.assertEqual(answer_of(first)[0], 503)
            line = 'transom_refusals_total{reason="overloaded"} 2'
            self.assertTrue(until(lambda: line in metrics.text()), metrics.text())
            self.release.set()

    def test_asynchronous_middleware_learns_that_its_handler_was_refused(self):
        app = Server(threads=1, overload=IMPATIENT)
        caught = []

        @app.middleware
        async def watch(request, next):
            try:
                response = await next(request)
            except BaseException as error:
                caught.append(error)
                raise
            caught.append(response.status)
            return response

        app.get("/hold", priority="vital")(self.hold)
        app.get("/")(lambda request: "hello")
        with app.start("127.0.0.1:0") as running, self.held(running) as held:
            with send_get(running.port, "/") as first:
                self.assertTrue(until(lambda: running._pool.load()[0] == 1))
                time.sleep(TOO_LONG)
                self.assertEqual(fetch(running, "/").text, PLAIN_503)
                self.assertEqual(answer_of(first), (503, PLAIN_503))
            self.assertTrue(until(lambda: caught == [503, 503]), caught)
            self.expect_refusals(running, "overloaded", 2)
            self.release.set()
            self.assertEqual(answer_of(held), (200, "held"))

    def test_a_full_pool_counts_as_a_refusal(self):
        for overload in (None, Overload(target=LIMIT, interval=LIMIT)):
            with self.subTest(overload=overload):
                self.reset()
                app = Server(threads=1, overload=overload, limits={"pool_queue": 1})
                app.get("/", blocking=True)(self.hold)
                app.get("/vital", blocking=True, priority="vital")(lambda request: "alive")
                with (
                    app.start("127.0.0.1:0") as running,
                    send_get(running.port, "/") as first,
                ):
                    self.assertTrue(self.begun.wait(LIMIT))
                    with send_get(running.port, "/") as second:
                        self.assertTrue(until(lambda running=running: running._pool.load()[0] == 1))
                        self.assertEqual(fetch(running, "/").text, PLAIN_503)
                        self.expect_refusals(running, "pool-full", 1)
                        if overload is not None:
                            # The queue is full for others, and not for what is vital.
                            with send_get(running.port, "/vital") as vital:
                                self.assertTrue(until(lambda running=running: running._pool.load()[0] == 2))
                                self.release.set()
                                self.assertEqual(answer_of(vital), (200, "alive"))
                        self.release.set()
                        self.assertEqual(answer_of(first), (200, "held"))
                        self.assertEqual(answer_of(second), (200, "held"))


class TestLoop(Holding, unittest.TestCase):
    def app(self, **settings):
        app = Server(overload=IMPATIENT, **settings)
        app.readiness("/ready")

        @app.get("/hold", priority="vital")
        async def hold(request):
            return self.hold(request)

        @app.get("/")
        async def hello(request):
            return "hello"

        @app.get("/vital", priority="vital")
        async def vital(request):
            return "alive"

        return app

    def test_the_lag_of_a_loop_that_pulls_counts_as_waiting(self):
        for model in MODELS:
            with self.subTest(model=model), self.app(model=model).start("127.0.0.1:0") as running:
                self.reset()
                self.check_queue(running, lambda: running.stats().pull_queued)

    def test_so_does_the_lag_of_a_loop_of_the_hosts(self):
        with served(self.app()) as running:
            self.check_queue(running, lambda: running.stats().pull_queued)

    def test_so_does_the_lag_of_a_loop_to_which_requests_are_posted(self):
        for model in MODELS:
            app = self.app(model=model)
            plain_route(app)
            with self.subTest(model=model), app.start("127.0.0.1:0") as running:
                self.reset()
                lag = running._dispatcher.loop._lag
                # A vital request does not count there.
                self.check_queue(running, lambda lag=lag: len(lag._waiting))
                self.assertEqual(fetch(running, "/plain").text, "plain")


class TestServers(unittest.TestCase):
    def test_a_server_that_keeps_up_refuses_nothing(self):
        for name, app, start in ways(overload=Overload(target=5, interval=LIMIT)):
            with self.subTest(name):

                @app.get("/")
                async def hello(request):
                    return "hello"

                with start() as running:
                    for _ in range(20):
                        self.assertEqual(fetch(running, "/").text, "hello")
                    if "mixed" in name:
                        self.assertEqual(fetch(running, "/plain").text, "plain")
                    self.assertEqual(running.stats().refusals, {})

    def test_a_stream_goes_before_what_waits_and_is_not_refused(self):
        app = Server(threads=1, overload=IMPATIENT)
        app.get("/", blocking=True)(lambda request: iter(["a", "b"]))
        with app.start("127.0.0.1:0") as running:
            self.assertEqual(fetch(running, "/").text, "ab")

    def test_handlers_that_take_long_are_pulled_a_few_at_a_time(self):
        app = Server(overload=Overload(target=0.01, interval=LIMIT))
        app.get("/", blocking=False)(lambda request: "hello")
        with app.start("127.0.0.1:0") as running:
            from transom._batch import MOST, Inbox

            inbox = Inbox(running._handle, running._dispatcher.events, native.waiting)
            inbox.note_duration(4, 0.004)
            self.assertEqual(inbox._most, 5)
            inbox.note_duration(5, 1.0)
            self.assertEqual(inbox._most, 1)
            inbox.note_duration(1, 1e-6)
            self.assertEqual(inbox._most, MOST)

    def test_an_address_with_places_of_its_own_answers_while_the_server_is_full(self):
        for model in MODELS:
            app = Server(model=model, limits={"connections": 1}, reserve=[0, 2])
            app.readiness("/ready")
            with (
                self.subTest(model=model),
                app.start(["127.0.0.1:0", "127.0.0.1:0"]) as running,
                socket.create_connection(("127.0.0.1", running.port)),
            ):
                self.assertTrue(until(lambda running=running: running.stats().connections == 1))
                port = int(running.addresses[1].rsplit(":", 1)[1])
                with send_get(port, "/ready") as health:
                    self.assertEqual(answer_of(health), (200, "ready\n"))

    def test_places_for_more_addresses_than_there_are_is_a_mistake(self):
        app = Server(reserve=[0, 8])
        app.get("/")(lambda request: "hello")
        with self.assertRaisesRegex(
            transom.InvalidArgumentError, "reserve is for 2 addresses, and there are 1"
        ):
            app.start("127.0.0.1:0")

    def test_mistakes_are_named(self):
        app = Server()
        for wrong, message in (
            (lambda: Overload(target=0), "overload target is 0.001 to 1000000000 seconds, got 0"),
            (lambda: Overload(target=0.2), "overload target is at most the interval, 0.1, got 0.2"),
            (lambda: Overload(interval="1"), "overload interval is 0.001 to"),
            (lambda: Server(overload=0.1), "overload is an Overload, got float 0.1"),
            (
                lambda: app.get("/", priority="hihg"),
                "priority is one of low, normal, high, vital, got 'hihg'",
            ),
        ):
            with self.assertRaisesRegex(transom.InvalidArgumentError, message):
                wrong()
        with self.assertRaisesRegex(TypeError, "priority is a str, got int 1"):
            app.fallback(priority=1)


class TestTimedJobs(unittest.TestCase):
    def setUp(self):
        # The queue has just been empty, so that a job may wait for the interval.
        self.jobs = TimedJobs(Overload(target=1, interval=10))
        self.jobs.admits(b"normal", -1)

    def job(self, priority, waited):
        # A function of its own, so that the jobs differ.
        job = TimedJob(lambda: None, priority, nothing)
        job.since -= waited
        return job

    def put(self, *ones):
        made = [self.job(*one) for one in ones]
        for job in made:
            self.jobs.put(job)
        return made

    def test_vital_jobs_go_first_and_the_others_in_turn(self):
        first, second, third, fourth = self.put((b"normal", 0), (VITAL, 100), (b"low", 0), (VITAL, 0))
        self.jobs.put_unhurried(last := lambda: None)
        taken = [self.jobs.take() for _ in range(6)]
        wanted = [second.job, fourth.job, first.job, third.job, last, None]
        self.assertEqual(taken, [(job, []) for job in wanted])

    def test_low_priority_is_refused_first_and_vital_never(self):
        # Half of the interval and its whole, each half as long again for a job in the queue.
        late, still = self.put((b"low", 8), (b"normal", 8))
        self.assertEqual(self.jobs.take_late(), [late])
        self.assertEqual(self.jobs.take(), (still.job, []))
        self.put((b"normal", 7))
        self.assertFalse(self.jobs.admits(b"low", 1))
        self.assertTrue(self.jobs.admits(b"normal", 1))
        self.put((b"high", 12))
        self.assertTrue(self.jobs.admits(VITAL, 1000))

    def test_a_queue_that_always_waits_is_overloaded(self):
        jobs = TimedJobs(Overload(target=0.001, interval=0.05))
        jobs.put(TimedJob(nothing, b"normal", nothing))
        # Nothing was idle for 50 ms: then a job waits for a millisecond only.
        self.assertTrue(until(lambda: not jobs.admits(b"normal", 1)))
        jobs.admits(b"normal", -1)
        self.assertTrue(until(lambda: jobs.take_late() or not len(jobs)))

    def test_an_overloaded_queue_refuses_the_address_with_more_than_its_share_first(self):
        many = [TimedJob(lambda: None, b"normal", nothing, "192.0.2.1") for _ in range(3)]
        few = TimedJob(nothing, b"normal", nothing, "192.0.2.2")
        # Half of the interval is over: too long for the priority "low", and not for others.
        many[0].since -= 7
        for job in (*many, few):
            self.jobs.put(job)
        with mock.patch.object(Congestion, "is_overloaded", True):
            for source in ("192.0.2.2", "192.0.2.3", None):
                self.assertTrue(self.jobs.admits(b"normal", 1, source), source)
            self.assertFalse(self.jobs.admits(b"normal", 1, "192.0.2.1"))
            self.assertTrue(self.jobs.admits(VITAL, 1, "192.0.2.1"))
        with mock.patch.object(Congestion, "is_overloaded", False):
            self.assertTrue(self.jobs.admits(b"normal", 1, "192.0.2.1"))
        for job in many:
            self.assertEqual(self.jobs.take(), (job.job, []))
        # None of its jobs waits any more.
        few.since -= 7
        with mock.patch.object(Congestion, "is_overloaded", True):
            self.assertTrue(self.jobs.admits(b"normal", 1, "192.0.2.1"))
        self.assertEqual(self.jobs.take(), (few.job, []))

    def test_the_pool_knows_the_addresses_of_clients(self):
        app = Server(threads=1, overload=Overload(target=LIMIT, interval=LIMIT))
        begun, release = threading.Event(), threading.Event()
        self.addCleanup(release.set)

        @app.get("/", blocking=True)
        def hold(request):
            begun.set()
            return str(release.wait(LIMIT))

        with app.start("127.0.0.1:0") as running, send_get(running.port, "/") as first:
            self.assertTrue(begun.wait(LIMIT))
            with send_get(running.port, "/") as second:
                self.assertTrue(until(lambda: running._pool.load()[0] == 1))
                self.assertEqual(running._pool._timed._shares._counts, {"127.0.0.1": 1})
                release.set()
                self.assertEqual(answer_of(second)[0], 200)
            self.assertEqual(answer_of(first)[0], 200)
            self.assertEqual(running._pool._timed._shares._counts, {})

    def test_the_wake_of_a_refused_job_wakes_nobody(self):
        told = []
        pool = Pool(1, 8, nothing, Overload(target=LIMIT, interval=LIMIT))
        begun, release = threading.Event(), threading.Event()
        self.addCleanup(release.set)

        def hold():
            begun.set()
            release.wait(LIMIT)

        self.assertEqual(pool.submit_timed(TimedJob(hold, b"normal", nothing)), 0)
        self.assertTrue(begun.wait(LIMIT))

        def broken():
            told.append("late")
            raise ValueError("a refusal that fails")

        late = TimedJob(nothing, b"normal", broken)
        self.assertEqual(pool.submit_timed(late), 0)
        self.assertEqual(pool.load(), (1, 0))
        late.since -= 4 * LIMIT
        with self.assertLogs("transom", "ERROR"):
            self.assertEqual(
                pool.submit_timed(TimedJob(nothing, b"normal", nothing)), native.REJECT_OVERLOADED
            )
        self.assertEqual(told, ["late"])
        self.assertEqual(pool.load(), (0, 0))
        self.assertEqual(pool._jobs.qsize(), 0)
        done = threading.Event()
        self.assertEqual(pool.submit_timed(TimedJob(done.set, b"normal", nothing)), 0)
        # A job that becomes late while its thread comes for it is refused there.
        release.set()
        self.assertTrue(done.wait(LIMIT))
        self.assertTrue(pool.close(LIMIT))
        self.assertEqual(
            pool.submit_timed(TimedJob(nothing, VITAL, nothing)), native.REJECT_POOL_FULL, "it is closed"
        )

    def test_a_congestion_is_freed_once(self):
        congestion = Congestion(Overload())
        self.assertTrue(congestion.admits(b"normal", 0, 0.0))
        congestion._finalizer()
        congestion._finalizer()
        # One that is freed refuses nothing.
        self.assertTrue(congestion.may_start(b"low", 1000.0))

    def test_a_refused_job_takes_no_work_after_a_response_with_it(self):
        told = []
        pool = Pool(1, 8, nothing, Overload(target=LIMIT, interval=LIMIT))
        begun, release = threading.Event(), threading.Event()
        self.addCleanup(release.set)

        def hold():
            begun.set()
            release.wait(LIMIT)

        self.assertEqual(pool.submit_timed(TimedJob(hold, b"normal", nothing)), 0)
        self.assertTrue(begun.wait(LIMIT))
        # It waits before the job that is refused, and has no limit on its time.
        self.assertTrue(pool.submit(lambda: told.append("work"), True))
        late = TimedJob(nothing, b"normal", lambda: told.append("late"))
        self.assertEqual(pool.submit_timed(late), 0)
        late.since -= 4 * LIMIT
        refused = TimedJob(nothing, b"normal", nothing)
        self.assertEqual(pool.submit_timed(refused), native.REJECT_OVERLOADED)
        self.assertEqual(told, ["late"])
        # Vital jobs go first, and take no wake of the work either.
        for name in ("first", "second"):
            vital = TimedJob(lambda name=name: told.append(name), VITAL, nothing)
            self.assertEqual(pool.submit_timed(vital), 0)
        release.set()
        self.assertTrue(until(lambda: pool.load() == (0, 4)))
        self.assertEqual(sorted(told), ["first", "late", "second", "work"])
        self.assertTrue(pool.close(LIMIT))


class TestShares(unittest.TestCase):
    def test_an_address_has_an_equal_part_of_the_work(self):
        shares = Shares()
        for _ in range(9):
            shares.add("many")
            self.assertFalse(shares.is_over("many"), "it is alone")
        shares.add("few")
        self.assertEqual([shares.is_over(name) for name in ("many", "few", "none")], [True, False, False])
        for _ in range(9):
            shares.remove("many")
        self.assertFalse(shares.is_over("few"))

    def test_a_client_has_one_share_however_many_addresses_of_its_network_it_uses(self):
        for one, other, are_same in (
            ("2001:db8:1:1::2", "2001:db8:1:1:ffff::3", True),
            ("2001:db8:1:1::2", "2001:db8:1:2::2", False),
            ("192.0.2.1", "::ffff:192.0.2.1", True),
            ("192.0.2.1", "192.0.2.2", False),
        ):
            self.assertEqual(share_of((one, 1)) == share_of((other, 2)), are_same, (one, other))
        self.assertIsNone(share_of(None))
