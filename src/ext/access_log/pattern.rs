//! A format of directives, as Apache's `LogFormat` has them.

use super::parts::{error_of, method_of, number_of, push_client, push_request_line, with_parts};
use super::text::{push_digits, push_escaped, push_ip, push_number};
use super::time::TimeText;
use crate::Address;
use crate::Error;
use crate::Exchange;

/// A format of directives: see [`LogFormat::pattern`](crate::LogFormat::pattern).
#[derive(Debug)]
pub struct LogPattern {
    pieces: Vec<Piece>,
}

#[derive(Debug, PartialEq)]
enum Piece {
    Text(Vec<u8>),
    Client,
    LocalAddress,
    LocalPort,
    Unknown,
    Time,
    RequestLine,
    Method,
    Path,
    Query,
    Protocol,
    Status,
    /// The bytes of the answer, `-` for none.
    SentOrDash,
    Sent,
    Received,
    Seconds,
    SecondsAndMicros,
    Millis,
    Micros,
    Route,
    Reason,
    Field(Box<str>),
    ResponseField(Box<str>),
}

impl LogPattern {
    /// Reads a format.
    pub(super) fn parse(format: &str) -> Result<Self, Error> {
        let bad = |reason: &str| Error::BadFormat { format: format.to_owned(), reason: reason.to_owned() };
        if format.is_empty() {
            return Err(bad("it is empty"));
        }
        if format.bytes().any(|byte| byte.is_ascii_control() && byte != b'\t') {
            return Err(bad("it has a control byte"));
        }
        let mut pieces = Vec::new();
        let mut rest = format;
        while let Some((text, after)) = rest.split_once('%') {
            push_text(&mut pieces, text);
            let (piece, after) = directive(after).map_err(|reason| bad(&reason))?;
            match piece {
                Piece::Text(text) => push_text(&mut pieces, &String::from_utf8_lossy(&text)),
                piece => pieces.push(piece),
            }
            rest = after;
        }
        push_text(&mut pieces, rest);
        Ok(Self { pieces })
    }

    /// Returns the names of the fields of requests that the format has.
    pub(super) fn fields(&self) -> impl Iterator<Item = &str> {
        self.pieces.iter().filter_map(|piece| match piece {
            Piece::Field(name) => Some(&**name),
            _ => None,
        })
    }

    /// Returns the names of the fields of responses that the format has.
    pub(super) fn response_fields(&self) -> impl Iterator<Item = &str> {
        self.pieces.iter().filter_map(|piece| match piece {
            Piece::ResponseField(name) => Some(&**name),
            _ => None,
        })
    }

    /// Adds a line without its end.
    pub(super) fn write(&self, exchange: &Exchange<'_>, time: &mut TimeText, line: &mut Vec<u8>) {
        for piece in &self.pieces {
            piece.write(exchange, time, line);
        }
    }
}

impl Piece {
    fn write(&self, exchange: &Exchange<'_>, time: &mut TimeText, line: &mut Vec<u8>) {
        match self {
            Self::Text(text) => line.extend_from_slice(text),
            Self::Client => push_client(line, exchange),
            Self::LocalAddress => match exchange.local_addr() {
                Some(Address::Tcp(address)) => push_ip(line, address.ip()),
                Some(Address::Unix(_)) => line.extend_from_slice(b"unix"),
                _ => line.push(b'-'),
            },
            Self::LocalPort => match exchange.local_addr() {
                Some(Address::Tcp(address)) => push_number(line, address.port()),
                _ => line.push(b'-'),
            },
            Self::Unknown => line.push(b'-'),
            Self::Time => {
                line.push(b'[');
                time.push_common(line, exchange.began());
                line.push(b']');
            }
            Self::RequestLine => push_request_line(line, exchange),
            Self::Method => line.extend_from_slice(method_of(exchange).as_bytes()),
            Self::Path => match exchange.target() {
                Some(target) => with_parts(target, |path, _| push_value(line, Some(path.as_bytes()))),
                None => line.push(b'-'),
            },
            Self::Query => with_parts(exchange.target().unwrap_or("/"), |_, query| {
                if let Some(query) = query {
                    line.push(b'?');
                    push_escaped(line, query.as_bytes());
                }
            }),
            Self::Protocol => match exchange.version() {
                Some(version) => {
                    line.extend_from_slice(b"HTTP/");
                    line.extend_from_slice(number_of(version));
                }
                None => line.push(b'-'),
            },
            Self::Status => match exchange.status() {
                Some(status) => line.extend_from_slice(status.as_str().as_bytes()),
                None => line.push(b'-'),
            },
            Self::SentOrDash if exchange.bytes_out() == 0 => line.push(b'-'),
            Self::Sent | Self::SentOrDash => push_number(line, exchange.bytes_out()),
            Self::Received => push_number(line, exchange.bytes_in()),
            Self::Seconds => push_number(line, exchange.took().as_secs()),
            Self::SecondsAndMicros => {
                let took = exchange.took();
                push_number(line, took.as_secs());
                line.push(b'.');
                push_digits::<6>(line, took.subsec_micros().into());
            }
            Self::Millis => push_number(line, exchange.took().as_millis()),
            Self::Micros => push_number(line, exchange.took().as_micros()),
            // That of a fallback is empty.
            Self::Route => {
                push_value(line, exchange.route().filter(|route| !route.is_empty()).map(str::as_bytes));
            }
            Self::Reason => push_value(line, error_of(exchange).map(str::as_bytes)),
            Self::Field(name) => push_value(line, exchange.field(name)),
            Self::ResponseField(name) => push_value(line, exchange.response_field(name)),
        }
    }
}

