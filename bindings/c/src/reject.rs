//! The reasons for which the server refuses a request or a connection, as numbers.

use std::ffi::{CStr, c_char};

use transom::Reject;

use self::transom_reject as Code;

/// The reasons for which the server refuses a request or a connection. The meaning of a
/// number never changes. New reasons may be added.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum transom_reject {
    /// The request line is not "method SP target SP version" (RFC 9112 3).
    TRANSOM_REJECT_BAD_REQUEST_LINE = 1,
    /// The method is not a token (RFC 9110 9.1).
    TRANSOM_REJECT_BAD_METHOD = 2,
    /// The method is longer than any known (RFC 9112 3).
    TRANSOM_REJECT_LONG_METHOD = 3,
    /// The request target has none of the forms of RFC 9112 3.2.
    TRANSOM_REJECT_BAD_TARGET = 4,
    /// The request target is longer than the limit (RFC 9110 15.5.15).
    TRANSOM_REJECT_TARGET_TOO_LONG = 5,
    /// The version is not "HTTP/digit.digit" (RFC 9112 2.3).
    TRANSOM_REJECT_BAD_VERSION = 6,
    /// The major version is not 1 (RFC 9110 15.6.6).
    TRANSOM_REJECT_UNSUPPORTED_VERSION = 7,
    /// A line of the head ends in LF or CR alone (RFC 9112 2.2).
    TRANSOM_REJECT_BARE_LINE_END = 8,
    /// A header line is not "name: value" (RFC 9112 5).
    TRANSOM_REJECT_BAD_HEADER = 9,
    /// The head is larger than the limit (RFC 6585 5).
    TRANSOM_REJECT_HEAD_TOO_LARGE = 10,
    /// There are more header fields than the limit (RFC 6585 5).
    TRANSOM_REJECT_TOO_MANY_HEADERS = 11,
    /// An HTTP/1.1 request has no Host field (RFC 9112 3.2).
    TRANSOM_REJECT_MISSING_HOST = 12,
    /// The Host field is repeated or malformed (RFC 9112 3.2).
    TRANSOM_REJECT_BAD_HOST = 13,
    /// The host is not one that this server answers for (RFC 9110 15.5.20).
    TRANSOM_REJECT_FOREIGN_HOST = 14,
    /// Content-Length is not a number, or two values differ (RFC 9112 6.3).
    TRANSOM_REJECT_BAD_CONTENT_LENGTH = 15,
    /// The request has both Content-Length and Transfer-Encoding (RFC 9112 6.1).
    TRANSOM_REJECT_BOTH_FRAMINGS = 16,
    /// Transfer-Encoding does not end in chunked, once, in HTTP/1.1 (RFC 9112 6.3).
    TRANSOM_REJECT_BAD_TRANSFER_ENCODING = 17,
    /// There is a transfer coding other than chunked (RFC 9112 6.1).
    TRANSOM_REJECT_UNKNOWN_CODING = 18,
    /// The chunked coding is malformed (RFC 9112 7.1).
    TRANSOM_REJECT_BAD_CHUNK = 19,
    /// Chunk extensions are larger than the limit (RFC 9112 7.1.1).
    TRANSOM_REJECT_CHUNK_EXTENSIONS_TOO_LARGE = 20,
    /// A trailer line is not "name: value" (RFC 9112 7.1.2).
    TRANSOM_REJECT_BAD_TRAILER = 21,
    /// The trailer section is larger than the limit (RFC 9112 7.1.2).
    TRANSOM_REJECT_TRAILERS_TOO_LARGE = 22,
    /// The body is larger than the limit (RFC 9110 15.5.14).
    TRANSOM_REJECT_BODY_TOO_LARGE = 23,
    /// There is an expectation other than 100-continue (RFC 9110 10.1.1).
    TRANSOM_REJECT_UNKNOWN_EXPECTATION = 24,
    /// CONNECT is for proxies (RFC 9110 9.3.6).
    TRANSOM_REJECT_CONNECT = 25,
    /// The whole head did not arrive in time (RFC 9110 15.5.9).
    TRANSOM_REJECT_HEAD_TIMEOUT = 26,
    /// The body made no progress in time (RFC 9110 15.5.9).
    TRANSOM_REJECT_BODY_TIMEOUT = 27,
    /// The client closed before the end of the body (RFC 9112 8).
    TRANSOM_REJECT_BODY_CUT_SHORT = 28,
    /// There are as many connections as the limit allows.
    TRANSOM_REJECT_TOO_MANY_CONNECTIONS = 29,
    /// There are as many connections from this address as the limit allows.
    TRANSOM_REJECT_TOO_MANY_FROM_ADDRESS = 30,
    /// All threads for blocking handlers are busy, and the queue for them is full.
    TRANSOM_REJECT_POOL_FULL = 31,
    /// There is no thread for the handler, and none can be started.
    TRANSOM_REJECT_NO_THREAD = 32,
    /// There is no memory for the request now.
    TRANSOM_REJECT_NO_MEMORY = 33,
    /// The handler did not answer in time.
    TRANSOM_REJECT_HANDLER_TIMEOUT = 34,
    /// The connection is not from a trusted proxy, and its listener expects a PROXY header.
    TRANSOM_REJECT_UNTRUSTED_PROXY = 35,
    /// The connection does not begin with a PROXY header that is whole and well-formed.
    TRANSOM_REJECT_BAD_PROXY_HEADER = 36,
    /// The request came without TLS to a port that has TLS: use https (RFC 9110 4.2.2).
    TRANSOM_REJECT_PLAIN_HTTP = 37,
    /// A TLS handshake came to a port without TLS: use http (RFC 9110 4.2.1).
    TRANSOM_REJECT_TLS_HELLO = 38,
    /// The request would wait too long for its handler, or has done so.
    TRANSOM_REJECT_OVERLOADED = 39,
    /// The body has a content coding that the route does not decode (RFC 9110 15.5.16).
    TRANSOM_REJECT_UNKNOWN_CONTENT_CODING = 40,
    /// The body is not what its Content-Encoding says (RFC 9110 8.4).
    TRANSOM_REJECT_BAD_CONTENT_CODING = 41,
}

