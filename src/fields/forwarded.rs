//! The fields in which proxies tell of the client: `Forwarded` (RFC 7239) and `X-Forwarded-*`. They
//! are read from the end, because the last proxy writes there, and what comes before may be the
//! client's own.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::field::{is_token, trim};
use super::headers::Headers;

/// The most hops that are read.
const MOST_HOPS: usize = 32;
/// The longest address that is read: an IPv6 address in brackets, with its port.
const LONGEST_NODE: usize = 54;

/// The fields of one family, which proxies write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Family {
    /// `X-Forwarded-For`, `X-Forwarded-Proto` and `X-Forwarded-Host`.
    XForwarded,
    /// `Forwarded` (RFC 7239).
    Rfc7239,
}

/// One hop on the way of a request, as the proxy behind it tells it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Hop<'a> {
    /// The address from which the proxy got the request, and the port if it tells one. `None` if the
    /// proxy hides it, or it is malformed.
    pub client: Option<(IpAddr, Option<u16>)>,
    /// The scheme with which the request came: `http` or `https`.
    pub scheme: Option<&'static str>,
    /// The host that the request named, not checked.
    pub host: Option<&'a [u8]>,
}

/// Reads the hops of a request, the last one first, until `visit` returns `false`.
pub(crate) fn walk<'a>(headers: &'a Headers, family: Family, mut visit: impl FnMut(Hop<'a>) -> bool) {
    match family {
        Family::XForwarded => {
            let mut clients = members(headers, "x-forwarded-for");
            let mut schemes = members(headers, "x-forwarded-proto");
            let mut hosts = members(headers, "x-forwarded-host");
            for _ in 0..MOST_HOPS {
                let parts = (clients.next(), schemes.next(), hosts.next());
                let (client, scheme, host) = match parts {
                    (None, None, None) => return,
                    (client, scheme, host) => (client.and_then(node), scheme.and_then(self::scheme), host),
                };
                if !visit(Hop { client, scheme, host }) {
                    return;
                }
            }
        }
        Family::Rfc7239 => {
            let elements = headers.lines_from_end("forwarded").flat_map(|line| Elements { rest: line });
            for element in elements.filter(|element| !element.is_empty()).take(MOST_HOPS) {
                let Some(hop) = hop(element) else { return };
                if !visit(hop) {
                    return;
                }
            }
        }
    }
}

/// Returns the members of a list in all fields of a name, the last one first, without empty ones.
fn members<'a>(headers: &'a Headers, name: &'static str) -> impl Iterator<Item = &'a [u8]> {
    let lines = headers.lines_from_end(name);
    lines.flat_map(|line| line.rsplit(|&b| b == b',').map(trim).filter(|member| !member.is_empty()))
}

/// The elements of one `Forwarded` field, the last one first.
///
/// The split goes backwards too. Forwards, a quote that the client opened would swallow the element
/// that the proxy has added after it.
struct Elements<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Elements<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        if self.rest.is_empty() {
            return None;
        }
        let mut is_quoted = false;
        let mut at = self.rest.len();
        while at > 0 {
            at -= 1;
            match self.rest[at] {
                b'"' if !(is_quoted && is_escaped(self.rest, at)) => is_quoted = !is_quoted,
                b',' if !is_quoted => {
                    let element = trim(&self.rest[at + 1..]);
                    self.rest = &self.rest[..at];
                    return Some(element);
                }
                _ => {}
            }
        }
        Some(trim(std::mem::take(&mut self.rest)))
    }
}

/// Returns `true` if an odd number of backslashes precedes a byte.
fn is_escaped(text: &[u8], at: usize) -> bool {
    text[..at].iter().rev().take_while(|&&b| b == b'\\').count() % 2 == 1
}

/// Reads one element of a `Forwarded` field. `None` if it is malformed.
fn hop(mut rest: &[u8]) -> Option<Hop<'_>> {
    let mut hop = Hop::default();
    let (mut has_client, mut has_scheme, mut has_host) = (false, false, false);
    loop {
        rest = trim(rest);
        if rest.is_empty() {
            return Some(hop);
        }
        let end = rest.iter().position(|&b| !is_token(b)).unwrap_or(rest.len());
        let (name, after) = rest.split_at(end);
        let (value, after) =
            if name.is_empty() { (&b""[..], after) } else { value(after.strip_prefix(b"=")?)? };
        if name.eq_ignore_ascii_case(b"for") {
            hop.client = node(value);
            if std::mem::replace(&mut has_client, true) {
                return None;
            }
        } else if name.eq_ignore_ascii_case(b"proto") {
            hop.scheme = scheme(value);
            if std::mem::replace(&mut has_scheme, true) {
                return None;
            }
        } else if name.eq_ignore_ascii_case(b"host") {
            hop.host = Some(value);
            if std::mem::replace(&mut has_host, true) {
                return None;
            }
        }
        rest = match trim(after) {
            [] => return Some(hop),
            [b';', rest @ ..] => rest,
            _ => return None,
        };
    }
}

