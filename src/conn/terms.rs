//! The terms of an exchange: what its request says about how the response is framed.

use std::task::Waker;

use http::Version;

use super::connection::{Connection, Outcome};
use super::incoming::Incoming;
use super::label::Label;
use super::site::log_unsent;
use super::{Stage, Transport, answer};
use crate::error::Reject;
use crate::fields::Headers;
use crate::handler::Endpoint;
use crate::http1::{Facts, Payload, Plan, offers, plan};
use crate::message::{Response, Upgrade};

/// The parts of a request that decide how its response is framed.
pub(super) struct Terms<'a> {
    /// `None` if the router answers itself.
    pub endpoint: Option<&'a Endpoint>,
    pub is_head: bool,
    pub version: Version,
    pub facts: Facts,
    /// The header fields, if the client asks to leave HTTP.
    pub upgrade: Option<Box<Headers>>,
}

impl<'a> Terms<'a> {
    /// Refuses the request whose head was read last, before a handler was called.
    #[cold]
    pub fn refuse<T: Transport>(&self, connection: &mut Connection<'a, T>, reject: Reject) -> Outcome {
        let label = self.label(connection);
        connection.wire.note_unhandled();
        connection.refuse(self.is_head, reject, Some(&label))
    }

    /// The label of the request, whose head was read last.
    pub fn label<T: Transport>(&self, connection: &Connection<'a, T>) -> Label<'a> {
        let taken = self.facts.taken();
        Label::new(connection.wire.input.behind(taken), taken, self.endpoint)
    }

    /// Plans how a response goes out.
    #[inline]
    pub fn plan<T: Transport>(
        &self,
        connection: &Connection<'a, T>,
        incoming: Option<&Incoming<'_>>,
        response: &Response,
    ) -> Plan {
        let drain = connection.app.config.limits.drain;
        let persistent = self.facts.is_persistent()
            && incoming.is_none_or(|incoming| incoming.is_drainable(drain))
            && !connection.session.has_reached(Stage::Leaving)
            && !connection.wire.is_waited_for();
        plan(self.is_head, self.version, persistent, response)
    }

    /// Checks a handler's response with [`Site::check`](super::site::Site::check). Makes the label
    /// if the exchange has none yet.
    #[cold]
    pub fn check<T: Transport>(
        &self,
        connection: &mut Connection<'a, T>,
        label: Option<&Label<'a>>,
        response: &mut Response,
        is_read: bool,
    ) {
        let may_upgrade = |upgrade: &Upgrade| {
            is_read && self.upgrade.as_ref().is_some_and(|fields| offers(fields, &upgrade.protocol))
        };
        let peer = connection.peer();
        let refusal = match label {
            Some(label) => connection.site().check(response, may_upgrade, peer, label),
            None => connection.site().check(response, may_upgrade, peer, &self.label(connection)),
        };
        connection.note_refusal(refusal);
    }

    /// Logs the fields of a response that are not sent.
    #[cold]
    pub fn log_unsent<T: Transport>(
        &self,
        connection: &Connection<'a, T>,
        label: Option<&Label<'a>>,
        response: &Response,
        plan: &Plan,
    ) {
        // HTTP/1.0 has no trailers. That is no fault of the handler, so the log has no line for it.
        let is_old = plan.payload == Payload::UntilClose && response.body.has_trailers();
        let announces_trailers = plan.announces_trailers || is_old;
        match label {
            Some(label) => log_unsent(response, announces_trailers, label),
            None => log_unsent(response, announces_trailers, &self.label(connection)),
        }
    }

    /// Puts the early hints in the output buffer that the handler gave so far. A later hint wakes the
    /// waker. Without a waker, these are the last hints of the exchange.
    pub fn put_hints<T: Transport>(&self, connection: &mut Connection<'a, T>, waker: Option<&Waker>) {
        let hints = connection.session.client.take_hints(waker);
        // HTTP/1.0 knows no interim responses (RFC 9110 15.2).
        if self.version == Version::HTTP_11 {
            answer::put_hints(&mut connection.wire, &hints);
        }
    }
}
