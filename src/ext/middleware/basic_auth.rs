//! [`BasicAuth`]: names and passwords (RFC 7617).

use std::fmt;
use std::sync::Arc;

use subtle::{Choice, ConstantTimeEq as _};

use crate::Next;
use crate::Reply;
use crate::Request;
use crate::Response;
use crate::StatusCode;
use crate::Wrap;

/// A function that tells if a name and a password belong together.
type Check = Arc<dyn Fn(&str, &str) -> bool + Send + Sync>;

/// Lets requests through that have the name and the password of a user (RFC 7617); others get a 401.
/// Use it over TLS only: the password is readable.
///
/// Names and passwords are compared in constant time. The handler finds the name in
/// [`Request::user`](crate::Request::user).
///
/// ```
/// use transom::{BasicAuth, Request, Router};
///
/// Router::new()
///     .wrap(BasicAuth::new("the machine").user("ada", "a secret"))
///     .get("/", async |req: Request| format!("hello {}", req.user().unwrap_or("nobody")));
/// ```
#[derive(Clone)]
pub struct BasicAuth {
    realm: String,
    users: Arc<Vec<(String, String)>>,
    check: Option<Check>,
}

/// The name of the user, as a value of the request.
struct User(String);

impl Request {
    /// Returns the name of the user that [`BasicAuth`] or [`BearerAuth`](crate::BearerAuth) has found.
    pub fn user(&self) -> Option<&str> {
        self.get::<User>().map(|user| &*user.0)
    }
}

impl BasicAuth {
    /// Returns a wrap that knows no user yet. The realm names the place to people.
    pub fn new(realm: impl Into<String>) -> Self {
        Self { realm: realm.into(), users: Arc::default(), check: None }
    }

    /// Adds a user.
    #[must_use]
    pub fn user(mut self, name: impl Into<String>, password: impl Into<String>) -> Self {
        Arc::make_mut(&mut self.users).push((name.into(), password.into()));
        self
    }

    /// Asks a function whether a name and a password belong together, for those that are no user's. It
    /// must not block.
    #[must_use]
    pub fn check(mut self, check: impl Fn(&str, &str) -> bool + Send + Sync + 'static) -> Self {
        self.check = Some(Arc::new(check));
        self
    }

    /// Returns the name of the user, if the credentials are right.
    fn name(&self, credentials: &str) -> Option<String> {
        let text = String::from_utf8(decoded(credentials)?).ok()?;
        let (name, password) = text.split_once(':')?;
        let known = self.users.iter().fold(Choice::from(0), |found, (other, secret)| {
            found | (other.as_bytes().ct_eq(name.as_bytes()) & secret.as_bytes().ct_eq(password.as_bytes()))
        });
        let is_right = bool::from(known) || self.check.as_ref().is_some_and(|check| check(name, password));
        is_right.then(|| name.to_owned())
    }
}

impl Wrap for BasicAuth {
    fn call(&self, mut request: Request, next: Next) -> Reply {
        let name = credentials(&request, "basic").and_then(|credentials| self.name(credentials));
        let Some(name) = name else {
            let challenge = format!("Basic realm={}, charset=\"UTF-8\"", quoted(&self.realm));
            return Reply::now(denied(&challenge));
        };
        set_user(&mut request, name);
        next.run(request)
    }
}

impl fmt::Debug for BasicAuth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BasicAuth")
            .field("realm", &self.realm)
            .field("users", &self.users.len())
            .finish_non_exhaustive()
    }
}

pub(super) fn set_user(request: &mut Request, name: String) {
    request.set(User(name));
}

/// Returns the credentials of a request, if it has one field Authorization with that scheme.
pub(super) fn credentials<'a>(request: &'a Request, scheme: &str) -> Option<&'a str> {
    let mut fields = request.headers().get_all("authorization");
    let field = fields.next().filter(|_| fields.next().is_none())?;
    let (given, rest) = std::str::from_utf8(field).ok()?.split_once(' ')?;
    given.eq_ignore_ascii_case(scheme).then_some(rest.trim_matches(' '))
}

/// Returns a 401 with a challenge.
pub(super) fn denied(challenge: &str) -> Response {
    Response::text("401 Unauthorized\n")
        .status(StatusCode::UNAUTHORIZED)
        .header("www-authenticate", challenge)
}

/// Returns a text as a quoted string (RFC 9110 5.6.4).
pub(super) fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

/// Decodes Base64 (RFC 4648 4), with or without its padding.
fn decoded(text: &str) -> Option<Vec<u8>> {
    let digits = text.trim_end_matches('=');
    let padding = text.len() - digits.len();
    if padding > 2 || (padding > 0 && !text.len().is_multiple_of(4)) || digits.len() % 4 == 1 {
        return None;
    }
    let (mut bytes, mut bits, mut count) = (Vec::new(), 0_u32, 0);
    for digit in digits.bytes() {
        let value = match digit {
            b'A'..=b'Z' => digit - b'A',
            b'a'..=b'z' => digit - b'a' + 26,
            b'0'..=b'9' => digit - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        bits = bits << 6 | u32::from(value);
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count & 0xff) as u8);
        }
    }
    Some(bytes)
}
