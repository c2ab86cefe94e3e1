//! [`SetCookie`]: a cookie that a response sets, held to the rules of browsers.

use std::fmt::{self, Write as _};
use std::time::{Duration, SystemTime};

use super::bad_cookie::BadCookie;
use super::signing::SigningKeys;
use crate::Response;

/// The most bytes of a name and its value, and of an attribute: browsers ignore larger ones (RFC 6265bis
/// 5.6).
const MOST_PAIR: usize = 4096;
const MOST_ATTRIBUTE: usize = 1024;

/// The pages whose requests have a cookie (RFC 6265bis 4.1.2.7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SameSite {
    /// Requests from the same site.
    Strict,
    /// Also links from another site.
    Lax,
    /// All requests. Needs [`SetCookie::secure`].
    None,
}

/// A cookie that a response sets. By default it has `Path=/`, `HttpOnly` and `SameSite=Lax`, and ends
/// with the browser's session.
///
/// ```
/// use std::time::Duration;
/// use transom::{BadCookie, Response, SetCookie};
///
/// let session = SetCookie::new("__Host-session", "abc").secure(true).max_age(Duration::from_secs(3600));
/// let response = Response::text("welcome").set_cookie(&session)?;
/// assert_eq!(
///     response.headers().get("set-cookie"),
///     Some("__Host-session=abc; Max-Age=3600; Path=/; Secure; HttpOnly; SameSite=Lax")
/// );
///
/// let error = SetCookie::new("__Host-session", "abc").to_field().unwrap_err();
/// assert_eq!(error.to_string(), "cookie \"__Host-session\" needs Secure because of its name");
/// # Ok::<(), BadCookie>(())
/// ```
#[derive(Clone, Debug)]
pub struct SetCookie {
    name: String,
    value: String,
    max_age: Option<i64>,
    expires: Option<SystemTime>,
    path: Option<String>,
    domain: Option<String>,
    secure: bool,
    http_only: bool,
    same_site: Option<SameSite>,
    partitioned: bool,
}

