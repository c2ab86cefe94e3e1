//! The writer that fills a response body from another task or thread.

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::pipe_feed::PipeFeed;
use super::pipe_state::{Outcome, Space};
use crate::base::driving::{self, Waited, is_driving};
use crate::base::stopping::Stopping;
use crate::fields::Headers;

/// The error when a [`BodyWriter`] does not take a chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum WriteError {
    /// The body is not read any more: the client left, or the response was cut.
    Gone,
    /// There is no room now: the client reads more slowly than the writer writes.
    WouldBlock,
    /// There is no room now, and there will be none while this thread waits: the handler runs on
    /// the thread that must send the body.
    WouldDeadlock,
    /// The chunk exceeds the length of the body, as set by its `Content-Length` or by
    /// [`Body::sized_channel`](super::Body::sized_channel).
    TooLong,
    /// The body was finished before its whole length was written. The connection closes, so that
    /// the client notices.
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

/// A writer that fills a response body from any task or thread; see
/// [`Body::channel`](super::Body::channel).
///
/// [`finish`](Self::finish) ends the body. If the writer is dropped without it, the response is cut
/// off, so that the client does not take a part for the whole.
///
/// If the length of the body is known (its response has a `Content-Length`), the writer takes that
/// many bytes. If the body is not sent at all, because the request is a HEAD or the status is 204,
/// 205 or 304, the writer takes any bytes and drops them, for 30 seconds. That is no error, and
/// [`is_gone`](Self::is_gone) returns `true`.
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
        // The pipe's room lets the writer begin before the connection reads.
        feed.run_ahead();
        Self(feed)
    }

    /// Writes a chunk if there is room now.
    ///
    /// # Errors
    /// `WouldBlock` if there is no room, `Gone` if the body is not read any more, `TooLong`.
    pub fn try_write(&self, chunk: impl Into<Bytes>) -> Result<(), WriteError> {
        let chunk = self.fitting(chunk)?;
        if self.0.send_now(&chunk) { Ok(()) } else { self.0.try_push(chunk).map_err(refused) }
    }

    /// Sends a chunk to the client on this thread, without a copy and without the thread of the connection.
    /// Returns `false` if it is to be written in another way: if earlier chunks still wait to be sent, the
    /// chunk is smaller than 16 KiB or larger than 256 KiB or exceeds the length of the body, this thread serves
    /// connections, the connection is no plain socket (TLS), or the body is changed on its way, as compression
    /// does. The other functions try this first.
    ///
    /// ```
    /// let (writer, _body) = transom::Body::channel();
    /// let chunk = [0; 64 * 1024];
    /// if !writer.send_now(&chunk) {
    ///     writer.try_write(chunk.to_vec())?;
    /// }
    /// # Ok::<(), transom::WriteError>(())
    /// ```
    pub fn send_now(&self, chunk: &[u8]) -> bool {
        self.0.send_now(chunk)
    }

    /// Writes a chunk as [`try_write`](Self::try_write) does, and leaves it to [`flush`](Self::flush) to have it
    /// sent. Use this for several chunks, or for many bodies at once: the thread that sends them is then woken
    /// once. Until the flush, the chunk may be sent at any time, and if there is no room, the chunks before are.
    ///
    /// ```
    /// let (writer, body) = transom::Body::channel();
    /// for line in ["one\n", "two\n"] {
    ///     writer.try_feed(line)?;
    /// }
    /// writer.flush();
    /// # let reading = std::thread::spawn(|| smol::block_on(body.collect(10)));
    /// # writer.finish()?;
    /// # assert_eq!(reading.join().unwrap().unwrap(), "one\ntwo\n");
    /// # Ok::<(), transom::WriteError>(())
    /// ```
    ///
    /// # Errors
    /// As `try_write`.
    pub fn try_feed(&self, chunk: impl Into<Bytes>) -> Result<(), WriteError> {
        let chunk = self.fitting(chunk)?;
        if self.0.send_now(&chunk) { Ok(()) } else { self.0.try_feed(chunk).map_err(refused) }
    }

    /// Has the chunks sent that [`try_feed`](Self::try_feed) has written. It does not wait.
    ///
    /// In [`Responder::batch`](crate::Responder::batch), the flushes of many writers wake each thread of the
    /// server at most once.
    pub fn flush(&self) {
        self.0.flush();
    }

    /// Waits for room and writes a chunk.
    ///
    /// # Errors
    /// `Gone` if the body is not read any more, `TooLong`.
    pub async fn write(&self, chunk: impl Into<Bytes>) -> Result<(), WriteError> {
        let chunk = self.fitting(chunk)?;
        if self.0.send_now(&chunk) {
            return Ok(());
        }
        match poll_fn(|cx| self.0.poll_space(cx)).await {
            // The connection may have nothing else to write by now.
            Space::Wanted if self.0.send_now(&chunk) => Ok(()),
            Space::Wanted => self.push(chunk),
            Space::Abandoned => Err(WriteError::Gone),
        }
    }

    /// Blocks the thread until there is room, for at most `timeout`, and writes a chunk.
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
    /// `Gone` if the body is not read any more; `WouldBlock` after the timeout; `TooLong`;
    /// `WouldDeadlock` if there is no room and a handler that may not block calls this on the thread
    /// that must send the body.
    pub fn write_blocking(
        &self,
        chunk: impl Into<Bytes>,
        timeout: Option<Duration>,
    ) -> Result<(), WriteError> {
        let chunk = self.fitting(chunk)?;
        if self.0.send_now(&chunk) {
            return Ok(());
        }
        let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        let space = match driving::wait(deadline, |cx| self.0.poll_space(cx)) {
            Waited::Ready(space) => Some(space),
            Waited::TimedOut => None,
            Waited::NotHere if is_driving() && !self.0.has_space() => return Err(WriteError::WouldDeadlock),
            Waited::NotHere => self.0.wait_space(deadline),
        };
        match space {
            // The connection may have nothing else to write by now.
            Some(Space::Wanted) if self.0.send_now(&chunk) => return Ok(()),
            Some(Space::Wanted) => self.push(chunk)?,
            Some(Space::Abandoned) => return Err(WriteError::Gone),
            None => return Err(WriteError::WouldBlock),
        }
        // On the thread that sends the body, nothing else would send the chunk now.
        driving::make_progress();
        Ok(())
    }

    /// Returns the chunk if it stays within the length of the body.
    fn fitting(&self, chunk: impl Into<Bytes>) -> Result<Bytes, WriteError> {
        let chunk = chunk.into();
        if self.0.fits(chunk.len()) { Ok(chunk) } else { Err(WriteError::TooLong) }
    }

    fn push(&self, chunk: Bytes) -> Result<(), WriteError> {
        if self.0.push(chunk) { Ok(()) } else { Err(WriteError::TooLong) }
    }

    /// Returns `true` if a write would not wait: there is room, or the body is not read any more. A
    /// producer can check this before it makes a chunk.
    pub fn is_ready(&self) -> bool {
        self.0.has_space()
    }

    /// Ready if the writer would take a chunk now. Until then the task will be woken when there is
    /// room, or when the body is not read any more.
    ///
    /// # Errors
    /// `Gone` if the body is not read any more.
    pub fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<Result<(), WriteError>> {
        self.0.poll_space(cx).map(|space| match space {
            Space::Wanted => Ok(()),
            Space::Abandoned => Err(WriteError::Gone),
        })
    }

    /// Ready once the body is not read any more. Until then the task will be woken when that
    /// happens.
    pub fn poll_gone(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.0.poll_abandoned(cx)
    }

    /// Waits until the body is not read any more: the client left, or the response was cut. A
    /// stream that waits for events should wait for this too, and end when its client leaves.
    ///
    /// ```
    /// use futures_lite::future;
    /// use transom::BodyWriter;
    ///
    /// async fn send_events(events: async_channel::Receiver<String>, writer: BodyWriter) {
    ///     let next = || async { events.recv().await.ok() };
    ///     let gone = || async {
    ///         writer.gone().await;
    ///         None
    ///     };
    ///     while let Some(event) = future::or(next(), gone()).await {
    ///         writer.write(format!("data: {event}\n\n")).await.ok();
    ///     }
    /// }
    /// ```
    pub async fn gone(&self) {
        poll_fn(|cx| self.poll_gone(cx)).await;
    }

    /// Returns a future that is ready when the server that sends the body begins to stop. A
    /// stream that waits for news waits for this too, and then finishes the body in order.
    ///
    /// The writer learns of a stop while its body is being sent. In a handler that has not yet
    /// answered, wait for [`Request::stopping`](crate::Request::stopping).
    pub fn stopping(&self) -> Stopping {
        self.0.stopping()
    }

    /// Returns `true` if the body is not read any more.
    pub fn is_gone(&self) -> bool {
        self.0.is_abandoned()
    }

    /// Ends the body.
    ///
    /// # Errors
    /// `Gone` if the body is not read any more. `TooShort` or `TooLong` if its length is known and
    /// differs from what was written. In each case the body has ended; a body that is too short is
    /// cut off.
    pub fn finish(self) -> Result<(), WriteError> {
        let outcome = self.0.outcome();
        self.0.finish(Ok(()));
        driving::make_progress();
        result(outcome)
    }

    /// Ends the body with trailer fields; see [`Body::with_trailers`](super::Body::with_trailers).
    ///
    /// # Errors
    /// As [`finish`](Self::finish).
    pub fn finish_with(self, trailers: Headers) -> Result<(), WriteError> {
        let outcome = self.0.outcome();
        self.0.finish_with(trailers);
        driving::make_progress();
        result(outcome)
    }
}

