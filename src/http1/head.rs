//! A reader of request heads: bytes in, a head or a verdict out.
//!
//! `httparse` splits the field lines. What it tolerates is refused here: a line end without CR,
//! other separators in the request line, bytes that no target may hold.

use http::{Method, Version};

use super::framing::Facts;
use super::host::host_fault;
use crate::config::Limits;
use crate::error::Reject;
use crate::fields::{Field, is_token};
use crate::message::{HeadParts, LONGEST_METHOD};

/// The number of empty lines that are skipped before a request line (RFC 9112 2.2).
const EMPTY_LINES: usize = 4;
/// The most field lines that the fast path splits, on the stack. Room for 32 costs a small request
/// 33 of 3,460 instructions more (benches/replay, 2026-11).
const FEW_FIELDS: usize = 16;

/// Reads a head from a buffer that grows, and looks at each line once.
#[derive(Default)]
pub(crate) struct HeadReader {
    /// The position at which the request line starts, after empty lines.
    start: usize,
    /// The position up to which the buffer was searched for line ends.
    scanned: usize,
    /// The position at which the line being scanned starts.
    line: usize,
    /// The position at which the first field line starts, once the request line is whole.
    fields: usize,
}

impl HeadReader {
    /// Reads a head from the start of `buffer`, which holds all bytes so far, into `head`. Returns
    /// the facts of the message and the length of the head, or `None` if more bytes must arrive.
    /// The verdict does not depend on how the bytes arrive: it is the verdict on the shortest
    /// hopeless start.
    ///
    /// A start is hopeless if it is malformed or over a limit, whatever follows. A method that is
    /// not implemented does not make a start hopeless: its verdict waits for the rest of the head,
    /// because a fault of Host is reported first (RFC 9112 3.2). Until then the method is bounded
    /// by `limits.target` and the head by `limits.head`.
    pub fn read(
        &mut self,
        buffer: &[u8],
        limits: &Limits,
        head: &mut HeadParts,
    ) -> Result<Option<(Facts, usize)>, Reject> {
        let mut few = [httparse::EMPTY_HEADER; FEW_FIELDS];
        if self.scanned == 0
            && let Some(fast) = FastHead::of(buffer, &mut few, limits)
            && set_line(head, fast.method, fast.target, fast.version) == Ok(None)
        {
            let section = &buffer[fast.fields..fast.length];
            return Ok(Some((set_fields(head, section, fast.lines)?, fast.length)));
        }
        self.read_lines(buffer, limits, head)
    }

    /// Reads a head line by line. Returns as [`read`](Self::read) does, for any head.
    fn read_lines(
        &mut self,
        buffer: &[u8],
        limits: &Limits,
        head: &mut HeadParts,
    ) -> Result<Option<(Facts, usize)>, Reject> {
        if self.fields == 0 && !self.find_request_line(buffer, limits)? {
            return line_parts(&buffer[self.start..], limits).map(|_| None);
        }
        let not_implemented = request_line(&buffer[self.start..self.fields], limits, head)?;
        let Some(end) = self.find_end(buffer, limits)? else { return Ok(None) };
        let facts = field_lines(&buffer[self.fields..end], limits, head)?;
        if let Some(reject) = not_implemented {
            return Err(reject);
        }
        *self = Self::default();
        Ok(Some((facts, end)))
    }

    /// Finds the end of the request line, after empty lines.
    fn find_request_line(&mut self, buffer: &[u8], limits: &Limits) -> Result<bool, Reject> {
        for lf in memchr::memchr_iter(b'\n', &buffer[self.scanned..]) {
            let lf = self.scanned + lf;
            match &buffer[self.start..lf] {
                [b'\r'] => {
                    self.start = lf + 1;
                    if self.start > EMPTY_LINES * b"\r\n".len() {
                        return Err(Reject::BadRequestLine);
                    }
                }
                [.., b'\r'] => {
                    (self.fields, self.line, self.scanned) = (lf + 1, lf + 1, lf + 1);
                    return Ok(true);
                }
                line => return line_parts(line, limits).and(Err(Reject::BareLineEnd)),
            }
        }
        self.scanned = buffer.len();
        Ok(false)
    }

