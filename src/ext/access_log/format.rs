//! The format of a log's lines.

use std::fmt;
use std::sync::Arc;

use super::loss::LossLine;
use super::parts::{error_of, number_of, push_client, push_request_line, with_parts};
use super::pattern::LogPattern;
use super::text::{push_digits, push_escaped, push_in_one_line, push_ip, push_json, push_number};
use super::time::TimeText;
use crate::Exchange;
use crate::Peer;
use crate::Result;

/// The fields of requests in the formats that have some.
const FIELDS: [&str; 2] = ["referer", "user-agent"];

/// The function that writes the lines of an own format.
type OwnFormat = Arc<dyn Fn(&Exchange<'_>, &mut Vec<u8>) + Send + Sync>;

/// The format of the lines of an [`AccessLog`](crate::AccessLog).
///
/// In the formats of Transom, what a client has sent is escaped: a line is ASCII without control
/// bytes, and no client can forge a line or a field.
#[derive(Clone)]
#[non_exhaustive]
pub enum LogFormat {
    /// The common log format:
    /// `192.0.2.1 - - [10/Oct/2000:13:55:36 +0000] "GET /a?b HTTP/1.1" 200 2326`.
    ///
    /// The fields are the client's address, two that are always `-`, the time of the request in UTC,
    /// the request line, the status, and the bytes of the answer with its head (`%O` of Apache). A
    /// field that is not known is `-`. Bytes in the request line that are not printable ASCII, `"`
    /// and `\` are `\xhh`.
    Common,
    /// The common format, and then the fields Referer and User-Agent of the request in quotes.
    Combined,
    /// An object of JSON in each line. Its keys are the names of OpenTelemetry. A key whose value is
    /// not known is left out.
    ///
    /// | key | value |
    /// |---|---|
    /// | `timestamp` | the time when the head of the request had been read (RFC 3339, UTC) |
    /// | `client.address`, `client.port` | the client; the address is `unix` on a Unix socket |
    /// | `http.request.method`, `url.path`, `url.query` | the request line |
    /// | `network.protocol.version` | `1.0` or `1.1` |
    /// | `http.route` | the pattern of the route |
    /// | `http.response.status_code` | the status, a number |
    /// | `http.request.size`, `http.response.size` | bytes, heads included |
    /// | `http.server.request.duration` | seconds from `timestamp` to the end of the exchange |
    /// | `error.type` | the reason of a refusal ([`Reject::reason`](crate::Reject::reason)), or how an exchange that was not answered ended: `left`, `timed-out`, `failed`, `cut` |
    /// | `http.request.header.referer`, `user_agent.original` | the fields of the request |
    Json,
    /// A format of directives: see [`LogFormat::pattern`].
    Pattern(Arc<LogPattern>),
    /// A format of the program's own: see [`LogFormat::own`].
    Own(OwnFormat),
}

impl LogFormat {
    /// Returns a format of directives, which are those of Apache's `LogFormat`. It is read once, and a
    /// thread that drives connections only puts the pieces of each line together.
    ///
    /// | directive | value |
    /// |---|---|
    /// | `%h`, `%a` | the client's address, `unix` on a Unix socket |
    /// | `%A`, `%p` | the address and the port at which the connection came in |
    /// | `%l`, `%u` | always `-` |
    /// | `%t` | the time of the request in UTC, in brackets, as in the common format |
    /// | `%r` | the request line |
    /// | `%m`, `%U`, `%q`, `%H` | its method, its path, its query with `?`, and its protocol |
    /// | `%s`, `%>s` | the status |
    /// | `%O`, `%B`, `%b` | the bytes of the answer with its head; `%b` is `-` for none |
    /// | `%I` | the bytes of the request with its head |
    /// | `%D`, `%{us}T` | the duration in microseconds |
    /// | `%{ms}T`, `%T`, `%L` | in milliseconds, in seconds, in seconds with six decimals |
    /// | `%{Name}i`, `%{Name}o` | a header field of the request, of the response as the handler made it; a value of more than 1,024 bytes is cut off |
    /// | `%R` | the pattern of the route |
    /// | `%E` | the reason of a refusal, or how an exchange that was not answered ended: as `error.type` in [`Json`](Self::Json) |
    /// | `%%` | a percent sign |
    ///
    /// A value that is not known is `-`. Bytes that are not printable ASCII, `"` and `\` are `\xhh`.
    ///
    /// ```
    /// use transom::LogFormat;
    ///
    /// let format = LogFormat::pattern("%h %t \"%r\" %>s %O %D \"%{Referer}i\" \"%{X-Request-Id}o\"")?;
    /// # drop(format);
    /// # Ok::<(), transom::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::BadFormat`](crate::Error::BadFormat) for an unknown directive, a control byte, or an empty
    /// format.
    pub fn pattern(format: &str) -> Result<Self> {
        LogPattern::parse(format).map(|pattern| Self::Pattern(Arc::new(pattern)))
    }

    /// Returns a format of the program's own. The function adds the text of a line, without a line
    /// end, and runs on a thread that drives connections: it must not block. If it adds nothing,
    /// the answer has no line. Control bytes in the text other than tabs are written as `\xhh`, so
    /// that one answer never has two lines. The function must escape quotes itself, if it uses any.
    ///
    /// ```
    /// use std::io::Write as _;
    /// use transom::LogFormat;
    ///
    /// let format = LogFormat::own(|exchange, line| {
    ///     if exchange.route() != Some("/health") {
    ///         let status = exchange.status().map_or(0, |status| status.as_u16());
    ///         let _ = write!(line, "{status} {} {:?}", exchange.target().unwrap_or("-"), exchange.took());
    ///     }
    /// });
    /// # drop(format);
    /// ```
    pub fn own(format: impl Fn(&Exchange<'_>, &mut Vec<u8>) + Send + Sync + 'static) -> Self {
        Self::Own(Arc::new(format))
    }

    /// The header fields of requests that the format has.
    pub(super) fn fields(&self) -> Vec<&str> {
        match self {
            Self::Combined | Self::Json => FIELDS.to_vec(),
            Self::Pattern(pattern) => pattern.fields().collect(),
            Self::Common | Self::Own(_) => Vec::new(),
        }
    }

    /// The header fields of responses that the format has.
    pub(super) fn response_fields(&self) -> Vec<&str> {
        match self {
            Self::Pattern(pattern) => pattern.response_fields().collect(),
            _ => Vec::new(),
        }
    }

    /// Returns the line of an exchange, to be written. `None` if an own format has none for it.
    #[inline]
    pub(super) fn line<'a>(&'a self, exchange: &'a Exchange<'a>) -> Option<Line<'a>> {
        let fields = || FIELDS.map(|name| exchange.field(name));
        Some(match self {
            Self::Common => Line::Common(exchange),
            Self::Combined => Line::Combined(exchange, fields()),
            Self::Json => Line::Json(exchange, fields()),
            Self::Pattern(pattern) => Line::Pattern(exchange, pattern),
            Self::Own(format) => Line::Own(own_line(format, exchange)?),
        })
    }

    /// Returns the form of a line that tells of lost lines.
    pub(super) fn loss_line(&self) -> LossLine {
        match self {
            Self::Common | Self::Combined | Self::Pattern(_) => LossLine::Comment,
            Self::Json => LossLine::Json,
            Self::Own(_) => LossLine::None,
        }
    }
}

