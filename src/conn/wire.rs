//! The connection's bytes: the transport, what has come, what waits to go.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use super::Transport;
use super::input::Input;
use super::output::Output;

/// A transport with a buffer each way.
pub(super) struct Wire<T> {
    transport: T,
    pub input: Input,
    pub output: Output,
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

    pub fn has_ended(&self) -> bool {
        self.ended
    }

    /// Reads once; 0 is the end.
    pub fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if self.ended {
            return Poll::Ready(Ok(0));
        }
        let polled = Pin::new(&mut self.transport).poll_read(cx, self.input.room());
        if polled.is_pending() {
            self.input.release();
        }
        let length = ready!(polled)?;
        self.input.filled(length);
        self.ended = length == 0;
        Poll::Ready(Ok(length))
    }

    /// Writes all that waits. `TimedOut` if the client takes nothing for too long.
    pub fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.output.is_empty() {
            match Pin::new(&mut self.transport).poll_write_vectored(cx, &self.output.slices()) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(Ok(length)) => {
                    self.output.advance(length);
                    self.stalled = None;
                }
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => {
                    let since = *self.stalled.get_or_insert_with(|| self.transport.now());
                    let deadline = self.write_timeout.and_then(|timeout| since.checked_add(timeout));
                    ready!(self.poll_deadline(cx, deadline));
                    self.transport.abort();
                    return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
                }
            }
        }
        self.output.release();
        Poll::Ready(Ok(()))
    }

    /// The transport, and what was read of it and not used.
    pub fn into_parts(self) -> (T, Vec<u8>) {
        (self.transport, self.input.as_slice().to_vec())
    }

    pub async fn flush(&mut self) -> io::Result<()> {
        if self.output.is_empty() {
            return Ok(());
        }
        poll_fn(|cx| self.poll_flush(cx)).await
    }

    /// Closes in a way that lets the client read the last answer: writes what
    /// waits, ends the sending side, then reads and drops what the client still
    /// sends, in bounds. Closing with bytes unread would make the kernel send a
    /// reset, which may overtake the answer (RFC 9112 9.6).
    pub async fn linger(&mut self, limit: u64, timeout: Option<Duration>) {
        let ended = async {
            self.flush().await?;
            poll_fn(|cx| Pin::new(&mut self.transport).poll_close(cx)).await
        };
        if ended.await.is_err() {
            return;
        }
        let deadline = self.deadline(timeout.or(Some(Duration::from_secs(1))));
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
