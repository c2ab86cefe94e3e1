//! The wrap that compresses responses.

use std::sync::Arc;

use futures_lite::stream;

use super::super::accept_encoding::{AcceptEncoding, Coding};
use super::budget::Budget;
use super::encoded::encoded;
use super::encoder::{Encoder, Method, encode};
use super::job::in_job;
use super::rules::{has_compressed, is_compressible, mark, vary, weaken};
use super::types::{DEFAULT, Types};
use crate::BlockingPool;
use crate::Body;
use crate::Next;
use crate::Reply;
use crate::Request;
use crate::Response;
use crate::StatusCode;
use crate::Wrap;

/// Bodies up to this size are compressed on the thread of the connection: brotli takes 0.5 ms for them.
const LARGEST_INLINE: usize = 16 * 1024;
/// Bodies up to this size are compressed whole, so that they have a Content-Length. Larger ones are streams.
const LARGEST_WHOLE: usize = 1024 * 1024;

/// Compresses responses for clients that accept it (RFC 9110 8.4): zstd, brotli or gzip.
///
/// It is a [`Wrap`]: of all routes of a router, or of one.
///
/// ```
/// use transom::{Coding, Compression, Request, Router};
///
/// Router::new()
///     .wrap(Compression::new().level(Coding::Brotli, 5).min_size(2048))
///     .get("/data", async |_: Request| "a text of more than two kilobytes".repeat(100));
/// ```
///
/// A response is compressed if its media type is one of [`types`](Self::types), and it is no shorter than
/// [`min_size`](Self::min_size) or of unknown length. It then has a weak entity tag, and `Vary: accept-encoding`
/// whether this client has it compressed or not. A response is sent as it is if it has a Content-Encoding,
/// is a part (206), has a checksum of its bytes such as `repr-digest`, or says
/// `Cache-Control: no-transform`.
///
/// A stream is compressed as it comes, and what there is leaves whenever the handler has no more for now:
/// so each event of a stream of events leaves at once. Bodies of more than 16 KiB are compressed on the
/// blocking pool.
///
/// # Secrets
/// An attacker who can make a browser send requests, and sees how long the encrypted responses are, can
/// guess a secret in a response that also repeats what the request said (BREACH, CVE-2013-3587). Set
/// `Cache-Control: no-transform` on such responses, or do not wrap their routes.
#[derive(Clone, Debug)]
pub struct Compression {
    settings: Arc<Settings>,
}

#[derive(Clone, Debug)]
struct Settings {
    /// In the order of [`Coding::ALL`].
    levels: [u32; Coding::ALL.len()],
    codings: Vec<Coding>,
    types: Types,
    min_size: u64,
    streams: Arc<Budget>,
}

impl Default for Compression {
    fn default() -> Self {
        Self::new()
    }
}

impl Compression {
    /// Returns the default settings.
    pub fn new() -> Self {
        let settings = Settings {
            levels: Coding::ALL.map(Method::default_level),
            codings: Coding::ALL.to_vec(),
            types: Types::new(DEFAULT),
            min_size: 1024,
            streams: Budget::new(1024),
        };
        Self { settings: Arc::new(settings) }
    }

    fn with(mut self, set: impl FnOnce(&mut Settings)) -> Self {
        set(Arc::make_mut(&mut self.settings));
        self
    }

    /// Sets the codings and their order: of those that a client likes alike, the first is taken. By default
    /// zstd, brotli, gzip.
    #[must_use]
    pub fn codings(self, codings: impl IntoIterator<Item = Coding>) -> Self {
        self.with(|settings| settings.codings = codings.into_iter().collect())
    }

    /// Sets the level of a coding: 1 to 19 for zstd (default 3), 0 to 11 for brotli (4), 1 to 9 for gzip (4). The
    /// nearest is taken. Higher levels take more time and make less.
    #[must_use]
    pub fn level(self, coding: Coding, level: u32) -> Self {
        let (least, most) = Method::levels(coding);
        self.with(|settings| settings.levels[coding as usize] = level.clamp(least, most))
    }

