"""Metrics: the sums are those of the load that was sent, in each model."""

import concurrent.futures
import socket
import threading
import unittest
from collections import Counter

from support import LIMIT, Quiet, fetch, until

import transom
from transom import Metrics, Server

TIMES = 5


def counted(metrics):
    """Returns how many responses there were, by method, route, status and error."""
    sums = Counter()
    for series in metrics.snapshot().series:
        sums[series.method, series.route, series.status, series.error] += series.count
    return sums


def load(running):
    for _ in range(TIMES):
        assert fetch(running, "/users/7").text == "7"
        assert fetch(running, "/users/8?x=1").text == "8"
        assert fetch(running, "/busy").status == 503
        assert fetch(running, "/fails").status == 500
        assert fetch(running, "/nowhere").status == 404
        assert fetch(running, "/users/7", "BREW").status == 405
        with socket.create_connection(("127.0.0.1", running.port), timeout=LIMIT) as client:
            client.sendall(b"GET / HTTP/1.1\r\n\r\n")
            assert b" 400 " in client.recv(100)


class TestMetrics(Quiet, unittest.TestCase):
    def app(self, **settings):
        app = Server(**settings)
        app.get("/users/{id}")(lambda request: request.params["id"])
        app.get("/busy")(lambda request: ("busy", 503))
        app.get("/fails")(lambda request: 1 / 0)
        return app

    def test_the_sums_are_those_of_the_load(self):
        for model in "sequential", "threads", "event":
            with self.subTest(model=model):
                self.compare_the_sums(model, 1 if model == "sequential" else 4)

    def compare_the_sums(self, model, clients):
        metrics = Metrics()
        with self.app(model=model, metrics=metrics).start("127.0.0.1:0") as running:
            with concurrent.futures.ThreadPoolExecutor(clients) as pool:
                for done in [pool.submit(load, running) for _ in range(clients)]:
                    done.result(LIMIT)
            times = clients * TIMES
            expected = {
                ("GET", "/users/{id}", 200, None): 2 * times,
                ("GET", "/busy", 503, "503"): times,
                ("GET", "/fails", 500, "500"): times,
                ("GET", None, 404, None): times,
                ("_OTHER", None, 405, None): times,
                ("_OTHER", None, 400, "missing-host"): times,
            }
            self.assertTrue(until(lambda: sum(counted(metrics).values()) == sum(expected.values())))
            self.assertEqual(counted(metrics), expected)
        self.assertEqual(counted(metrics), expected)

    def test_a_series_and_a_value(self):
        metrics = Metrics()
        with self.app(metrics=metrics).start("127.0.0.1:0") as running:
            fetch(running, "/users/7")
            self.assertTrue(until(lambda: len(metrics.snapshot().series) == 1))
            snapshot = metrics.snapshot()
        series = snapshot.series[0]
        self.assertEqual((series.scheme, series.version, series.overflow), ("http", "1.1", False))
        self.assertEqual((len(series.buckets), series.count), (len(Metrics.BOUNDS) + 1, 1))
        self.assertEqual((Metrics.BOUNDS[0], Metrics.BOUNDS[-1]), (0.0001, 10.0))
        self.assertGreater(series.bytes_in, 30)
        self.assertGreater(series.bytes_out, 30)
        self.assertTrue(0 < series.seconds < LIMIT)
        value = next(it for it in snapshot.values if it.name == "transom.connections.accepted")
        self.assertEqual(
            (value.kind, value.unit, value.label, value.value), ("counter", "{connection}", None, 1)
        )
        value = next(it for it in snapshot.values if it.label == ("state", "opening"))
        self.assertEqual((value.kind, value.value), ("gauge", 0))
        shards = metrics.shards()
        self.assertGreater(len(shards), 1)
        self.assertEqual([series for shard in shards for series in shard.series], snapshot.series)
        self.assertFalse(any(shard.values for shard in shards))

    def test_a_scrape_needs_no_python(self):
        metrics, stuck, go_on = Metrics(), threading.Event(), threading.Event()
        app = self.app(metrics=metrics, threads=1)
        app.metrics_route("/metrics")

        @app.get("/stuck", blocking=False)
        def hold(request):
            stuck.set()
            return str(go_on.wait(LIMIT))

        with app.start("127.0.0.1:0") as running:
            with concurrent.futures.ThreadPoolExecutor(1) as pool:
                waits = pool.submit(fetch, running, "/stuck")
                self.assertTrue(stuck.wait(LIMIT))
                answer = fetch(running, "/metrics")
                self.assertEqual(answer.status, 200)
                self.assertEqual(answer.headers["content-type"], "text/plain; version=0.0.4; charset=utf-8")
                self.assertIn('transom_connections{state="handling"} 2\n', answer.text)
                go_on.set()
                self.assertEqual(waits.result(LIMIT).text, "True")
            self.assertIn("\nhttp_server_active_requests ", metrics.text())

    def test_series_are_bounded(self):
        metrics = Metrics(max_series=2)
        # One worker counts the responses in the order in which it sends them.
        with self.app(metrics=metrics, workers=1).start("127.0.0.1:0") as running:
            load(running)
            self.assertTrue(until(lambda: sum(counted(metrics).values()) == 7 * TIMES))
        kept, overflow = metrics.snapshot().series
        self.assertEqual((kept.overflow, overflow.overflow), (False, True))
        self.assertEqual((kept.count, overflow.count, overflow.method), (2 * TIMES, 5 * TIMES, ""))

    def test_a_server_that_starts_again_counts_on(self):
        metrics = Metrics()
        app = self.app(metrics=metrics)
        for round_ in 1, 2:
            with app.start("127.0.0.1:0") as running:
                fetch(running, "/users/7")
            key = "GET", "/users/{id}", 200, None
            self.assertTrue(until(lambda key=key, round_=round_: counted(metrics)[key] == round_))

    def test_mistakes_are_named(self):
        with self.assertRaisesRegex(TypeError, "metrics is a Metrics, got str 'yes'"):
            Server(metrics="yes")
        with self.assertRaisesRegex(transom.InvalidArgumentError, "needs Server\\(metrics=\\)"):
            Server().metrics_route("/metrics")
        app = self.app(metrics=Metrics())
        app.metrics_route("/metrics")
        with self.assertRaises(transom.BadRouteError):
            app.metrics_route("/metrics")
        for bad in 0, -1, 1.5, None:
            with self.subTest(bad=bad), self.assertRaises((transom.InvalidArgumentError, TypeError)):
                Metrics(max_series=bad)
        self.assertEqual(repr(Metrics()), "<Metrics>")
