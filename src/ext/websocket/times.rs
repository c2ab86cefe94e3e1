//! The times of a connection: its stop, the silence of its peer, the pace of a message, and its end.

use std::task::Context;
use std::time::{Duration, Instant};

use super::driver::Driver;
use super::pace::MessagePace;
use crate::websocket::{Close, Opcode};

impl Driver {
    /// Closes when the server stops, pings when the peer is silent, and gives up when it has waited
    /// long enough.
    pub fn poll_times(&mut self, cx: &mut Context<'_>) {
        if self.stopping.has_begun() {
            let mut state = self.shared.lock();
            if !state.has_sent_close && state.closed.is_none() {
                state.put_close(&Close::new(1001, "the server stops"));
            }
        }
        while self.stream.as_mut().is_some_and(|stream| stream.poll_timer(cx).is_ready()) {
            if std::mem::take(&mut self.is_patient) {
                self.end_reading();
                continue;
            }
            let left = self.message_left();
            if left.is_some_and(|left| left.is_zero()) {
                self.fail(&Close::new(1008, "a message comes too slowly"));
                self.end_reading();
            } else if self.is_ending || self.check_silence() {
                self.lose();
            } else {
                let settings = &self.shared.settings;
                let silence =
                    if self.has_pinged { Some(settings.ping_timeout) } else { settings.ping_interval };
                self.set_timer(silence.into_iter().chain(left).min());
            }
        }
    }

    /// Returns how long the peer may take over the message that comes. `None` if the server waits for none.
    pub fn message_left(&mut self) -> Option<Duration> {
        let timeout = self.shared.settings.message_timeout.filter(|_| self.may_read())?;
        let (come, pace) = (self.reader.begun()?, self.seldom.as_mut()?.pace.as_mut()?);
        Some(pace.left(Instant::now(), come, timeout, self.shared.settings.message_rate))
    }

    /// Times a message of which a part has come.
    pub fn time_message(&mut self) {
        let settings = &self.shared.settings;
        let (Some(come), Some(timeout)) = (self.reader.begun(), settings.message_timeout) else { return };
        let next = settings.ping_interval.map_or(timeout, |interval| interval.min(timeout));
        if self.seldom().pace.is_none() {
            self.seldom().pace = Some(MessagePace::new(Instant::now(), come));
            if !self.is_ending {
                self.set_timer(Some(next));
            }
        }
    }

    /// Notes that the server waits for no message, or for another one.
    pub fn forget_pace(&mut self) {
        if let Some(seldom) = &mut self.seldom {
            seldom.pace = None;
        }
    }

    /// Limits the rest of the connection's time, once.
    pub fn wait_for_end(&mut self, most: Duration) {
        if !std::mem::replace(&mut self.is_ending, true) {
            self.set_timer(Some(most));
        }
    }

    pub fn set_timer(&mut self, after: Option<Duration>) {
        if let Some(stream) = &mut self.stream {
            stream.set_timer(after);
        }
    }

    /// Pings if the peer was silent. Returns `true` if it was silent after a Ping too.
    fn check_silence(&mut self) -> bool {
        if self.shared.settings.ping_interval.is_none() {
            return false;
        }
        let mut state = self.shared.lock();
        // A peer is not read while the receiver is behind.
        if std::mem::take(&mut self.has_heard) || state.is_inbox_full() {
            self.has_pinged = false;
            return false;
        }
        if std::mem::replace(&mut self.has_pinged, true) {
            return true;
        }
        state.put_control(Opcode::Ping, b"");
        false
    }
}
