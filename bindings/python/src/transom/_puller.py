"""The threads that pull requests from the library and run quick handlers in place.

One thread is the leader: it pulls a batch of requests, answers it, and pulls again. Another is
the watcher: when a handler occupies the leader for longer than `STUCK` seconds, the watcher sends
that handler's route to the pool, takes over the rest of the batch, and becomes the leader. So a
handler that blocks after a thousand quick runs delays other requests only briefly.
"""

from __future__ import annotations

import logging
import struct
import threading
from collections.abc import Callable, Iterator
from contextvars import Context
from time import perf_counter
from typing import TypeAlias

from transom import _native as native
from transom._batch import Inbox, Outbox, answer
from transom._dispatch import Dispatcher
from transom._errors import SystemCallError, make
from transom._headers import JSON, TEXT, content_type_line
from transom._json import dumps
from transom._json import encode as encode_json
from transom._native import waiting
from transom._packed import PADDING, RESPONSE, RESPONSE_LEN, encode
from transom._request import Request
from transom._response import Response
from transom._result import from_value
from transom._route import SHORT, Route
from transom._thread import Empty, SimpleQueue, join_thread, start_thread

#: How long a handler may occupy the leader before the watcher takes over, in seconds.
STUCK = 0.03
#: The interval at which the watcher checks the leader while there are requests, in seconds.
_GLANCE = 0.02
#: The number of checks without a request after which the watcher sleeps until there is one.
_PATIENCE = 10
#: The longest wait of a pull, in milliseconds. The library ends a pull when it stops.
_PULL = 60_000

#: A request whose response is to be streamed; empty if there is none.
_Left: TypeAlias = tuple[()] | tuple[Route, Request, Response]

_TEXT_BLOCK = content_type_line(TEXT)
_JSON_BLOCK = content_type_line(JSON)
_log = logging.getLogger("transom")


class Lead:
    """The state of a leader, which the watcher reads."""

    __slots__ = ("flushed", "outbox", "request", "rest", "since")

    def __init__(self, outbox: Outbox) -> None:
        self.outbox = outbox
        #: The rest of the batch. Taking a request from the iterator is atomic.
        self.rest: Iterator[Request] = iter(())
        #: The request whose handler runs, and the time when it began; 0 between batches.
        self.request: Request | None = None
        self.since = 0.0
        #: The time when the responses were last sent.
        self.flushed = 0.0


