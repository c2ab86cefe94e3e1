//! [`RequestIds`]: a name for each request, for logs and for other services.

use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::IntoResponse as _;
use crate::Next;
use crate::Reply;
use crate::Request;
use crate::Wrap;

/// The most bytes of an identifier that a client sends.
const MOST: usize = 128;

/// Gives each request an identifier, and each response the same in `X-Request-Id`. The handler finds it
/// in [`Request::id`](crate::Request::id), and other languages in the field `X-Request-Id` of the request.
///
/// A request that is part of a trace (W3C Trace Context) has a field `traceparent`; one that has none, or
/// a malformed one, gets a new one, to be passed on to other services.
///
/// ```
/// use transom::{Request, RequestIds, Router};
///
/// Router::new()
///     .wrap(RequestIds::new())
///     .get("/", async |req: Request| req.id().map(|id| id.as_str().to_owned()).unwrap_or_default());
/// ```
#[derive(Clone, Debug)]
pub struct RequestIds {
    trust: bool,
    made: Arc<Source>,
}

/// The source of identifiers: secret keys of the process, and a number.
#[derive(Debug, Default)]
struct Source {
    keys: [RandomState; 2],
    number: AtomicU64,
}

/// The identifier of a request. See [`RequestIds`].
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RequestId(Arc<str>);

impl RequestId {
    /// Returns the identifier as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Request {
    /// Returns the identifier that [`RequestIds`] gave the request.
    pub fn id(&self) -> Option<&RequestId> {
        self.get()
    }
}

impl Default for RequestIds {
    fn default() -> Self {
        Self::new()
    }
}

impl RequestIds {
    /// Returns a wrap that makes an identifier of 32 hexadecimal digits for each request.
    pub fn new() -> Self {
        Self { trust: false, made: Arc::default() }
    }

    /// Takes the identifier of a request that has one: at most 128 letters, digits, `.`, `_` and `-`. For
    /// servers behind a proxy that sets the field.
    #[must_use]
    pub fn trust_client(mut self, trust: bool) -> Self {
        self.trust = trust;
        self
    }
}

impl Source {
    fn next(&self) -> [u64; 2] {
        // Relaxed: each caller gets another number, and no other memory depends on it.
        let number = self.number.fetch_add(1, Ordering::Relaxed);
        // Zero is no identifier of a trace.
        [self.keys[0].hash_one(number), self.keys[1].hash_one(number) | 1]
    }
}

impl Wrap for RequestIds {
    fn call(&self, mut request: Request, next: Next) -> Reply {
        let sent = request.header("x-request-id").filter(|id| self.trust && is_identifier(id));
        let id: Arc<str> = if let Some(sent) = sent {
            sent.into()
        } else {
            let [high, low] = self.made.next();
            format!("{high:016x}{low:016x}").into()
        };
        if !request.header("traceparent").is_some_and(is_traceparent) {
            let ([high, low], [_, span]) = (self.made.next(), self.made.next());
            let parent = format!("00-{high:016x}{low:016x}-{span:016x}-00");
            // The texts are made of letters, digits and dashes.
            let _ = request.headers_mut().insert("traceparent", parent);
        }
        let _ = request.headers_mut().insert("x-request-id", &*id);
        request.set(RequestId(Arc::clone(&id)));
        Reply::future(async move { next.run(request).await.into_response().header("x-request-id", &*id) })
    }
}

fn is_identifier(text: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    (1..=MOST).contains(&text.len()) && text.bytes().all(is_allowed)
}

/// Returns `true` for a field of version 00, and for one of a later version that begins in the same way.
fn is_traceparent(text: &str) -> bool {
    let mut parts = text.split('-');
    let lengths = [2, 32, 16, 2];
    let is_hex = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    let has_parts = lengths
        .into_iter()
        .all(|length| parts.next().is_some_and(|part| part.len() == length && part.bytes().all(is_hex)));
    let is_zero = |from: usize, to: usize| text.as_bytes()[from..to].iter().all(|byte| *byte == b'0');
    let mut fits = |version: &str| version != "ff" && (version != "00" || parts.next().is_none());
    has_parts && !is_zero(3, 35) && !is_zero(36, 52) && fits(&text[..2])
}
