//! Plans how a response is sent: its framing, whether it has a body, whether the connection
//! persists.

use http::{StatusCode, Version};

use crate::fields::{Headers, content_length, is_reserved, tokens};
use crate::message::Response;

/// The way in which a response body ends (RFC 9112 6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Payload {
    /// No body is sent. A length may still be announced, as for HEAD.
    None {
        announced: Option<u64>,
    },
    Length(u64),
    Chunked,
    UntilClose,
}

/// The plan for one response.
#[expect(clippy::struct_excessive_bools, reason = "each is a line of the head")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Plan {
    pub payload: Payload,
    pub close: bool,
    /// An HTTP/1.0 client is told that the connection persists (RFC 9112 9.3).
    pub say_keep_alive: bool,
    /// Some fields of the handler may not be sent as they are.
    pub filter: bool,
    pub has_date: bool,
    /// Trailers follow, so the handler's Trailer field is sent.
    pub announces_trailers: bool,
    /// The handler's 426 offers protocols.
    pub offers_upgrade: bool,
    /// The content type from the response's constructor is not sent, as there is no body.
    pub drops_type: bool,
}

impl Plan {
    /// Returns `true` if this field of the handler is sent as it is.
    pub fn sends(&self, status: StatusCode, name: &[u8]) -> bool {
        match name.len() {
            7 if name.eq_ignore_ascii_case(b"trailer") => self.announces_trailers,
            7 if name.eq_ignore_ascii_case(b"upgrade") => self.offers_upgrade,
            12 if name.eq_ignore_ascii_case(b"content-type") => !self.drops_type,
            // A 304 has only those fields of a representation that a cache needs to choose one (RFC
            // 9110 15.4.5).
            13 if name.eq_ignore_ascii_case(b"content-range") => status != StatusCode::NOT_MODIFIED,
            16 if name.eq_ignore_ascii_case(b"content-encoding")
                || name.eq_ignore_ascii_case(b"content-language") =>
            {
                status != StatusCode::NOT_MODIFIED
            }
            _ => !is_reserved(name),
        }
    }
}

/// Plans a response. `persistent` is `true` if the connection could persist.
pub(crate) fn plan(is_head: bool, version: Version, persistent: bool, response: &Response) -> Plan {
    let own = HandlerFields::of(&response.headers);
    let body = response.body.len();
    let length = own.length.or(body);
    let payload = match response.status {
        status if status.is_informational() || status == StatusCode::NO_CONTENT => {
            Payload::None { announced: None }
        }
        StatusCode::RESET_CONTENT => Payload::None { announced: Some(0) },
        StatusCode::NOT_MODIFIED => Payload::None { announced: own.length },
        // The length that GET would send, if it is known (RFC 9110 8.6). An empty body does not
        // count: the handler need not have made the body of GET.
        _ if is_head => Payload::None { announced: own.length.or(body.filter(|&length| length > 0)) },
        _ => match length {
            Some(length) => Payload::Length(length),
            None if version == Version::HTTP_11 => Payload::Chunked,
            None => Payload::UntilClose,
        },
    };
    // A body that is shorter than the length its handler set can only be cut short.
    let short = matches!(payload, Payload::Length(length) if body.is_some_and(|body| body < length));
    let close = !persistent || own.close || short || payload == Payload::UntilClose;
    let mut plan = Plan {
        payload,
        close,
        say_keep_alive: !close && version == Version::HTTP_10,
        filter: own.filter,
        has_date: own.date,
        announces_trailers: false,
        offers_upgrade: false,
        drops_type: false,
    };
    // Most responses have a body, and no field that the server writes itself. Without this check a
    // small response costs 23 of 3,450 instructions more (benches/replay, 2026-11).
    if own.filter || matches!(payload, Payload::None { .. }) {
        plan.look_at_fields(response, version, is_head && length.is_none());
    }
    plan
}