/// Returns the error of a chunk for which there is no room, or no reader.
fn refused(space: Option<Space>) -> WriteError {
    if space.is_some() { WriteError::Gone } else { WriteError::WouldBlock }
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
    use std::pin::pin;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::{Wake, Waker};

    use super::*;
    use crate::base::driving::driving;
    use crate::body::Body;

    #[derive(Default)]
    struct Wakes(AtomicUsize);

    impl Wake for Wakes {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn what_is_fed_wakes_the_reader_at_the_flush_or_without_room() {
        let (writer, mut body) = Body::channel();
        let count = Arc::new(Wakes::default());
        let waker = Waker::from(Arc::clone(&count));
        let mut next = || match pin!(body.chunk()).poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(Some(Ok(chunk))) => Some(chunk.len()),
            Poll::Ready(_) => panic!("the body has ended"),
            Poll::Pending => None,
        };
        let woken = || count.0.swap(0, Ordering::Relaxed);
        writer.flush();
        assert_eq!((next(), woken()), (None, 0));
        writer.try_feed("a").unwrap();
        writer.try_feed("bc").unwrap();
        assert_eq!(woken(), 0);
        writer.flush();
        writer.flush();
        assert_eq!(woken(), 1);
        assert_eq!((next(), next(), next()), (Some(1), Some(2), None));
        while writer.try_feed(vec![0; 16 * 1024]).is_ok() {
            assert_eq!(woken(), 0);
        }
        assert_eq!(writer.try_feed("d"), Err(WriteError::WouldBlock));
        assert_eq!(woken(), 1);
        while next().is_some() {}
        writer.try_feed("e").unwrap();
        writer.finish().unwrap();
        assert_eq!((next(), woken()), (Some(1), 1));
    }

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
