//! The errors of the API ([`Error`], [`Gone`]), and the verdicts on requests ([`Reject`]).

use std::fmt;
use std::io;

use http::StatusCode;

/// A result with this crate's [`Error`].
pub type Result<T> = std::result::Result<T, Error>;

/// The error of a server that could not be set up, started or run.
///
/// ```
/// use transom::{Error, Router, Server};
/// let error = Server::new(Router::new()).bind("127.0.0.1:eighty").unwrap_err();
/// assert!(matches!(error, Error::BadAddress { .. }));
/// assert_eq!(error.to_string(), "bad address \"127.0.0.1:eighty\": invalid port value");
/// ```
///
/// The `Debug` form is the same sentence as the `Display` form, so that a program which returns this
/// error from `main` prints a sentence.
#[non_exhaustive]
pub enum Error {
    /// The address is malformed.
    BadAddress {
        /// The address as it was given.
        address: String,
        /// The reason.
        reason: String,
    },
    /// The address is valid, but listening on it failed: in use, or no permission.
    Bind {
        /// The address as it was given.
        address: String,
        /// The error of the system.
        source: io::Error,
    },
    /// The route's pattern is malformed, or conflicts with another route.
    BadRoute {
        /// The method, or `*` for any method.
        method: String,
        /// The pattern.
        pattern: String,
        /// The reason.
        reason: String,
    },
    /// Two values of one type were given to [`Router::state`](crate::Router::state).
    DuplicateState {
        /// The name of the type.
        type_name: &'static str,
    },
    /// The server has nothing to listen on: `bind` was not called.
    NoListener,
    /// The value of a setting makes no sense.
    BadSetting {
        /// The name of the setting.
        name: &'static str,
        /// The reason.
        reason: &'static str,
    },
    /// A descriptor that was passed to this process is no listening TCP or Unix stream socket.
    BadDescriptor {
        /// The number of the descriptor.
        descriptor: i32,
        /// The reason.
        reason: String,
    },
    /// The server was not handed over, or the listeners of the predecessor were not taken over.
    HandOver {
        /// The reason.
        reason: String,
    },
    /// A certificate, a key or another setting of TLS cannot be used.
    Tls {
        /// The file, or the setting.
        subject: String,
        /// The reason.
        reason: String,
    },
    /// The format of an access log has a directive that does not exist.
    BadFormat {
        /// The format as it was given.
        format: String,
        /// The reason.
        reason: String,
    },
    /// A file cannot be opened.
    File {
        /// The path as it was given.
        path: String,
        /// The error of the system.
        source: io::Error,
    },
    /// One of the server's own threads would have waited for the server's end.
    WouldDeadlock,
    /// The system refused to start a thread.
    Thread(io::Error),
    /// The system refused a socket operation.
    Io(io::Error),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BadAddress { address, reason } => write!(f, "bad address {address:?}: {reason}"),
            Self::Bind { address, source } => write!(f, "cannot listen on {address}: {source}"),
            Self::BadRoute { method, pattern, reason } => {
                write!(f, "bad route {method} {pattern:?}: {reason}")
            }
            Self::DuplicateState { type_name } => write!(f, "there is a state of type {type_name} already"),
            Self::NoListener => f.write_str("no address to listen on: call bind first"),
            Self::BadSetting { name, reason } => write!(f, "bad setting {name}: {reason}"),
            Self::BadDescriptor { descriptor, reason } => {
                write!(f, "cannot listen on descriptor {descriptor}: {reason}")
            }
            Self::HandOver { reason } => write!(f, "cannot hand over: {reason}"),
            Self::Tls { subject, reason } => write!(f, "TLS: {subject}: {reason}"),
            Self::BadFormat { format, reason } => {
                write!(f, "bad format {format:?} of the access log: {reason}")
            }
            Self::File { path, source } => write!(f, "cannot open {path}: {source}"),
            Self::WouldDeadlock => f.write_str("a server's own thread cannot wait for the server to end"),
            Self::Thread(error) => write!(f, "cannot start a thread: {error}"),
            Self::Io(error) => error.fmt(f),
        }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Bind { source, .. }
            | Self::File { source, .. }
            | Self::Thread(source)
            | Self::Io(source) => Some(source),
            _ => None,
        }
    }
}