/// Returns the piece for a directive, without its percent sign, and what follows it.
fn directive(text: &str) -> Result<(Piece, &str), String> {
    // Which of two statuses a directive means does not matter: nothing is redirected internally.
    let text = text.trim_start_matches(['<', '>']);
    let (name, text) = match text.strip_prefix('{') {
        Some(text) => {
            let (name, after) = text.split_once('}').ok_or("a brace is not closed")?;
            (Some(name), after.trim_start_matches(['<', '>']))
        }
        None => (None, text),
    };
    let mut after = text.chars();
    let letter = after.next().ok_or("it ends in the middle of a directive")?;
    let piece = match (letter, name) {
        ('%', None) => Piece::Text(b"%".to_vec()),
        ('h' | 'a', None) => Piece::Client,
        ('A', None) => Piece::LocalAddress,
        ('p', None) => Piece::LocalPort,
        ('l' | 'u', None) => Piece::Unknown,
        ('t', None) => Piece::Time,
        ('r', None) => Piece::RequestLine,
        ('m', None) => Piece::Method,
        ('U', None) => Piece::Path,
        ('q', None) => Piece::Query,
        ('H', None) => Piece::Protocol,
        ('s', None) => Piece::Status,
        ('b', None) => Piece::SentOrDash,
        ('B' | 'O', None) => Piece::Sent,
        ('I', None) => Piece::Received,
        ('D', None) | ('T', Some("us")) => Piece::Micros,
        ('T', None | Some("s")) => Piece::Seconds,
        ('T', Some("ms")) => Piece::Millis,
        ('L', None) => Piece::SecondsAndMicros,
        ('R', None) => Piece::Route,
        ('E', None) => Piece::Reason,
        ('i', Some(name)) if !name.is_empty() => Piece::Field(name.into()),
        ('o', Some(name)) if !name.is_empty() => Piece::ResponseField(name.into()),
        (letter, name) => {
            let name = name.map(|name| format!("{{{name}}}")).unwrap_or_default();
            return Err(format!("there is no directive %{name}{letter}"));
        }
    };
    Ok((piece, after.as_str()))
}

/// Adds text, to that before it if there is some.
fn push_text(pieces: &mut Vec<Piece>, text: &str) {
    match pieces.last_mut() {
        _ if text.is_empty() => {}
        Some(Piece::Text(before)) => before.extend_from_slice(text.as_bytes()),
        _ => pieces.push(Piece::Text(text.as_bytes().to_vec())),
    }
}

/// Adds a text, or `-` for none.
fn push_value(line: &mut Vec<u8>, value: Option<&[u8]>) {
    push_escaped(line, value.unwrap_or(b"-"));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_and_directives_become_pieces() {
        let pattern = LogPattern::parse("a%%b %h%>s\t\"%{Referer}i\"%{us}T%{x-id}o").unwrap();
        let text = |text: &str| Piece::Text(text.into());
        let expected = [
            text("a%b "),
            Piece::Client,
            Piece::Status,
            text("\t\""),
            Piece::Field("Referer".into()),
            text("\""),
            Piece::Micros,
            Piece::ResponseField("x-id".into()),
        ];
        assert_eq!(pattern.pieces, expected);
        assert_eq!(pattern.fields().collect::<Vec<_>>(), ["Referer"]);
        assert_eq!(pattern.response_fields().collect::<Vec<_>>(), ["x-id"]);
    }

    #[test]
    fn a_format_that_cannot_be_read_says_why() {
        for (format, reason) in [
            ("", "it is empty"),
            ("%h\n", "it has a control byte"),
            ("%", "it ends in the middle of a directive"),
            ("%h %>", "it ends in the middle of a directive"),
            ("%{Referer", "a brace is not closed"),
            ("%{}i", "there is no directive %{}i"),
            ("%{x}h", "there is no directive %{x}h"),
            ("%h %Z", "there is no directive %Z"),
            ("%{min}T", "there is no directive %{min}T"),
        ] {
            let error = LogPattern::parse(format).unwrap_err();
            assert_eq!(error.to_string(), format!("bad format {format:?} of the access log: {reason}"));
        }
    }
}