    /// Sets how many bytes a response must have to be compressed; default 1 KiB. Short ones gain nothing:
    /// they take one packet in any case.
    #[must_use]
    pub fn min_size(self, bytes: u64) -> Self {
        self.with(|settings| settings.min_size = bytes)
    }

    /// Sets the media types that are compressed, such as `application/json`, `text/*` or `*/*+xml`. By
    /// default those of texts, and a few others that are not compressed already.
    #[must_use]
    pub fn types<S: Into<String>>(self, types: impl IntoIterator<Item = S>) -> Self {
        self.with(|settings| settings.types = Types::new(types))
    }

    /// Limits the streams that are compressed at once; default 1,024. With the default levels, each holds 250 KiB
    /// with zstd, 400 KiB with gzip and 750 KiB with brotli. Further ones are sent as they are, and so is each
    /// response for whose compressor there is no memory.
    #[must_use]
    pub fn max_streams(self, count: usize) -> Self {
        self.with(|settings| settings.streams = Budget::new(count))
    }
}

impl Wrap for Compression {
    fn call(&self, request: Request, next: Next) -> Reply {
        let settings = Arc::clone(&self.settings);
        let asked = Asked {
            accepts: AcceptEncoding::of(request.headers()),
            is_head: request.method() == http::Method::HEAD,
            tags: request.headers().get_bytes("if-none-match").map(Into::into),
        };
        let pool = next.blocking_pool();
        let response = next.run(request);
        Reply::future(async move { settings.answer(response.await, &asked, pool).await })
    }
}

/// The parts of a request that decide how its response is compressed.
struct Asked {
    accepts: AcceptEncoding,
    is_head: bool,
    /// The field If-None-Match.
    tags: Option<Box<[u8]>>,
}

impl Settings {
    async fn answer(&self, mut response: Response, asked: &Asked, pool: BlockingPool) -> Response {
        if response.status_code() == StatusCode::NOT_MODIFIED {
            let is_compressed = |tags: &[u8]| has_compressed(tags, &response);
            if asked.tags.as_deref().is_some_and(is_compressed) {
                weaken(&mut response);
                vary(&mut response);
            }
            return response;
        }
        if !is_compressible(&response, &self.types, self.min_size) {
            return response;
        }
        vary(&mut response);
        let Some(coding) = asked.accepts.liked(&self.codings).next() else { return response };
        let method = Method { coding, level: self.levels[coding as usize] };
        if asked.is_head {
            mark(&mut response, coding);
            // The length is that of the compressed content, which is not made.
            return response.body(Body::stream(stream::empty()));
        }
        let known = response.body_ref().as_bytes().map(<[u8]>::len);
        match known {
            Some(length) if length <= LARGEST_WHOLE => self.whole(response, method, &pool).await,
            _ => self.stream(response, method, pool),
        }
    }

    /// Compresses a body that is in memory.
    async fn whole(&self, mut response: Response, method: Method, pool: &BlockingPool) -> Response {
        let body = std::mem::take(response.body_mut());
        let length = body.len();
        // A body in memory fails in no way, and has one chunk.
        let bytes = body.collect(LARGEST_WHOLE).await.unwrap_or_default();
        let coded = if bytes.len() <= LARGEST_INLINE {
            encode(method, &bytes)
        } else {
            let bytes = bytes.clone();
            // With a full pool the response is sent as it is, and costs no more time.
            in_job(pool, move || encode(method, &bytes)).await.unwrap_or_else(|full| Err(full.into()))
        };
        match coded {
            Ok(coded) if (coded.len() as u64) < length.unwrap_or(u64::MAX) => {
                mark(&mut response, method.coding);
                response.body(coded)
            }
            // It would become longer, or there is no memory and no thread for it.
            _ => response.body(bytes),
        }
    }

    fn stream(&self, mut response: Response, method: Method, pool: BlockingPool) -> Response {
        let Some(share) = self.streams.take(1) else { return response };
        let Ok(encoder) = Encoder::of_stream(method) else { return response };
        mark(&mut response, method.coding);
        let body = std::mem::take(response.body_mut());
        response.body(encoded(body, encoder, pool, share))
    }
}
