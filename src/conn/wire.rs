//! The bytes of a connection: the transport with an input and an output buffer.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use http::StatusCode;

use super::Transport;
use super::activity::Activity;
use super::hook::Ended;
use super::output::Output;
use super::pace::Least;
use super::records::Records;
use super::write_pace::WritePace;
use crate::base::buffer::Buffer;
use crate::base::shortcut::{SharedReads, SharedSocket};
use crate::body::FilePart;
use crate::config::Config;
use crate::fields::Headers;
use crate::handler::Endpoint;
use crate::message::{ConnectionFacts, HeadParts};

/// The deadline for a close if the host sets none.
pub(super) const CLOSE: Duration = Duration::from_secs(1);

/// Bytes written in a row before other connections of the thread have their turn. More would
/// not go faster: bytes beyond the client's window wait in the kernel, and have left the cache
/// when they are sent.
pub(super) const BYTES_PER_TURN: usize = 256 * 1024;
/// Bytes of a file that the kernel sends in a row. They are not copied, so a larger part saves calls.
const FILE_BYTES_PER_TURN: usize = 1024 * 1024;
/// Writes in a row before other connections have their turn, however short they are.
const WRITES_PER_TURN: usize = 16;
/// Reads dropped in a row before other connections have their turn.
const READS_PER_TURN: usize = 16;

/// A transport with a buffer each way.
pub(super) struct Wire<'a, T> {
    transport: T,
    /// The state and the bytes that other threads see.
    activity: &'a Activity,
    pub input: Buffer,
    pub output: Output,
    /// Bytes written that the transport may hold back until it is flushed, as TLS does.
    unflushed: usize,
    pace: WritePace,
    /// The records of the answers in progress, if somebody is told of them.
    pub records: Option<Box<Records<'a>>>,
}

impl<'a, T: Transport> Wire<'a, T> {
    pub fn new(transport: T, config: &Config, activity: &'a Activity) -> Self {
        Self {
            transport,
            activity,
            input: Buffer::new(),
            output: Output::default(),
            unflushed: 0,
            pace: WritePace::new(Least::new(config.timeouts.write, config.limits.write_rate)),
            records: None,
        }
    }

    pub fn now(&self) -> Instant {
        self.transport.now()
    }

    /// Returns the time from `start` to now.
    #[inline]
    pub fn now_since(&self, start: Instant) -> Duration {
        self.transport.now_since(start)
    }

    /// Returns the deadline that is `timeout` from now.
    pub fn deadline(&self, timeout: Option<Duration>) -> Option<Instant> {
        self.now().checked_add(timeout?)
    }

    /// Ready once the deadline has passed; without one, never.
    pub fn poll_deadline(&mut self, cx: &mut Context<'_>, at: Option<Instant>) -> Poll<()> {
        match at {
            Some(at) => self.transport.poll_deadline(cx, at),
            None => Poll::Pending,
        }
    }

    pub fn facts(&self) -> Option<Weak<dyn ConnectionFacts>> {
        self.transport.facts()
    }

    /// Returns the socket for other threads; see [`Transport::shared_socket`].
    pub fn shared_socket(&self) -> Option<Arc<dyn SharedSocket>> {
        self.transport.shared_socket()
    }

    /// Lends the read side of the socket to another thread; see [`Transport::lend_reads`].
    pub fn lend_reads(&mut self) -> Option<Arc<dyn SharedReads>> {
        self.transport.lend_reads()
    }

    /// Takes the read side back.
    pub fn end_loan(&mut self) {
        self.transport.end_loan();
    }

    /// Counts bytes that another thread has read.
    pub fn note_received(&self, octets: u64) {
        self.activity.received(usize::try_from(octets).unwrap_or(usize::MAX));
    }

