//! The response fields that the server writes itself, because they frame the message or concern one
//! connection (RFC 9110 7.6.1). A handler's own are not sent as they are.

use http::StatusCode;

use super::field::InvalidHeader;
use super::field::{content_length, tokens};
use super::headers::Headers;

/// The names of the fields that frame the message or concern one connection.
const RESERVED: [&[u8]; 8] = [
    b"connection",
    b"content-length",
    b"keep-alive",
    b"proxy-connection",
    b"te",
    b"trailer",
    b"transfer-encoding",
    b"upgrade",
];

/// The lengths of these names, a bit for each.
const LENGTHS: u32 = {
    let (mut lengths, mut index) = (0, 0);
    while index < RESERVED.len() {
        lengths |= 1 << RESERVED[index].len();
        index += 1;
    }
    lengths
};

/// Returns `true` if a field frames the message or concerns one connection.
#[inline]
pub(crate) fn is_reserved(name: &[u8]) -> bool {
    // Most names have another length.
    name.len() < 32
        && LENGTHS >> name.len() & 1 == 1
        && RESERVED.iter().any(|reserved| name.eq_ignore_ascii_case(reserved))
}

/// Returns an error for each field that a response of that status does not send as the handler set
/// it. `protocol` is the protocol of a 101. `trailers_follow` is true if the response has a trailer
/// section that the Trailer field can announce.
pub(crate) fn unsent(
    status: StatusCode,
    headers: &Headers,
    protocol: Option<&str>,
    trailers_follow: bool,
) -> impl Iterator<Item = InvalidHeader> {
    let mut length = None;
    headers.lines().filter(|(name, _)| is_reserved(name)).filter_map(move |(name, value)| {
        let why = match &*name.to_ascii_lowercase() {
            b"content-length" => length_fault(status, value, &mut length)?,
            b"connection" if tokens(value).all(|option| may_ask_for(option, status)) => return None,
            b"connection" => "a handler can ask only for `close`",
            b"upgrade" if protocol.is_some_and(|it| it.as_bytes().eq_ignore_ascii_case(value)) => {
                return None;
            }
            b"upgrade" if status == StatusCode::UPGRADE_REQUIRED => return None,
            b"upgrade" => "other protocols are offered in a 426 only",
            b"trailer" if trailers_follow => return None,
            b"trailer" => "no trailer section follows",
            b"te" => "it is a field of requests",
            b"transfer-encoding" => "the server chooses how the body is framed",
            _ => "the server decides how long a connection lasts",
        };
        Some(InvalidHeader::unsent(name, why))
    })
}

/// Returns the fault of a Content-Length. `first` is the value of an earlier one.
fn length_fault(status: StatusCode, value: &[u8], first: &mut Option<u64>) -> Option<&'static str> {
    let Some(length) = content_length(value) else { return Some("it is not a number of bytes") };
    if status.is_informational() || status == StatusCode::NO_CONTENT {
        return Some("a response of this status has no content, nor a length (RFC 9110 8.6)");
    }
    if status == StatusCode::RESET_CONTENT && length > 0 {
        return Some("a response of this status has no content (RFC 9110 15.3.6)");
    }
    (*first.get_or_insert(length) != length).then_some("it differs from the one before")
}

/// Returns `true` if a handler may set that connection option. `keep-alive` is allowed: the server
/// keeps the connection anyway if it can.
fn may_ask_for(option: &[u8], status: StatusCode) -> bool {
    let leaves = status == StatusCode::UPGRADE_REQUIRED || status == StatusCode::SWITCHING_PROTOCOLS;
    option.eq_ignore_ascii_case(b"close")
        || option.eq_ignore_ascii_case(b"keep-alive")
        || (leaves && option.eq_ignore_ascii_case(b"upgrade"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(status: u16, name: &str, value: &str) -> Vec<String> {
        faults(status, &format!("{name}: {value}\n"), None, false)
    }

    fn faults(status: u16, block: &str, protocol: Option<&str>, trailers_follow: bool) -> Vec<String> {
        let headers = Headers::parse(block.as_bytes()).unwrap();
        let unsent = unsent(StatusCode::from_u16(status).unwrap(), &headers, protocol, trailers_follow);
        unsent.map(|fault| fault.to_string()).collect()
    }

    #[test]
    fn rfc9110_7_6_1_what_speaks_of_one_connection_is_not_a_handlers() {
        for (name, value) in [
            ("TE", "trailers"),
            ("Trailer", "x"),
            ("Upgrade", "h2c"),
            ("Connection", "close, x-a"),
            ("Connection", "upgrade"),
            ("Keep-Alive", "timeout=5"),
            ("Proxy-Connection", "keep-alive"),
            ("Transfer-Encoding", "chunked"),
            ("Content-Length", "zz"),
            ("Content-Length", "5,"),
            ("Content-Length", ""),
            ("Content-Length", "-1"),
        ] {
            let faults = of(200, name, value);
            assert_eq!(faults.len(), 1, "{name}: {value}");
            assert!(faults[0].starts_with(&format!("header {name:?} is not sent: ")), "{}", faults[0]);
        }
        for (status, name, value) in [
            (200, "connection", "Close"),
            (200, "connection", "keep-alive"),
            (200, "connection", ""),
            (200, "content-length", "5, 5"),
            (304, "content-length", "5"),
            (205, "content-length", "0"),
            (426, "connection", "Upgrade"),
            (426, "upgrade", "websocket"),
            (200, "date", "now"),
            (200, "x-trailer", "x"),
        ] {
            assert_eq!(of(status, name, value), [""; 0], "{status} {name}: {value}");
        }
        for status in [101, 103, 204] {
            assert_eq!(of(status, "content-length", "0").len(), 1, "{status}");
        }
        assert_eq!(of(205, "content-length", "1").len(), 1);
    }

    #[test]
    fn a_trailer_field_is_sent_if_trailers_follow() {
        let without = ["header \"trailer\" is not sent: no trailer section follows"];
        assert_eq!(faults(200, "trailer: x-sum\n", None, false), without);
        assert_eq!(faults(200, "trailer: x-sum\n", None, true), [""; 0]);
    }

    #[test]
    fn two_lengths_that_differ_are_a_fault() {
        let lengths = "content-length: 5\n".repeat(2);
        assert_eq!(faults(200, &lengths, None, false).len(), 0);
        assert_eq!(faults(200, &(lengths + "content-length: 6\n"), None, false).len(), 1);
    }

    #[test]
    fn an_upgrade_may_name_its_own_protocol() {
        let fields = "connection: Upgrade\nupgrade: Chat\n";
        assert_eq!(faults(101, fields, Some("chat"), false), [""; 0]);
        assert_eq!(faults(101, fields, Some("h2c"), false).len(), 1);
    }
}
