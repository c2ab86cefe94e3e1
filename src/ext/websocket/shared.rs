//! A connection, as its task, its senders and its receiver share it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use super::encoded::compress;
use super::message::WebSocketMessage;
use super::settings::Settings;
use super::state::{Refused, State};
use crate::Peer;
use crate::Stopping;
use crate::websocket::{Close, Deflation};

/// The time at which frames that are queued are written.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum WriteAt {
    Once,
    /// When [`Shared::flush`] is called, or when the task of the connection runs for another reason.
    Flush,
}

/// A piece of a message, and the first ones that were kept: true for a text, and its bytes.
pub(super) struct Rest {
    pub begun: Option<(bool, Vec<u8>)>,
    pub piece: WebSocketMessage,
    pub is_last: bool,
}

/// The state of one connection. No lock is held while code of the host runs.
pub(super) struct Shared {
    state: Mutex<State>,
    pub settings: Arc<Settings>,
    pub deflate: Option<Deflation>,
    pub subprotocol: Option<Box<str>>,
    pub peer: Peer,
    pub stopping: Stopping,
}

impl Shared {
    /// Returns the state of a new connection.
    pub fn new(
        settings: Arc<Settings>,
        deflate: Option<Deflation>,
        subprotocol: Option<Box<str>>,
        peer: Peer,
        stopping: Stopping,
    ) -> Self {
        Self { state: Mutex::new(State::new()), settings, deflate, subprotocol, peer, stopping }
    }

    pub fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns how many bytes wait to be sent.
    pub fn queued(&self) -> usize {
        self.lock().queued()
    }

    /// Changes the state, and wakes the task of the connection.
    pub fn change<R>(&self, change: impl FnOnce(&mut State) -> R) -> R {
        let mut state = self.lock();
        let result = change(&mut state);
        let waker = state.call_driver();
        drop(state);
        waker.into_iter().for_each(Waker::wake);
        result
    }

    /// Puts frames, if they may be put, and wakes the task of the connection at that time.
    fn put<R>(&self, at: WriteAt, put: impl FnOnce(&mut State) -> Result<R, Refused>) -> Result<R, Refused> {
        let mut state = self.lock();
        let result = put(&mut state)?;
        let waker = match at {
            WriteAt::Once => state.call_to_write(),
            WriteAt::Flush => {
                state.note_fed();
                None
            }
        };
        drop(state);
        waker.into_iter().for_each(Waker::wake);
        Ok(result)
    }

    /// Wakes the task of the connection, if there are frames that it has not taken.
    pub fn flush(&self) {
        let waker = self.lock().flush();
        waker.into_iter().for_each(Waker::wake);
    }

    /// Queues a message. It is taken whole while less than the limit waits.
    pub fn send(&self, message: &mut Option<WebSocketMessage>, at: WriteAt) -> Result<(), Refused> {
        let limit = self.settings.queue;
        let Some(length) = message.as_ref().map(WebSocketMessage::len) else { return Ok(()) };
        let deflation = self.deflate.filter(|_| length >= self.settings.compress_from);
        // The lock is not held while a message is compressed by itself.
        let frame = match deflation {
            Some(deflation) if !deflation.keeps_own => {
                self.lock().check(limit)?;
                message.take().map(|message| compress(&message, deflation).into())
            }
            _ => None,
        };
        self.put(at, |state| {
            match (frame, deflation) {
                (Some(frame), _) => state.put_encoded(frame),
                (None, deflation) => {
                    state.check(limit)?;
                    match (message.take(), deflation) {
                        (Some(message), Some(deflation)) => state.put_kept(&message, deflation),
                        (Some(message), None) => state.put_plain(message),
                        (None, _) => {}
                    }
                }
            }
            Ok(())
        })?;
        #[cfg(feature = "metrics")]
        super::counts::send(length, 1);
        Ok(())
    }

    /// Queues a piece of a message.
    pub fn send_piece(&self, piece: &mut Option<WebSocketMessage>, is_last: bool) -> Result<(), Refused> {
        self.lock().check_piece(self.settings.queue)?;
        let Some(piece) = piece.take() else { return Ok(()) };
        #[cfg(feature = "metrics")]
        super::counts::send(piece.len(), is_last.into());
        self.put(WriteAt::Once, |state| state.put_piece(piece, is_last))
    }

    /// Queues a Close frame, unless there is one.
    pub fn close(&self, close: &Close) {
        self.change(|state| state.put_close(close));
    }

    /// Notes that the connection is lost.
    pub fn lose(&self) {
        let waiting = {
            let mut state = self.lock();
            state.drop_unsent();
            state.end(Close::new(Close::LOST, ""))
        };
        waiting.into_iter().for_each(Waker::wake);
    }

    /// Ready once nothing more is received.
    pub fn poll_closed(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = self.lock();
        if state.closed.is_some() {
            return Poll::Ready(());
        }
        state.await_end(cx.waker());
        Poll::Pending
    }

    /// Ready when a message would be taken, or a piece of one, or none ever will be.
    pub fn poll_ready(&self, cx: &mut Context<'_>, is_piece: bool) -> Poll<Result<(), Refused>> {
        let mut state = self.lock();
        let checked =
            if is_piece { state.check_piece(self.settings.queue) } else { state.check(self.settings.queue) };
        match checked {
            Err(Refused::Full) => {
                state.await_room(cx.waker());
                Poll::Pending
            }
            checked => Poll::Ready(checked),
        }
    }

    /// Takes the next piece that was received. `None` once nothing more comes.
    pub fn poll_receive(&self, cx: &mut Context<'_>) -> Poll<Option<(WebSocketMessage, bool)>> {
        let (received, waker) = self.lock().receive(cx);
        waker.into_iter().for_each(Waker::wake);
        received
    }

    /// The same, with the first pieces of the message if they were kept.
    pub fn poll_receive_rest(&self, cx: &mut Context<'_>) -> Poll<Option<Rest>> {
        let mut state = self.lock();
        let (received, waker) = state.receive(cx);
        let begun = if received.is_ready() { state.take_partial() } else { None };
        drop(state);
        waker.into_iter().for_each(Waker::wake);
        received.map(|received| received.map(|(piece, is_last)| Rest { begun, piece, is_last }))
    }
}