impl SetCookie {
    /// Returns a cookie. A value that is not made of the characters of a cookie (no blank, no `"`, `,`, `;`
    /// and `\`) must be encoded by the program, for example percent-encoded.
    pub fn new(name: impl Into<String>, value: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            value: value.into(),
            max_age: None,
            expires: None,
            path: Some("/".to_owned()),
            domain: None,
            secure: false,
            http_only: true,
            same_site: Some(SameSite::Lax),
            partitioned: false,
        }
    }

    /// Returns a cookie that has the client forget the one of that name. The path and the domain must be
    /// those with which it was set.
    pub fn delete(name: impl Into<String>) -> Self {
        Self { max_age: Some(0), expires: Some(SystemTime::UNIX_EPOCH), ..Self::new(name, "") }
    }

    /// Sets how long the client keeps the cookie. The rest of a second counts as a second.
    #[must_use]
    pub fn max_age(mut self, age: Duration) -> Self {
        let seconds = age.as_secs().saturating_add(u64::from(age.subsec_nanos() > 0));
        self.max_age = Some(i64::try_from(seconds).unwrap_or(i64::MAX));
        self
    }

    /// Sets the time until which the client keeps the cookie. `max_age` counts more.
    #[must_use]
    pub fn expires(mut self, time: SystemTime) -> Self {
        self.expires = Some(time);
        self
    }

    /// Sets the path under which the client sends the cookie. `None` is that of the request.
    #[must_use]
    pub fn path<'a>(mut self, path: impl Into<Option<&'a str>>) -> Self {
        self.path = path.into().map(str::to_owned);
        self
    }

    /// Sets the domain whose hosts get the cookie. Without it, only the host that sets it gets it.
    #[must_use]
    pub fn domain(mut self, domain: impl Into<String>) -> Self {
        self.domain = Some(domain.into());
        self
    }

    /// Has the client send the cookie over TLS only.
    #[must_use]
    pub fn secure(mut self, secure: bool) -> Self {
        self.secure = secure;
        self
    }

    /// Hides the cookie from scripts.
    #[must_use]
    pub fn http_only(mut self, http_only: bool) -> Self {
        self.http_only = http_only;
        self
    }

    /// Sets the pages whose requests have the cookie. `None` leaves it to the browser.
    #[must_use]
    pub fn same_site(mut self, same_site: impl Into<Option<SameSite>>) -> Self {
        self.same_site = same_site.into();
        self
    }

    /// Gives each site that embeds this one a jar of its own.
    #[must_use]
    pub fn partitioned(mut self, partitioned: bool) -> Self {
        self.partitioned = partitioned;
        self
    }

    /// Signs the value: see [`SigningKeys`].
    #[must_use]
    pub fn signed(mut self, keys: &SigningKeys) -> Self {
        self.value = keys.sign(&self.name, &self.value);
        self
    }

    /// Returns the value of the field Set-Cookie.
    ///
    /// # Errors
    /// [`BadCookie`] if a browser would refuse the cookie: the name is not a token, the value or an
    /// attribute has a character that is not allowed there, one of them is too long (4,096 bytes for the
    /// name with the value, 1,024 for an attribute), or `Secure` is missing where the name (`__Secure-`,
    /// `__Host-`), `SameSite=None` or `Partitioned` needs it; `__Host-` also needs the path `/` and no domain.
    pub fn to_field(&self) -> Result<String, BadCookie> {
        self.check().map_err(BadCookie)?;
        let mut field = format!("{}={}", self.name, self.value);
        // Writing to a text cannot fail.
        let mut add = |attribute: fmt::Arguments<'_>| {
            let _ = write!(field, "; {attribute}");
        };
        if let Some(age) = self.max_age {
            add(format_args!("Max-Age={age}"));
        }
        if let Some(time) = self.expires {
            add(format_args!("Expires={}", httpdate::fmt_http_date(time)));
        }
        for (name, value) in [("Path", &self.path), ("Domain", &self.domain)] {
            if let Some(value) = value {
                add(format_args!("{name}={value}"));
            }
        }
        for (name, is_set) in [("Secure", self.secure), ("HttpOnly", self.http_only)] {
            if is_set {
                add(format_args!("{name}"));
            }
        }
        if let Some(same_site) = self.same_site {
            add(format_args!("SameSite={same_site:?}"));
        }
        if self.partitioned {
            add(format_args!("Partitioned"));
        }
        Ok(field)
    }

    fn check(&self) -> Result<(), String> {
        let name = &self.name;
        if name.is_empty() || !name.bytes().all(is_token) {
            return Err(format!("cookie name {name:?} is not a token"));
        }
        if !self.value.bytes().all(is_cookie_octet) {
            return Err(format!("the value of cookie {name:?} has a character that is not allowed there"));
        }
        if name.len() + self.value.len() > MOST_PAIR {
            return Err(format!("cookie {name:?} is larger than {MOST_PAIR} bytes with its value"));
        }
        for (key, value) in [("path", &self.path), ("domain", &self.domain)] {
            let value = value.as_deref().unwrap_or_default();
            if !value.bytes().all(|byte| matches!(byte, b' '..=b'~') && byte != b';') {
                return Err(format!(
                    "the {key} of cookie {name:?} has a character that is not allowed there"
                ));
            }
            if value.len() > MOST_ATTRIBUTE {
                return Err(format!("the {key} of cookie {name:?} is longer than {MOST_ATTRIBUTE} bytes"));
            }
        }
        // A date that the field cannot have: httpdate knows the years up to 9999.
        let last = SystemTime::UNIX_EPOCH + Duration::from_secs(253_402_300_799);
        if self.expires.is_some_and(|time| !(SystemTime::UNIX_EPOCH..=last).contains(&time)) {
            return Err(format!("cookie {name:?} expires before 1970 or after 9999"));
        }
        self.check_secure()
    }

    /// Checks what browsers demand for a reason.
    fn check_secure(&self) -> Result<(), String> {
        let name = &self.name;
        let has_prefix =
            |prefix: &str| name.get(..prefix.len()).is_some_and(|it| it.eq_ignore_ascii_case(prefix));
        let is_host = has_prefix("__Host-");
        let reasons = [
            (is_host || has_prefix("__Secure-"), "its name"),
            (self.same_site == Some(SameSite::None), "SameSite=None"),
            (self.partitioned, "Partitioned"),
        ];
        if let Some((_, reason)) = reasons.iter().find(|(needs, _)| *needs && !self.secure) {
            return Err(format!("cookie {name:?} needs Secure because of {reason}"));
        }
        if is_host && (self.path.as_deref() != Some("/") || self.domain.is_some()) {
            return Err(format!("cookie {name:?} needs the path / and no domain because of its name"));
        }
        Ok(())
    }
}

impl Response {
    /// Adds a Set-Cookie field. See [`SetCookie`] for an example.
    ///
    /// # Errors
    /// As [`SetCookie::to_field`].
    pub fn set_cookie(self, cookie: &SetCookie) -> Result<Self, BadCookie> {
        Ok(self.append_header("set-cookie", cookie.to_field()?))
    }
}

fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

fn is_cookie_octet(byte: u8) -> bool {
    matches!(byte, b'!' | b'#'..=b'+' | b'-'..=b':' | b'<'..=b'[' | b']'..=b'~')
}
