//! The task of a connection: it writes, and runs the handler. It reads in `receiving`, and keeps the times in
//! `times`.

use std::any::Any;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use futures_lite::AsyncWrite as _;

use super::outbox::Outbox;
use super::pace::MessagePace;
use super::shared::Shared;
use crate::Stopping;
use crate::Upgraded;
use crate::websocket::{Close, Opcode, Reader};

/// Bytes that are read in a row before other connections of the thread have their turn.
pub(super) const BYTES_PER_TURN: usize = 256 * 1024;
/// The same in the middle of a frame: a message that is whole is answered and its memory free before the
/// next one comes.
pub(super) const MOST_PER_TURN: usize = 1280 * 1024;
/// How long bytes are read and dropped after the last frame, so that no reset overtakes it.
const LINGER: Duration = Duration::from_secs(1);

/// The future of a handler. Its output is dropped.
pub(super) trait Handler: Send {
    fn poll_handler(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()>;
}

impl<F: Future + Send> Handler for F {
    fn poll_handler(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.poll(cx).map(drop)
    }
}

pub(super) type Task = Pin<Box<dyn Handler>>;

/// How far a connection has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Frames come and go.
    Open,
    /// The last frame is to be written.
    Ending,
    /// The server's side is closed; what still comes is dropped.
    Lingering,
    Over,
}

/// The task of one connection. Ready when both the connection and its handler, if it has one, have ended.
#[expect(clippy::struct_excessive_bools, reason = "they change by themselves")]
pub(super) struct Driver {
    pub(super) stream: Option<Upgraded>,
    pub(super) phase: Phase,
    pub(super) reader: Reader,
    /// True after a broken frame, while a receiver outside of this task may answer what came before.
    pub(super) is_patient: bool,
    pub(super) shared: Arc<Shared>,
    /// True if the receiver was behind when it got the last message. Only this task gives it some.
    pub(super) is_inbox_full: bool,
    pub(super) handler: Option<Task>,
    writing: Outbox,
    is_unflushed: bool,
    /// Boxed, because most idle connections have none of it.
    pub(super) seldom: Option<Box<Seldom>>,
    pub(super) stopping: Stopping,
    /// True if a byte has come since the last tick.
    pub(super) has_heard: bool,
    pub(super) has_pinged: bool,
    /// True once the timer limits the rest of the connection's time.
    pub(super) is_ending: bool,
}

/// The parts that few connections have.
#[derive(Default)]
pub(super) struct Seldom {
    /// Bytes that were read while the receiver was behind.
    pub rest: Vec<u8>,
    /// The server's Close, and how the connection ended, once nothing more is read. The handler sees
    /// the messages before it first.
    pub last: Option<(Close, Close)>,
    /// The panic of the handler, passed on when the connection has ended.
    panic: Option<Box<dyn Any + Send>>,
    /// The payload of a Ping that came while the outbox was full.
    pub pong: Option<Vec<u8>>,
    /// The pace of a message that is not whole, while the server waits for it.
    pub pace: Option<MessagePace>,
}

impl Driver {
    pub fn new(mut stream: Upgraded, reader: Reader, shared: Arc<Shared>, handler: Option<Task>) -> Self {
        let stopping = stream.stopping();
        stream.set_timer(shared.settings.ping_interval);
        #[cfg(feature = "metrics")]
        super::counts::open();
        Self {
            stream: Some(stream),
            phase: Phase::Open,
            reader,
            is_patient: false,
            shared,
            is_inbox_full: false,
            handler,
            writing: Outbox::default(),
            is_unflushed: false,
            seldom: None,
            stopping,
            has_heard: false,
            has_pinged: false,
            is_ending: false,
        }
    }

    /// Runs the handler. When it has ended and nobody receives, the connection closes.
    fn poll_handler(&mut self, cx: &mut Context<'_>) {
        if let Some(handler) = &mut self.handler {
            let polled = catch_unwind(AssertUnwindSafe(|| handler.as_mut().poll_handler(cx)));
            if let Ok(Poll::Pending) = polled {
                return;
            }
            // The drop may run code of the host too.
            let handler = self.handler.take();
            let dropped = catch_unwind(AssertUnwindSafe(|| drop(handler)));
            if let Err(panic) = polled.map(drop).and(dropped) {
                self.shared.close(&Close::new(1011, ""));
                self.seldom().panic = Some(panic);
            }
        }
        let mut state = self.shared.lock();
        if !state.has_receiver && !state.has_sent_close && state.closed.is_none() {
            state.put_close(&Close::new(1000, ""));
        }
    }

    pub(super) fn seldom(&mut self) -> &mut Seldom {
        self.seldom.get_or_insert_default()
    }

