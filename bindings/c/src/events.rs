//! Events: a queue from which the host's own threads take what has happened.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Wake, Waker};
use std::time::{Duration, Instant};
use std::{io, mem, ptr};

use transom::wake_after_turn;

use crate::bytes::{borrow, place, room};
use crate::process::Process;
use crate::signal::Signal;
use crate::status::transom_status;
use crate::system::{Bell, NO_DESCRIPTOR, transom_descriptor};
use crate::timeout::duration;

/// The kinds of events. New kinds may be added: ignore those that you do not know.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum transom_event_kind {
    /// The client of a watched request has left or closed its sending side. The response is
    /// still sent, and reaches a client that has only closed its sending side.
    TRANSOM_EVENT_GONE = 1,
    /// Nobody waits for the response to a watched request any more: the timeout "handler" has
    /// passed, the server was stopped, or the connection has ended.
    TRANSOM_EVENT_OVER = 2,
    /// A watched writer has room again, or nobody reads its body any more.
    TRANSOM_EVENT_WRITABLE = 3,
    /// Nobody reads the body of a watched writer any more: the client has left, or the
    /// response was cut off.
    TRANSOM_EVENT_WRITER_GONE = 4,
    /// Log messages wait: take them with transom_log_next.
    TRANSOM_EVENT_LOG = 5,
    /// There is more of the body of a watched request to read, or its end.
    TRANSOM_EVENT_READABLE = 6,
    /// The server of a watched request begins to stop.
    TRANSOM_EVENT_STOPPING = 7,
    /// The server that sends the body of a watched writer begins to stop.
    TRANSOM_EVENT_WRITER_STOPPING = 8,
    /// There is something to read on a watched connection that has left HTTP, or its end.
    TRANSOM_EVENT_UPGRADED_READABLE = 9,
    /// A watched connection that has left HTTP has room again, or is broken.
    TRANSOM_EVENT_UPGRADED_WRITABLE = 10,
    /// The server of a watched connection that has left HTTP begins to stop.
    TRANSOM_EVENT_UPGRADED_STOPPING = 11,
    /// A watchdog asks whether the thread that takes the events turns: see
    /// transom_server_watch_events.
    TRANSOM_EVENT_WATCHDOG = 12,
    /// There is a message to receive on a watched WebSocket connection, or its end.
    TRANSOM_EVENT_WEBSOCKET_MESSAGE = 13,
    /// A watched WebSocket connection has room again, or closes.
    TRANSOM_EVENT_WEBSOCKET_WRITABLE = 14,
    /// A watched WebSocket connection has ended.
    TRANSOM_EVENT_WEBSOCKET_CLOSED = 15,
}

/// An event. The structure does not grow.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct transom_event {
    /// A transom_event_kind.
    pub kind: i32,
    /// 0.
    pub reserved: u32,
    /// The subject of the event: the token of a request (GONE, OVER, READABLE, STOPPING), the
    /// writer, the transom_upgraded or the transom_websocket as a number (WRITABLE, WRITER_...,
    /// UPGRADED_..., WEBSOCKET_...), what transom_events_answer gets (WATCHDOG), or 0 (LOG).
    pub token: u64,
}

/// A queue of events. The library calls no function of the host for them. The host takes the
/// events on a thread of its own (transom_events_next) or in its event loop
/// (transom_events_fd). One queue may watch requests and writers of several servers, and a
/// host may have several queues, for example one for each event loop.
///
/// The queue holds each kind of event at most once for each request or writer, so what the
/// host watches bounds its length.
pub struct transom_events {
    process: Process,
    pub(crate) queue: Arc<EventQueue>,
}

impl transom_events {
    /// Returns the queue of events that a pointer is to, unless this process is a fork.
    ///
    /// # Safety
    /// `pointer` is NULL or valid during `'a`.
    pub(crate) unsafe fn get<'a>(pointer: *const Self) -> Result<&'a Self, transom_status> {
        // SAFETY: the caller promises it.
        let events = unsafe { borrow(pointer) }?;
        events.process.check()?;
        Ok(events)
    }
}

/// The queue of a `transom_events`, shared with everything that it watches.
#[derive(Default)]
pub(crate) struct EventQueue {
    state: Mutex<EventState>,
    arrival: Condvar,
}