/// A line that is to be written.
pub(super) enum Line<'a> {
    Common(&'a Exchange<'a>),
    Combined(&'a Exchange<'a>, Fields<'a>),
    Json(&'a Exchange<'a>, Fields<'a>),
    Pattern(&'a Exchange<'a>, &'a LogPattern),
    /// A line that the program wrote.
    Own(Vec<u8>),
}

/// The values of [`FIELDS`].
type Fields<'a> = [Option<&'a [u8]>; FIELDS.len()];

impl Line<'_> {
    /// Adds the line with its end.
    #[inline]
    pub fn write(&self, time: &mut TimeText, line: &mut Vec<u8>) {
        match self {
            Self::Common(exchange) => push_common(exchange, time, line),
            Self::Combined(exchange, fields) => {
                push_common(exchange, time, line);
                for value in fields {
                    // Few requests have a Referer: in one piece, a field that is not there saves 60
                    // instructions (replay, 2026-11).
                    let Some(value) = value else {
                        line.extend_from_slice(b" \"-\"");
                        continue;
                    };
                    line.extend_from_slice(b" \"");
                    push_escaped(line, value);
                    line.push(b'"');
                }
            }
            Self::Json(exchange, fields) => push_object(exchange, fields, time, line),
            Self::Pattern(exchange, pattern) => pattern.write(exchange, time, line),
            Self::Own(own) => line.extend_from_slice(own),
        }
        line.push(b'\n');
    }
}

