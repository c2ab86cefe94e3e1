"""Server-sent events that go to many clients at once."""

import threading
import time
import unittest

from support import LIMIT, Quiet, connect, receive, until, ways

from transom import EventBroadcast, InvalidArgumentError, Server, ServerSentEvent
from transom.testing import serve

REQUEST = b"GET /news HTTP/1.1\r\nHost: a\r\n\r\n"


def news_routes(app, news):
    """Adds an asynchronous and a plain handler that subscribe."""

    @app.get("/news")
    async def feed(request):
        return news.subscribe(request)

    @app.get("/plain-news")
    def plain_feed(request):
        return news.subscribe(request, keep_alive=None, headers={"x-a": "b"})


class TestEventBroadcast(Quiet, unittest.TestCase):
    def test_all_clients_get_an_event_in_each_model_and_each_kind_of_loop(self):
        for name, app, start in ways():
            news = EventBroadcast()
            news_routes(app, news)
            count = 1 if "sequential" in name else 6
            with self.subTest(name), start() as running:
                clients = [connect(running) for _ in range(count)]
                for index, client in enumerate(clients):
                    path = b"/plain-news" if index % 2 else b"/news"
                    client.sendall(REQUEST.replace(b"/news", path))
                    self.assertIn(b"text/event-stream", receive(client, b"\r\n\r\n"))
                self.assertTrue(until(lambda news=news, count=count: len(news) == count))
                self.assertEqual(news.send(ServerSentEvent({"a": 1}, event="tick", id="7")), count)
                for client in clients:
                    receive(client, b'event: tick\nid: 7\ndata: {"a":1}\n\n')
                    client.close()
                self.assertTrue(until(lambda news=news: len(news) == 0))
        self.assertEqual(self.log, [])

    def test_a_client_that_connects_again_gets_what_it_has_missed(self):
        app, news = Server(), EventBroadcast(history=3)
        news_routes(app, news)
        for number in range(1, 6):
            self.assertEqual(news.send(ServerSentEvent(f"event {number}", id=str(number))), 0)
        with serve(app) as client:
            for last, first in (("4", 5), ("3", 4), ("1", 3), ("unknown", 3)):
                with client.stream("GET", "/news", headers={"last-event-id": last}) as answer:
                    lines = answer.lines()
                    got = [next(line for line in lines if line.startswith("data")) for _ in range(first, 6)]
                    self.assertEqual(got, [f"data: event {number}" for number in range(first, 6)])
            with client.stream("GET", "/news") as answer:
                self.assertTrue(until(lambda: len(news) >= 1))
                news.send("new")
                self.assertEqual(next(answer.lines()), "data: new")

    def test_streams_end_at_a_stop_and_at_close(self):
        app, news = Server(), EventBroadcast()
        news_routes(app, news)
        with serve(app) as client:
            answer = client.stream("GET", "/plain-news")
            self.assertTrue(until(lambda: len(news) == 1))
            news.send("the last")
            news.close()
            self.assertEqual(answer.read(), b"data: the last\n\n")
            self.assertEqual(len(news), 0)
            answer = client.stream("GET", "/news")
            self.assertTrue(until(lambda: len(news) == 1))
            begun = time.monotonic()
            report = client.running.stop(LIMIT)
            self.assertLess(time.monotonic() - begun, LIMIT / 2)
            self.assertEqual((answer.read(), report.cut), (b"", 0))

    def slow(self, policy):
        """Returns what a client gets that did not read while 200 large events were sent."""
        app, news = Server(), EventBroadcast(policy, queue_limit=1000)
        news_routes(app, news)
        with app.start("127.0.0.1:0") as running, connect(running) as client:
            client.sendall(REQUEST)
            receive(client, b"\r\n\r\n")
            self.assertTrue(until(lambda: len(news) == 1))
            missed = 0
            for number in range(500):
                missed += not news.send(f"{number:03}" + "x" * 60_000)
                # Another task takes what has room.
                time.sleep(0.0005)
            received = b""
            while not received.endswith((b"0\r\n\r\n", b"the last\n\n\r\n")):
                if policy == "drop":
                    news.send("the last")
                elif b"data: 499x" in received and received.endswith(b"\n\n\r\n"):
                    break
                received += client.recv(65536)
            return received, missed

    def test_a_client_that_reads_too_slowly_misses_events(self):
        received, missed = self.slow("drop")
        self.assertGreater(missed, 0)
        self.assertNotIn(b"data: 499x", received)

    def test_a_client_that_reads_too_slowly_gets_the_newest(self):
        received, missed = self.slow("coalesce")
        self.assertEqual(missed, 0)
        self.assertLess(received.count(b"data: "), 500)

    def test_the_stream_of_a_client_that_reads_too_slowly_ends(self):
        received, missed = self.slow("close")
        self.assertGreater(missed, 0)
        self.assertTrue(received.endswith(b"0\r\n\r\n"))

    def test_threads_send_at_once(self):
        app, news = Server(), EventBroadcast()
        news_routes(app, news)
        with serve(app) as client, client.stream("GET", "/news") as answer:
            self.assertTrue(until(lambda: len(news) == 1))
            threads = [threading.Thread(target=news.send, args=(f"{n}",)) for n in range(20)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(LIMIT)
            lines = (line for line in answer.lines() if line)
            self.assertEqual({next(lines) for _ in range(20)}, {f"data: {n}" for n in range(20)})

    def test_mistakes(self):
        with self.assertRaisesRegex(
            InvalidArgumentError, "slow is 'drop', 'coalesce' or 'close', got 'wait'"
        ):
            EventBroadcast("wait")
        with self.assertRaisesRegex(InvalidArgumentError, "history is 0 to 1000000, got -1"):
            EventBroadcast(history=-1)
        news = EventBroadcast()
        with self.assertRaisesRegex(TypeError, "subscribe takes the Request of the client, got None"):
            news.subscribe(None)
        with self.assertRaisesRegex(ValueError, "the id of an event is one line"):
            news.send(ServerSentEvent("a", id="1\n2"))
        self.assertEqual((len(news), bool(news)), (0, True))


if __name__ == "__main__":
    unittest.main()
