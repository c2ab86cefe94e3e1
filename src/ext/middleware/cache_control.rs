//! [`CacheControl`]: how long caches keep a response.

use std::sync::Arc;

use crate::IntoResponse as _;
use crate::Method;
use crate::Next;
use crate::Reply;
use crate::Request;
use crate::Wrap;

/// Sets `Cache-Control` of responses to GET and HEAD that have none (RFC 9111): of those with a status from
/// 200 to 299, 301, 304 and 308. Errors are left to the handler.
///
/// ```
/// use transom::{CacheControl, Request, Router};
///
/// let cache = CacheControl::new("no-cache").for_type("image/", "public, max-age=86400");
/// Router::new().wrap(cache).get("/", async |_: Request| "hello");
/// ```
#[derive(Clone, Debug)]
pub struct CacheControl {
    usual: Arc<str>,
    /// The beginning of a media type, and what responses of that type have.
    types: Arc<Vec<(String, String)>>,
}

impl CacheControl {
    /// Returns a wrap that sets this value.
    pub fn new(value: impl Into<Arc<str>>) -> Self {
        Self { usual: value.into(), types: Arc::default() }
    }

    /// Sets another value for media types that begin so, such as `image/`. The first one counts.
    #[must_use]
    pub fn for_type(mut self, beginning: impl Into<String>, value: impl Into<String>) -> Self {
        Arc::make_mut(&mut self.types).push((beginning.into().to_ascii_lowercase(), value.into()));
        self
    }
}

impl Wrap for CacheControl {
    fn call(&self, request: Request, next: Next) -> Reply {
        if ![Method::GET, Method::HEAD].contains(request.method()) {
            return next.run(request);
        }
        let this = self.clone();
        Reply::future(async move {
            let response = next.run(request).await.into_response();
            let status = response.status_code();
            let counts = status.is_success() || [301, 304, 308].contains(&status.as_u16());
            if !counts || response.headers().contains("cache-control") {
                return response;
            }
            let kind = response.headers().get("content-type").unwrap_or_default().to_ascii_lowercase();
            let own = this.types.iter().find(|(beginning, _)| kind.starts_with(&**beginning));
            let value = own.map_or(&*this.usual, |(_, value)| value).to_owned();
            response.header("cache-control", value)
        })
    }
}