impl From<io::Error> for Error {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// The error for an answer that came too late: its exchange is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gone;

impl fmt::Display for Gone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the exchange is over, nobody waits for this answer")
    }
}

impl std::error::Error for Gone {}

/// Declares the verdicts, each with its status, a machine-readable reason and a sentence: one table
/// for readers and code.
macro_rules! rejects {
    ($($name:ident $status:ident $reason:literal $text:literal;)*) => {
        /// A verdict on a request that breaks a rule or a limit. The server answers with its
        /// status, if the client can still read an answer, and closes the connection in order.
        ///
        /// ```
        /// use transom::Reject;
        /// assert_eq!(Reject::MissingHost.status(), 400);
        /// assert_eq!(Reject::MissingHost.reason(), "missing-host");
        /// ```
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum Reject {
            $(#[doc = $text] $name,)*
        }

        impl Reject {
            /// All verdicts, for tables and counters.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// Returns the status of the response.
            pub const fn status(self) -> StatusCode {
                match self {
                    $(Self::$name => StatusCode::$status,)*
                }
            }

            /// Returns a short name for logs and counters, which never changes.
            pub const fn reason(self) -> &'static str {
                match self {
                    $(Self::$name => $reason,)*
                }
            }
        }

        impl fmt::Display for Reject {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(match self {
                    $(Self::$name => $text,)*
                })
            }
        }
    };
}