    /// Finds the empty line after the field lines.
    fn find_end(&mut self, buffer: &[u8], limits: &Limits) -> Result<Option<usize>, Reject> {
        let limit = self.start.saturating_add(limits.head);
        for lf in memchr::memchr_iter(b'\n', &buffer[self.scanned..]) {
            let lf = self.scanned + lf;
            if lf >= limit {
                return Err(Reject::HeadTooLarge);
            }
            if lf == self.line || buffer[lf - 1] != b'\r' {
                return Err(Reject::BareLineEnd);
            }
            if lf - 1 == self.line {
                return Ok(Some(lf + 1));
            }
            self.line = lf + 1;
        }
        self.scanned = buffer.len();
        if buffer.len() > limit { Err(Reject::HeadTooLarge) } else { Ok(None) }
    }
}

/// Returns `true` if a refused head seems to be that of a HEAD request, whose refusal has no body.
/// The result may depend only on bytes that led to the verdict, not on bytes that arrived after
/// them.
pub(crate) fn asks_for_head(buffer: &[u8]) -> bool {
    let mut rest = buffer;
    for _ in 0..EMPTY_LINES {
        rest = rest.strip_prefix(b"\r\n").unwrap_or(rest);
    }
    rest.starts_with(b"HEAD ")
}

/// A head that has arrived whole, is short and follows the rules. Any other head goes to the
/// line-by-line reader, which finds the verdict. The fast path saves 462 of 3,889 instructions of a
/// small request and 1,405 of 8,277 of a browser's (benches/replay, 2026-11). A property test holds
/// both readers equal.
struct FastHead<'h, 'b> {
    method: &'b [u8],
    target: &'b str,
    version: Version,
    /// The position at which the field lines start.
    fields: usize,
    lines: &'h [httparse::Header<'b>],
    length: usize,
}

impl<'h, 'b> FastHead<'h, 'b> {
    fn of(
        buffer: &'b [u8],
        few: &'h mut [httparse::Header<'b>; FEW_FIELDS],
        limits: &Limits,
    ) -> Option<Self> {
        // The search is bounded by the limits.
        let find_space = |from: usize, most: usize| {
            let end = buffer.len().min((from + 1).saturating_add(most));
            buffer.get(from..end)?.iter().position(|&b| b == b' ').map(|at| from + at)
        };
        let method = find_space(0, LONGEST_METHOD)?;
        let target = find_space(method + 1, limits.target)?;
        let version = match &buffer[target..] {
            rest if rest.starts_with(b" HTTP/1.1\r\n") => Version::HTTP_11,
            rest if rest.starts_with(b" HTTP/1.0\r\n") => Version::HTTP_10,
            _ => return None,
        };
        let fields = target + " HTTP/1.1\r\n".len();
        let Ok(httparse::Status::Complete((length, lines))) = httparse::parse_headers(&buffer[fields..], few)
        else {
            return None;
        };
        let length = fields + length;
        if length > limits.head || lines.len() > limits.headers {
            return None;
        }
        // httparse accepts LF without CR as a line end, so each line must start after CR LF.
        let starts_well = |start: usize| buffer[..start].ends_with(b"\r\n");
        let mut starts = lines.iter().map(|line| offset(buffer, line.name.as_bytes()));
        let is_strict = starts.next() == Some(fields)
            && starts.all(starts_well)
            && starts_well(length)
            && starts_well(length - 2);
        let target = std::str::from_utf8(&buffer[method + 1..target]).ok()?;
        is_strict.then_some(Self { method: &buffer[..method], target, version, fields, lines, length })
    }
}

/// Reads the request line, including its line end (RFC 9112 3). Returns the verdict on a method
/// that is not implemented, which waits for the rest of the head.
fn request_line(line: &[u8], limits: &Limits, head: &mut HeadParts) -> Result<Option<Reject>, Reject> {
    let (method, target, Some(version)) = line_parts(&line[..line.len() - 1], limits)? else {
        return Err(Reject::BadRequestLine);
    };
    let version = match *version {
        [b'H', b'T', b'T', b'P', b'/', b'1', b'.', b'0', b'\r'] => Version::HTTP_10,
        // A higher minor version is served as the highest known (RFC 9110 2.5).
        [b'H', b'T', b'T', b'P', b'/', b'1', b'.', b'1'..=b'9', b'\r'] => Version::HTTP_11,
        [b'H', b'T', b'T', b'P', b'/', b'0'..=b'9', b'.', b'0'..=b'9', b'\r'] => {
            return Err(Reject::UnsupportedVersion);
        }
        _ => return Err(Reject::BadVersion),
    };
    set_line(head, method, std::str::from_utf8(target).unwrap_or_default(), version)
}

