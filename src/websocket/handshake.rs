//! The handshake of a WebSocket connection (RFC 6455 4.2).

use http::{Method, StatusCode};

use super::base64;
use super::list::elements;
use super::offer::{self, Deflation};
use super::sha1;
use crate::fields::Headers;

/// The text that follows the key in the hash (RFC 6455 1.3).
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
/// The version of RFC 6455.
const VERSION: &[u8] = b"13";

/// The origins whose pages may open connections.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Origins {
    /// The host that the request names.
    #[default]
    OwnHost,
    /// These, as browsers send them, and the host that the request names.
    Listed(Vec<String>),
    Any,
}

/// The settings of a server that a handshake is checked against.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted<'a> {
    pub origins: &'a Origins,
    /// The subprotocols that the server speaks.
    pub subprotocols: &'a [String],
    /// `None` without compression; true if windows may be kept.
    pub deflate: Option<bool>,
}

/// The parts of a request that a handshake has.
#[derive(Clone, Copy)]
pub(crate) struct Asked<'a> {
    pub method: &'a Method,
    pub headers: &'a Headers,
    pub host: Option<&'a str>,
}

/// The handshake was right.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Accepted {
    /// The value of Sec-WebSocket-Accept.
    pub key: String,
    pub subprotocol: Option<String>,
    /// How messages are compressed, and the value of Sec-WebSocket-Extensions.
    pub deflate: Option<(Deflation, String)>,
}

/// The reasons for which a handshake is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    NotAsked,
    Version,
    Key,
    Origin,
}

impl Refusal {
    pub fn status(self) -> StatusCode {
        match self {
            Self::NotAsked | Self::Version => StatusCode::UPGRADE_REQUIRED,
            Self::Key => StatusCode::BAD_REQUEST,
            Self::Origin => StatusCode::FORBIDDEN,
        }
    }

    pub fn text(self) -> &'static str {
        match self {
            Self::NotAsked => "This address speaks WebSocket.",
            Self::Version => "This address speaks version 13 of WebSocket.",
            Self::Key => "Sec-WebSocket-Key must be 16 bytes in base64.",
            Self::Origin => "Pages of this origin may not connect.",
        }
    }
}

/// Checks the handshake of a client.
pub(crate) fn check(asked: Asked<'_>, wanted: Wanted<'_>) -> Result<Accepted, Refusal> {
    let lists = |name, token: &[u8]| {
        let mut listed = asked.headers.get_all(name).flat_map(elements);
        listed.any(|element| element.eq_ignore_ascii_case(token))
    };
    if *asked.method != Method::GET || !lists("connection", b"upgrade") || !lists("upgrade", b"websocket") {
        return Err(Refusal::NotAsked);
    }
    if single(asked.headers, "sec-websocket-version") != Some(VERSION) {
        return Err(Refusal::Version);
    }
    let key = single(asked.headers, "sec-websocket-key").filter(|key| base64::is_key(key));
    let key = key.ok_or(Refusal::Key)?;
    if !is_allowed(asked, wanted.origins) {
        return Err(Refusal::Origin);
    }
    let mut offered = asked.headers.get_all("sec-websocket-protocol").flat_map(elements);
    let subprotocol =
        offered.find_map(|name| wanted.subprotocols.iter().find(|known| known.as_bytes() == name).cloned());
    let extensions = asked.headers.get_all("sec-websocket-extensions");
    let deflate = wanted.deflate.and_then(|keeps| offer::accept(extensions, keeps));
    Ok(Accepted { key: accept_key(key), subprotocol, deflate })
}

/// Returns the value of Sec-WebSocket-Accept for a key.
fn accept_key(key: &[u8]) -> String {
    base64::encode(&sha1::hash(&[key, GUID].concat()))
}

/// Returns the value of a field that must be there once.
fn single<'a>(headers: &'a Headers, name: &'a str) -> Option<&'a [u8]> {
    let mut values = headers.get_all(name);
    let first = values.next()?;
    if values.next().is_none() { Some(first.trim_ascii()) } else { None }
}

/// Returns `true` if the page that asks, if a page does, may connect (RFC 6455 10.2).
fn is_allowed(asked: Asked<'_>, origins: &Origins) -> bool {
    if *origins == Origins::Any || !asked.headers.contains("origin") {
        return true;
    }
    let Some(origin) = single(asked.headers, "origin").and_then(|origin| str::from_utf8(origin).ok()) else {
        return false;
    };
    let is_listed =
        matches!(origins, Origins::Listed(list) if list.iter().any(|it| it.eq_ignore_ascii_case(origin)));
    is_listed || asked.host.is_some_and(|host| is_of_host(origin, host))
}

