//! The wrap that decompresses requests.

use std::sync::Arc;

use bytes::Bytes;

use super::super::accept_encoding::Coding;
use super::budget::{Budget, Share};
use super::decoded::decoded;
use super::decoder::{Decoder, Failure, decode, memory};
use super::job::in_job;
use crate::BlockingPool;
use crate::IntoResponse as _;
use crate::Next;
use crate::Reject;
use crate::Reply;
use crate::Request;
use crate::Response;
use crate::Wrap;

/// Content that is no longer than this is decompressed on the thread of the connection, if there is no more
/// of it than [`MOST_INLINE`] then.
const LARGEST_INLINE: usize = 4 * 1024;
const MOST_INLINE: usize = 64 * 1024;

/// Decompresses the bodies of requests (RFC 9110 8.4): zstd, brotli or gzip.
///
/// It is a [`Wrap`] for the routes that want it. The handler gets the body as it was before it was
/// compressed, whole or as a stream, without the field Content-Encoding.
///
/// ```
/// use transom::{Decompression, Method, Request, Route, Router};
///
/// Router::new().route(
///     Route::new(Method::POST, "/upload", async |req: Request| req.bytes().len().to_string())
///         .wrap(Decompression::new().limit(1024 * 1024)),
/// );
/// ```
///
/// A body that is not what its coding says gets a 400, one with more than [`limit`](Self::limit) bytes a 413
/// when the limit is reached, and one with another coding, or with several, a 415 whose Accept-Encoding has
/// the codings that may be used. A handler that reads a stream gets these refusals as the error of the body,
/// and `?` answers with them.
///
/// The requests of one wrap hold no more than [`max_memory`](Self::max_memory) together: a whole body its
/// bytes, and a stream the largest window of its coding, which is 64 KiB for gzip, 9 MiB for zstd and 17 MiB
/// for brotli. What goes beyond gets a 503.
#[derive(Clone, Debug)]
pub struct Decompression {
    limit: u64,
    memory: Arc<Budget>,
}

impl Default for Decompression {
    fn default() -> Self {
        Self::new()
    }
}

impl Decompression {
    /// Returns the default settings.
    pub fn new() -> Self {
        Self { limit: 10 * 1024 * 1024, memory: Budget::new(256 * 1024 * 1024) }
    }

    /// Limits the bytes of a body after decompression; default 10 MiB. Before it, the limit of the route for
    /// bodies holds ([`Route::body_limit`](crate::Route::body_limit)).
    #[must_use]
    pub fn limit(mut self, bytes: u64) -> Self {
        self.limit = bytes;
        self
    }

    /// Limits the memory for decompressed bodies of all requests of this wrap together; default 256 MiB.
    #[must_use]
    pub fn max_memory(mut self, bytes: usize) -> Self {
        self.memory = Budget::new(bytes);
        self
    }
}

impl Wrap for Decompression {
    fn call(&self, mut request: Request, next: Next) -> Reply {
        let coding = match coding(&request) {
            Ok(None) => return next.run(request),
            Ok(Some(coding)) => coding,
            Err(reject) => return Reply::now(refused(reject)),
        };
        let (pool, limit) = (next.blocking_pool(), self.limit);
        request.headers_mut().remove("content-encoding");
        request.headers_mut().remove("content-length");
        if request.body_mut().as_bytes().is_none() {
            let Some(share) = self.memory.take(memory(coding)) else { return Reply::now(Reject::NoMemory) };
            let Ok(decoder) = Decoder::new(coding) else { return Reply::now(Reject::NoMemory) };
            let body = std::mem::take(request.body_mut());
            *request.body_mut() = decoded(body, decoder, limit, pool, share);
            return next.run(request);
        }
        let budget = Arc::clone(&self.memory);
        Reply::future(async move {
            // A body in memory fails in no way, and has one chunk.
            let bytes = std::mem::take(request.body_mut()).collect(usize::MAX).await.unwrap_or_default();
            let limit = usize::try_from(limit).unwrap_or(usize::MAX);
            let content = match whole(coding, bytes, limit, &pool).await {
                Ok(content) => content,
                Err(reject) => return refused(reject),
            };
            let Some(share) = budget.take(content.len()) else { return refused(Reject::NoMemory) };
            *request.body_mut() = Bytes::from_owner(Content { bytes: content, _share: share }).into();
            next.run(request).await
        })
    }
}

/// The bytes of a decompressed body. They count in the budget until the last use of the body.
struct Content {
    bytes: Vec<u8>,
    _share: Share,
}

impl AsRef<[u8]> for Content {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// Returns the coding of a request's body, if it has one.
fn coding(request: &Request) -> Result<Option<Coding>, Reject> {
    let names =
        request.headers().get_all("content-encoding").flat_map(|value| value.split(|byte| *byte == b','));
    let mut names = names
        .map(<[u8]>::trim_ascii)
        .filter(|name| !name.is_empty() && !name.eq_ignore_ascii_case(b"identity"));
    match (names.next(), names.next()) {
        (None, _) => Ok(None),
        (Some(name), None) => Coding::named(name).map(Some).ok_or(Reject::UnknownContentCoding),
        (Some(_), Some(_)) => Err(Reject::UnknownContentCoding),
    }
}

fn refused(reject: Reject) -> Response {
    let response = reject.into_response();
    match reject {
        // RFC 9110 12.5.3.
        Reject::UnknownContentCoding => response.header("accept-encoding", "zstd, br, gzip"),
        _ => response,
    }
}

async fn whole(coding: Coding, bytes: Bytes, limit: usize, pool: &BlockingPool) -> Result<Vec<u8>, Reject> {
    let outcome = if bytes.is_empty() {
        Ok(Vec::new())
    } else if bytes.len() <= LARGEST_INLINE {
        match decode(coding, &bytes, limit.min(MOST_INLINE)) {
            Err(Failure::TooLarge) if limit > MOST_INLINE => {
                in_job(pool, move || decode(coding, &bytes, limit)).await?
            }
            outcome => outcome,
        }
    } else {
        in_job(pool, move || decode(coding, &bytes, limit)).await?
    };
    Ok(outcome?)
}