/// Stores the parts of a request line in `head`. Returns as [`request_line`] does.
fn set_line(
    head: &mut HeadParts,
    method: &[u8],
    target: &str,
    version: Version,
) -> Result<Option<Reject>, Reject> {
    head.version = version;
    let mut not_implemented = None;
    if method == b"GET" {
        head.method = Method::GET;
    } else if method == b"CONNECT" {
        // The target of CONNECT has its own form (RFC 9112 3.2.3).
        return Ok(Some(Reject::Connect));
    } else if method.len() > LONGEST_METHOD {
        not_implemented = Some(Reject::LongMethod);
    } else {
        head.method = Method::from_bytes(method).map_err(|_| Reject::BadMethod)?;
    }
    if !head.target.assign(target) || (target == "*" && head.method != Method::OPTIONS) {
        return Err(Reject::BadTarget);
    }
    Ok(not_implemented)
}

/// The method, the target, and the bytes after the space that ends the target.
type LineParts<'a> = (&'a [u8], &'a [u8], Option<&'a [u8]>);

/// Splits what has arrived of a request line, up to its CR. The line may be incomplete: a client
/// that speaks another protocol, or sends without end, is refused at once.
fn line_parts<'a>(line: &'a [u8], limits: &Limits) -> Result<LineParts<'a>, Reject> {
    if line == b"\r" {
        // The start of an empty line.
        return Ok((&[], &[], None));
    }
    let method = line.iter().position(|&b| !is_token(b)).unwrap_or(line.len());
    if method > LONGEST_METHOD.max(limits.target) {
        return Err(Reject::LongMethod);
    }
    let rest = match &line[method..] {
        [] => return Ok((line, &[], None)),
        _ if method == 0 => return Err(Reject::BadRequestLine),
        [b' ', rest @ ..] => rest,
        _ => return Err(Reject::BadMethod),
    };
    let target = memchr::memchr(b' ', rest).unwrap_or(rest.len());
    if target > limits.target {
        return Err(Reject::TargetTooLong);
    }
    let version = rest.get(target + 1..);
    if version.is_some_and(|version| version.len() > b"HTTP/1.1\r".len()) {
        return Err(Reject::BadVersion);
    }
    Ok((&line[..method], &rest[..target], version))
}

/// Reads the field lines and the empty line after them (RFC 9112 5).
fn field_lines(text: &[u8], limits: &Limits, head: &mut HeadParts) -> Result<Facts, Reject> {
    let lines = memchr::memchr_iter(b'\n', text).count() - 1;
    if lines > limits.headers {
        return Err(host_fault(text, head.version).unwrap_or(Reject::TooManyHeaders));
    }
    let mut lines = vec![httparse::EMPTY_HEADER; lines];
    match httparse::parse_headers(text, &mut lines) {
        Ok(httparse::Status::Complete((length, fields))) if length == text.len() => {
            set_fields(head, text, fields)
        }
        _ => Err(Reject::BadHeader),
    }
}

