//! Checks the bytes that the client received.

use super::requests::Expected;
use super::script::{End, Script};
use crate::conn::Stage;

/// A response, as a strict client reads it.
struct Answer {
    status: u16,
    body: Vec<u8>,
    closes: bool,
}

enum Read {
    Whole(Answer, usize),
    /// The response stops in the middle.
    Partial,
}

/// The facts about a client beside the bytes that it received.
#[derive(Clone, Copy)]
pub struct Fate {
    /// True if the client may have been refused because it was served late: its server has short
    /// deadlines.
    pub is_hurried: bool,
    /// True if the client lost bytes that it would have read.
    pub has_lost: bool,
}

/// Checks the bytes received against the requests.
pub fn check(script: &Script, received: &[u8], fate: Fate) -> Result<(), String> {
    let mut rest = received;
    let mut answered = 0;
    let mut cut = false;
    let mut closed = false;
    let (whole, _) = script.whole();
    while !rest.is_empty() {
        if closed {
            return Err(format!(
                "bytes after the last answer: {:?}",
                rest[..rest.len().min(60)].escape_ascii().to_string()
            ));
        }
        let Some(request) = script.requests.get(answered) else {
            return Err(format!("more answers than the {answered} requests"));
        };
        // The method is not known if the head stops before the end of its name.
        let is_known = script.sent_of(answered) > request.method.len() && !rest.starts_with(b"HTTP/1.1 408");
        let method = if is_known { request.method } else { "unknown" };
        let answer = match read(rest, method)? {
            Read::Whole(answer, length) => {
                rest = &rest[length..];
                answer
            }
            Read::Partial => {
                cut = true;
                break;
            }
        };
        let refused = answer.status >= 400 && answer.closes;
        match &request.expected {
            Expected::Answer(status, body) | Expected::Last(status, body)
                if answer.status == *status && answer.body == *body => {}
            Expected::Refused if refused => {}
            // The request came too late, or not whole.
            _ if refused && (answered >= whole || fate.is_hurried) => {}
            expected => {
                return Err(format!(
                    "request {answered} was answered {} with {} bytes, expected {expected:?}",
                    answer.status,
                    answer.body.len()
                ));
            }
        }
        closed = answer.closes;
        answered += 1;
    }
    if fate.is_hurried || fate.has_lost || closed || script.end == End::Reset || !script.reads_on() {
        return Ok(());
    }
    match script.stop {
        Some((_, Stage::Cut)) => Ok(()),
        // The other requests are not served any more, but an answer that was begun is whole.
        Some(_) if cut && answered < whole && script.requests[answered].expected != Expected::CutOff => {
            Err(format!("answer {answered} breaks off"))
        }
        Some(_) => Ok(()),
        None => complete(script, answered, cut),
    }
}

/// Returns the statuses of the whole answers that the client received.
pub fn statuses(script: &Script, received: &[u8]) -> Vec<u16> {
    let mut rest = received;
    let mut statuses = Vec::new();
    while let Some(request) = script.requests.get(statuses.len()) {
        match read(rest, if rest.starts_with(b"HTTP/1.1 408") { "unknown" } else { request.method }) {
            Ok(Read::Whole(answer, length)) => {
                statuses.push(answer.status);
                rest = &rest[length..];
            }
            _ => break,
        }
    }
    statuses
}

/// Checks that every answer that must arrive has arrived.
fn complete(script: &Script, answered: usize, cut: bool) -> Result<(), String> {
    let (whole, is_begun) = script.whole();
    let broken = script.requests[..whole].iter().position(|request| request.expected == Expected::CutOff);
    if let Some(due) = broken {
        return if answered == due && cut {
            Ok(())
        } else if answered < due {
            Err(format!("{answered} whole answers before the {due} that breaks off"))
        } else {
            Err("an answer that broke off looks whole".into())
        };
    }
    if cut && answered < whole {
        return Err(format!("answer {answered} breaks off"));
    }
    // Half a request is answered too, unless its client seems to have left.
    let due = whole + usize::from(is_begun && script.end == End::Wait);
    let got = answered + usize::from(cut);
    if got < due { Err(format!("{got} answers to {due} requests")) } else { Ok(()) }
}

/// Reads one response; an error if it is malformed.
fn read(bytes: &[u8], method: &str) -> Result<Read, String> {
    let Some(end) = find(bytes, b"\r\n\r\n") else {
        return Ok(Read::Partial);
    };
    let head = std::str::from_utf8(&bytes[..end]).map_err(|_| "a head that is not text")?;
    let mut lines = head.split("\r\n");
    let status = lines
        .next()
        .and_then(|line| line.strip_prefix("HTTP/1.1 "))
        .and_then(|line| line.get(..3)?.parse().ok())
        .ok_or_else(|| format!("no status line: {:?}", &head[..head.len().min(60)]))?;
    let field = |name: &str| {
        head.split("\r\n").find_map(|line| {
            let (other, value) = line.split_once(": ")?;
            other.eq_ignore_ascii_case(name).then_some(value)
        })
    };
    if field("date").is_none() {
        return Err("no Date".into());
    }
    let closes = field("connection") == Some("close");
    let start = end + 4;
    let body = &bytes[start..];
    let whole = |body: Vec<u8>, length| Ok(Read::Whole(Answer { status, body, closes }, length));
    match (field("content-length"), field("transfer-encoding")) {
        (Some(_), Some(_)) => Err("Content-Length and Transfer-Encoding".into()),
        _ if method == "HEAD" => whole(Vec::new(), start),
        (Some(length), None) => {
            let length: usize = length.parse().map_err(|_| format!("Content-Length {length:?}"))?;
            if body.is_empty() && method == "unknown" {
                whole(Vec::new(), start)
            } else if body.len() < length {
                Ok(Read::Partial)
            } else {
                whole(body[..length].to_vec(), start + length)
            }
        }
        (None, Some("chunked")) => match unchunk(body)? {
            Some((data, length)) => whole(data, start + length),
            None => Ok(Read::Partial),
        },
        (None, other) => Err(format!("a body without an end, {other:?}")),
    }
}

fn unchunk(bytes: &[u8]) -> Result<Option<(Vec<u8>, usize)>, String> {
    let (mut at, mut data) = (0, Vec::new());
    loop {
        let Some(line) = find(&bytes[at..], b"\r\n") else { return Ok(None) };
        let text = std::str::from_utf8(&bytes[at..at + line]).unwrap_or("?");
        let size = usize::from_str_radix(text, 16).map_err(|_| format!("chunk size {text:?}"))?;
        at += line + 2;
        if bytes.len() < at + size + 2 {
            return Ok(None);
        }
        data.extend_from_slice(&bytes[at..at + size]);
        at += size;
        if &bytes[at..at + 2] != b"\r\n" {
            return Err("a chunk without its end".into());
        }
        at += 2;
        if size == 0 {
            return Ok(Some((data, at)));
        }
    }
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}
