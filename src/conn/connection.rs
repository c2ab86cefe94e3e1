//! One connection, as its loop and its exchanges share it.

use std::io;
use std::sync::Arc;

use log::Level;

use super::activity::ConnectionState;
use super::expired::Deadline;
use super::hook::Ended;
use super::label::Label;
use super::site::Site;
use super::trust::Forwarding;
use super::wire::Wire;
use super::{App, Session, Stage, Transport, answer};
use crate::base::guard::log_event;
use crate::error::Reject;
use crate::message::{HeadParts, Peer, Upgrade};

/// The next step of a connection after an exchange.
pub(super) enum Outcome {
    /// Serve the next request.
    Again,
    /// Close so that the client can read the last answer, though it may still send.
    Linger,
    /// Close; nothing is left to read.
    Close,
    /// End without an orderly close: the connection is broken, or an answer is not whole.
    Break,
    /// Hand the connection to another protocol.
    Upgrade(Box<Upgrade>),
}

/// The bytes of a connection, the server that it belongs to, and its session.
pub(super) struct Connection<'a, T> {
    pub wire: Wire<'a, T>,
    pub app: &'a App,
    pub session: &'a Session,
    /// Where the request in progress, or the last one, came from, if trusted proxies told it.
    pub forwarding: Option<Box<Forwarding<'a>>>,
}

impl<'a, T: Transport> Connection<'a, T> {
    /// The site that the connection serves.
    #[inline]
    pub fn site(&self) -> Site<'a> {
        Site { app: self.app, client: &self.session.client }
    }

    /// The client of the request in progress, or of the last one.
    #[cold]
    pub fn peer(&self) -> Peer {
        self.forwarding.as_ref().map_or(self.session.client.peer, |it| it.origin.peer)
    }

    /// Notes where a request came from, if proxies may tell it. Returns a refusal if its client has
    /// too many exchanges.
    #[cold]
    pub fn begin_forwarding(&mut self, head: &mut HeadParts) -> Option<Reject> {
        let trust = self.app.trust.as_ref()?;
        self.forwarding = None;
        let (forwarding, reject) = trust.forwarding(self.session.client.peer, &head.headers)?;
        head.origin = Some(Arc::clone(&forwarding.origin));
        self.forwarding = Some(Box::new(forwarding));
        reject
    }

    /// Shows other threads that a state begins, with the route of the state before.
    #[cold]
    pub fn show(&self, state: ConnectionState) {
        self.session.activity.change(state, self.wire.now_since(self.app.started));
    }

    /// Notes that the exchange has its answer, though bytes of it may wait to be written.
    #[inline]
    pub fn end_exchange(&mut self) {
        self.session.end_exchange();
        if let Some(forwarding) = &mut self.forwarding {
            forwarding.place = None;
        }
    }

    /// Answers a request that broke a rule.
    #[cold]
    pub fn refuse(&mut self, is_head: bool, reject: Reject, label: Option<&Label<'_>>) -> Outcome {
        self.note_refusal(Some(reject));
        let response = self.site().refuse(reject, self.peer(), label);
        match answer::put_refusal(&mut self.wire, is_head, response) {
            Ok(()) => Outcome::Linger,
            Err(error) => self.end_without_answer(&error),
        }
    }

    /// Decides how the connection ends after its last exchange. `is_read` is true if the request
    /// was read to its end.
    ///
    /// If nothing is unread, a close sends no reset, unless the client sends more. That can happen
    /// when the server closes because it stops, so the connection lingers then. When it only makes
    /// room for other clients, it does not linger, because they would wait for it.
    #[cold]
    pub fn last(&self, is_read: bool) -> Outcome {
        let is_clean = is_read && self.wire.input.is_empty();
        if is_clean && !self.session.has_reached(Stage::Draining) { Outcome::Close } else { Outcome::Linger }
    }

    /// Ends the connection because there is no memory for the answer. The answers before it still
    /// go out.
    #[cold]
    pub fn end_without_answer(&mut self, error: &io::Error) -> Outcome {
        self.give_up(error);
        Outcome::Linger
    }

    /// Notes why the exchange in progress was refused, if it was.
    #[cold]
    pub fn note_refusal(&mut self, refusal: Option<Reject>) {
        if let (Some(records), Some(reject)) = (&mut self.wire.records, refusal) {
            records.note_reject(reject);
        }
    }

    /// Settles the exchanges whose answers have been written.
    #[inline]
    pub fn settle(&mut self) {
        self.session.settle();
        if self.wire.records.is_some() {
            self.wire.tell_records(Ended::Answered);
        }
    }

    /// Ends the connection after an answer that is not whole. The bytes of the answer that exist go
    /// out, and the client can tell that something is missing.
    pub async fn cut_short(&mut self, error: &io::Error) -> Outcome {
        self.give_up(error);
        let _ = self.wire.flush().await;
        Outcome::Break
    }

    /// Logs that an answer does not reach the client, and runs the watchers for that.
    pub fn give_up(&mut self, error: &io::Error) {
        if error.kind() == io::ErrorKind::TimedOut {
            self.app.expired.add(Deadline::Write);
        }
        if let Some(records) = &mut self.wire.records {
            records.note_fate(match error.kind() {
                io::ErrorKind::TimedOut => Ended::TimedOut,
                io::ErrorKind::OutOfMemory => Ended::Cut,
                _ => Ended::Left,
            });
        }
        let (peer, reason) = (self.peer(), error.to_string());
        log_event(Level::Debug, format_args!("an answer to {peer} was cut short: {}", reason.escape_debug()));
        self.session.client.mark_lost();
    }
}