    /// Pending if there is nothing to read; see [`Transport::poll_readable`].
    pub fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.transport.poll_readable(cx)
    }

    /// Counts bytes that another thread has written.
    pub fn note_written(&self, octets: usize) {
        self.activity.written(octets);
    }

    pub fn is_waited_for(&self) -> bool {
        self.transport.is_waited_for()
    }

    pub fn has_ended(&self) -> bool {
        self.input.ended
    }

    /// Reads once into the input buffer. 0 is the end.
    pub fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if self.input.ended {
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
        self.activity.received(length);
        self.input.ended = length == 0;
        Poll::Ready(Ok(length))
    }

    /// Reads once and drops the bytes. 0 is the end.
    pub fn poll_drop(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        self.input.consume(self.input.len());
        let mut polled = self.poll_fill(cx);
        if matches!(&polled, Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::OutOfMemory) {
            // A client that is refused for want of memory gets to read its answer too.
            let length = ready!(Pin::new(&mut self.transport).poll_read(cx, &mut [0; 1024]))?;
            self.input.ended = length == 0;
            polled = Poll::Ready(Ok(length));
        }
        self.input.consume(self.input.len());
        polled
    }

    /// Reads and drops what has come, so that a client that sends all of its request before it
    /// reads the answer is not blocked.
    pub fn drop_some(&mut self, cx: &mut Context<'_>) {
        for _ in 0..READS_PER_TURN {
            match self.poll_drop(cx) {
                Poll::Ready(Ok(length)) if length > 0 => {}
                _ => return,
            }
        }
        cx.waker().wake_by_ref();
    }

    /// Returns `true` if nothing is left to write.
    #[inline]
    pub fn is_flushed(&self) -> bool {
        self.output.is_empty() && self.unflushed == 0
    }

    /// Writes the output buffer. `TimedOut` if the client does not keep the least pace.
    #[inline]
    pub fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // Most often the buffer is empty.
        if self.is_flushed() { Poll::Ready(Ok(())) } else { self.poll_send(cx, None) }
    }

    /// Writes the output buffer, then has the transport send the rest of a file. `Unsupported`
    /// if the transport cannot: the rest is then still to be written.
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

    /// Forgets how slowly the client took the last answers: all are written, and the client has
    /// not asked for more.
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
                // In whole turns, so that each begins at a page of the file.
                Some(file) if self.output.is_empty() => (ready!(self.poll_write_file(cx, file))?, 0),
                _ => {
                    let length = ready!(self.poll_write_output(cx, left))?;
                    (length, left - length)
                }
            };
            self.pace.note(&self.transport, length);
            self.activity.written(length);
        }
        if self.unflushed > 0 {
            ready!(Pin::new(&mut self.transport).poll_flush(cx))?;
            self.pace.flushed(&self.transport, self.unflushed);
            self.unflushed = 0;
        }
        self.output.release();
        Poll::Ready(Ok(()))
    }

    /// Writes once from the output buffer, and returns the number of bytes.
    fn poll_write_output(&mut self, cx: &mut Context<'_>, most: usize) -> Poll<io::Result<usize>> {
        let transport = Pin::new(&mut self.transport);
        // A plain write of the one buffer that most answers fill saves 70 instructions of a
        // vectored one (bench: loopback, 2026-11).
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

    /// Has the transport send from the file once, and returns the number of bytes.
    fn poll_write_file(&mut self, cx: &mut Context<'_>, file: &mut FilePart) -> Poll<io::Result<usize>> {
        let (at, most) =
            (file.at(), usize::try_from(file.len()).unwrap_or(usize::MAX).min(FILE_BYTES_PER_TURN));
        let length = ready!(self.transport.poll_send_file(cx, file.file(), at, most))?;
        if length == 0 {
            // The file is shorter than it was: reading it returns the error.
            return Poll::Ready(Err(io::ErrorKind::Unsupported.into()));
        }
        file.advance(length);
        Poll::Ready(Ok(length))
    }

    /// Begins the record of an exchange whose head, if it was read, has that many bytes.
    #[inline]
    pub fn begin_record(&mut self, head: Option<&HeadParts>, length: usize, endpoint: Option<&Endpoint>) {
        if self.records.is_some() {
            self.begin_new_record(head, length, endpoint);
        }
    }

    #[cold]
    fn begin_new_record(&mut self, head: Option<&HeadParts>, length: usize, endpoint: Option<&Endpoint>) {
        let waiting = self.output.len() as u64;
        if let Some(records) = &mut self.records {
            let (received, written) = self.activity.bytes();
            let taken = received.saturating_sub((self.input.len() + length) as u64);
            let written = written + waiting;
            // The clock of the thread's turn: a reading for each request takes 1 % of its time. A handler
            // that does not wait shows at the end, for which the clock is read.
            let now = self.transport.now();
            records.begin(head, endpoint, now, taken, written);
        }
    }

    /// Notes the head of the answer to the exchange in progress.
    #[inline]
    pub fn note_answer(&mut self, status: StatusCode, headers: &Headers) {
        if let Some(records) = &mut self.records {
            records.note_answer(status, headers);
        }
    }

    /// Notes that the exchange in progress is refused before a handler was called.
    #[cold]
    pub fn note_unhandled(&mut self) {
        if let Some(records) = &mut self.records {
            records.note_unhandled();
        }
    }

    /// Notes that the body of the answer in progress has failed.
    #[cold]
    pub fn note_failed(&mut self) {
        if let Some(records) = &mut self.records {
            records.note_fate(Ended::Failed);
        }
    }

    /// Tells of the exchanges whose answers have been written.
    #[cold]
    pub fn tell_records(&mut self, ended: Ended) {
        if let Some(records) = &mut self.records {
            let (received, _) = self.activity.bytes();
            let taken = received.saturating_sub(self.input.len() as u64);
            records.tell(ended, taken);
        }
    }

    /// Returns the transport, the client's pace, and the bytes that were read and not used.
    pub fn into_parts(self) -> (T, WritePace, Vec<u8>) {
        (self.transport, self.pace, self.input.as_slice().to_vec())
    }

    pub async fn flush(&mut self) -> io::Result<()> {
        poll_fn(|cx| self.poll_flush(cx)).await
    }

    /// Begins a body that ends with the connection: until the body is whole, a close is a
    /// reset, so that the client does not take it for the end.
    pub fn begin_open_end(&mut self) {
        self.transport.reset_on_close(true);
    }

    /// Ends such a body: a close is an ordinary one again.
    pub fn finish_open_end(&mut self) {
        self.transport.reset_on_close(false);
    }

    /// Closes the connection in order (RFC 9112 9.8). Everything must be written and read.
    pub async fn end(&mut self, timeout: Option<Duration>) {
        if !self.transport.is_closed_by_drop() {
            self.close(timeout).await;
        }
    }

    /// Closes the sending side in order (RFC 9112 9.8). Returns `false` if bytes are left to
    /// write, or the close fails or takes too long.
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
