//! [`SecurityHeaders`]: fields that tell browsers to be strict.

use std::sync::Arc;
use std::time::Duration;

use crate::IntoResponse as _;
use crate::Next;
use crate::Reply;
use crate::Request;
use crate::Wrap;

/// Adds header fields that tell browsers to be strict: `X-Content-Type-Options: nosniff`,
/// `X-Frame-Options: SAMEORIGIN`, `Referrer-Policy: strict-origin-when-cross-origin` and
/// `Cross-Origin-Opener-Policy: same-origin`. A field that the handler has set stays as it is.
///
/// ```
/// use std::time::Duration;
/// use transom::{Request, Router, SecurityHeaders};
///
/// let year = Duration::from_secs(365 * 24 * 3600);
/// let strict = SecurityHeaders::new().hsts(year).field("content-security-policy", "default-src 'self'");
/// Router::new().wrap(strict).get("/", async |_: Request| "hello");
/// ```
#[derive(Clone, Debug)]
pub struct SecurityHeaders {
    fields: Arc<Vec<(String, String)>>,
    hsts: Option<Duration>,
}

impl Default for SecurityHeaders {
    fn default() -> Self {
        let usual = [
            ("x-content-type-options", "nosniff"),
            ("x-frame-options", "SAMEORIGIN"),
            ("referrer-policy", "strict-origin-when-cross-origin"),
            ("cross-origin-opener-policy", "same-origin"),
        ];
        let fields = usual.map(|(name, value)| (name.to_owned(), value.to_owned()));
        Self { fields: Arc::new(fields.into()), hsts: None }
    }
}

impl SecurityHeaders {
    /// Returns a wrap with the usual fields.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets a field, in place of the usual one of that name. An empty value leaves the field out.
    #[must_use]
    pub fn field(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        let (name, value) = (name.into(), value.into());
        let fields = Arc::make_mut(&mut self.fields);
        fields.retain(|(other, _)| !other.eq_ignore_ascii_case(&name));
        if !value.is_empty() {
            fields.push((name, value));
        }
        self
    }

    /// Adds `Strict-Transport-Security` to responses over TLS: for so long, browsers do not come
    /// without TLS (RFC 6797).
    #[must_use]
    pub fn hsts(mut self, age: Duration) -> Self {
        self.hsts = Some(age);
        self
    }
}

impl Wrap for SecurityHeaders {
    fn call(&self, request: Request, next: Next) -> Reply {
        let fields = Arc::clone(&self.fields);
        let hsts = self.hsts.filter(|_| request.scheme() == "https");
        Reply::future(async move {
            let mut response = next.run(request).await.into_response();
            let hsts = hsts.map(|age| format!("max-age={}", age.as_secs()));
            let hsts = hsts.as_deref().map(|value| ("strict-transport-security", value));
            let fields = fields.iter().map(|(name, value)| (&**name, &**value));
            for (name, value) in fields.chain(hsts) {
                if !response.headers().contains(name) {
                    response = response.header(name, value);
                }
            }
            response
        })
    }
}
