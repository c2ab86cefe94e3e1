"""The threads that pull requests and run quick handlers in place.

One leads: it pulls a batch, answers it, pulls again. One watches: when a handler
keeps the leader for longer than `STUCK` seconds, the watcher sends that handler's
route to the pool, takes over what is left of the batch, and leads. So a handler
that was quick a thousand times and then blocks holds nobody else up for long.
"""

from __future__ import annotations

import logging
import struct
import threading
from collections.abc import Callable, Iterator
from time import perf_counter

from transom import _native as native
from transom._batch import Inbox, Outbox, answer
from transom._dispatch import Dispatcher
from transom._errors import SystemCallError, make
from transom._headers import TEXT, content_type_line
from transom._native import waiting
from transom._packed import PADDING, RESPONSE, RESPONSE_LEN
from transom._plain import SERVER_ERROR
from transom._request import Request
from transom._result import from_value
from transom._route import SHORT, Route
from transom._thread import Empty, SimpleQueue, join_thread, start_thread

#: How long a handler may keep the leader, in seconds, before the watcher steps in.
STUCK = 0.03
#: How often the watcher looks while there are requests, in seconds.
_GLANCE = 0.02
#: After how many looks without a request it sleeps until there is one.
_PATIENCE = 10
#: The longest that a pull waits, in milliseconds; it only bounds how late an unforeseen end is noticed.
_PULL = 60_000

_TEXT_BLOCK = content_type_line(TEXT)
_log = logging.getLogger("transom")


class Lead:
    """What the leader is doing, for the watcher to see."""

    __slots__ = ("outbox", "request", "rest", "since")

    def __init__(self, outbox: Outbox) -> None:
        self.outbox = outbox
        #: What is left of the batch. Whoever takes a request from it has it alone.
        self.rest: Iterator[Request] = iter(())
        #: The request whose handler runs, and when it began; 0 between batches.
        self.request: Request | None = None
        self.since = 0.0


class Pullers:
    """The threads of one run of a server."""

    def __init__(self, dispatcher: Dispatcher, most: int, on_thread: Callable[[], None]) -> None:
        self._dispatcher = dispatcher
        self._most = most
        self._on_thread = on_thread
        self._lead: Lead | None = None
        #: Held to take the lead, and by the leader when it goes to pull: it is watched
        #: while it works, and nobody takes over while it waits.
        self._turn = threading.Lock()
        self._ended = False
        #: Held by the watcher; others that are free wait for it.
        self._watch = threading.Lock()
        self._bell: SimpleQueue[None] = SimpleQueue()
        self._asleep = False
        self._grow = threading.Lock()
        self._threads: list[threading.Thread] = []
        self._listener: threading.Thread | None = None

    def start(self) -> None:
        """Starts the leader, the watcher, and the thread that is told of events.

        Raises `SystemCallError` unless all run; one that runs all the same ends with the library.
        """
        self._add_thread()
        self._add_thread()
        self._dispatcher.events.follow_log()
        self._listener = threading.Thread(target=self._listen, name="transom-events", daemon=True)
        start_thread(self._listener)

    def _listen(self) -> None:
        """Passes on what the library tells, until the end."""
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
        """Waits for the threads once the library has stopped; `False` if a handler keeps one."""
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
            # It keeps no request while it watches: what was answered is freed.
            lead.request = None
            lead.rest = iter(())

    def _take_over(self) -> Lead | None:
        """Watches until there is a lead to take; `None` at the end."""
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
            except Empty:
                pass
        return None

    def _succeed(self, old: Lead | None, since: float) -> Lead | None:
        """Takes the lead, unless the leader has moved on since it was looked at."""
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
            self._dispatcher.routes[stuck.route_id].demote()
            old.outbox.copy_out()
            try:
                self._add_thread()
            except SystemCallError:
                # The interpreter is ending, or the system has no threads left: go on with those there are.
                pass
        return lead

    def _lead_on(self, lead: Lead) -> None:
        """Leads, until the end or until another has taken over."""
        inbox = Inbox(self._dispatcher.handle, self._dispatcher.events, waiting)
        while self._work_safely(lead):
            with self._turn:
                if self._lead is not lead:
                    return
                lead.request = None
                lead.since = 0.0
            try:
                requests = inbox.pull(_PULL)
            except MemoryError:
                # Nobody would pull any more if the leader ended here.
                continue
            if not requests and inbox.status != native.TIMEOUT:
                if inbox.status != native.STOPPED:
                    _log.error("requests can no longer be pulled: %s", make(inbox.status))
                self._ended = True
                self._bell.put(None)
                return
            lead.rest = iter(requests)
            del requests
            lead.since = perf_counter()
            if self._asleep:
                self._asleep = False
                self._bell.put(None)

    def _work_safely(self, lead: Lead) -> bool:
        """As `_work`; a request that cannot be dealt with gets a 500, and the rest is gone on with."""
        while True:
            try:
                return self._work(lead)
            except Exception as error:
                self._refuse(lead, error)

    def _refuse(self, lead: Lead, error: Exception) -> None:
        """Answers the request whose handler ran last, unless it has an answer, and sends what others have."""
        request = lead.request
        lead.outbox.flush()
        if request is None:
            what = "requests"
        else:
            answer(self._dispatcher.handle, request.token, SERVER_ERROR)
            what = f"{request.method} {request.target}"
        why = "the answer is too large: stream it" if isinstance(error, struct.error) else error
        try:
            _log.error("%s could not be answered: %s", what, why, exc_info=error)
        except Exception:
            # Not even a log that fails may end the leader.
            pass

    def _work(self, lead: Lead) -> bool:
        """Answers what is left of the batch; `False` if another has taken over meanwhile."""
        dispatcher = self._dispatcher
        routes = dispatcher.routes
        outbox = lead.outbox
        pieces = outbox.pieces
        pack = RESPONSE.pack
        new_context = dispatcher.context.copy
        turn = dispatcher.turn
        flushed = now = perf_counter()
        handed: list[tuple[Route, Request]] = []
        for request in lead.rest:
            route = routes[request.route_id]
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
            context = new_context()
            try:
                if turn is None:
                    value = context.run(route.handler, request)
                else:
                    with turn:
                        value = context.run(route.handler, request)
                if type(value) is str:
                    status, block, body = 200, _TEXT_BLOCK, value.encode("utf-8", "surrogateescape")
                else:
                    response = from_value(value)
                    if response.chunks is not None:
                        dispatcher.stream(route, request, response, context)
                        now = perf_counter()
                        continue
                    status, block, body = response.parts
            except BaseException as error:
                # A log of the host's may read the request's context.
                status, block, body = context.run(dispatcher.failure, route, request, error)
            block_len = len(block)
            body_len = len(body)
            length = RESPONSE_LEN + block_len + body_len
            padding = PADDING[length & 7]
            pieces += (
                pack(length + len(padding), status, 0, request.token, block_len, 0, body_len),
                block,
                body,
                padding,
            )
            route.runs += 1
            now = perf_counter()
            if now - flushed > SHORT:
                outbox.flush()
                flushed = now
                if now - begun > SHORT:
                    route.ran_late(now - begun)
            # Whoever has taken over has sent the answers from before, but not this one.
            if self._lead is not lead:
                outbox.flush()
                return False
        if handed:
            dispatcher.post(handed)
        outbox.flush()
        return self._lead is lead
