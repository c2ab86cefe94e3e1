//! Access: decides who may see the status page.

use std::fmt;
use std::hint::black_box;
use std::sync::Arc;

use crate::Peer;
use crate::Request;
use crate::Response;
use crate::StatusCode;

/// Fields that a proxy adds. A client on this machine has none.
const FIELDS_OF_PROXIES: [&str; 5] = ["forwarded", "x-forwarded-for", "x-forwarded-host", "x-real-ip", "via"];
const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// A function of the program that says whether a client may see the page.
pub(super) type Check = Arc<dyn Fn(&Request) -> bool + Send + Sync>;

/// Who may see the page. Without a check and a password: clients on this machine.
#[derive(Clone, Default)]
pub(super) struct Access {
    pub check: Option<Check>,
    password: Option<Password>,
}

/// The token of a name and a password (RFC 7617). `None` if no client can give it.
#[derive(Clone)]
struct Password(Option<Arc<[u8]>>);

impl Access {
    pub fn set_password(&mut self, user: &str, password: &str) {
        // An empty one is most often a variable that is not set. The first colon ends the name.
        let is_usable = !password.is_empty() && !user.contains(':');
        let token = is_usable.then(|| base64(format!("{user}:{password}").as_bytes()).into());
        self.password = Some(Password(token));
    }

    /// Returns the answer for a client that may not see the page.
    pub fn refusal(&self, request: &Request) -> Option<Response> {
        if self.check.is_none() && self.password.is_none() && !is_local(request) {
            let why = "The status page answers clients on this machine only, without a proxy. The program can set \
                       a password or a check for others.\n";
            return Some(refused(StatusCode::FORBIDDEN, why));
        }
        if self.check.as_ref().is_some_and(|check| !check(request)) {
            return Some(refused(StatusCode::FORBIDDEN, "You may not see this page.\n"));
        }
        if self.password.as_ref().is_some_and(|password| !password.is_given(request)) {
            let response = refused(StatusCode::UNAUTHORIZED, "A user name and a password are needed.\n");
            return Some(response.header("www-authenticate", r#"Basic realm="status", charset="UTF-8""#));
        }
        None
    }
}

impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Access")
            .field("check", &self.check.is_some())
            .field("password", &self.password.is_some())
            .finish()
    }
}

impl Password {
    fn is_given(&self, request: &Request) -> bool {
        // A second field would leave open which one counts.
        let mut fields = request.headers().get_all("authorization");
        let (Some(field), None) = (fields.next(), fields.next()) else { return false };
        let Some((scheme, token)) = field.split_at_checked("Basic ".len()) else { return false };
        scheme.eq_ignore_ascii_case(b"Basic ") && self.is_token(token.trim_ascii())
    }

    /// Compares in a time that does not depend on which bytes differ, nor on the length of `given`.
    fn is_token(&self, given: &[u8]) -> bool {
        let Some(token) = &self.0 else { return false };
        let differences = token.iter().enumerate().fold(0, |differences, (at, byte)| {
            black_box(differences | (byte ^ given.get(at).copied().unwrap_or(0)))
        });
        (differences == 0) & (given.len() == token.len())
    }
}

fn refused(status: StatusCode, why: &'static str) -> Response {
    Response::text(why).status(status).header("cache-control", "no-store")
}

/// Returns `true` if the client is on this machine. A proxy here does not make its clients such, and a web
/// page from elsewhere does not by a name of its own that leads here (DNS rebinding).
fn is_local(request: &Request) -> bool {
    let is_proxied =
        !request.is_forwarded() && FIELDS_OF_PROXIES.iter().any(|name| request.headers().contains(name));
    let is_near = match request.peer() {
        Peer::Unix => true,
        peer => peer.ip().is_some_and(|ip| ip.is_loopback()) && request.host().is_none_or(is_loopback),
    };
    is_near && !is_proxied
}

/// Returns `true` if a host, with or without a port, is a name of the loopback.
fn is_loopback(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    let is_number = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    let is_ip = || name.starts_with("127.") && name.split('.').count() == 4 && name.split('.').all(is_number);
    name.eq_ignore_ascii_case("localhost") || name == "[::1]" || is_ip()
}

fn base64(bytes: &[u8]) -> Vec<u8> {
    let mut text = Vec::with_capacity(bytes.len().div_ceil(3) * 4);
    for three in bytes.chunks(3) {
        let all = three.iter().fold(0, |all, byte| all << 8 | usize::from(*byte)) << (8 * (3 - three.len()));
        for at in 0..4 {
            let letter = ALPHABET[all >> (18 - 6 * at) & 63];
            text.push(if at <= three.len() { letter } else { b'=' });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_that_of_rfc_4648() {
        let examples =
            ["", "", "f", "Zg==", "fo", "Zm8=", "foo", "Zm9v", "foob", "Zm9vYg==", "\u{ff}", "w78="];
        for pair in examples.chunks(2) {
            assert_eq!(base64(pair[0].as_bytes()), pair[1].as_bytes());
        }
    }

    #[test]
    fn a_token_is_the_whole_one() {
        let mut access = Access::default();
        access.set_password("ada", "sesame");
        let password = access.password.unwrap();
        let right = base64(b"ada:sesame");
        assert!(password.is_token(&right));
        for wrong in
            [&b""[..], &right[..right.len() - 1], &[&right[..], b"="].concat(), &base64(b"ada:sesamd")]
        {
            assert!(!password.is_token(wrong), "{}", wrong.escape_ascii());
        }
    }

    #[test]
    fn the_names_of_the_loopback() {
        for name in ["localhost", "LOCALHOST:80", "127.0.0.1", "127.1.2.3:8080", "[::1]", "[::1]:80"] {
            assert!(is_loopback(name), "{name}");
        }
        for name in
            ["", ":80", "evil.example", "127.0.0.1.evil.example", "127.evil", "localhost.evil:80", "[::2]"]
        {
            assert!(!is_loopback(name), "{name}");
        }
    }
}