rejects! {
    BadRequestLine BAD_REQUEST "bad-request-line" "The request line is not `method SP target SP version` (RFC 9112 3).";
    BadMethod BAD_REQUEST "bad-method" "The method is not a token (RFC 9110 9.1).";
    LongMethod NOT_IMPLEMENTED "long-method" "The method is longer than any known (RFC 9112 3).";
    BadTarget BAD_REQUEST "bad-target" "The request target has none of the forms of RFC 9112 3.2.";
    TargetTooLong URI_TOO_LONG "target-too-long" "The request target is longer than the limit (RFC 9110 15.5.15).";
    BadVersion BAD_REQUEST "bad-version" "The version is not `HTTP/digit.digit` (RFC 9112 2.3).";
    UnsupportedVersion HTTP_VERSION_NOT_SUPPORTED "unsupported-version" "The major version is not 1 (RFC 9110 15.6.6).";
    BareLineEnd BAD_REQUEST "bare-line-end" "A line of the head ends in LF or CR alone (RFC 9112 2.2).";
    BadHeader BAD_REQUEST "bad-header" "A header line is not `name: value` (RFC 9112 5).";
    HeadTooLarge REQUEST_HEADER_FIELDS_TOO_LARGE "head-too-large" "The head is larger than the limit (RFC 6585 5).";
    TooManyHeaders REQUEST_HEADER_FIELDS_TOO_LARGE "too-many-headers" "There are more header fields than the limit (RFC 6585 5).";
    MissingHost BAD_REQUEST "missing-host" "An HTTP/1.1 request has no Host field (RFC 9112 3.2).";
    BadHost BAD_REQUEST "bad-host" "The Host field is repeated or malformed (RFC 9112 3.2).";
    ForeignHost MISDIRECTED_REQUEST "foreign-host" "The host is not one that this server answers for (RFC 9110 15.5.20).";
    BadContentLength BAD_REQUEST "bad-content-length" "Content-Length is not a number, or two values differ (RFC 9112 6.3).";
    BothFramings BAD_REQUEST "both-framings" "The request has both Content-Length and Transfer-Encoding (RFC 9112 6.1).";
    BadTransferEncoding BAD_REQUEST "bad-transfer-encoding" "Transfer-Encoding does not end in chunked, once, in HTTP/1.1 (RFC 9112 6.3).";
    UnknownCoding NOT_IMPLEMENTED "unknown-coding" "There is a transfer coding other than chunked (RFC 9112 6.1).";
    BadChunk BAD_REQUEST "bad-chunk" "The chunked coding is malformed (RFC 9112 7.1).";
    ChunkExtensionsTooLarge BAD_REQUEST "chunk-extensions-too-large" "Chunk extensions are larger than the limit (RFC 9112 7.1.1).";
    BadTrailer BAD_REQUEST "bad-trailer" "A trailer line is not `name: value` (RFC 9112 7.1.2).";
    TrailersTooLarge BAD_REQUEST "trailers-too-large" "The trailer section is larger than the limit (RFC 9112 7.1.2).";
    BodyTooLarge PAYLOAD_TOO_LARGE "body-too-large" "The body is larger than the limit (RFC 9110 15.5.14).";
    UnknownExpectation EXPECTATION_FAILED "unknown-expectation" "There is an expectation other than 100-continue (RFC 9110 10.1.1).";
    Connect NOT_IMPLEMENTED "connect" "CONNECT is for proxies (RFC 9110 9.3.6).";
    HeadTimeout REQUEST_TIMEOUT "head-timeout" "The whole head did not arrive in time (RFC 9110 15.5.9).";
    BodyTimeout REQUEST_TIMEOUT "body-timeout" "The body made no progress in time (RFC 9110 15.5.9).";
    BodyCutShort BAD_REQUEST "body-cut-short" "The client closed before the end of the body (RFC 9112 8).";
    TooManyConnections SERVICE_UNAVAILABLE "too-many-connections" "There are as many connections as the limit allows.";
    TooManyFromAddress SERVICE_UNAVAILABLE "too-many-from-address" "There are as many connections from this address as the limit allows.";
    PoolFull SERVICE_UNAVAILABLE "pool-full" "All threads for blocking handlers are busy, and the queue for them is full.";
    NoThread SERVICE_UNAVAILABLE "no-thread" "There is no thread for the handler, and none can be started.";
    NoMemory SERVICE_UNAVAILABLE "no-memory" "There is no memory for the request now.";
    HandlerTimeout SERVICE_UNAVAILABLE "handler-timeout" "The handler did not answer in time.";
    UntrustedProxy FORBIDDEN "untrusted-proxy" "The connection is not from a trusted proxy, and its listener expects a PROXY header.";
    BadProxyHeader BAD_REQUEST "bad-proxy-header" "The connection does not begin with a PROXY header that is whole and well-formed.";
    PlainHttp BAD_REQUEST "plain-http" "The request came without TLS to a port that has TLS: use https (RFC 9110 4.2.2).";
    TlsHello BAD_REQUEST "tls-hello" "A TLS handshake came to a port without TLS: use http (RFC 9110 4.2.1).";
    Overloaded SERVICE_UNAVAILABLE "overloaded" "The request would wait too long for its handler, or has done so.";
    UnknownContentCoding UNSUPPORTED_MEDIA_TYPE "unknown-content-coding" "The body has a content coding that the route does not decode (RFC 9110 15.5.16).";
    BadContentCoding BAD_REQUEST "bad-content-coding" "The body is not what its Content-Encoding says (RFC 9110 8.4).";
}

impl std::error::Error for Reject {}

impl From<Reject> for io::Error {
    fn from(reject: Reject) -> Self {
        let kind = match reject {
            Reject::BodyTimeout | Reject::HeadTimeout | Reject::HandlerTimeout => io::ErrorKind::TimedOut,
            Reject::BodyCutShort => io::ErrorKind::UnexpectedEof,
            _ => io::ErrorKind::InvalidData,
        };
        Self::new(kind, reject)
    }
}