/// Returns `true` if an origin is a page of that host. Its scheme does not matter: a proxy may have
/// ended TLS.
fn is_of_host(origin: &str, host: &str) -> bool {
    let Some((scheme, authority)) = origin.split_once("://") else { return false };
    let port = if scheme.eq_ignore_ascii_case("https") { ":443" } else { ":80" };
    let bare = |authority: &str| authority.strip_suffix(port).unwrap_or(authority).to_ascii_lowercase();
    !authority.is_empty() && bare(authority) == bare(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOTHING: Wanted<'static> = Wanted { origins: &Origins::OwnHost, subprotocols: &[], deflate: None };
    const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

    fn checked(fields: &str, wanted: Wanted<'_>) -> Result<Accepted, Refusal> {
        let fields = format!("connection: keep-alive, Upgrade\nupgrade: websocket\n{fields}");
        let headers = Headers::parse(fields.as_bytes()).unwrap();
        check(Asked { method: &Method::GET, headers: &headers, host: Some("Example.com") }, wanted)
    }

    fn handshake(more: &str) -> String {
        format!("sec-websocket-key: {KEY}\nsec-websocket-version: 13\n{more}")
    }

    #[test]
    fn rfc6455_1_3_the_key_is_hashed() {
        let accepted = checked(&handshake(""), NOTHING).unwrap();
        assert_eq!(accepted.key, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        assert_eq!((accepted.subprotocol, accepted.deflate), (None, None));
    }

    #[test]
    fn rfc6455_4_2_1_what_is_no_handshake_is_refused() {
        let refused = |fields: &str| checked(fields, NOTHING).unwrap_err();
        let key = format!("sec-websocket-key: {KEY}\n");
        assert_eq!(refused(&key), Refusal::Version);
        assert_eq!(refused(&format!("{key}sec-websocket-version: 8\n")), Refusal::Version);
        assert_eq!(refused(&handshake("sec-websocket-version: 13\n")), Refusal::Version);
        assert_eq!(refused("sec-websocket-version: 13\n"), Refusal::Key);
        assert_eq!(refused("sec-websocket-version: 13\nsec-websocket-key: short\n"), Refusal::Key);
        assert_eq!(refused(&handshake(&key)), Refusal::Key);
        for (method, fields) in [
            (Method::POST, "connection: upgrade\nupgrade: websocket\n"),
            (Method::GET, "upgrade: websocket\n"),
            (Method::GET, "connection: upgrade\nupgrade: h2c\n"),
        ] {
            let headers = Headers::parse((fields.to_owned() + &handshake("")).as_bytes()).unwrap();
            let asked = Asked { method: &method, headers: &headers, host: None };
            assert_eq!(check(asked, NOTHING), Err(Refusal::NotAsked), "{method} {fields}");
        }
    }

    #[test]
    fn rfc6455_10_2_a_page_of_another_origin_is_refused() {
        let listed = Origins::Listed(vec!["https://friend.example".to_owned()]);
        for (origin, own, with_list) in [
            ("http://example.com", true, true),
            ("https://EXAMPLE.com", true, true),
            ("https://example.com:443", true, true),
            ("https://example.com:80", false, false),
            ("http://example.com:8080", false, false),
            ("https://friend.example", false, true),
            ("https://friend.example.evil.example", false, false),
            ("null", false, false),
            ("example.com", false, false),
            ("http://", false, false),
        ] {
            let fields = handshake(&format!("origin: {origin}\n"));
            for (origins, allowed) in [(&Origins::OwnHost, own), (&listed, with_list), (&Origins::Any, true)]
            {
                let wanted = Wanted { origins, ..NOTHING };
                assert_eq!(checked(&fields, wanted).is_ok(), allowed, "{origin} with {origins:?}");
            }
        }
        let twice = handshake("origin: http://example.com\norigin: http://evil.example\n");
        assert_eq!(checked(&twice, NOTHING), Err(Refusal::Origin));
    }

    #[test]
    fn rfc6455_4_2_2_the_first_subprotocol_that_the_server_speaks_is_chosen() {
        let known = ["chat".to_owned(), "superchat".to_owned()];
        let wanted = Wanted { subprotocols: &known, ..NOTHING };
        let chosen = |offered: &str| {
            let fields = handshake(&format!("sec-websocket-protocol: {offered}\n"));
            checked(&fields, wanted).unwrap().subprotocol
        };
        assert_eq!(chosen("x, superchat, chat").as_deref(), Some("superchat"));
        assert_eq!(chosen("Chat"), None);
    }
}