#[derive(Default)]
struct EventState {
    waiting: VecDeque<Arc<Notice>>,
    closed: bool,
    /// The number of threads that wait for an event.
    waiters: usize,
    /// Tells that events wait.
    signal: Signal,
    /// The questions of watchdogs, by their tokens.
    questions: HashMap<u64, Weak<Question>>,
    /// The token of the last question.
    last_question: u64,
}

/// The question of a watchdog whether the thread that takes the events turns.
pub(crate) struct Question {
    notice: Arc<Notice>,
    /// True from the question until its answer.
    is_open: AtomicBool,
    answers: AtomicU64,
}

impl Question {
    /// Asks, unless an answer is still to come. Returns the number of answers so far; `None` if the
    /// queue is closed.
    pub fn ask(&self) -> Option<u64> {
        let answers = self.answers.load(Ordering::Acquire);
        if !self.is_open.swap(true, Ordering::AcqRel) {
            self.notice.tell();
        }
        (!self.notice.is_over()).then_some(answers)
    }
}

/// One event that may happen several times, and is in its queue at most once.
pub(crate) struct Notice {
    queue: Arc<EventQueue>,
    kind: transom_event_kind,
    token: u64,
    queued: AtomicBool,
}

impl Notice {
    pub fn new(queue: &Arc<EventQueue>, kind: transom_event_kind, token: u64) -> Arc<Self> {
        Arc::new(Self { queue: Arc::clone(queue), kind, token, queued: AtomicBool::new(false) })
    }

    /// Puts the event into its queue, unless it is there already.
    pub fn tell(self: &Arc<Self>) {
        if !self.queued.swap(true, Ordering::AcqRel) {
            self.queue.push(Arc::clone(self));
        }
    }

    /// Returns `true` if the event goes to this queue.
    pub fn is_for(&self, queue: &Arc<EventQueue>) -> bool {
        Arc::ptr_eq(&self.queue, queue)
    }

    /// Returns `true` if the queue is closed.
    pub fn is_over(&self) -> bool {
        self.queue.lock().closed
    }

    /// Returns a waker that tells the event.
    pub fn waker(self: &Arc<Self>) -> Waker {
        Waker::from(Arc::clone(self))
    }
}

impl Wake for Notice {
    fn wake(self: Arc<Self>) {
        self.tell();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.tell();
    }
}

impl EventQueue {
    /// Adds an event. A thread that serves connections wakes the host at the end of its turn, once for several
    /// events: an echo from Python over 64 connections takes 0.1 wakes a message instead of 0.3 (strace, 2026-11).
    fn push(self: &Arc<Self>, notice: Arc<Notice>) {
        let mut state = self.lock();
        if state.closed {
            drop(state);
            drop(notice);
            return;
        }
        state.waiting.push_back(notice);
        drop(state);
        // For each event: another thread may be in a turn that takes long.
        wake_after_turn(&Waker::from(Arc::clone(self)));
    }

    /// Wakes the host if events wait.
    fn wake_host(&self) {
        let mut state = self.lock();
        let (count, waiters) = (state.waiting.len(), state.waiters);
        let bell = if count > 0 { state.signal.turn_on() } else { None };
        drop(state);
        self.ring(bell);
        match count.min(waiters) {
            0 => {}
            1 => self.arrival.notify_one(),
            _ => self.arrival.notify_all(),
        }
    }

    /// Takes events out of the queue: at least one, and as many as fit `out`.
    fn take(&self, out: &mut [transom_event], timeout: Option<Duration>) -> Result<u32, transom_status> {
        let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        let mut state = self.lock();
        loop {
            if state.closed {
                return Err(transom_status::TRANSOM_STOPPED);
            }
            let mut count = 0;
            for (place, notice) in out.iter_mut().zip(state.waiting.iter()) {
                // From here on the event may be queued again, after those that wait.
                notice.queued.store(false, Ordering::Release);
                *place = transom_event { kind: notice.kind as i32, reserved: 0, token: notice.token };
                count += 1;
            }
            if count > 0 {
                let taken: Vec<_> = state.waiting.drain(..count).collect();
                if state.waiting.is_empty() {
                    state.signal.turn_off();
                }
                drop(state);
                drop(taken);
                return Ok(u32::try_from(count).unwrap_or(u32::MAX));
            }
            let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            if left == Some(Duration::ZERO) {
                return Err(transom_status::TRANSOM_TIMEOUT);
            }
            state.waiters += 1;
            state = match left {
                Some(left) => {
                    self.arrival.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0
                }
                None => self.arrival.wait(state).unwrap_or_else(PoisonError::into_inner),
            };
            state.waiters -= 1;
        }
    }

