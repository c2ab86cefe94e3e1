//! The wrap that decompresses requests.

use bytes::Bytes;

use super::super::accept_encoding::Coding;
use super::decoded::decoded;
use super::decoder::{Decoder, Failure, decode};
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
/// and `?` answers with them. Memory for it: 128 KiB and the window of the coding, at most 8 MiB for zstd and 16
/// MiB for brotli.
#[derive(Clone, Copy, Debug)]
pub struct Decompression {
    limit: u64,
}

impl Default for Decompression {
    fn default() -> Self {
        Self::new()
    }
}

impl Decompression {
    /// Returns the default settings.
    pub fn new() -> Self {
        Self { limit: 10 * 1024 * 1024 }
    }

    /// Limits the bytes of a body after decompression; default 10 MiB. Before it, the limit of the route for
    /// bodies holds ([`Route::body_limit`](crate::Route::body_limit)).
    #[must_use]
    pub fn limit(mut self, bytes: u64) -> Self {
        self.limit = bytes;
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
            let Ok(decoder) = Decoder::new(coding) else { return Reply::now(Reject::NoMemory) };
            let body = std::mem::take(request.body_mut());
            *request.body_mut() = decoded(body, decoder, limit, pool);
            return next.run(request);
        }
        Reply::future(async move {
            let bytes = Bytes::copy_from_slice(request.bytes());
            let limit = usize::try_from(limit).unwrap_or(usize::MAX);
            match whole(coding, bytes, limit, &pool).await {
                Ok(content) => {
                    *request.body_mut() = content.into();
                    next.run(request).await
                }
                Err(reject) => refused(reject),
            }
        })
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
    outcome.map_err(|failure| match failure {
        Failure::Malformed => Reject::BadContentCoding,
        Failure::TooLarge => Reject::BodyTooLarge,
        Failure::NoMemory => Reject::NoMemory,
    })
}