impl Plan {
    /// Plans the fields that depend on the rest of the response. `is_open` says that the response
    /// to GET would have had no length.
    #[cold]
    fn look_at_fields(&mut self, response: &Response, version: Version, is_open: bool) {
        let status = response.status;
        let has_no_content = status == StatusCode::NO_CONTENT
            || status == StatusCode::RESET_CONTENT
            || status == StatusCode::NOT_MODIFIED;
        let is_current = version == Version::HTTP_11;
        let ends_in_trailers = self.payload == Payload::Chunked || (is_open && !has_no_content && is_current);
        self.filter |= has_no_content;
        self.drops_type = has_no_content && response.has_default_type;
        self.announces_trailers = ends_in_trailers && response.body.has_trailers();
        self.offers_upgrade =
            is_current && status == StatusCode::UPGRADE_REQUIRED && response.headers.contains("upgrade");
    }
}

/// The fields of a handler's response that change the plan.
#[derive(Default)]
struct HandlerFields {
    length: Option<u64>,
    close: bool,
    date: bool,
    filter: bool,
}

impl HandlerFields {
    fn of(headers: &Headers) -> Self {
        let mut own = Self::default();
        for (name, value) in headers.lines() {
            if name.len() == 4 && name.eq_ignore_ascii_case(b"date") {
                own.date = true;
            } else if is_reserved(name) {
                own.filter = true;
                if name.eq_ignore_ascii_case(b"content-length") {
                    own.length = own.length.or_else(|| content_length(value));
                } else if name.eq_ignore_ascii_case(b"connection") {
                    own.close |= tokens(value).any(|token| token.eq_ignore_ascii_case(b"close"));
                }
            }
        }
        own
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::body::Body;

    fn payload(is_head: bool, version: Version, response: &Response) -> Payload {
        plan(is_head, version, true, response).payload
    }

    fn stream() -> Response {
        Response::stream("text/plain", futures_lite::stream::empty())
    }

    #[test]
    fn rfc9112_6_3_framing_of_the_answer() {
        let text = Response::text("hello");
        assert_eq!(payload(false, Version::HTTP_11, &text), Payload::Length(5));
        assert_eq!(payload(false, Version::HTTP_10, &text), Payload::Length(5));
        assert_eq!(payload(false, Version::HTTP_11, &stream()), Payload::Chunked);
        assert_eq!(payload(false, Version::HTTP_10, &stream()), Payload::UntilClose);
        assert!(plan(false, Version::HTTP_10, true, &stream()).close);
    }

    #[test]
    fn rfc9110_6_4_1_answers_without_a_body() {
        let none = |announced| Payload::None { announced };
        let text = |status| Response::text("hello").status(status);
        assert_eq!(payload(true, Version::HTTP_11, &text(StatusCode::OK)), none(Some(5)));
        assert_eq!(payload(true, Version::HTTP_11, &stream()), none(None));
        let empty = Response::new(StatusCode::OK);
        assert_eq!(payload(true, Version::HTTP_11, &empty), none(None));
        assert_eq!(payload(true, Version::HTTP_11, &empty.header("content-length", "0")), none(Some(0)));
        assert_eq!(payload(false, Version::HTTP_11, &text(StatusCode::NO_CONTENT)), none(None));
        assert_eq!(payload(false, Version::HTTP_11, &text(StatusCode::NOT_MODIFIED)), none(None));
        assert_eq!(payload(false, Version::HTTP_11, &text(StatusCode::RESET_CONTENT)), none(Some(0)));
        assert_eq!(payload(false, Version::HTTP_11, &Response::new(StatusCode::OK)), Payload::Length(0));
    }

    #[test]
    fn a_handlers_own_fields() {
        let own = Response::text("hello").header("Content-Length", "9").header("connection", "x, close");
        let decided = plan(false, Version::HTTP_11, true, &own);
        assert_eq!(decided.payload, Payload::Length(9));
        assert!(decided.close && decided.filter && !decided.has_date);
        let head = Response::new(StatusCode::OK).header("content-length", "77").body(Body::empty());
        assert_eq!(payload(true, Version::HTTP_11, &head), Payload::None { announced: Some(77) });
    }
}