    /// Ends the connection: it is over, or it was lost.
    pub(super) fn lose(&mut self) {
        (self.phase, self.stream) = (Phase::Over, None);
        self.is_unflushed = false;
        if let Some(seldom) = &mut self.seldom {
            (seldom.rest, seldom.pong) = (Vec::new(), None);
        }
        self.writing.clear();
        self.shared.lose();
    }

    /// Writes what waits. Returns `true` if all of it is written.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> bool {
        match self.poll_write(cx) {
            Poll::Ready(Ok(())) => true,
            Poll::Ready(Err(_)) => {
                self.lose();
                true
            }
            Poll::Pending => false,
        }
    }

    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut has_taken = false;
        loop {
            let Some(stream) = &mut self.stream else { return Poll::Ready(Ok(())) };
            if self.writing.is_empty() && !std::mem::take(&mut has_taken) {
                self.shared.lock().take_frames(&mut self.writing);
            }
            if self.writing.is_empty() {
                if self.is_unflushed {
                    std::task::ready!(Pin::new(&mut *stream).poll_flush(cx))?;
                    self.is_unflushed = false;
                }
                let pong = self.seldom.as_mut().and_then(|seldom| seldom.pong.take());
                let Some(pong) = pong else { return Poll::Ready(Ok(())) };
                self.shared.lock().put_control(Opcode::Pong, &pong);
                continue;
            }
            let written = if let Some(single) = self.writing.single() {
                Pin::new(&mut *stream).poll_write(cx, single)
            } else {
                let (slices, count) = self.writing.slices();
                Pin::new(&mut *stream).poll_write_vectored(cx, &slices[..count])
            };
            let length = std::task::ready!(written)?;
            if length == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.writing.advance(length);
            self.is_unflushed = true;
            let waiting = {
                let mut state = self.shared.lock();
                let waiting = state.note_written(self.writing.len(), self.shared.settings.queue);
                has_taken = self.writing.is_empty();
                if has_taken {
                    state.take_frames(&mut self.writing);
                }
                waiting
            };
            waiting.into_iter().for_each(Waker::wake);
        }
    }

    /// Ends the connection in order, once the last frame is written.
    fn poll_end(&mut self, cx: &mut Context<'_>, is_flushed: bool) {
        if self.phase == Phase::Ending
            && is_flushed
            && let Some(stream) = &mut self.stream
        {
            match Pin::new(stream).poll_close(cx) {
                Poll::Pending => {}
                Poll::Ready(Err(_)) => self.lose(),
                Poll::Ready(Ok(())) => {
                    self.phase = Phase::Lingering;
                    // Nothing that the peer sends makes this longer.
                    self.is_ending = true;
                    self.set_timer(Some(LINGER));
                    // The timer wakes the task from now on.
                    self.poll_times(cx);
                }
            }
        }
        let mut left = BYTES_PER_TURN;
        while self.phase == Phase::Lingering {
            let Some(length) = self.read(cx, false) else { return };
            left = left.saturating_sub(length);
            if left == 0 {
                return cx.waker().wake_by_ref();
            }
        }
    }
}

impl Future for Driver {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        if this.shared.lock().begin_turn(cx) {
            // Polled once for each waker: all connections of a server share its lock.
            let _ = Pin::new(&mut this.stopping).poll(cx);
        }
        let mut left = MOST_PER_TURN;
        loop {
            let has_more = this.poll_receive(cx, &mut left);
            this.poll_handler(cx);
            this.end_reading();
            this.poll_times(cx);
            let is_flushed = this.poll_send(cx);
            this.poll_end(cx, is_flushed);
            if this.phase == Phase::Over && this.handler.is_none() {
                break;
            }
            // What came while the receiver was behind is taken now, if it no longer is.
            let is_held = this.has_rest() && !this.is_inbox_full();
            let (is_idle, has_sent_close) = {
                let mut state = this.shared.lock();
                (state.end_turn() && !is_held, state.has_sent_close)
            };
            if has_sent_close && this.phase == Phase::Open && !this.is_ending {
                this.wait_for_end(this.shared.settings.close_timeout);
                // The timer wakes the task from now on.
                continue;
            }
            if has_more && (is_idle || left == 0) {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            if is_idle {
                return Poll::Pending;
            }
        }
        match this.seldom.as_mut().and_then(|seldom| seldom.panic.take()) {
            Some(panic) => resume_unwind(panic),
            None => Poll::Ready(()),
        }
    }
}

impl Drop for Driver {
    /// The server may cut the connection while others send and receive.
    fn drop(&mut self) {
        self.lose();
        #[cfg(feature = "metrics")]
        super::counts::close(self.shared.lock().closed.as_ref().map_or(Close::LOST, |close| close.code));
    }
}
