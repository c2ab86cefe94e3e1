//! [`TrailingSlash`]: one path for a page, with or without a slash at its end.

use super::redirect::redirect;
use crate::Next;
use crate::Reply;
use crate::Request;
use crate::Wrap;

/// Sends a request whose path no route has to the same path without the slash at its end, or with one,
/// with a 308. Put it around a whole router.
///
/// ```
/// use transom::{Request, Router, TrailingSlash};
///
/// Router::new().wrap(TrailingSlash::remove()).get("/users", async |_: Request| "hello"); // also for /users/
/// ```
#[derive(Clone, Copy, Debug)]
pub struct TrailingSlash {
    adds: bool,
}

impl TrailingSlash {
    /// Returns a wrap that removes the slash.
    pub fn remove() -> Self {
        Self { adds: false }
    }

    /// Returns a wrap that adds the slash.
    pub fn add() -> Self {
        Self { adds: true }
    }
}

impl Wrap for TrailingSlash {
    fn call(&self, request: Request, next: Next) -> Reply {
        let path = request.path();
        let bare = path.trim_end_matches('/');
        // An empty path is that of `/`, which is itself, and of `OPTIONS *`.
        if next.route().is_some()
            || bare.is_empty()
            || !path.starts_with('/')
            || path.ends_with('/') == self.adds
        {
            return next.run(request);
        }
        // A browser takes a path that begins with two slashes, or with `/\`, for another host.
        let bare = bare.trim_start_matches(['/', '\\']);
        let slash = if self.adds { "/" } else { "" };
        let query = request.query().map(|query| format!("?{query}")).unwrap_or_default();
        Reply::now(redirect(&format!("/{bare}{slash}{query}")))
    }
}