/// The reasons, indexed by the number less one, with their names.
const REJECTS: [(Code, Reject, &CStr); 41] = [
    (Code::TRANSOM_REJECT_BAD_REQUEST_LINE, Reject::BadRequestLine, c"bad-request-line"),
    (Code::TRANSOM_REJECT_BAD_METHOD, Reject::BadMethod, c"bad-method"),
    (Code::TRANSOM_REJECT_LONG_METHOD, Reject::LongMethod, c"long-method"),
    (Code::TRANSOM_REJECT_BAD_TARGET, Reject::BadTarget, c"bad-target"),
    (Code::TRANSOM_REJECT_TARGET_TOO_LONG, Reject::TargetTooLong, c"target-too-long"),
    (Code::TRANSOM_REJECT_BAD_VERSION, Reject::BadVersion, c"bad-version"),
    (Code::TRANSOM_REJECT_UNSUPPORTED_VERSION, Reject::UnsupportedVersion, c"unsupported-version"),
    (Code::TRANSOM_REJECT_BARE_LINE_END, Reject::BareLineEnd, c"bare-line-end"),
    (Code::TRANSOM_REJECT_BAD_HEADER, Reject::BadHeader, c"bad-header"),
    (Code::TRANSOM_REJECT_HEAD_TOO_LARGE, Reject::HeadTooLarge, c"head-too-large"),
    (Code::TRANSOM_REJECT_TOO_MANY_HEADERS, Reject::TooManyHeaders, c"too-many-headers"),
    (Code::TRANSOM_REJECT_MISSING_HOST, Reject::MissingHost, c"missing-host"),
    (Code::TRANSOM_REJECT_BAD_HOST, Reject::BadHost, c"bad-host"),
    (Code::TRANSOM_REJECT_FOREIGN_HOST, Reject::ForeignHost, c"foreign-host"),
    (Code::TRANSOM_REJECT_BAD_CONTENT_LENGTH, Reject::BadContentLength, c"bad-content-length"),
    (Code::TRANSOM_REJECT_BOTH_FRAMINGS, Reject::BothFramings, c"both-framings"),
    (Code::TRANSOM_REJECT_BAD_TRANSFER_ENCODING, Reject::BadTransferEncoding, c"bad-transfer-encoding"),
    (Code::TRANSOM_REJECT_UNKNOWN_CODING, Reject::UnknownCoding, c"unknown-coding"),
    (Code::TRANSOM_REJECT_BAD_CHUNK, Reject::BadChunk, c"bad-chunk"),
    (
        Code::TRANSOM_REJECT_CHUNK_EXTENSIONS_TOO_LARGE,
        Reject::ChunkExtensionsTooLarge,
        c"chunk-extensions-too-large",
    ),
    (Code::TRANSOM_REJECT_BAD_TRAILER, Reject::BadTrailer, c"bad-trailer"),
    (Code::TRANSOM_REJECT_TRAILERS_TOO_LARGE, Reject::TrailersTooLarge, c"trailers-too-large"),
    (Code::TRANSOM_REJECT_BODY_TOO_LARGE, Reject::BodyTooLarge, c"body-too-large"),
    (Code::TRANSOM_REJECT_UNKNOWN_EXPECTATION, Reject::UnknownExpectation, c"unknown-expectation"),
    (Code::TRANSOM_REJECT_CONNECT, Reject::Connect, c"connect"),
    (Code::TRANSOM_REJECT_HEAD_TIMEOUT, Reject::HeadTimeout, c"head-timeout"),
    (Code::TRANSOM_REJECT_BODY_TIMEOUT, Reject::BodyTimeout, c"body-timeout"),
    (Code::TRANSOM_REJECT_BODY_CUT_SHORT, Reject::BodyCutShort, c"body-cut-short"),
    (Code::TRANSOM_REJECT_TOO_MANY_CONNECTIONS, Reject::TooManyConnections, c"too-many-connections"),
    (Code::TRANSOM_REJECT_TOO_MANY_FROM_ADDRESS, Reject::TooManyFromAddress, c"too-many-from-address"),
    (Code::TRANSOM_REJECT_POOL_FULL, Reject::PoolFull, c"pool-full"),
    (Code::TRANSOM_REJECT_NO_THREAD, Reject::NoThread, c"no-thread"),
    (Code::TRANSOM_REJECT_NO_MEMORY, Reject::NoMemory, c"no-memory"),
    (Code::TRANSOM_REJECT_HANDLER_TIMEOUT, Reject::HandlerTimeout, c"handler-timeout"),
    (Code::TRANSOM_REJECT_UNTRUSTED_PROXY, Reject::UntrustedProxy, c"untrusted-proxy"),
    (Code::TRANSOM_REJECT_BAD_PROXY_HEADER, Reject::BadProxyHeader, c"bad-proxy-header"),
    (Code::TRANSOM_REJECT_PLAIN_HTTP, Reject::PlainHttp, c"plain-http"),
    (Code::TRANSOM_REJECT_TLS_HELLO, Reject::TlsHello, c"tls-hello"),
    (Code::TRANSOM_REJECT_OVERLOADED, Reject::Overloaded, c"overloaded"),
    (Code::TRANSOM_REJECT_UNKNOWN_CONTENT_CODING, Reject::UnknownContentCoding, c"unknown-content-coding"),
    (Code::TRANSOM_REJECT_BAD_CONTENT_CODING, Reject::BadContentCoding, c"bad-content-coding"),
];

