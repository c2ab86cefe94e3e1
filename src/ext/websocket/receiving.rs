//! Reading the frames of the peer, and giving its messages to the receiver.

use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use futures_lite::AsyncRead as _;

use super::driver::{BYTES_PER_TURN, Driver, MOST_PER_TURN, Phase};
use super::message::WebSocketMessage;
use super::scratch::with_scratch;
use crate::websocket::{Close, Data, Event, Opcode};

impl Driver {
    /// Returns `true` while frames of the peer are taken apart.
    pub fn may_read(&self) -> bool {
        self.phase == Phase::Open && self.seldom.as_ref().is_none_or(|seldom| seldom.last.is_none())
    }

    /// Returns `true` while the receiver is behind.
    pub fn is_inbox_full(&mut self) -> bool {
        self.is_inbox_full = self.is_inbox_full && self.shared.lock().is_inbox_full();
        self.is_inbox_full
    }

    pub fn has_rest(&self) -> bool {
        self.seldom.as_ref().is_some_and(|seldom| !seldom.rest.is_empty())
    }

    /// Reads what has come. Returns `true` if there may be more.
    pub fn poll_receive(&mut self, cx: &mut Context<'_>, left: &mut usize) -> bool {
        while self.may_read() {
            if self.is_inbox_full() {
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
    pub fn read(&mut self, cx: &mut Context<'_>, is_used: bool) -> Option<usize> {
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
            if bytes.is_empty() {
                return self.time_message();
            }
            if self.is_inbox_full() {
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
                Ok(None) => {}
                Err(failure) => self.fail(&Close::new(failure.code(), failure.reason())),
            }
        }
    }

    /// Closes the connection because of what the peer does.
    pub fn fail(&mut self, close: &Close) {
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
                let (waker, is_full) = self.shared.lock().deliver(cx, payload, is_last);
                self.is_inbox_full = is_full;
                waker.into_iter().for_each(Waker::wake);
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
    pub fn end_reading(&mut self) {
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
}
