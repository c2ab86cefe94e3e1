//! The body of one response: its events, comments while there are none, and the end at a stop.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use futures_lite::Stream;

use super::event::{COMMENT, InvalidEvent};
use super::queue::Queue;
use crate::Bytes;
use crate::Stopping;
use crate::sleep;

/// The events of a program, encoded.
pub(super) type Events = Pin<Box<dyn Stream<Item = Result<Bytes, InvalidEvent>> + Send>>;

/// Where events come from.
pub(super) enum Source {
    Stream(Events),
    Queue(Arc<Queue>),
    /// Nothing more comes.
    Over,
}

/// A stream of the lines of events.
pub(super) struct Feed {
    source: Source,
    /// Events that are sent before those of the source.
    first: VecDeque<Bytes>,
    /// The event that is sent when the server stops.
    at_stop: Option<Bytes>,
    stopping: Option<Stopping>,
    has_stopped: bool,
    keep_alive: Option<KeepAlive>,
}

/// The clock of the comments.
struct KeepAlive {
    interval: Duration,
    last: Instant,
    /// Reset only when it ends, not by each event.
    timer: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
}

impl KeepAlive {
    /// Ready once nothing was sent for the interval.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            if let Some(timer) = &mut self.timer {
                ready!(timer.as_mut().poll(cx));
                self.timer = None;
            }
            let quiet = self.last.elapsed();
            let Some(left) = self.interval.checked_sub(quiet).filter(|left| !left.is_zero()) else {
                return Poll::Ready(());
            };
            self.timer = Some(Box::pin(sleep(left)));
        }
    }
}

impl Feed {
    pub fn new(source: Source, stopping: Stopping) -> Self {
        Self {
            source,
            first: VecDeque::new(),
            at_stop: None,
            stopping: Some(stopping),
            has_stopped: false,
            keep_alive: None,
        }
    }

    /// Sends these events before those of the source.
    pub fn first(mut self, events: VecDeque<Bytes>) -> Self {
        self.first = events;
        self
    }

    /// Sends this event when the server stops.
    pub fn at_stop(mut self, event: Option<Bytes>) -> Self {
        self.at_stop = event;
        self
    }

    /// Sends a comment when nothing was sent for that time.
    pub fn keep_alive(mut self, interval: Option<Duration>) -> Self {
        self.keep_alive = interval.map(|interval| KeepAlive { interval, last: Instant::now(), timer: None });
        self
    }

    fn poll_source(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, InvalidEvent>>> {
        if let Some(event) = self.first.pop_front() {
            return Poll::Ready(Some(Ok(event)));
        }
        let next = match &mut self.source {
            Source::Stream(events) => ready!(events.as_mut().poll_next(cx)),
            Source::Queue(queue) => ready!(queue.poll_next(cx)).map(Ok),
            Source::Over => None,
        };
        if next.is_some() {
            return Poll::Ready(next);
        }
        self.leave();
        let last = if self.has_stopped { self.at_stop.take() } else { None };
        Poll::Ready(last.map(Ok))
    }

    /// Lets go of the source.
    fn leave(&mut self) {
        if let Source::Queue(queue) = std::mem::replace(&mut self.source, Source::Over) {
            queue.abandon();
        }
    }

    /// Begins to end if the server stops: a stream is asked no more, a queue is sent to its end.
    fn look_for_stop(&mut self, cx: &mut Context<'_>) {
        let Some(stopping) = &mut self.stopping else { return };
        if Pin::new(stopping).poll(cx).is_pending() {
            return;
        }
        self.stopping = None;
        self.has_stopped = true;
        match &self.source {
            Source::Queue(queue) => queue.end(),
            _ => self.source = Source::Over,
        }
    }
}

impl Stream for Feed {
    type Item = io::Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.look_for_stop(cx);
        let next = self.poll_source(cx);
        let Some(keep_alive) = &mut self.keep_alive else {
            return next.map(|event| event.map(|event| event.map_err(Into::into)));
        };
        let event = match next {
            Poll::Ready(event) => event.map(|event| event.map_err(Into::into)),
            Poll::Pending => {
                ready!(keep_alive.poll(cx));
                Some(Ok(COMMENT))
            }
        };
        keep_alive.last = Instant::now();
        Poll::Ready(event)
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        self.leave();
    }
}