/// Returns the number of a reason, or 0 if there is none.
pub(crate) fn number(reject: Option<Reject>) -> i32 {
    let found = reject.and_then(|reject| REJECTS.iter().find(|row| row.1 == reject));
    found.map_or(0, |row| row.0 as i32)
}

/// Returns the reason with this number.
pub(crate) fn reason(number: i32) -> Option<Reject> {
    let index = usize::try_from(number).ok()?.checked_sub(1)?;
    REJECTS.get(index).map(|row| row.1)
}

/// Returns the name of a transom_reject, such as "missing-host", for logs and counters. It
/// never changes. `reject` may be any number: the name of 0 is "", that of an unknown reason
/// "unknown". The text is static, do not free it; it is never NULL.
#[unsafe(no_mangle)]
pub extern "C" fn transom_reject_name(reject: i32) -> *const c_char {
    let index = usize::try_from(reject).ok().and_then(|number| number.checked_sub(1));
    let unknown = if reject == 0 { c"" } else { c"unknown" };
    index.and_then(|index| REJECTS.get(index)).map_or(unknown, |row| row.2).as_ptr()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_has_its_number_and_its_name() {
        assert_eq!(REJECTS.len(), Reject::ALL.len(), "there are other reasons than in the core");
        for (index, (code, reject, name)) in REJECTS.iter().enumerate() {
            assert_eq!(*code as usize, index + 1, "{code:?}");
            assert_eq!(name.to_str(), Ok(reject.reason()));
            let expected = format!("TRANSOM_REJECT_{}", reject.reason().to_uppercase().replace('-', "_"));
            assert_eq!(format!("{code:?}"), expected);
            assert!(Reject::ALL.contains(reject));
        }
    }
}