/// Returns the line of an own format without its end. `None` if it is empty.
fn own_line(format: &OwnFormat, exchange: &Exchange<'_>) -> Option<Vec<u8>> {
    let mut line = Vec::new();
    format(exchange, &mut line);
    if line.iter().any(u8::is_ascii_control) {
        let text = std::mem::take(&mut line);
        push_in_one_line(&mut line, text.strip_suffix(b"\n").unwrap_or(&text));
    }
    Some(line).filter(|line| !line.is_empty())
}

impl fmt::Debug for LogFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Common => "Common",
            Self::Combined => "Combined",
            Self::Json => "Json",
            Self::Pattern(_) => "Pattern(..)",
            Self::Own(_) => "Own(..)",
        })
    }
}

fn push_common(exchange: &Exchange<'_>, time: &mut TimeText, line: &mut Vec<u8>) {
    push_client(line, exchange);
    line.extend_from_slice(b" - - [");
    time.push_common(line, exchange.began());
    line.extend_from_slice(b"] \"");
    push_request_line(line, exchange);
    line.extend_from_slice(b"\" ");
    // Three digits are written without a call of `memcpy`.
    match exchange.status().as_ref().and_then(|status| status.as_str().as_bytes().first_chunk::<3>()) {
        Some(digits) => line.extend_from_slice(digits),
        None => line.push(b'-'),
    }
    line.push(b' ');
    push_number(line, exchange.bytes_out());
}

fn push_object(exchange: &Exchange<'_>, fields: &Fields<'_>, time: &mut TimeText, line: &mut Vec<u8>) {
    let took = exchange.took();
    line.extend_from_slice(b"{\"timestamp\":\"");
    time.push_rfc3339(line, exchange.began());
    line.push(b'"');
    match exchange.peer() {
        Peer::Unix => push_text(line, b",\"client.address\":", b"unix"),
        peer => {
            if let Some(ip) = peer.ip() {
                line.extend_from_slice(b",\"client.address\":\"");
                push_ip(line, ip);
                line.push(b'"');
            }
            if let Peer::Tcp(address) = peer {
                line.extend_from_slice(b",\"client.port\":");
                push_number(line, address.port());
            }
        }
    }
    if let Some(method) = exchange.method() {
        push_text(line, b",\"http.request.method\":", method.as_str().as_bytes());
    }
    if let Some(target) = exchange.target() {
        push_target(line, target);
    }
    if let Some(version) = exchange.version() {
        push_text(line, b",\"network.protocol.version\":", number_of(version));
    }
    if let Some(route) = exchange.route().filter(|route| !route.is_empty()) {
        push_text(line, b",\"http.route\":", route.as_bytes());
    }
    if let Some(status) = exchange.status() {
        line.extend_from_slice(b",\"http.response.status_code\":");
        line.extend_from_slice(status.as_str().as_bytes());
    }
    line.extend_from_slice(b",\"http.request.size\":");
    push_number(line, exchange.bytes_in());
    line.extend_from_slice(b",\"http.response.size\":");
    push_number(line, exchange.bytes_out());
    line.extend_from_slice(b",\"http.server.request.duration\":");
    push_number(line, took.as_secs());
    line.push(b'.');
    push_digits::<6>(line, took.subsec_micros().into());
    if let Some(error) = error_of(exchange) {
        push_text(line, b",\"error.type\":", error.as_bytes());
    }
    let [referer, agent] = fields;
    if let Some(referer) = referer {
        push_text(line, b",\"http.request.header.referer\":[", referer);
        line.push(b']');
    }
    if let Some(agent) = agent {
        push_text(line, b",\"user_agent.original\":", agent);
    }
    line.push(b'}');
}

/// Adds a key and a text.
fn push_text(line: &mut Vec<u8>, key: &[u8], text: &[u8]) {
    line.extend_from_slice(key);
    push_json(line, text);
}

/// Adds the path and the query of a request target.
fn push_target(line: &mut Vec<u8>, target: &str) {
    with_parts(target, |path, query| {
        push_text(line, b",\"url.path\":", path.as_bytes());
        if let Some(query) = query {
            push_text(line, b",\"url.query\":", query.as_bytes());
        }
    });
}