class Pullers:
    """The pulling threads of one run of a server."""

    def __init__(self, dispatcher: Dispatcher, most: int, on_thread: Callable[[], None]) -> None:
        self._dispatcher = dispatcher
        self._most = most
        self._on_thread = on_thread
        self._lead: Lead | None = None
        #: Held by a watcher that takes over, and by the leader before it pulls. So no watcher
        #: takes over from a leader that waits for requests.
        self._turn = threading.Lock()
        self._ended = False
        #: Held by the watcher. Other free threads wait for it.
        self._watch = threading.Lock()
        self._bell: SimpleQueue[None] = SimpleQueue()
        self._asleep = False
        self._grow = threading.Lock()
        self._threads: list[threading.Thread] = []
        self._listener: threading.Thread | None = None

    def start(self) -> None:
        """Starts the leader, the watcher, and the thread that delivers events.

        Raises `SystemCallError` if one cannot be started. The others end when the library stops.
        """
        self._add_thread()
        self._add_thread()
        self._dispatcher.events.follow_log()
        self._listener = threading.Thread(target=self._listen, name="transom-events", daemon=True)
        start_thread(self._listener)

    def _listen(self) -> None:
        """Delivers events until the queue is closed."""
        self._on_thread()
        while self._dispatcher.events.deliver(native.FOREVER, waiting):
            pass

    def _add_thread(self) -> None:
        with self._grow:
            if len(self._threads) >= self._most:
                return
            name = f"transom-puller-{len(self._threads)}"
            thread = threading.Thread(target=self._run, name=name, daemon=True)
            self._threads.append(thread)
        try:
            start_thread(thread)
        except SystemCallError:
            with self._grow:
                self._threads.remove(thread)
            raise

    def join(self, timeout: float) -> bool:
        """Waits for the threads after the library has stopped. Returns `False` if a handler still runs."""
        self._dispatcher.events.close()
        end = perf_counter() + timeout
        threads = [*self._threads, *([self._listener] if self._listener is not None else [])]
        return all(join_thread(thread, max(0.0, end - perf_counter())) for thread in threads)

    def _run(self) -> None:
        self._on_thread()
        while not self._ended:
            with self._watch:
                lead = self._take_over()
            if lead is None:
                return
            self._lead_on(lead)
            # A watcher holds no requests, so that answered ones are freed.
            lead.request = None
            lead.rest = iter(())

    def _take_over(self) -> Lead | None:
        """Watches the leader until it must be replaced. Returns `None` when the server has stopped."""
        quiet = 0
        while not self._ended:
            old = self._lead
            since = 0.0 if old is None else old.since
            if old is None or (since and perf_counter() - since > STUCK):
                lead = self._succeed(old, since)
                if lead is not None:
                    return lead
            quiet = 0 if since else quiet + 1
            self._asleep = quiet > _PATIENCE
            try:
                idle = self._asleep and (old is None or not old.since)
                self._bell.get(timeout=None if idle else _GLANCE)
                # There are requests again. The leader holds the GIL while it works, so a look finds it
                # mostly between two batches.
                quiet = 0
            except Empty:
                pass
        return None

    def _succeed(self, old: Lead | None, since: float) -> Lead | None:
        """Takes over from the leader, unless it has continued since it was checked."""
        with self._turn:
            if self._lead is not old or (old is not None and (old.since != since or old.request is None)):
                return None
            lead = Lead(Outbox(self._dispatcher.handle))
            stuck = None
            if old is not None:
                lead.rest = old.rest
                stuck = old.request
            self._lead = lead
        if old is not None and stuck is not None:
            self._dispatcher.routes[stuck._route_id].demote()
            old.outbox.copy_out()
            try:
                self._add_thread()
            except SystemCallError:
                # The interpreter is exiting, or the system has no threads left. The others go on.
                pass
        return lead

    def _lead_on(self, lead: Lead) -> None:
        """Pulls and answers requests until the server stops or another thread takes over."""
        inbox = Inbox(self._dispatcher.handle, self._dispatcher.events, waiting)
        limits_waits = self._dispatcher.handle.overload is not None
        count, began = 0, 0.0
        while self._work_safely(lead):
            if limits_waits:
                inbox.note_duration(count, perf_counter() - began)
            with self._turn:
                if self._lead is not lead:
                    return
                lead.request = None
                lead.since = 0.0
            try:
                requests = inbox.pull(_PULL)
            except MemoryError:
                # If the leader ended here, no thread would pull requests any more.
                continue
            if not requests and inbox.status != native.TIMEOUT:
                if inbox.status != native.STOPPED:
                    _log.error("requests can no longer be pulled: %s", make(inbox.status))
                self._ended = True
                self._bell.put(None)
                return
            lead.rest = iter(requests)
            count = len(requests)
            del requests
            lead.since = began = perf_counter()
            if self._asleep:
                self._asleep = False
                self._bell.put(None)

    def _work_safely(self, lead: Lead) -> bool:
        """Calls `_work`. If it fails for a request, answers that one with a 500 and goes on with the rest."""
        while True:
            try:
                return self._work(lead)
            except Exception as error:
                self._refuse(lead, error)

    def _refuse(self, lead: Lead, error: Exception) -> None:
        """Sends the finished responses, and a 500 to the request whose handler ran last."""
        request = lead.request
        lead.outbox.flush()
        if request is None:
            what = "requests"
        else:
            answer(self._dispatcher.handle, request._token, self._dispatcher.wording.server_error)
            self._dispatcher.background.release(request._token)
            what = f"{request.method} {request.target}"
        why = "the answer is too large: stream it" if isinstance(error, struct.error) else error
        try:
            _log.error("%s could not be answered: %s", what, why, exc_info=error)
        except Exception:
            # A log handler of the host that fails must not end the leader.
            pass

    def _work(self, lead: Lead) -> bool:
        """Answers the rest of the batch. Returns `False` if another thread has taken over meanwhile."""
        new_context = self._dispatcher.context.copy
        lead.flushed = perf_counter()
        left: _Left | None = ()
        while left is not None:
            context = new_context()
            left = context.run(self._answer_in, context, lead)
            if left:
                self._stream(lead, *left, context)
        lead.outbox.flush()
        return self._lead is lead

    def _answer_in(self, context: Context, lead: Lead) -> _Left | None:
        """Answers requests in `context`, until one has set a variable in it.

        A request must not see what another has set. While the context stays empty, the next request can
        have it too, which saves 0.07 us of 1.0 (CPython 3.11, 2026-11).

        Returns `None` when there is nothing left to do; `()` if the rest of the batch needs another
        context; and a request whose response is streamed in this context, which must be left before.
        """
        dispatcher = self._dispatcher
        routes = dispatcher.routes
        outbox = lead.outbox
        pieces = outbox.pieces
        pack = RESPONSE.pack
        turn = dispatcher.turn
        waiting = dispatcher.background.waiting
        now = perf_counter()
        handed: list[tuple[Route, Request]] = []
        for request in lead.rest:
            route = routes[request._route_id]
            if not route.inline or (turn is not None and turn.locked()):
                if route.is_async:
                    handed.append((route, request))
                else:
                    dispatcher.submit(route, request)
                    now = perf_counter()
                continue
            if handed:
                dispatcher.post(handed)
                handed = []
            lead.request = request
            lead.since = begun = now
            try:
                if turn is None:
                    value = route.handler(request)
                else:
                    with turn:
                        value = route.handler(request)
                if type(value) is str:
                    status, block = 200, _TEXT_BLOCK
                    try:
                        # Takes half the time of a call with arguments.
                        body = value.encode()
                    except UnicodeEncodeError:
                        body = value.encode("utf-8", "surrogateescape")
                elif type(value) is dict or type(value) is list:
                    status, block, body = 200, _JSON_BLOCK, encode_json(dumps(value))
                elif route.gives_parts and type(value) is tuple:
                    status, block, body = value  # type: ignore[assignment, misc]
                else:
                    response = value if type(value) is Response else from_value(value)
                    if response._jobs is not None:
                        dispatcher.background.add(request._token, response._jobs)
                    if response._chunks is not None:
                        return route, request, response
                    status, block, body = response._parts
            except BaseException as error:
                # A log handler may read the request's context.
                status, block, body = dispatcher.failure(route, request, error)
            block_len = len(block)
            body_len = len(body)
            length = RESPONSE_LEN + block_len + body_len
            padding = PADDING[length & 7]
            pieces += (
                pack(length + len(padding), status, request._token, block_len, body_len),
                block,
                body,
                padding,
            )
            route.runs += 1
            if waiting and request._token in waiting:
                outbox.flush()
                dispatcher.background.release(request._token)
            now = perf_counter()
            if now - lead.flushed > SHORT:
                outbox.flush()
                lead.flushed = now
                if now - begun > SHORT:
                    route.ran_late(now - begun)
            # The thread that has taken over has sent the earlier responses, but not this one.
            if self._lead is not lead:
                return None
            if context:
                return ()
        if handed:
            dispatcher.post(handed)
        return None

    def _stream(
        self, lead: Lead, route: Route, request: Request, response: Response, context: Context
    ) -> None:
        """Begins to stream a response. If this fails, the client gets an error response."""
        dispatcher = self._dispatcher
        try:
            dispatcher.stream(route, request, response, context)
        except BaseException as error:
            parts = context.run(dispatcher.failure, route, request, error)
            lead.outbox.pieces += encode(request._token, *parts)
            if request._token in dispatcher.background.waiting:
                lead.outbox.flush()
                dispatcher.background.release(request._token)
        route.runs += 1
        elapsed = perf_counter() - lead.since
        if elapsed > SHORT:
            route.ran_late(elapsed)
