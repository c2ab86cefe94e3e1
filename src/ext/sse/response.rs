//! The settings of a response that sends events, and the response.

use std::sync::Arc;
use std::time::Duration;

use futures_lite::{Stream, StreamExt};

use super::broadcast::EventBroadcast;
use super::event::ServerSentEvent;
use super::feed::{Feed, Source};
use super::queue::Queue;
use super::sender::EventSender;
use crate::HttpError;
use crate::IntoResponse;
use crate::Request;
use crate::Response;
use crate::Stopping;

/// A response that sends events as they come: `text/event-stream`, which no cache may keep.
///
/// The response ends in order when the server begins to stop, so that clients connect again, and when its
/// events end. While there are no events, it sends comments, so that nothing on the way takes the
/// connection for dead. `req.header("last-event-id")` is the id of the last event that a client got before
/// it lost the connection.
///
/// ```
/// use futures_lite::{StreamExt as _, stream};
/// use std::time::Duration;
/// use transom::{Request, Router, ServerSentEvent, ServerSentEvents, sleep};
///
/// Router::new().get("/ticks", async |req: Request| {
///     let next = req.header("last-event-id").and_then(|id| id.parse::<u64>().ok()).map_or(0, |id| id + 1);
///     let ticks = stream::iter(next..).then(async |number| {
///         sleep(Duration::from_secs(1)).await;
///         ServerSentEvent::new("tick").id(number.to_string())
///     });
///     ServerSentEvents::new(&req).stream(ticks)
/// });
/// ```
#[derive(Debug)]
pub struct ServerSentEvents {
    last_event_id: Option<String>,
    stopping: Stopping,
    keep_alive: Option<Duration>,
    queue_limit: usize,
    at_stop: Option<ServerSentEvent>,
}

impl ServerSentEvents {
    /// Begins the response to a request.
    pub fn new(request: &Request) -> Self {
        let id = request.header("last-event-id");
        Self { last_event_id: id.map(str::to_owned), ..Self::until(request.stopping()) }
    }

    /// Begins a response for which there is no request any more: one that a
    /// [`Responder`](crate::Responder) sends.
    pub fn until(stopping: Stopping) -> Self {
        Self {
            last_event_id: None,
            stopping,
            keep_alive: Some(Duration::from_secs(15)),
            queue_limit: 256 * 1024,
            at_stop: None,
        }
    }

    /// Sets how long no event is sent before a comment is; default 15 s. `None` turns comments off.
    #[must_use]
    pub fn keep_alive(mut self, interval: Option<Duration>) -> Self {
        self.keep_alive = interval.map(|interval| interval.max(Duration::from_millis(1)));
        self
    }

    /// Sets how many bytes may wait to be sent; default 256 KiB. An event is taken whole while fewer
    /// wait. Then senders wait, and a broadcast does what its [`SlowReader`](crate::SlowReader) says.
    #[must_use]
    pub fn queue_limit(mut self, bytes: usize) -> Self {
        self.queue_limit = bytes.max(1);
        self
    }

    /// Sets the id of the event that the client got last; default what the request says.
    #[must_use]
    pub fn last_event_id(mut self, id: impl Into<String>) -> Self {
        self.last_event_id = Some(id.into());
        self
    }

    /// Sets an event that is sent last when the server begins to stop.
    #[must_use]
    pub fn at_stop(mut self, event: impl Into<ServerSentEvent>) -> Self {
        self.at_stop = Some(event.into());
        self
    }

    /// Returns a response with the events of a stream. The stream is asked for the next event when the
    /// client has taken enough of those before, and is dropped when the client leaves or the server
    /// begins to stop. If an event cannot be sent, the response breaks off and the log says why.
    pub fn stream<S>(self, events: S) -> Response
    where
        S: Stream<Item: Into<ServerSentEvent>> + Send + 'static,
    {
        let lines = events.map(|event| event.into().encode());
        self.response(Source::Stream(Box::pin(lines)), |feed| feed)
    }

    /// Returns a response, and a sender of its events.
    ///
    /// ```
    /// use transom::{Request, Router, ServerSentEvents};
    ///
    /// Router::new().get("/progress", async |req: Request| {
    ///     let (sender, response) = ServerSentEvents::new(&req).channel();
    ///     std::thread::spawn(move || {
    ///         for percent in 0..=100 {
    ///             if !transom::wait(sender.send(percent.to_string()), None).is_ok_and(|sent| sent.is_ok()) {
    ///                 break;
    ///             }
    ///         }
    ///     });
    ///     response
    /// });
    /// ```
    pub fn channel(self) -> (EventSender, Response) {
        let queue = Arc::new(Queue::new(self.queue_limit));
        let response = self.response(Source::Queue(Arc::clone(&queue)), |feed| feed);
        (EventSender::new(queue), response)
    }

    /// Returns a response with the events of a broadcast, from now on. If the broadcast keeps events and
    /// the client sent a Last-Event-ID, those after it come first.
    pub fn subscribe(self, broadcast: &EventBroadcast) -> Response {
        let queue = Arc::new(Queue::new(self.queue_limit));
        let missed = broadcast.add(&queue, self.last_event_id.as_deref());
        self.response(Source::Queue(queue), |feed| feed.first(missed))
    }

    fn response(self, source: Source, change: impl FnOnce(Feed) -> Feed) -> Response {
        let at_stop = match self.at_stop.map(|event| event.encode()).transpose() {
            Ok(event) => event,
            Err(error) => return HttpError::from(error).into_response(),
        };
        let feed = Feed::new(source, self.stopping).at_stop(at_stop).keep_alive(self.keep_alive);
        Response::stream("text/event-stream", change(feed)).header("cache-control", "no-store")
    }
}