/// Takes a value, quoted or not, from the beginning of a text. Escapes stay as they are: no address,
/// scheme or host has any.
fn value(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let Some(quoted) = text.strip_prefix(b"\"") else {
        // Some proxies do not quote `192.0.2.7:80`.
        let end = text.iter().position(|b| b"; \t\"".contains(b)).unwrap_or(text.len());
        return Some(text.split_at(end)).filter(|_| end > 0);
    };
    let end = (0..quoted.len()).find(|&at| quoted[at] == b'"' && !is_escaped(quoted, at))?;
    Some((&quoted[..end], &quoted[end + 1..]))
}

/// Reads an address with or without a port. IPv6 has brackets if a port follows.
fn node(text: &[u8]) -> Option<(IpAddr, Option<u16>)> {
    let text = std::str::from_utf8(text).ok().filter(|text| text.len() <= LONGEST_NODE)?;
    let (address, port) = if let Some(rest) = text.strip_prefix('[') {
        let (address, after) = rest.split_once(']')?;
        let port = if after.is_empty() { None } else { Some(after.strip_prefix(':')?) };
        (IpAddr::V6(address.parse::<Ipv6Addr>().ok()?), port)
    } else {
        match text.split_once(':') {
            Some((address, port)) if !port.contains(':') => {
                (IpAddr::V4(address.parse::<Ipv4Addr>().ok()?), Some(port))
            }
            _ => (text.parse().ok()?, None),
        }
    };
    let port = match port {
        // The proxy hides the port (RFC 7239 6.3).
        Some(hidden) if hidden.starts_with('_') => None,
        Some(number) if number.bytes().all(|b| b.is_ascii_digit()) => Some(number.parse().ok()?),
        Some(_) => return None,
        None => None,
    };
    Some((address.to_canonical(), port))
}

