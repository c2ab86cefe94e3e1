//! [`BearerAuth`]: tokens (RFC 6750).

use std::fmt;
use std::sync::Arc;

use subtle::{ConditionallySelectable as _, ConstantTimeEq as _};

use super::basic_auth::{credentials, denied, quoted, set_user};
use crate::Next;
use crate::Reply;
use crate::Request;
use crate::Wrap;

/// A function that returns the user of a token.
type Check = Arc<dyn Fn(&str) -> Option<String> + Send + Sync>;

/// Lets requests through that have a token (RFC 6750: `Authorization: Bearer ...`); others get a 401.
/// Tokens are compared in constant time. The handler finds the name of the token's user in
/// [`Request::user`](crate::Request::user).
///
/// ```
/// use transom::{BearerAuth, Request, Router};
///
/// Router::new()
///     .wrap(BearerAuth::new("api").token("builder", "a long random text"))
///     .get("/", async |req: Request| format!("hello {}", req.user().unwrap_or("nobody")));
/// ```
#[derive(Clone)]
pub struct BearerAuth {
    realm: String,
    tokens: Arc<Vec<(String, String)>>,
    check: Option<Check>,
}

impl BearerAuth {
    /// Returns a wrap that knows no token yet.
    pub fn new(realm: impl Into<String>) -> Self {
        Self { realm: realm.into(), tokens: Arc::default(), check: None }
    }

    /// Adds the token of a user.
    #[must_use]
    pub fn token(mut self, user: impl Into<String>, token: impl Into<String>) -> Self {
        Arc::make_mut(&mut self.tokens).push((user.into(), token.into()));
        self
    }

    /// Asks a function for the user of a token that is not known. It must not block.
    #[must_use]
    pub fn check(mut self, check: impl Fn(&str) -> Option<String> + Send + Sync + 'static) -> Self {
        self.check = Some(Arc::new(check));
        self
    }

    fn name(&self, token: &str) -> Option<String> {
        // One past the last is none. No comparison ends early, nor depends on those before.
        let none = u64::MAX;
        let found = self.tokens.iter().zip(0_u64..).fold(none, |found, ((_, secret), number)| {
            u64::conditional_select(&found, &number, secret.as_bytes().ct_eq(token.as_bytes()))
        });
        let known = usize::try_from(found).ok().and_then(|at| self.tokens.get(at));
        known.map(|(name, _)| name.clone()).or_else(|| self.check.as_ref()?(token))
    }
}

impl Wrap for BearerAuth {
    fn call(&self, mut request: Request, next: Next) -> Reply {
        let realm = quoted(&self.realm);
        let Some(token) = credentials(&request, "bearer") else {
            return Reply::now(denied(&format!("Bearer realm={realm}")));
        };
        let Some(name) = self.name(token) else {
            return Reply::now(denied(&format!("Bearer realm={realm}, error=\"invalid_token\"")));
        };
        set_user(&mut request, name);
        next.run(request)
    }
}

impl fmt::Debug for BearerAuth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BearerAuth")
            .field("realm", &self.realm)
            .field("tokens", &self.tokens.len())
            .finish_non_exhaustive()
    }
}
