//! The server's own answers, and the function that words them.

use std::fmt;

use http::StatusCode;
use log::Level;

use super::label::Label;
use crate::base::guard::{guarded, log_event};
use crate::error::Reject;
use crate::message::{Peer, Response};

/// The function that words the server's own answers.
pub(crate) type WordAnswer = Box<dyn Fn(&OwnAnswer<'_>) -> Response + Send + Sync>;

/// An answer that the server gives by itself: a refusal, 404, 405, or the 500 of a handler that
/// failed. See [`Server::own_answers`].
///
/// ```
/// use transom::{OwnAnswer, Response, Router, Server};
///
/// let in_json = |answer: &OwnAnswer<'_>| {
///     let reason = answer.reject().map_or("", |reject| reject.reason());
///     let status = answer.status().as_u16();
///     Response::bytes("application/json", format!(r#"{{"status":{status},"reason":"{reason}"}}"#))
///         .header("access-control-allow-origin", "*")
/// };
/// Server::new(Router::new()).own_answers(in_json);
/// ```
///
/// [`Server::own_answers`]: crate::Server::own_answers
pub struct OwnAnswer<'a> {
    status: StatusCode,
    reject: Option<Reject>,
    text: &'a str,
    peer: Peer,
    label: Option<&'a Label<'a>>,
}

impl OwnAnswer<'_> {
    /// Returns the status.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// Returns the rule or limit that the request or the connection broke, if it was refused.
    pub fn reject(&self) -> Option<Reject> {
        self.reject
    }

    /// Returns the text that is sent if the answer is not worded.
    pub fn text(&self) -> &str {
        self.text
    }

    /// Returns the other end of the connection.
    pub fn peer(&self) -> Peer {
        self.peer
    }

    /// Returns the method. `None` if the request's head was refused, or none came.
    pub fn method(&self) -> Option<&str> {
        self.label?.method()
    }

    /// Returns the request target as the client sent it: bytes of UTF-8 are not escaped, as they are
    /// in [`Target::as_str`](crate::Target::as_str). `None` if the request's head was refused or none
    /// came, and if the method and the target do not fit into the first 96 bytes of the head.
    pub fn target(&self) -> Option<&str> {
        self.label?.target()
    }
}

impl fmt::Debug for OwnAnswer<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OwnAnswer")
            .field("status", &self.status)
            .field("reject", &self.reject)
            .field("text", &self.text)
            .field("peer", &self.peer)
            .field("method", &self.method())
            .field("target", &self.target())
            .finish()
    }
}

/// Lets the hook of the embedding program word one of the server's own answers. The fields of the
/// answer stay, except those that the hook sets too.
#[cold]
pub(super) fn word(
    hook: Option<&WordAnswer>,
    response: &mut Response,
    reject: Option<Reject>,
    peer: Peer,
    label: Option<&Label<'_>>,
) {
    response.is_own = false;
    let Some(hook) = hook else { return };
    let text = response.body.as_bytes().and_then(|text| std::str::from_utf8(text).ok());
    let answer = OwnAnswer { status: response.status, reject, text: text.unwrap_or(""), peer, label };
    let Some(worded) = guarded("the hook for the server's own answers", || hook(&answer)) else { return };
    // The connection may be about to close: nothing can be waited for.
    if worded.body.as_bytes().is_none() || worded.extra.is_some() {
        let line = format_args!("the wording of a {} was not sent: it is no plain response", answer.status);
        return log_event(Level::Error, line);
    }
    response.reword(worded);
}