    /// Adds a question. It is open until it is dropped.
    pub fn add_question(self: &Arc<Self>) -> Arc<Question> {
        let mut state = self.lock();
        state.questions.retain(|_, question| question.strong_count() > 0);
        state.last_question += 1;
        let token = state.last_question;
        let notice = Notice::new(self, transom_event_kind::TRANSOM_EVENT_WATCHDOG, token);
        let question =
            Arc::new(Question { notice, is_open: AtomicBool::new(false), answers: AtomicU64::new(0) });
        state.questions.insert(token, Arc::downgrade(&question));
        question
    }

    /// Answers a question, if it is still open.
    pub fn answer(&self, token: u64) {
        let question = self.lock().questions.get(&token).and_then(Weak::upgrade);
        if let Some(question) = question
            && question.is_open.swap(false, Ordering::AcqRel)
        {
            question.answers.fetch_add(1, Ordering::Release);
        }
    }

    /// Ends the queue: waiting threads return, and no event comes any more.
    pub fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        let bell = state.signal.turn_on();
        // The queue holds these, and they hold the queue: dropping them breaks the circle.
        let waiting = mem::take(&mut state.waiting);
        drop(state);
        drop(waiting);
        self.ring(bell);
        self.arrival.notify_all();
    }

    /// Returns a descriptor that is readable while events wait.
    fn descriptor(&self) -> io::Result<transom_descriptor> {
        let mut state = self.lock();
        let descriptor = state.signal.descriptor()?;
        let something_waits = state.closed || !state.waiting.is_empty();
        let bell = if something_waits { state.signal.turn_on() } else { None };
        drop(state);
        self.ring(bell);
        Ok(descriptor)
    }

    /// Makes the descriptor readable.
    fn ring(&self, bell: Option<Arc<Bell>>) {
        if let Some(bell) = bell {
            bell.ring();
            self.lock().signal.rung();
        }
    }

    fn lock(&self) -> MutexGuard<'_, EventState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Wake for EventQueue {
    fn wake(self: Arc<Self>) {
        self.wake_host();
    }
}

/// Creates a queue of events that watches nothing yet. Free it with transom_events_free.
/// Returns NULL only if the library has a defect.
#[unsafe(no_mangle)]
pub extern "C" fn transom_events_new() -> *mut transom_events {
    guard!(ptr::null_mut(), {
        Box::into_raw(Box::new(transom_events { process: Process::current(), queue: Arc::default() }))
    })
}

/// Frees a queue of events and closes its descriptor. No other thread may use the queue: call
/// transom_events_close first to end the threads that wait in transom_events_next. The
/// requests and writers that it watches are not affected. Does nothing with NULL and in a
/// forked child.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_events_free(events: *mut transom_events) {
    // SAFETY: NULL or valid, by the contract. In a forked child nothing is freed, because
    // threads that only the parent has may hold the lock.
    if unsafe { transom_events::get(events) }.is_err() {
        return;
    }
    guard!((), {
        // SAFETY: it comes from `transom_events_new` and is freed once, by the contract.
        let events = unsafe { Box::from_raw(events) };
        events.queue.close();
        drop(events);
    });
}

/// Closes a queue of events: each call of transom_events_next returns TRANSOM_STOPPED from
/// now on, those that wait included, and the descriptor is readable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_events_close(events: *mut transom_events) -> transom_status {
    checked!({
        // SAFETY: NULL or valid, by the contract.
        unsafe { transom_events::get(events) }?.queue.close();
    })
}

