//! The sender of one response's events.

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use super::event::{InvalidEvent, ServerSentEvent};
use super::queue::{Queue, Refused};

/// Sends the events of one response, from any thread; see
/// [`ServerSentEvents::channel`](super::ServerSentEvents::channel).
///
/// Events wait in a queue that has a limit
/// ([`ServerSentEvents::queue_limit`](super::ServerSentEvents::queue_limit)): while as many bytes wait,
/// [`send`](Self::send) waits and [`try_send`](Self::try_send) refuses. Code that may block sends with
/// `transom::wait(sender.send(event), timeout)`.
///
/// A clone sends to the same response. The response ends in order when the last one is dropped, and when
/// the server begins to stop; the events that wait are still sent.
#[derive(Clone)]
pub struct EventSender {
    shared: Arc<End>,
}

/// Ends the queue with its last sender.
struct End(Arc<Queue>);

/// The reasons for which an [`EventSender`] does not send an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EventSendError {
    /// The event cannot be sent.
    Invalid(InvalidEvent),
    /// As many bytes wait to be sent as may.
    Full,
    /// The response is not sent any more: the client left, or the server stops.
    Gone,
}

impl EventSender {
    pub(super) fn new(queue: Arc<Queue>) -> Self {
        Self { shared: Arc::new(End(queue)) }
    }

    fn queue(&self) -> &Queue {
        &self.shared.0
    }

    /// Sends an event. Waits while the queue is full.
    ///
    /// # Errors
    /// [`EventSendError::Invalid`]; [`EventSendError::Gone`] if the response is not sent any more.
    pub async fn send(&self, event: impl Into<ServerSentEvent>) -> Result<(), EventSendError> {
        let event = event.into().encode()?;
        poll_fn(|cx| {
            loop {
                match self.queue().push(event.clone()) {
                    Err(Refused::Full) => ready!(self.queue().poll_ready(cx))?,
                    sent => return Poll::Ready(sent.map_err(Into::into)),
                }
            }
        })
        .await
    }

    /// Sends an event if the queue is not full.
    ///
    /// # Errors
    /// [`EventSendError::Invalid`]; [`EventSendError::Full`]; [`EventSendError::Gone`] if the response is
    /// not sent any more.
    pub fn try_send(&self, event: impl Into<ServerSentEvent>) -> Result<(), EventSendError> {
        Ok(self.queue().push(event.into().encode()?)?)
    }

    /// Ready once an event would be taken. Another thread may send in between.
    ///
    /// # Errors
    /// [`EventSendError::Gone`] if the response is not sent any more.
    pub fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<Result<(), EventSendError>> {
        self.queue().poll_ready(cx).map_err(Into::into)
    }

    /// Ready once the response is not sent any more: the client left, or the server stops.
    pub fn poll_gone(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.queue().poll_closed(cx)
    }

    /// Waits until the response is not sent any more: the client left, or the server stops.
    pub async fn gone(&self) {
        poll_fn(|cx| self.poll_gone(cx)).await;
    }

    /// Returns `true` if the response is not sent any more.
    pub fn is_gone(&self) -> bool {
        self.queue().is_closed()
    }

    /// Returns how many bytes wait to be sent.
    pub fn queued(&self) -> usize {
        self.queue().queued()
    }
}

impl Drop for End {
    fn drop(&mut self) {
        self.0.end();
    }
}

impl From<InvalidEvent> for EventSendError {
    fn from(error: InvalidEvent) -> Self {
        Self::Invalid(error)
    }
}

impl From<Refused> for EventSendError {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Full => Self::Full,
            Refused::Gone => Self::Gone,
        }
    }
}

impl From<EventSendError> for io::Error {
    fn from(error: EventSendError) -> Self {
        let kind = match error {
            EventSendError::Invalid(_) => io::ErrorKind::InvalidData,
            EventSendError::Full => io::ErrorKind::WouldBlock,
            EventSendError::Gone => io::ErrorKind::BrokenPipe,
        };
        Self::new(kind, error)
    }
}

impl fmt::Debug for EventSender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventSender")
            .field("queued", &self.queued())
            .field("is_gone", &self.is_gone())
            .finish()
    }
}

impl fmt::Display for EventSendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Invalid(why) => why.fmt(f),
            Self::Full => f.write_str("too much waits to be sent"),
            Self::Gone => f.write_str("the client is gone, or the server stops"),
        }
    }
}

impl std::error::Error for EventSendError {}
