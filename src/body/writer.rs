//! Filling a response body from outside the connection.

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::pipe::{Outcome, PipeFeed, Space};
use crate::base::driving::is_driving;
use crate::fields::Headers;

/// Why a [`BodyWriter`] took nothing.
///
/// ```
/// use transom::{Body, WriteError};
/// let (writer, body) = Body::channel();
/// drop(body);
/// assert_eq!(writer.try_write("x").unwrap_err(), WriteError::Gone);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum WriteError {
    /// Nobody reads any more: the client left, or the response was cut.
    Gone,
    /// No room now: the client reads more slowly than the writer writes.
    WouldBlock,
    /// No room now, and none for as long as this thread waits: it drives
    /// connections, in a handler that runs on the connection's own thread.
    WouldDeadlock,
    /// The chunk goes beyond the length of the body, which its `Content-Length`
    /// or [`Body::sized_channel`](super::Body::sized_channel) says.
    TooLong,
    /// The body was finished before its length was written. The connection is
    /// closed, so that the client can tell.
    TooShort,
}

impl fmt::Display for WriteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Gone => "the client is gone",
            Self::WouldBlock => "no room for more now",
            Self::WouldDeadlock => "no room for more now, and this thread must make it",
            Self::TooLong => "more than the length of the body",
            Self::TooShort => "less than the length of the body",
        })
    }
}

impl std::error::Error for WriteError {}

impl From<WriteError> for io::Error {
    fn from(error: WriteError) -> Self {
        let kind = match error {
            WriteError::Gone => io::ErrorKind::BrokenPipe,
            WriteError::WouldBlock => io::ErrorKind::WouldBlock,
            WriteError::WouldDeadlock => io::ErrorKind::Deadlock,
            WriteError::TooLong => io::ErrorKind::InvalidInput,
            WriteError::TooShort => io::ErrorKind::UnexpectedEof,
        };
        Self::new(kind, error)
    }
}

/// Fills a response body from any task or thread; see
/// [`Body::channel`](super::Body::channel).
///
/// [`finish`](Self::finish) ends the body. A writer dropped without it cuts the
/// response off, so that the client does not take a part for the whole.
///
/// A body of a known length (its response has a `Content-Length`) takes that
/// many bytes. A body that is not sent, because the request is a HEAD or the
/// status is 204, 205 or 304, takes any and drops them, for 30 seconds; that
/// is no error for the writer, and [`is_gone`](Self::is_gone) tells.
///
/// ```
/// let (writer, body) = transom::Body::channel();
/// std::thread::spawn(move || {
///     writer.write_blocking("hello", None)?;
///     writer.finish()
/// });
/// assert_eq!(smol::block_on(body.collect(10)).unwrap(), "hello");
/// ```
pub struct BodyWriter(PipeFeed);

impl BodyWriter {
    pub(crate) fn new(feed: PipeFeed) -> Self {
        // That is what the room is for.
        feed.run_ahead();
        Self(feed)
    }

    /// Writes a chunk if there is room now.
    ///
    /// ```
    /// let (writer, _body) = transom::Body::channel();
    /// writer.try_write("hello")?;
    /// # Ok::<(), transom::WriteError>(())
    /// ```
    ///
    /// # Errors
    /// `WouldBlock` without room, `Gone` without a reader, `TooLong`.
    pub fn try_write(&self, chunk: impl Into<Bytes>) -> Result<(), WriteError> {
        let chunk = self.fitting(chunk)?;
        self.0.try_push(chunk).map_err(|space| match space {
            Some(_) => WriteError::Gone,
            None => WriteError::WouldBlock,
        })
    }

    /// Writes a chunk, waiting for room.
    ///
    /// ```
    /// # smol::block_on(async {
    /// let (writer, mut body) = transom::Body::channel();
    /// writer.write("hello").await?;
    /// assert_eq!(body.chunk().await.unwrap().unwrap(), "hello");
    /// # Ok::<(), transom::WriteError>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    /// `Gone` without a reader, `TooLong`.
    pub async fn write(&self, chunk: impl Into<Bytes>) -> Result<(), WriteError> {
        let chunk = self.fitting(chunk)?;
        match poll_fn(|cx| self.0.poll_space(cx)).await {
            Space::Wanted => self.push(chunk),
            Space::Abandoned => Err(WriteError::Gone),
        }
    }

    /// Writes a chunk, blocking the thread until there is room, at most
    /// `timeout` if there is one.
    ///
    /// ```
    /// use std::time::Duration;
    /// let (writer, _body) = transom::Body::channel();
    /// writer.write_blocking(vec![0; 64 * 1024], None)?;
    /// let full = writer.write_blocking("more", Some(Duration::from_millis(1)));
    /// assert_eq!(full, Err(transom::WriteError::WouldBlock));
    /// # Ok::<(), transom::WriteError>(())
    /// ```
    ///
    /// # Errors
    /// `Gone` without a reader, `WouldBlock` when the time is over,
    /// `WouldDeadlock` where it would have to wait on a thread that drives
    /// connections: in a handler that is not on the pool; `TooLong`.
    pub fn write_blocking(
        &self,
        chunk: impl Into<Bytes>,
        timeout: Option<Duration>,
    ) -> Result<(), WriteError> {
        if is_driving() {
            return self.try_write(chunk).map_err(|error| match error {
                WriteError::WouldBlock => WriteError::WouldDeadlock,
                error => error,
            });
        }
        let chunk = self.fitting(chunk)?;
        let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        match self.0.wait_space(deadline) {
            Some(Space::Wanted) => self.push(chunk),
            Some(Space::Abandoned) => Err(WriteError::Gone),
            None => Err(WriteError::WouldBlock),
        }
    }

