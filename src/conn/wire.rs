//! The connection's bytes: the transport, what has come, what waits to go.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use super::Transport;
use super::input::Input;
use super::output::Output;
use crate::message::FilePart;

/// How long a close may take if the host sets no limit.
const CLOSE: Duration = Duration::from_secs(1);

/// Bytes that are written to a client that takes them all before other connections of
/// the thread have their turn. More at once would not go faster: beyond the client's
/// window the rest is only kept by the system, and has left the cache when it is read.
pub(super) const TURN: usize = 256 * 1024;
/// Writes before that, however little each of them takes.
const WRITES: usize = 16;

/// A transport with a buffer each way.
pub(super) struct Wire<T> {
    transport: T,
    pub input: Input,
    pub output: Output,
    /// Bytes were written that the transport may hold back until it is flushed,
    /// as TLS does.
    unflushed: bool,
    /// The client has closed its sending side.
    ended: bool,
    /// Since when the client has taken nothing of what waits.
    stalled: Option<Instant>,
    write_timeout: Option<Duration>,
}

impl<T: Transport> Wire<T> {
    pub fn new(transport: T, write_timeout: Option<Duration>) -> Self {
        Self {
            transport,
            input: Input::new(),
            output: Output::default(),
            unflushed: false,
            ended: false,
            stalled: None,
            write_timeout,
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
            polled = Pin::new(&mut self.transport).poll_read(cx, self.input.room());
        }
        if polled.is_pending() {
            self.input.release();
        }
        let length = ready!(polled)?;
        self.input.filled(length);
        self.ended = length == 0;
        Poll::Ready(Ok(length))
    }

    /// Writes all that waits. `TimedOut` if the client takes nothing for too long.
    #[inline]
    pub fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // Most often nothing waits.
        if self.output.is_empty() && !self.unflushed { Poll::Ready(Ok(())) } else { self.poll_send(cx, None) }
    }

    /// Writes all that waits and, behind it, has the transport send what is left of a
    /// file. `Unsupported` if it cannot: then the rest is still to be written.
    pub fn poll_send_file(&mut self, cx: &mut Context<'_>, file: &mut FilePart) -> Poll<io::Result<()>> {
        self.poll_send(cx, Some(file))
    }

    fn poll_send(&mut self, cx: &mut Context<'_>, file: Option<&mut FilePart>) -> Poll<io::Result<()>> {
        let polled = self.poll_write(cx, file);
        if polled.is_pending() {
            let since = *self.stalled.get_or_insert_with(|| self.transport.now());
            let deadline = self.write_timeout.and_then(|timeout| since.checked_add(timeout));
            ready!(self.poll_deadline(cx, deadline));
            self.transport.reset_on_close(true);
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        polled
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, mut file: Option<&mut FilePart>) -> Poll<io::Result<()>> {
        let mut left = TURN;
        for write in 0.. {
            let file = file.as_deref_mut().filter(|file| file.len() > 0);
            if self.output.is_empty() && file.is_none() {
                break;
            }
            if left == 0 || write == WRITES {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            left = match file {
                Some(file) if self.output.is_empty() => {
                    ready!(self.poll_write_file(cx, file))?;
                    // Whole turns of it, so that they begin where its pages do.
                    0
                }
                _ => left - ready!(self.poll_write_output(cx, left))?,
            };
            self.stalled = None;
        }
        if self.unflushed {
            ready!(Pin::new(&mut self.transport).poll_flush(cx))?;
            (self.stalled, self.unflushed) = (None, false);
        }
        self.output.release();
        Poll::Ready(Ok(()))
    }

    /// Writes some of what waits, and says how much.
    fn poll_write_output(&mut self, cx: &mut Context<'_>, most: usize) -> Poll<io::Result<usize>> {
        let transport = Pin::new(&mut self.transport);
        let length = ready!(transport.poll_write_vectored(cx, &self.output.slices(most)))?;
        if length == 0 {
            return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
        }
        self.output.advance(length);
        self.unflushed = true;
        Poll::Ready(Ok(length))
    }

    /// Has some of the file sent.
    fn poll_write_file(&mut self, cx: &mut Context<'_>, file: &mut FilePart) -> Poll<io::Result<()>> {
        let (at, most) = (file.at(), usize::try_from(file.len()).unwrap_or(usize::MAX).min(TURN));
        let length = ready!(self.transport.poll_send_file(cx, file.file(), at, most))?;
        if length == 0 {
            // Reading it will say what is wrong with it.
            return Poll::Ready(Err(io::ErrorKind::Unsupported.into()));
        }
        file.advance(length);
        Poll::Ready(Ok(()))
    }

    /// The transport, and what was read of it and not used.
    pub fn into_parts(self) -> (T, Vec<u8>) {
        (self.transport, self.input.as_slice().to_vec())
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
    async fn close(&mut self, timeout: Option<Duration>) -> bool {
        if !self.output.is_empty() || self.unflushed {
            return false;
        }
        let deadline = self.deadline(timeout.or(Some(CLOSE)));
        poll_fn(|cx| match Pin::new(&mut self.transport).poll_close(cx) {
            Poll::Ready(closed) => Poll::Ready(closed.is_ok()),
            Poll::Pending => self.poll_deadline(cx, deadline).map(|()| false),
        })
        .await
    }

    /// Closes in a way that lets the client read the last answer: writes what
    /// waits, ends the sending side, then reads and drops what the client still
    /// sends, in bounds. Closing with bytes unread would make the kernel send a
    /// reset, which may overtake the answer (RFC 9112 9.6).
    pub async fn linger(&mut self, limit: u64, timeout: Option<Duration>) {
        if self.flush().await.is_err() || !self.close(timeout).await {
            return;
        }
        let deadline = self.deadline(timeout.or(Some(CLOSE)));
        let mut dropped = 0;
        poll_fn(|cx| {
            loop {
                self.input.consume(self.input.len());
                match self.poll_fill(cx) {
                    Poll::Ready(Ok(length)) if length > 0 && dropped < limit => dropped += length as u64,
                    Poll::Ready(_) => return Poll::Ready(()),
                    Poll::Pending => return self.poll_deadline(cx, deadline),
                }
            }
        })
        .await;
    }
}
