//! [`CanonicalHost`]: one name for a site.

use super::redirect::redirect;
use crate::Next;
use crate::Reply;
use crate::Request;
use crate::Wrap;

/// Sends requests that came under another name to the one of the site, with a 308.
///
/// ```
/// use transom::{CanonicalHost, Request, Router};
///
/// Router::new().wrap(CanonicalHost::new("www.example.org")).get("/", async |_: Request| "hello");
/// ```
#[derive(Clone, Debug)]
pub struct CanonicalHost {
    host: String,
    scheme: Option<&'static str>,
}

impl CanonicalHost {
    /// Returns a wrap for this host, with its port if that is not the usual one.
    pub fn new(host: impl Into<String>) -> Self {
        Self { host: host.into(), scheme: None }
    }

    /// Sends requests without TLS to `https` too.
    #[must_use]
    pub fn https(mut self) -> Self {
        self.scheme = Some("https");
        self
    }
}

impl Wrap for CanonicalHost {
    fn call(&self, request: Request, next: Next) -> Reply {
        let scheme = self.scheme.unwrap_or(request.scheme());
        let is_here = request.host().is_some_and(|host| host.eq_ignore_ascii_case(&self.host));
        if is_here && scheme == request.scheme() {
            return next.run(request);
        }
        let query = request.query().map(|query| format!("?{query}")).unwrap_or_default();
        // A path such as `//evil` stays one after a host.
        let path = if request.path().starts_with('/') { request.path() } else { "/" };
        Reply::now(redirect(&format!("{scheme}://{}{path}{query}", self.host)))
    }
}