/// Stores a field section in `head`. Returns the facts that its fields state.
fn set_fields(head: &mut HeadParts, text: &[u8], fields: &[httparse::Header<'_>]) -> Result<Facts, Reject> {
    let facts = Facts::of(fields.iter().map(|field| (field.name, field.value)), head.version, &head.target)?;
    let place = |part: &[u8]| {
        let start = offset(text, part);
        // A head is bounded by its limit, far below 4 GiB.
        u32::try_from(start).unwrap_or(0)..u32::try_from(start + part.len()).unwrap_or(0)
    };
    let index = fields.iter().map(|field| match field.value {
        // httparse returns an empty value that lies outside `text`.
        [] => Field { name: place(field.name.as_bytes()), value: 0..0 },
        value => Field { name: place(field.name.as_bytes()), value: place(value) },
    });
    head.headers.assign(&text[..text.len() - 2], index);
    if let Some(authority) = head.target.authority() {
        // The authority of the target replaces Host (RFC 9112 3.2.2).
        if !head.headers.get("host").is_some_and(|host| host.eq_ignore_ascii_case(authority)) {
            head.headers.insert("Host", authority).map_err(|_| Reject::BadTarget)?;
        }
    }
    Ok(facts)
}

/// Returns where `part` starts in `text`.
fn offset(text: &[u8], part: &[u8]) -> usize {
    part.as_ptr() as usize - text.as_ptr() as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A head and its length.
    type Read = Result<Option<(HeadParts, usize)>, Reject>;

    fn read_on(reader: &mut HeadReader, text: &[u8], limits: &Limits) -> Read {
        let mut head = HeadParts::default();
        Ok(reader.read(text, limits, &mut head)?.map(|(_, length)| (head, length)))
    }

    fn read_within(text: &[u8], limits: &Limits) -> Read {
        read_on(&mut HeadReader::default(), text, limits)
    }

    fn read(text: &[u8]) -> Read {
        read_within(text, &Limits::default())
    }

    fn refused(text: impl AsRef<[u8]>) -> Option<Reject> {
        read(text.as_ref()).err()
    }

    fn with_line(line: &str) -> String {
        format!("GET / HTTP/1.1\r\nHost: h\r\n{line}\r\n\r\n")
    }

    #[test]
    fn rfc9112_2_1_a_head_is_found_at_every_split() {
        let text = b"\r\nGET /a?b HTTP/1.1\r\nHost: h\r\nX-A:  v w \t\r\nEmpty:\r\n\r\nrest";
        for split in 0..text.len() - 4 {
            let mut reader = HeadReader::default();
            let limits = Limits::default();
            assert!(read_on(&mut reader, &text[..split], &limits).unwrap().is_none(), "at {split}");
            let (head, length) = read_on(&mut reader, text, &limits).unwrap().unwrap();
            assert_eq!(length, text.len() - 4);
            assert_eq!((head.method, head.target.as_str()), (Method::GET, "/a?b"));
            assert_eq!(head.headers.get("x-a"), Some("v w"));
            assert_eq!(head.headers.get("empty"), Some(""));
            assert_eq!(head.headers.as_wire(), b"Host: h\r\nX-A:  v w \t\r\nEmpty:\r\n");
        }
    }

    #[test]
    fn rfc9112_2_2_bare_line_ends_are_refused() {
        assert_eq!(refused("GET / HTTP/1.1\nHost: h\r\n\r\n"), Some(Reject::BareLineEnd));
        assert_eq!(refused("GET / HTTP/1.1\r\nHost: h\n\r\n"), Some(Reject::BareLineEnd));
        assert_eq!(refused("\nGET / HTTP/1.1\r\nHost: h\r\n\r\n"), Some(Reject::BareLineEnd));
        assert_eq!(refused("GET / HTTP/1.1\r\n\nHost: h\r\n\r\n"), Some(Reject::BareLineEnd));
        assert_eq!(refused("GET / HTTP/1.1\r\nHost: h\nA: b\r\n\r\n"), Some(Reject::BareLineEnd));
        assert_eq!(refused("GET / HTTP/1.1\r\nHost: h\r\n\n"), Some(Reject::BareLineEnd));
        assert_eq!(refused(with_line("a: b\rc: d")), Some(Reject::BadHeader));
    }

    #[test]
    fn rfc9112_2_2_a_few_empty_lines_are_skipped() {
        assert!(read(b"\r\n\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n").unwrap().is_some());
        assert_eq!(refused("\r\n".repeat(5)), Some(Reject::BadRequestLine));
    }

    #[test]
    fn rfc9112_3_request_line_is_strict() {
        let line = |line: &str| refused(format!("{line}\r\nHost: h\r\n\r\n"));
        assert_eq!(line("GET /"), Some(Reject::BadRequestLine));
        assert_eq!(line("GET  / HTTP/1.1"), Some(Reject::BadVersion));
        assert_eq!(line("GET / HTTP/1.1 "), Some(Reject::BadVersion));
        assert_eq!(line("GET / http/1.1"), Some(Reject::BadVersion));
        assert_eq!(line("GET / HTTP/2.0"), Some(Reject::UnsupportedVersion));
        assert_eq!(line("G@T / HTTP/1.1"), Some(Reject::BadMethod));
        assert_eq!(line("GET /a b HTTP/1.1"), Some(Reject::BadVersion));
        assert_eq!(line("GET a HTTP/1.1"), Some(Reject::BadTarget));
        assert_eq!(line("GET * HTTP/1.1"), Some(Reject::BadTarget));
        assert_eq!(line("GET /\u{1} HTTP/1.1"), Some(Reject::BadTarget));
        assert_eq!(refused(b"GET /\xe9 HTTP/1.1\r\nHost: h\r\n\r\n"), Some(Reject::BadTarget));
        assert_eq!(line("CONNECT h:1 HTTP/1.1"), Some(Reject::Connect));
        assert_eq!(refused("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), Some(Reject::UnsupportedVersion));
        assert!(read(b"OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n").unwrap().is_some());
    }

    #[test]
    fn the_verdict_does_not_depend_on_how_the_bytes_arrive() {
        let limits = Limits { target: 20, head: 60, ..Limits::default() };
        for text in [
            "GET /\r\nHost: h\n\r\n",
            "GET / HTTP/2.0\r\nHost: h\n\r\n",
            "GET / HTTP/1.1 x\n",
            " GET / HTTP/1.1\r\nHost: h\r\n\r\n",
            "\rGET / HTTP/1.1\r\nHost: h\r\n\r\n",
            "GET /234567890123456789012\r\n",
            "CONNECT h:1 HTTP/1.1\r\nHost: h\r\n\r\n",
            "CONNECT h:1 HTTP/1.1\r\n\r\n",
            "MMMMMMMMMMMMMMMMMMMMMMMMMMMMMMMMMM",
            "GET / HTTP/1.1\r\nHost: h\r\nX: 345678901234567890123456789012345678901234567890\n",
        ] {
            let whole = read_within(text.as_bytes(), &limits).err();
            let mut reader = HeadReader::default();
            let mut to = |end| read_on(&mut reader, &text.as_bytes()[..end], &limits).err();
            let slow = (1..=text.len()).find_map(&mut to);
            assert!(whole.is_some() && whole == slow, "{text:?}: {whole:?}, in bytes {slow:?}");
        }
    }

    #[test]
    fn a_refused_head_is_known_by_no_more_than_was_judged() {
        assert!(asks_for_head(b"HEAD / HTTP/1.1\n") && asks_for_head(b"\r\n\r\nHEAD / HTTP/3.0\r\n"));
        // These are refused at the space and at the fifth empty line, before HEAD.
        assert!(!asks_for_head(b" HEAD / HTTP/1.1\r\n"));
        assert!(!asks_for_head(b"\r\n\r\n\r\n\r\n\r\nHEAD / HTTP/1.1\r\n"));
        assert!(!asks_for_head(b"HEADER / HTTP/1.1\r\n") && !asks_for_head(b""));
    }

    #[test]
    fn a_hopeless_start_is_refused_before_its_end() {
        assert_eq!(refused(b"\x16\x03\x01\x02"), Some(Reject::BadRequestLine));
        assert_eq!(refused("M".repeat(8 * 1024 + 1)), Some(Reject::LongMethod));
        assert_eq!(refused(format!("GET /{}", "a".repeat(8 * 1024))), Some(Reject::TargetTooLong));
        assert_eq!(refused("GET / HTTP/1.1 and so on"), Some(Reject::BadVersion));
        assert_eq!(refused("GET /\r\n"), Some(Reject::BadRequestLine));
    }

    #[test]
    fn rfc9112_3_2_a_fault_of_host_is_told_before_a_method_that_is_not_implemented() {
        let long = "M".repeat(33);
        for (line, verdict) in [
            ("CONNECT h:1 HTTP/1.1", Reject::Connect),
            ("CONNECT h:1 HTTP/1.0", Reject::Connect),
            (&format!("{long} / HTTP/1.1"), Reject::LongMethod),
        ] {
            let with = |fields: &str| refused(format!("{line}\r\n{fields}\r\n"));
            assert!(read(format!("{line}\r\n").as_bytes()).unwrap().is_none(), "{line}");
            assert_eq!(with("Host: h\r\n"), Some(verdict), "{line}");
            assert_eq!(with("Host: h\r\nHost: h\r\n"), Some(Reject::BadHost), "{line}");
            assert_eq!(with("Host: a b\r\n"), Some(Reject::BadHost), "{line}");
            let missing = if line.ends_with('1') { Reject::MissingHost } else { verdict };
            assert_eq!(with(""), Some(missing), "{line}");
        }
        assert_eq!(refused(format!("{long} a HTTP/1.1\r\n")), Some(Reject::BadTarget));
        assert_eq!(refused(format!("{long} * HTTP/1.1\r\n")), Some(Reject::BadTarget));
        assert_eq!(refused(format!("{long} / HTTP/2.0\r\n")), Some(Reject::UnsupportedVersion));
        assert!(read(long.as_bytes()).unwrap().is_none());
    }

    #[test]
    fn rfc9112_3_2_a_fault_of_host_is_told_before_the_number_of_fields() {
        let limits = Limits { headers: 3, ..Limits::default() };
        let read = |fields: &str| {
            let text = format!("GET / HTTP/1.1\r\n{fields}a: 1\r\nb: 2\r\nc: 3\r\nd: 4\r\n\r\n");
            read_within(text.as_bytes(), &limits).err()
        };
        assert_eq!(read(""), Some(Reject::MissingHost));
        assert_eq!(read("Host: h\r\nhost: h\r\n"), Some(Reject::BadHost));
        assert_eq!(read("Host: \ta b\r\n"), Some(Reject::BadHost));
        assert_eq!(read("Host: \th \r\n"), Some(Reject::TooManyHeaders));
    }

    #[test]
    fn rfc9112_5_field_lines_are_strict() {
        for line in [
            "a",
            "a : b",
            " a: b",
            ": b",
            "a b: c",
            "a\u{0}: b",
            "a: b\u{0}",
            "a: b\r\n c",
            "a: \u{b}b",
            "a: \u{7f}",
        ] {
            assert_eq!(refused(with_line(line)), Some(Reject::BadHeader), "{line:?}");
        }
        let (head, _) = read(with_line("!#$%&'*+-.^_`|~0aZ: \u{e9}").as_bytes()).unwrap().unwrap();
        assert_eq!(head.headers.len(), 2);
    }

    #[test]
    fn limits_of_the_head() {
        let limits = Limits { target: 10, head: 100, headers: 3, ..Limits::default() };
        let read = |text: String| read_within(text.as_bytes(), &limits).map(|head| head.is_some());
        assert_eq!(read("GET /234567890 HTTP/1.1\r\nHost: h\r\n\r\n".into()), Ok(true));
        assert_eq!(read("GET /2345678901 HTTP/1.1\r\nHost: h\r\n\r\n".into()), Err(Reject::TargetTooLong));
        assert_eq!(read(with_line("a: 1\r\nb: 2")), Ok(true));
        assert_eq!(read(with_line("a: 1\r\nb: 2\r\nc: 3")), Err(Reject::TooManyHeaders));
        assert_eq!(read(with_line(&format!("a: {}", "x".repeat(100)))), Err(Reject::HeadTooLarge));
        assert_eq!(read(format!("GET / HTTP/1.1\r\na: {}", "x".repeat(100))), Err(Reject::HeadTooLarge));
    }

    #[test]
    fn rfc9112_3_2_2_the_targets_authority_is_the_host() {
        let (head, _) = read(b"GET http://a/ HTTP/1.1\r\nHost: b\r\n\r\n").unwrap().unwrap();
        assert_eq!(head.headers.get_all("host").collect::<Vec<_>>(), [b"a"]);
    }

    /// A seeded generator (xorshift), so that a failure can be repeated.
    struct Random(u64);

    impl Random {
        fn below(&mut self, limit: usize) -> usize {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            usize::try_from(self.0 >> 33).unwrap() % limit
        }

        fn of<'a>(&mut self, choices: &[&'a str]) -> &'a str {
            choices[self.below(choices.len())]
        }
    }

    /// Returns a head that follows the rules, or nearly.
    fn made_up(random: &mut Random) -> Vec<u8> {
        let methods = ["GET", "GET", "POST", "HEAD", "OPTIONS", "CONNECT", "get", "M-A+x", "", "G@T"];
        let targets = ["/", "/a%20b?x=1", "*", "http://a.b:80/c", "http://h", "/\u{e9}", "a", "/a#b", ""];
        let versions = ["HTTP/1.1", "HTTP/1.1", "HTTP/1.1", "HTTP/1.0", "HTTP/1.7", "HTTP/2.0", "http/1.1"];
        let ends = ["\r\n", "\r\n", "\r\n", "\r\n", "\r\n", "\r\n", "\r\n", "\n", "\r", ""];
        let names =
            ["Host", "host", "a", "X-B", "Content-Length", "Transfer-Encoding", "Connection", "Expect"];
        let values = [
            "h",
            "1.2.3.4:5",
            "",
            " \t",
            "chunked",
            "gzip, chunked",
            "5",
            "close",
            "100-continue",
            "a\u{e9}b",
        ];
        let colons = [": ", ":", ":  \t", " :", ""];
        let mut text = String::from(random.of(&["", "", "", "", "\r\n"]));
        text += &[random.of(&methods), random.of(&targets), random.of(&versions)].join(" ");
        text += random.of(&ends);
        for field in 0..random.below(20) {
            let name = if field == 0 { "Host" } else { random.of(&names) };
            let value = if field == 0 { "h" } else { random.of(&values) };
            let colon = if random.below(4) == 0 { random.of(&colons) } else { ": " };
            let end = if random.below(8) == 0 { random.of(&ends) } else { "\r\n" };
            text.extend([name, colon, value, end]);
        }
        text += random.of(&ends);
        text += random.of(&["", "", "body", "GET / HTTP/1.1\r\n"]);
        text.into()
    }

    /// Changes a few bytes.
    fn mutate(random: &mut Random, text: &mut Vec<u8>) {
        for _ in 0..random.below(3) {
            let at = random.below(text.len() + 1);
            let byte = random.of(&["\r", "\n", " ", "\t", ":", "\0", "\u{7f}", "/", "H", "1"]).as_bytes()[0];
            match random.below(4) {
                0 => text.insert(at, byte),
                1 => text.truncate(at),
                _ if at == text.len() => {}
                2 => text[at] = byte,
                _ => drop(text.remove(at)),
            }
        }
    }

    /// Returns the request bytes of the wire corpus, one text for each case.
    fn corpus() -> Vec<Vec<u8>> {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/wire");
        let files = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path());
        let texts = files.filter_map(|file| std::fs::read_to_string(file).ok());
        let cases: Vec<_> = texts
            .flat_map(|text| {
                let cases = text.split("\ncase ").map(|case| {
                    let lines = case.lines().filter_map(|line| line.strip_prefix("> "));
                    // Other escapes of the corpus stand as they are written: any text will do.
                    lines
                        .collect::<String>()
                        .replace("\\r", "\r")
                        .replace("\\n", "\n")
                        .replace("\\t", "\t")
                        .into_bytes()
                });
                cases.collect::<Vec<_>>()
            })
            .collect();
        assert!(cases.len() > 100, "the corpus is in {folder}");
        cases
    }

    #[test]
    fn the_fast_path_reads_a_head_as_the_lines_are_read() {
        let tight = Limits { target: 12, head: 120, headers: 4, ..Limits::default() };
        let corpus = corpus();
        let (mut fast, mut count) = (0, 0);
        for seed in 1..=30_000 {
            let mut random = Random(0x9e37_79b9_7f4a_7c15_u64.wrapping_mul(seed));
            let is_made_up = random.below(2) == 0;
            let mut text =
                if is_made_up { made_up(&mut random) } else { corpus[random.below(corpus.len())].clone() };
            mutate(&mut random, &mut text);
            let limits = if random.below(4) == 0 { tight.clone() } else { Limits::default() };
            let (mut one, mut other) = (HeadParts::default(), HeadParts::default());
            let read = HeadReader::default().read(&text, &limits, &mut one);
            let lines = HeadReader::default().read_lines(&text, &limits, &mut other);
            assert_eq!(read, lines, "seed {seed}: {}", text.escape_ascii());
            if matches!(read, Ok(Some(_))) {
                assert_eq!(format!("{one:?}"), format!("{other:?}"), "seed {seed}: {}", text.escape_ascii());
                assert_eq!(one.headers.as_wire(), other.headers.as_wire(), "seed {seed}");
            }
            let mut few = [httparse::EMPTY_HEADER; FEW_FIELDS];
            fast += usize::from(FastHead::of(&text, &mut few, &limits).is_some());
            count += 1;
        }
        assert!(fast > count / 10, "the fast path took {fast} of {count} heads");
    }
}
