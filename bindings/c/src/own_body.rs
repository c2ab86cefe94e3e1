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
                let (reason, detail) = phrase.split_once(": ").unwrap_or((phrase, ""));
                let (reason, detail) = (reason.trim(), detail.trim_end());
                let text = choose(&body.text, !detail.is_empty());
                let text = text.replace("{status}", status.as_str()).replace("{reason}", reason);
                let text = text.replace("{detail}", detail);
                Response::bytes(body.content_type.clone(), text).status(status)
            }
            None => Response::text(answer.text()).status(status),
        }
    }
}

/// Keeps or removes the parts of a text between `{?` and `?}`.
fn choose(text: &str, keeps: bool) -> String {
    let mut chosen = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("{?") {
        let Some((part, after)) = after.split_once("?}") else { break };
        chosen.push_str(before);
        if keeps {
            chosen.push_str(part);
        }
        rest = after;
    }
    chosen + rest
}

#[cfg(test)]
mod tests {
    use transom::Reject;

    use super::choose;

    #[test]
    fn parts_are_kept_or_removed() {
        for (text, kept, removed) in [
            ("a{?b?}c", "abc", "ac"),
            ("{?a?}{?b?}", "ab", ""),
            ("a{?b", "a{?b", "a{?b"),
            ("a?}b{c}", "a?}b{c}", "a?}b{c}"),
        ] {
            assert_eq!((choose(text, true), choose(text, false)), (kept.to_owned(), removed.to_owned()));
        }
    }

    /// So the detail of a body in JSON or HTML needs no escapes.
    #[test]
    fn no_detail_has_a_character_of_json_or_html() {
        for reject in Reject::ALL {
            let text = reject.to_string();
            let is_plain = |c: char| !c.is_control() && !"\"\\<>&".contains(c);
            assert!(text.chars().all(is_plain), "{text}");
        }
    }
}
