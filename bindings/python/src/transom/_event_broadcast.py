"""Server-sent events that go to many clients, each encoded once."""

from __future__ import annotations

import threading
import weakref
from collections import deque
from collections.abc import AsyncIterator, Callable
from typing import Any

from transom._check import got, whole
from transom._headers import HeadersInput
from transom._request import Request
from transom._slow_reader import SlowReader, check_slow
from transom._sse import EncodedEvent, ServerSentEvent, ServerSentEvents

_MOST_EVENTS = 1_000_000
_MOST_BYTES = 2**40
#: The bytes that wait for one client, by default.
_QUEUE_LIMIT = 256 * 1024


class EventBroadcast:
    """Sends the same server-sent events to many clients. Each event is encoded once.

    `slow` says what happens to a client that reads too slowly, so that `queue_limit` bytes of events wait for
    it: with `"drop"`, it misses the event; with `"coalesce"`, it gets the newest of those that it has missed,
    once there is room; with `"close"`, its stream ends, and a browser connects again. `history` is the number
    of events that are kept for clients that connect again.

    Any thread may use it, and no call waits. The streams need no threads.

    >>> from transom import Server
    >>> app, news = Server(), EventBroadcast(history=100)
    >>> @app.get("/news")
    ... def feed(request):
    ...     return news.subscribe(request)
    >>> news.send(ServerSentEvent("the first of all", id="1"))
    0
    """

    def __init__(
        self, slow: SlowReader = "drop", *, history: int = 0, queue_limit: int = _QUEUE_LIMIT
    ) -> None:
        self._slow = check_slow(slow)
        self._limit = whole("queue_limit", queue_limit, 1, _MOST_BYTES)
        #: The last events with their ids.
        self._history: deque[tuple[str | None, EncodedEvent]] = deque(
            maxlen=whole("history", history, 0, _MOST_EVENTS)
        )
        # A response that is not sent, after all, drops its subscription.
        self._subscriptions: weakref.WeakSet[Subscription] = weakref.WeakSet()
        self._lock = threading.Lock()

    def subscribe(
        self, request: Request, *, keep_alive: float | None = 15.0, headers: HeadersInput = ()
    ) -> ServerSentEvents:
        """Returns a response with the events from now on, which ends when the server begins to stop.

        If the client says which event it got last (Last-Event-ID), those after it come first, as far as
        `history` has them; if it does not have that event, all that it has. A stream that has had nothing for
        `keep_alive` seconds gets a comment, as with `ServerSentEvents`.
        """
        if not isinstance(request, Request):
            raise TypeError(f"subscribe takes the Request of the client, got {got(request)}")
        subscription = Subscription(self._limit, request, self._lock, self._subscriptions)
        response = ServerSentEvents(subscription, keep_alive=keep_alive, headers=headers)
        last = request.headers.get("last-event-id")
        with self._lock:
            if last is not None:
                for event in self._after(last):
                    subscription.add(event)
            self._subscriptions.add(subscription)
        return response

    def _after(self, last: str) -> list[EncodedEvent]:
        """Returns the events after the one with an id."""
        events = list(self._history)
        for index in range(len(events) - 1, -1, -1):
            if events[index][0] == last:
                events = events[index + 1 :]
                break
        return [encoded for _, encoded in events]

    def send(self, event: Any) -> int:
        """Sends an event to all clients, and returns how many have got it, or will get it.

        It is a `ServerSentEvent`, or the data of one. Raises `ValueError` or `TypeError` if it cannot be
        sent.
        """
        if not isinstance(event, ServerSentEvent):
            event = ServerSentEvent(event)
        encoded = EncodedEvent(event.encoded())
        reached = 0
        sleeping: dict[Any, list[Subscription]] = {}
        with self._lock:
            self._history.append((event.id, encoded))
            for subscription in list(self._subscriptions):
                reached += subscription.offer(encoded, self._slow)
                if subscription.loop is not None:
                    sleeping.setdefault(subscription.loop, []).append(subscription)
        _wake(sleeping)
        return reached

    def close(self) -> None:
        """Ends all streams, after the events that wait. Others may subscribe later."""
        sleeping: dict[Any, list[Subscription]] = {}
        with self._lock:
            for subscription in list(self._subscriptions):
                subscription.is_over = True
                if subscription.loop is not None:
                    sleeping.setdefault(subscription.loop, []).append(subscription)
        _wake(sleeping)

    def __len__(self) -> int:
        """Returns the number of clients."""
        with self._lock:
            return sum(not each.is_over for each in self._subscriptions)

    def __bool__(self) -> bool:
        return True


def _wake(sleeping: dict[Any, list[Subscription]]) -> None:
    """Wakes the streams, with one call for each event loop."""
    for loop, subscriptions in sleeping.items():
        try:
            loop.call_soon_threadsafe(lambda those: [each.wake() for each in those], subscriptions)
        except RuntimeError:
            pass  # The loop is closed, and with it all clients.


class Subscription(AsyncIterator[EncodedEvent]):
    """The events that wait for one client. The broadcast adds them, and one event loop takes them."""

    def __init__(
        self, limit: int, request: Request, lock: threading.Lock, others: weakref.WeakSet[Subscription]
    ) -> None:
        self._limit = limit
        self._request = request
        #: Held while anything here changes.
        self._lock = lock
        self._others = others
        self._events: deque[EncodedEvent] = deque()
        #: The bytes of these.
        self._size = 0
        #: The newest event for which there was no room.
        self._latest: EncodedEvent | None = None
        #: `True` once nothing follows what waits.
        self.is_over = False
        #: The event loop that takes the events, once it does.
        self.loop: Any = None
        self._future: Any = None
        self._forget: Callable[[], None] | None = None

    def add(self, event: EncodedEvent) -> None:
        """Adds an event. The caller holds the lock."""
        self._events.append(event)
        self._size += len(event.lines)

    def offer(self, event: EncodedEvent, slow: SlowReader) -> bool:
        """Adds an event if there is room. Returns `True` if the client gets it. The caller holds the lock."""
        if self.is_over:
            return False
        if self._size < self._limit:
            self.add(event)
            return True
        self.is_over = slow == "close"
        if slow == "coalesce":
            self._latest = event
        return slow == "coalesce"

    def wake(self) -> None:
        """Wakes the stream. Called in its event loop."""
        if self._future is not None and not self._future.done():
            self._future.set_result(None)

    def _end(self) -> None:
        self.is_over = True
        _wake({self.loop: [self]})

    async def __anext__(self) -> EncodedEvent:
        if self._forget is None:
            from asyncio import get_running_loop

            self.loop = get_running_loop()
            self._forget = self._request.on_stopping(self._end)
        while True:
            with self._lock:
                if self._events:
                    event = self._events.popleft()
                    self._size -= len(event.lines)
                    if self._latest is not None and self._size < self._limit:
                        self.add(self._latest)
                        self._latest = None
                    return event
                if self.is_over:
                    raise StopAsyncIteration
                self._future = self.loop.create_future()
            await self._future

    async def aclose(self) -> None:
        """Leaves the broadcast."""
        with self._lock:
            self.is_over = True
            self._others.discard(self)
        if self._forget is not None:
            self._forget()