/// Reads a scheme. Some proxies tell that of a WebSocket's URL.
fn scheme(text: &[u8]) -> Option<&'static str> {
    let is = |name: &str| text.eq_ignore_ascii_case(name.as_bytes());
    if is("https") || is("wss") {
        Some("https")
    } else if is("http") || is("ws") {
        Some("http")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hops(family: Family, fields: &str) -> Vec<String> {
        let headers = Headers::parse(fields.as_bytes()).unwrap();
        let mut hops = Vec::new();
        walk(&headers, family, |hop| {
            let client = hop.client.map_or("?".into(), |(address, port)| match port {
                Some(port) => format!("{address}|{port}"),
                None => address.to_string(),
            });
            let host = hop.host.map(|host| host.escape_ascii().to_string());
            let parts = [Some(client), hop.scheme.map(str::to_owned), host];
            hops.push(parts.into_iter().flatten().collect::<Vec<_>>().join(" "));
            true
        });
        hops
    }

    #[test]
    fn x_forwarded_fields_are_read_from_the_end() {
        let read = |fields: &str| hops(Family::XForwarded, fields);
        assert_eq!(read("x-forwarded-for: 192.0.2.7, 10.0.0.1\n"), ["10.0.0.1", "192.0.2.7"]);
        assert_eq!(
            read("X-Forwarded-For: 192.0.2.7\na: b\nX-Forwarded-For: 10.0.0.1 ,, 10.0.0.2,\n"),
            ["10.0.0.2", "10.0.0.1", "192.0.2.7"]
        );
        assert_eq!(
            read(
                "x-forwarded-for: 192.0.2.7, 10.0.0.1\nx-forwarded-proto: HTTPS, http\nx-forwarded-host: a.example\n"
            ),
            ["10.0.0.1 http a.example", "192.0.2.7 https"]
        );
        assert_eq!(read("x-forwarded-proto: wss\n"), ["? https"]);
        assert_eq!(read("x-forwarded-proto: gopher\n"), ["?"]);
        assert_eq!(read("x-forwarded-for: ,, ,\n"), Vec::<String>::new());
        assert_eq!(read("forwarded: for=192.0.2.7\n"), Vec::<String>::new());
        let long = format!("x-forwarded-for: {}\n", "192.0.2.7,".repeat(1000));
        assert_eq!(read(&long).len(), MOST_HOPS);
    }

    #[test]
    fn addresses_have_the_forms_that_proxies_write() {
        let read = |text: &str| hops(Family::XForwarded, &format!("x-forwarded-for: {text}\n"));
        for (text, found) in [
            ("192.0.2.7", "192.0.2.7"),
            ("192.0.2.7:80", "192.0.2.7|80"),
            ("192.0.2.7:_hidden", "192.0.2.7"),
            ("2001:db8::7", "2001:db8::7"),
            ("[2001:db8::7]", "2001:db8::7"),
            ("[2001:db8::7]:80", "2001:db8::7|80"),
            ("::ffff:192.0.2.7", "192.0.2.7"),
            ("[::ffff:192.0.2.7]:1", "192.0.2.7|1"),
        ] {
            assert_eq!(read(text), [found], "{text}");
        }
        for text in [
            "unknown",
            "_hidden",
            "a.example",
            "192.0.2",
            "192.0.2.256",
            "192.0.2.07",
            "192.0.2.7:",
            "192.0.2.7:x",
            "192.0.2.7:65536",
            "192.0.2.7:+1",
            "192.0.2.7 80",
            "[192.0.2.7]",
            "[::1",
            "::1]",
            "[::1]80",
            "[::1]:",
            "fe80::1%eth0",
            "\"192.0.2.7\"",
            ":",
            "1",
            "\u{e9}",
            "<script>",
        ] {
            assert_eq!(read(text), ["?"], "{text}");
        }
        assert_eq!(read(&"1".repeat(5000)), ["?"]);
    }

    #[test]
    fn rfc7239_fields_are_read_from_the_end() {
        let read = |text: &str| hops(Family::Rfc7239, &format!("forwarded: {text}\n"));
        // The examples of RFC 7239 4 to 7.
        assert_eq!(read("for=\"_gazonk\""), ["?"]);
        assert_eq!(read("For=\"[2001:db8:cafe::17]:4711\""), ["2001:db8:cafe::17|4711"]);
        assert_eq!(read("for=192.0.2.60;proto=http;by=203.0.113.43"), ["192.0.2.60 http"]);
        assert_eq!(read("for=192.0.2.43, for=198.51.100.17"), ["198.51.100.17", "192.0.2.43"]);
        assert_eq!(
            read("for=_hidden, for=_SEVKISEK;proto=https;host=\"a.example:8080\""),
            ["? https a.example:8080", "?"]
        );
        assert_eq!(read("for=\"192.0.2.43:47011\";by=unknown"), ["192.0.2.43|47011"]);
        assert_eq!(read("for=192.0.2.43:47011"), ["192.0.2.43|47011"], "not quoted");
        assert_eq!(read("for=unknown, for=192.0.2.43"), ["192.0.2.43", "?"]);
        assert_eq!(read(" proto=https ; for=192.0.2.43 ;; secret=\"a,b;c\\\"\" ,"), ["192.0.2.43 https"]);
        assert_eq!(
            hops(Family::Rfc7239, "forwarded: for=192.0.2.1, for=192.0.2.2\nforwarded: for=192.0.2.3\n"),
            ["192.0.2.3", "192.0.2.2", "192.0.2.1"]
        );
        assert_eq!(read("proto=https"), ["? https"]);
        assert_eq!(read(""), Vec::<String>::new());
        assert_eq!(read(&"for=192.0.2.7,".repeat(1000)).len(), MOST_HOPS);
    }

    #[test]
    fn rfc7239_a_malformed_element_hides_what_is_before_it_and_nothing_after_it() {
        let read = |text: &str| hops(Family::Rfc7239, &format!("forwarded: {text}\n"));
        for bad in [
            "for",
            "for=",
            "for=\"",
            "\"",
            "for=\"1",
            "for=1;for=2",
            "proto=http;proto=http",
            "host=a;host=b",
            "=a",
            "for 192.0.2.1",
            "for=192.0.2.1 proto=http",
            "for=\"192.0.2.1\"x",
            "f\u{e9}r=1",
            "for=192.0.2.1\"",
            "for=\"\\",
            "for=\\\"",
            ";for=\"a;proto=https",
            "a=\"b\\\"",
        ] {
            // The element that the trusted proxy adds stands, whatever the client has opened.
            let found = read(&format!("for=192.0.2.9, {bad}, for=\"[2001:db8::1]:80\";proto=https"));
            assert_eq!(found.first().map(String::as_str), Some("2001:db8::1|80 https"), "{bad}");
            assert!(found.iter().skip(1).all(|hop| hop.starts_with('?')), "{bad}: {found:?}");
            let found = read(&format!("{bad}, for=192.0.2.7"));
            assert_eq!(found.first().map(String::as_str), Some("192.0.2.7"), "{bad}");
        }
    }

    #[test]
    fn no_bytes_panic() {
        let alphabet = b"for=\"[]:;,\\_ 1a.";
        let mut state = 1_u64;
        for _ in 0..20_000 {
            let mut text = Vec::new();
            for _ in 0..24 {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                text.push(alphabet[usize::try_from(state >> 33).unwrap() % alphabet.len()]);
            }
            let mut headers = Headers::new();
            headers.append("forwarded", &text).unwrap();
            headers.append("x-forwarded-for", &text).unwrap();
            for family in [Family::XForwarded, Family::Rfc7239] {
                let mut count = 0;
                walk(&headers, family, |_| {
                    count += 1;
                    true
                });
                assert!(count <= text.len());
            }
        }
    }
}
