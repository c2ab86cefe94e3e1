//! The connection's bytes: the transport, what has come, what waits to go.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use super::Transport;
use super::input::Input;
use super::output::Output;
use super::pace::Least;
use super::write_pace::WritePace;
use crate::body::FilePart;
use crate::config::Config;

/// How long a close may take if the host sets no limit.
pub(super) const CLOSE: Duration = Duration::from_secs(1);

/// Bytes that are written to a client that takes them all before other connections of
/// the thread have their turn. More at once would not go faster: beyond the client's
/// window the rest is only kept by the system, and has left the cache when it is read.
pub(super) const BYTES_PER_TURN: usize = 256 * 1024;
/// Writes before that, however little each of them takes.
const WRITES_PER_TURN: usize = 16;
/// Reads that are dropped in a row before other connections have their turn.
const READS_PER_TURN: usize = 16;

/// A transport with a buffer each way.
pub(super) struct Wire<T> {
    transport: T,
    pub input: Input,
    pub output: Output,
    /// Bytes written that the transport may hold back until it is flushed, as TLS does.
    unflushed: usize,
    /// The client has closed its sending side.
    ended: bool,
    pace: WritePace,
}

impl<T: Transport> Wire<T> {
    pub fn new(transport: T, config: &Config) -> Self {
        Self {
            transport,
            input: Input::new(),
            output: Output::default(),
            unflushed: 0,
            ended: false,
            pace: WritePace::new(Least::new(config.timeouts.write, config.limits.write_rate)),
        }
    }

    pub fn now(&self) -> Instant {
        self.transport.now()
    }

    /// The deadline that long after now.
    pub fn deadline(&self, timeout: Option<Duration>) -> Option<Instant> {
        self.now().checked_add(timeout?)
    }

    /// Ready once the deadline, if there is one, has passed.
    pub fn poll_deadline(&mut self, cx: &mut Context<'_>, at: Option<Instant>) -> Poll<()> {
        match at {
            Some(at) => self.transport.poll_deadline(cx, at),
            None => Poll::Pending,
        }
    }

    pub fn is_waited_for(&self) -> bool {
        self.transport.is_waited_for()
    }

    pub fn has_ended(&self) -> bool {
        self.ended
    }

