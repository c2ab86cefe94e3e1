//! The task of a connection: it reads and writes, keeps the times, and runs the handler.

use std::any::Any;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use futures_lite::{AsyncRead as _, AsyncWrite as _};

use super::message::WebSocketMessage;
use super::outbox::Outbox;
use super::pace::MessagePace;
use super::scratch::with_scratch;
use super::shared::Shared;
use crate::Stopping;
use crate::Upgraded;
use crate::websocket::{Close, Data, Event, Opcode, Reader};

/// Bytes that are read in a row before other connections of the thread have their turn.
const BYTES_PER_TURN: usize = 256 * 1024;
/// The same in the middle of a frame: a message that is whole is answered and its memory free before the
/// next one comes.
const MOST_PER_TURN: usize = 1280 * 1024;
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
    handler: Option<Task>,
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
    rest: Vec<u8>,
    /// The server's Close, and how the connection ended, once nothing more is read. The handler sees
    /// the messages before it first.
    last: Option<(Close, Close)>,
    /// The panic of the handler, passed on when the connection has ended.
    panic: Option<Box<dyn Any + Send>>,
    /// The payload of a Ping that came while the outbox was full.
    pong: Option<Vec<u8>>,
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

    /// Returns `true` while frames of the peer are taken apart.
    pub(super) fn may_read(&self) -> bool {
        self.phase == Phase::Open && self.seldom.as_ref().is_none_or(|seldom| seldom.last.is_none())
    }

    fn has_rest(&self) -> bool {
        self.seldom.as_ref().is_some_and(|seldom| !seldom.rest.is_empty())
    }

    /// Reads what has come. Returns `true` if there may be more.
    fn poll_receive(&mut self, cx: &mut Context<'_>, left: &mut usize) -> bool {
        while self.may_read() {
            if self.shared.lock().is_inbox_full() {
                self.forget_pace();
                return false;
            }
            if self.has_rest() {
                let mut rest = std::mem::take(&mut self.seldom().rest);
                self.take(cx, &mut rest);
                continue;
            }
            let Some(length) = self.read(cx, true) else { return false };
            *left = left.saturating_sub(length);
            let is_between = self.reader.left() == 0;
            if *left == 0 || (is_between && *left <= MOST_PER_TURN - BYTES_PER_TURN) {
                *left = 0;
                return true;
            }
        }
        false
    }

    /// Reads once. `None` if nothing is there, or the connection has ended.
    fn read(&mut self, cx: &mut Context<'_>, is_used: bool) -> Option<usize> {
        if self.stream.as_mut()?.poll_readable(cx).is_pending() {
            return None;
        }
        with_scratch(self.reader.left(), |scratch| {
            match Pin::new(self.stream.as_mut()?).poll_read(cx, scratch) {
                Poll::Pending => None,
                Poll::Ready(Ok(length @ 1..)) => {
                    self.has_heard = !std::mem::take(&mut self.has_pinged);
                    if let (false, false, Some(interval)) =
                        (self.has_heard, self.is_ending, self.shared.settings.ping_interval)
                    {
                        let left = self.message_left();
                        self.set_timer([interval].into_iter().chain(left).min());
                    }
                    if is_used {
                        self.take(cx, &mut scratch[..length]);
                    }
                    Some(length)
                }
                Poll::Ready(_) => {
                    self.lose();
                    None
                }
            }
        })
    }

    /// Takes bytes of the peer apart.
    fn take(&mut self, cx: &Context<'_>, mut bytes: &mut [u8]) {
        while self.may_read() {
            if self.shared.lock().is_inbox_full() {
                self.seldom().rest = bytes.to_vec();
                return;
            }
            match self.reader.read(&mut bytes) {
                Ok(Some(event)) => {
                    if self.seldom.is_some() && self.reader.begun().is_none() {
                        self.forget_pace();
                    }
                    self.handle(cx, event);
                }
                Ok(None) => return self.time_message(),
                Err(failure) => self.fail(&Close::new(failure.code(), failure.reason())),
            }
        }
    }

    /// Closes the connection because of what the peer does.
    pub(super) fn fail(&mut self, close: &Close) {
        self.seldom().last = Some((close.clone(), close.clone()));
        self.wait_for_receiver();
    }

    fn handle(&mut self, cx: &Context<'_>, event: Event) {
        match event {
            Event::Data(data, is_last) => {
                let payload = match data {
                    Data::Text(text) => WebSocketMessage::Text(text),
                    Data::Binary(bytes) => bytes.into(),
                };
                #[cfg(feature = "metrics")]
                super::counts::receive(payload.len(), is_last);
                let waker = self.shared.lock().deliver(payload, is_last);
                // The handler runs next anyway.
                waker.into_iter().filter(|waker| !waker.will_wake(cx.waker())).for_each(Waker::wake);
            }
            Event::Ping(payload) => {
                let mut state = self.shared.lock();
                // Of many Pings, the last needs an answer (RFC 6455 5.5.3).
                if state.outbox.len() + state.in_flight < self.shared.settings.queue {
                    state.put_control(Opcode::Pong, &payload);
                } else {
                    drop(state);
                    self.seldom().pong = Some(payload);
                }
            }
            Event::Pong(_) => {}
            Event::Close(close) => self.seldom().last = Some((Close::new(close.code, ""), close)),
        }
    }

    /// Gives a receiver outside of this task as long as a Close may take to answer what came before a broken
    /// frame.
    fn wait_for_receiver(&mut self) {
        self.is_patient = self.handler.is_none() && self.shared.lock().wait_for_receiver();
        if self.is_patient {
            self.set_timer(Some(self.shared.settings.close_timeout));
        }
    }

    /// Sends the last frame, if the peer has sent its own or broke a rule.
    pub(super) fn end_reading(&mut self) {
        self.is_patient = self.is_patient && self.shared.lock().wait_for_receiver();
        if self.is_patient {
            return;
        }
        let Some((own, told)) = self.seldom.as_mut().and_then(|seldom| seldom.last.take()) else { return };
        let waiting = {
            let mut state = self.shared.lock();
            if !state.has_sent_close {
                state.put_close(&own);
            }
            state.end(told)
        };
        if self.phase == Phase::Open {
            self.phase = Phase::Ending;
            self.wait_for_end(self.shared.settings.close_timeout);
        }
        waiting.into_iter().for_each(Waker::wake);
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
        loop {
            let Some(stream) = &mut self.stream else { return Poll::Ready(Ok(())) };
            if self.writing.is_empty() {
                let mut state = self.shared.lock();
                std::mem::swap(&mut self.writing, &mut state.outbox);
                state.in_flight = self.writing.len();
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
            let (slices, count) = self.writing.slices();
            let written = match &slices[..count] {
                [only] => Pin::new(&mut *stream).poll_write(cx, only),
                slices => Pin::new(&mut *stream).poll_write_vectored(cx, slices),
            };
            let length = std::task::ready!(written)?;
            if length == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.writing.advance(length);
            self.is_unflushed = true;
            let waiting = {
                let mut state = self.shared.lock();
                state.note_written(self.writing.len(), self.shared.settings.queue)
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
            let is_held = this.has_rest() && !this.shared.lock().is_inbox_full();
            let is_idle = this.shared.lock().end_turn() && !is_held;
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