/// Takes events from the queue. Waits until there is an event, at most `timeout_ms`
/// milliseconds (0: does not wait, TRANSOM_FOREVER: no limit). Then writes the events that
/// are there to `out`, at most `max`, in the order in which they happened, and stores their
/// number in `*count`. Several threads may call this at the same time; each event goes to one
/// of them.
///
/// An event may be out of date when you read it, for example because another thread has
/// answered the request since. To act on such an event is harmless.
///
/// Errors: TRANSOM_TIMEOUT; TRANSOM_STOPPED after transom_events_close;
/// TRANSOM_INVALID_ARGUMENT if `max` is 0 or the time is negative. `*count` is then 0.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_events_next(
    events: *mut transom_events,
    out: *mut transom_event,
    max: u32,
    timeout_ms: i64,
    count: *mut u32,
) -> transom_status {
    checked!({
        let max = usize::try_from(max).unwrap_or(usize::MAX);
        // SAFETY: each NULL or valid, by the contract; numbers may have any value.
        let (events, out, count) = unsafe { (transom_events::get(events)?, room(out, max)?, place(count)?) };
        *count = 0;
        let timeout = duration(timeout_ms)?;
        if max == 0 {
            return Err(transom_status::TRANSOM_INVALID_ARGUMENT);
        }
        *count = events.queue.take(out, timeout)?;
    })
}

/// Returns a descriptor for poll(2) and similar calls. It is readable while events wait. Do
/// not read it: transom_events_next resets it. With EPOLLET, call that function until it
/// returns TRANSOM_TIMEOUT. The descriptor belongs to the queue and is closed with it.
/// Returns -1 if it cannot be opened. On Windows it is the HANDLE of an event, as that of
/// transom_server_event_fd.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_events_fd(events: *mut transom_events) -> transom_descriptor {
    guard!(NO_DESCRIPTOR, {
        // SAFETY: NULL or valid, by the contract.
        let events = unsafe { transom_events::get(events) };
        events.ok().and_then(|events| events.queue.descriptor().ok()).unwrap_or(NO_DESCRIPTOR)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use transom_event_kind::{TRANSOM_EVENT_GONE, TRANSOM_EVENT_WRITABLE};

    const NOTHING: transom_event = transom_event { kind: 0, reserved: 9, token: 0 };

    #[test]
    fn an_event_is_queued_once_at_a_time_however_often_it_is_told() {
        let queue = Arc::<EventQueue>::default();
        let first = Notice::new(&queue, TRANSOM_EVENT_WRITABLE, 7);
        let second = Notice::new(&queue, TRANSOM_EVENT_GONE, 7);
        for _ in 0..3 {
            first.tell();
            second.tell();
        }
        let mut out = [NOTHING; 4];
        assert_eq!(queue.take(&mut out, None), Ok(2));
        assert_eq!(out[0], transom_event { kind: TRANSOM_EVENT_WRITABLE as i32, reserved: 0, token: 7 });
        assert_eq!(out[1].kind, TRANSOM_EVENT_GONE as i32);
        assert_eq!(out[2], NOTHING);
        let none = queue.take(&mut out, Some(Duration::ZERO));
        assert_eq!(none, Err(transom_status::TRANSOM_TIMEOUT));
        first.tell();
        assert_eq!(queue.take(&mut out[..1], None), Ok(1));
    }

    #[test]
    fn one_wake_for_several_events_wakes_all_threads_that_may_take_one() {
        let queue = Arc::<EventQueue>::default();
        std::thread::scope(|scope| {
            let take = || queue.take(&mut [NOTHING], None);
            let waiting: Vec<_> = (0..2).map(|_| scope.spawn(take)).collect();
            while queue.lock().waiters < 2 {
                std::thread::yield_now();
            }
            let notices = [1, 2].map(|token| Notice::new(&queue, TRANSOM_EVENT_GONE, token));
            // As during the turn of a thread that serves connections.
            queue.lock().waiting.extend(notices);
            Arc::clone(&queue).wake();
            assert!(waiting.into_iter().all(|thread| thread.join().unwrap() == Ok(1)));
        });
    }

    #[test]
    fn what_is_told_after_the_end_is_let_go() {
        let queue = Arc::<EventQueue>::default();
        let notice = Notice::new(&queue, TRANSOM_EVENT_GONE, 1);
        notice.tell();
        assert_eq!(Arc::strong_count(&notice), 2);
        queue.close();
        assert_eq!(Arc::strong_count(&notice), 1);
        assert_eq!(queue.take(&mut [NOTHING], None), Err(transom_status::TRANSOM_STOPPED));
        Notice::new(&queue, TRANSOM_EVENT_GONE, 2).tell();
        drop(notice);
        assert_eq!(Arc::strong_count(&queue), 1);
    }
}