    /// A chunk that does not go beyond the length of the body.
    fn fitting(&self, chunk: impl Into<Bytes>) -> Result<Bytes, WriteError> {
        let chunk = chunk.into();
        if self.0.fits(chunk.len()) { Ok(chunk) } else { Err(WriteError::TooLong) }
    }

    fn push(&self, chunk: Bytes) -> Result<(), WriteError> {
        if self.0.push(chunk) { Ok(()) } else { Err(WriteError::TooLong) }
    }

    /// Returns `true` if a chunk would be taken now, or none ever will: whether it is
    /// worth making one.
    ///
    /// ```
    /// let (writer, _body) = transom::Body::channel();
    /// assert!(writer.is_ready());
    /// writer.try_write(vec![0; 64 * 1024])?;
    /// assert!(!writer.is_ready());
    /// # Ok::<(), transom::WriteError>(())
    /// ```
    pub fn is_ready(&self) -> bool {
        self.0.has_space()
    }

    /// Ready when a chunk would be taken, or none ever will. Until then the
    /// task is woken once there is room, or nobody reads any more.
    ///
    /// ```
    /// use std::task::{Context, Poll, Waker};
    /// let (writer, body) = transom::Body::channel();
    /// let mut cx = Context::from_waker(Waker::noop());
    /// assert_eq!(writer.poll_ready(&mut cx), Poll::Ready(Ok(())));
    /// writer.try_write(vec![0; 64 * 1024])?;
    /// assert_eq!(writer.poll_ready(&mut cx), Poll::Pending);
    /// # Ok::<(), transom::WriteError>(())
    /// ```
    ///
    /// # Errors
    /// `Gone` without a reader.
    pub fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<Result<(), WriteError>> {
        self.0.poll_space(cx).map(|space| match space {
            Space::Wanted => Ok(()),
            Space::Abandoned => Err(WriteError::Gone),
        })
    }

    /// Ready when nobody reads any more; the task is woken then.
    ///
    /// ```
    /// use std::task::{Context, Waker};
    /// let (writer, body) = transom::Body::channel();
    /// let mut cx = Context::from_waker(Waker::noop());
    /// assert!(writer.poll_gone(&mut cx).is_pending());
    /// drop(body);
    /// assert!(writer.poll_gone(&mut cx).is_ready());
    /// ```
    pub fn poll_gone(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.0.poll_abandoned(cx)
    }

    /// Waits until nobody reads any more: the client left, or the response was
    /// cut. A stream that waits for news waits for this too, and ends with its
    /// client.
    ///
    /// ```
    /// # smol::block_on(async {
    /// use futures_lite::future;
    /// let (writer, body) = transom::Body::channel();
    /// # drop(body);
    /// let news = future::pending::<Option<&str>>();
    /// let next = future::or(news, async {
    ///     writer.gone().await;
    ///     None
    /// });
    /// assert_eq!(next.await, None);
    /// # });
    /// ```
    pub async fn gone(&self) {
        poll_fn(|cx| self.poll_gone(cx)).await;
    }

    /// Whether nobody reads any more.
    ///
    /// ```
    /// let (writer, body) = transom::Body::channel();
    /// assert!(!writer.is_gone());
    /// drop(body);
    /// assert!(writer.is_gone());
    /// ```
    pub fn is_gone(&self) -> bool {
        self.0.is_abandoned()
    }

    /// Ends the body: all of it has been written.
    ///
    /// ```
    /// # smol::block_on(async {
    /// let (writer, mut body) = transom::Body::channel();
    /// writer.finish()?;
    /// assert!(body.chunk().await.is_none());
    /// # Ok::<(), transom::WriteError>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    /// `Gone` if nobody reads any more, `TooShort` or `TooLong` if the length
    /// of the body is known and was not what was written. The body has ended
    /// all the same; one that is too short is cut off.
    pub fn finish(self) -> Result<(), WriteError> {
        let outcome = self.0.outcome();
        self.0.finish(Ok(()));
        result(outcome)
    }

    /// Ends the body, with trailer fields behind it; see
    /// [`Body::with_trailers`](super::Body::with_trailers).
    ///
    /// ```
    /// let (writer, _body) = transom::Body::channel();
    /// writer.finish_with(transom::Headers::parse(b"x-sum: 0\n")?)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As [`finish`](Self::finish).
    pub fn finish_with(self, trailers: Headers) -> Result<(), WriteError> {
        let outcome = self.0.outcome();
        self.0.finish_with(trailers);
        result(outcome)
    }
}

fn result(outcome: Outcome) -> Result<(), WriteError> {
    match outcome {
        Outcome::Whole => Ok(()),
        Outcome::Abandoned => Err(WriteError::Gone),
        Outcome::TooShort => Err(WriteError::TooShort),
        Outcome::TooLong => Err(WriteError::TooLong),
    }
}

impl fmt::Debug for BodyWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BodyWriter").field("gone", &self.is_gone()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::driving::driving;
    use crate::body::Body;

    #[test]
    fn a_thread_that_drives_connections_does_not_wait_for_one() {
        let (writer, _body) = Body::channel();
        driving(|| {
            writer.write_blocking(vec![0; 64 * 1024], None).unwrap();
            assert_eq!(writer.write_blocking("more", None), Err(WriteError::WouldDeadlock));
        });
        let soon = Some(Duration::from_millis(1));
        assert_eq!(writer.write_blocking("more", soon), Err(WriteError::WouldBlock));
    }
}