    /// Reads once; 0 is the end.
    pub fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if self.ended {
            return Poll::Ready(Ok(0));
        }
        let mut polled = Poll::Pending;
        if self.transport.poll_readable(cx).is_ready() {
            let Some(room) = self.input.room() else {
                return Poll::Ready(Err(io::ErrorKind::OutOfMemory.into()));
            };
            polled = Pin::new(&mut self.transport).poll_read(cx, room);
        }
        if polled.is_pending() {
            self.input.release();
        }
        let length = ready!(polled)?;
        self.input.filled(length);
        self.ended = length == 0;
        Poll::Ready(Ok(length))
    }

    /// Reads and drops what the client sends, if it does; says whether it still may.
    pub fn poll_drop(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        self.input.consume(self.input.len());
        let mut polled = self.poll_fill(cx);
        if matches!(&polled, Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::OutOfMemory) {
            // A client that was refused for that reason reads its answer too.
            let length = ready!(Pin::new(&mut self.transport).poll_read(cx, &mut [0; 1024]))?;
            self.ended = length == 0;
            polled = Poll::Ready(Ok(length));
        }
        self.input.consume(self.input.len());
        polled
    }

    /// Drops what the client sends while nobody wants it, so that a client that sends
    /// all of its request before it reads the answer is not blocked.
    pub fn drop_some(&mut self, cx: &mut Context<'_>) {
        for _ in 0..READS_PER_TURN {
            match self.poll_drop(cx) {
                Poll::Ready(Ok(length)) if length > 0 => {}
                _ => return,
            }
        }
        cx.waker().wake_by_ref();
    }

    /// Writes all that waits. `TimedOut` if the client does not take it at the least pace.
    #[inline]
    pub fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // Most often nothing waits.
        if self.output.is_empty() && self.unflushed == 0 {
            Poll::Ready(Ok(()))
        } else {
            self.poll_send(cx, None)
        }
    }

    /// Writes all that waits and, behind it, has the transport send what is left of a
    /// file. `Unsupported` if it cannot: then the rest is still to be written.
    pub fn poll_send_file(&mut self, cx: &mut Context<'_>, file: &mut FilePart) -> Poll<io::Result<()>> {
        self.poll_send(cx, Some(file))
    }

    fn poll_send(&mut self, cx: &mut Context<'_>, file: Option<&mut FilePart>) -> Poll<io::Result<()>> {
        let polled = self.poll_write(cx, file);
        if polled.is_pending() {
            let deadline = self.pace.wait(&self.transport, self.unflushed);
            ready!(self.poll_deadline(cx, deadline));
            self.transport.reset_on_close(true);
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        self.pace.pause(&self.transport);
        polled
    }

    /// All is written, and the client has not asked for more.
    pub fn forget_pace(&mut self) {
        self.pace.forget();
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, mut file: Option<&mut FilePart>) -> Poll<io::Result<()>> {
        let mut left = BYTES_PER_TURN;
        for write in 0.. {
            let file = file.as_deref_mut().filter(|file| file.len() > 0);
            if self.output.is_empty() && file.is_none() {
                break;
            }
            if left == 0 || write == WRITES_PER_TURN {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            let length;
            (length, left) = match file {
                // Whole turns of it, so that they begin where its pages do.
                Some(file) if self.output.is_empty() => (ready!(self.poll_write_file(cx, file))?, 0),
                _ => {
                    let length = ready!(self.poll_write_output(cx, left))?;
                    (length, left - length)
                }
            };
            self.pace.note(&self.transport, length);
        }
        if self.unflushed > 0 {
            ready!(Pin::new(&mut self.transport).poll_flush(cx))?;
            self.pace.flushed(&self.transport, self.unflushed);
            self.unflushed = 0;
        }
        self.output.release();
        Poll::Ready(Ok(()))
    }

    /// Writes some of what waits, and says how much.
    fn poll_write_output(&mut self, cx: &mut Context<'_>, most: usize) -> Poll<io::Result<usize>> {
        let transport = Pin::new(&mut self.transport);
        // One write of one buffer costs a third less than one of three slices (bench: replay).
        let polled = match self.output.only(most) {
            Some(bytes) => transport.poll_write(cx, bytes),
            None => transport.poll_write_vectored(cx, &self.output.slices(most)),
        };
        let length = ready!(polled)?;
        if length == 0 {
            return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
        }
        self.output.advance(length);
        self.unflushed += length;
        Poll::Ready(Ok(length))
    }

    /// Has some of the file sent, and says how much.
    fn poll_write_file(&mut self, cx: &mut Context<'_>, file: &mut FilePart) -> Poll<io::Result<usize>> {
        let (at, most) = (file.at(), usize::try_from(file.len()).unwrap_or(usize::MAX).min(BYTES_PER_TURN));
        let length = ready!(self.transport.poll_send_file(cx, file.file(), at, most))?;
        if length == 0 {
            // Reading it will say what is wrong with it.
            return Poll::Ready(Err(io::ErrorKind::Unsupported.into()));
        }
        file.advance(length);
        Poll::Ready(Ok(length))
    }

    /// The transport, how its client takes what is written, and what was read and not used.
    pub fn into_parts(self) -> (T, WritePace, Vec<u8>) {
        (self.transport, self.pace, self.input.as_slice().to_vec())
    }

    pub async fn flush(&mut self) -> io::Result<()> {
        poll_fn(|cx| self.poll_flush(cx)).await
    }

    /// What is written from now on has no end but that of the connection: until
    /// it is whole, the client must not take an early close for that.
    pub fn begin_open_end(&mut self) {
        self.transport.reset_on_close(true);
    }

    /// All of it has been written.
    pub fn finish_open_end(&mut self) {
        self.transport.reset_on_close(false);
    }

    /// Ends the connection in order (RFC 9112 9.8), if all is written and nothing
    /// is left to read.
    pub async fn end(&mut self, timeout: Option<Duration>) {
        if !self.transport.is_closed_by_drop() {
            self.close(timeout).await;
        }
    }

    /// Ends the sending side in order (RFC 9112 9.8), if all is written and it
    /// goes quickly; says whether it did.
    pub async fn close(&mut self, timeout: Option<Duration>) -> bool {
        if !self.output.is_empty() || self.unflushed > 0 {
            return false;
        }
        let deadline = self.deadline(timeout.or(Some(CLOSE)));
        poll_fn(|cx| match Pin::new(&mut self.transport).poll_close(cx) {
            Poll::Ready(closed) => Poll::Ready(closed.is_ok()),
            Poll::Pending => self.poll_deadline(cx, deadline).map(|()| false),
        })
        .await
    }
}
