//! Fixed bodies for the server's own answers, for languages whose code no native thread can call.

use std::collections::BTreeMap;

use transom::{OwnAnswer, Response};

/// The bodies by their status codes. The body of 0 is for all others.
#[derive(Clone, Default)]
pub(crate) struct OwnBodies(BTreeMap<u16, OwnBody>);

#[derive(Clone)]
struct OwnBody {
    content_type: String,
    text: String,
}

impl OwnBodies {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Sets the body for a status code, or for 0.
    pub fn set(&mut self, status_code: u16, content_type: &str, text: &str) {
        let body = OwnBody { content_type: content_type.to_owned(), text: text.to_owned() };
        self.0.insert(status_code, body);
    }

    /// Returns an answer with the body for its status, or else with the text of the server.
    pub fn word(&self, answer: &OwnAnswer<'_>) -> Response {
        let status = answer.status();
        let code = status.as_u16();
        match self.0.get(&code).or_else(|| self.0.get(&0)) {
            Some(body) => {
                // The text of an answer is its status code with the reason phrase, and the rule that
                // the request broke after a colon.
                let phrase = answer.text().strip_prefix(status.as_str()).unwrap_or("");
                let reason = phrase.split([':', '\n']).next().unwrap_or("").trim();
                let text = body.text.replace("{status}", status.as_str()).replace("{reason}", reason);
                Response::bytes(body.content_type.clone(), text).status(status)
            }
            None => Response::text(answer.text()).status(status),
        }
    }
}
