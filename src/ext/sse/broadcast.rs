//! Events for many responses, each encoded once.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::Waker;

use super::event::{InvalidEvent, ServerSentEvent};
use super::history::History;
use super::queue::Queue;
use crate::Bytes;
use crate::SlowReader;

/// Sends the same events to many responses, from any thread. An event is encoded once.
///
/// A clone is the same broadcast. When the last one is dropped, its responses end in order.
///
/// ```
/// use transom::{EventBroadcast, Request, Router, ServerSentEvent, ServerSentEvents, SlowReader};
///
/// let news = EventBroadcast::new().slow(SlowReader::Close).history(100);
/// let feed = news.clone();
/// Router::new().get("/news", async move |req: Request| ServerSentEvents::new(&req).subscribe(&feed));
///
/// let reached = news.send(ServerSentEvent::new("the first of all").id("1"))?;
/// assert_eq!(reached, 0);
/// # Ok::<(), transom::InvalidEvent>(())
/// ```
#[derive(Clone)]
pub struct EventBroadcast {
    shared: Arc<Shared>,
}

struct Shared {
    slow: SlowReader,
    state: Mutex<State>,
}

struct State {
    history: History,
    /// The queues of the responses. Those that have ended are removed when an event is sent, or when as
    /// many have been added as were there.
    queues: Vec<Weak<Queue>>,
    /// The length of `queues` at which those that have ended are removed.
    sweep_at: usize,
}

/// The shortest list from which queues that have ended are removed.
const SWEEP: usize = 32;

impl EventBroadcast {
    /// Returns a broadcast without responses, which keeps no events. A reader that is too slow misses
    /// events ([`SlowReader::Drop`]).
    pub fn new() -> Self {
        Self::with(SlowReader::default(), 0)
    }

    fn with(slow: SlowReader, history: usize) -> Self {
        let state = State { history: History::new(history), queues: Vec::new(), sweep_at: SWEEP };
        Self { shared: Arc::new(Shared { slow, state: Mutex::new(state) }) }
    }

    /// Sets what happens to a reader that has no room for an event: as many bytes wait to be sent to it as
    /// [`ServerSentEvents::queue_limit`](super::ServerSentEvents::queue_limit) allows. Set it before the
    /// broadcast is used: responses and events that are there are not taken over.
    #[must_use]
    pub fn slow(self, slow: SlowReader) -> Self {
        let most = self.shared.lock().history.most();
        Self::with(slow, most)
    }

    /// Keeps the last events, as many as that, for clients that connect again and say which they got
    /// last; default 0. If that event is not kept any more, or never was, the client gets all that are. Give
    /// each event an id. Set it before the broadcast is used.
    #[must_use]
    pub fn history(self, events: usize) -> Self {
        Self::with(self.shared.slow, events)
    }

    /// Sends an event to all responses, and returns how many took it. Waits for none.
    ///
    /// # Errors
    /// [`InvalidEvent`] if the event cannot be sent.
    pub fn send(&self, event: impl Into<ServerSentEvent>) -> Result<usize, InvalidEvent> {
        let event = event.into();
        let lines = event.encode()?;
        let mut woken = Vec::new();
        let mut reached = 0;
        let mut state = self.shared.lock();
        state.history.push(event.own_id(), &lines);
        state.queues.retain(|queue| {
            let Some(queue) = queue.upgrade() else { return false };
            reached += usize::from(queue.offer(&lines, self.shared.slow, &mut woken));
            !queue.is_closed()
        });
        drop(state);
        woken.into_iter().for_each(Waker::wake);
        Ok(reached)
    }

    /// Returns the number of responses that get events.
    pub fn len(&self) -> usize {
        let state = self.shared.lock();
        state.queues.iter().filter(|queue| queue.upgrade().is_some_and(|queue| !queue.is_closed())).count()
    }

    /// Returns `true` if no response gets events.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Ends all responses in order: the events that wait are still sent. Later ones may subscribe.
    pub fn close(&self) {
        self.shared.close();
    }

    /// Adds the queue of a response. Returns the events after the one that its client got last.
    pub(super) fn add(&self, queue: &Arc<Queue>, last_event_id: Option<&str>) -> VecDeque<Bytes> {
        let mut state = self.shared.lock();
        if state.queues.len() >= state.sweep_at {
            state.queues.retain(|queue| queue.upgrade().is_some_and(|queue| !queue.is_closed()));
            state.sweep_at = (2 * state.queues.len()).max(SWEEP);
        }
        state.queues.push(Arc::downgrade(queue));
        last_event_id.map(|id| state.history.after(id)).unwrap_or_default()
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn close(&self) {
        let queues = std::mem::take(&mut self.lock().queues);
        queues.iter().filter_map(Weak::upgrade).for_each(|queue| queue.end());
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.close();
    }
}

impl Default for EventBroadcast {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for EventBroadcast {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventBroadcast").field("len", &self.len()).field("slow", &self.shared.slow).finish()
    }
}
