//! An event and its lines.

use std::fmt;
use std::io;
use std::time::Duration;

use crate::Bytes;

/// A comment, which keeps a connection in use.
pub(super) const COMMENT: Bytes = Bytes::from_static(b": keep-alive\n\n");
/// The longest retry, in milliseconds: a whole number of JavaScript.
const LONGEST_RETRY: u128 = 1 << 53;

/// An event: its data, and what else the client gets.
///
/// Data may have several lines: each of CR LF, CR and LF ends one, and the client gets them as LF.
///
/// ```
/// use transom::ServerSentEvent;
///
/// let event = ServerSentEvent::new("a\nb").event("news").id("7");
/// assert_eq!(event.encode()?, "event: news\nid: 7\ndata: a\ndata: b\n\n");
/// # Ok::<(), transom::InvalidEvent>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct ServerSentEvent {
    data: Option<String>,
    event: Option<String>,
    id: Option<String>,
    retry: Option<Duration>,
}

/// The reasons for which an event cannot be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum InvalidEvent {
    /// The name of the event has a CR, LF or NUL.
    Event,
    /// The id has a CR, LF or NUL.
    Id,
    /// The retry is longer than 2^53 milliseconds.
    Retry,
}

impl ServerSentEvent {
    /// Returns an event with data.
    pub fn new(data: impl Into<String>) -> Self {
        Self { data: Some(data.into()), ..Self::default() }
    }

    /// Returns an event without data. A client takes its id and its retry, and tells its page nothing.
    pub const fn without_data() -> Self {
        Self { data: None, event: None, id: None, retry: None }
    }

    /// Sets the name of the event. Without one, a browser calls it `message`.
    #[must_use]
    pub fn event(mut self, name: impl Into<String>) -> Self {
        self.event = Some(name.into());
        self
    }

    /// Sets the id. When the client connects again, it sends the last id that it got in the field
    /// Last-Event-ID. An empty id makes the client forget it.
    #[must_use]
    pub fn id(mut self, id: impl Into<String>) -> Self {
        self.id = Some(id.into());
        self
    }

    /// Sets how long the client waits before it connects again, in whole milliseconds.
    #[must_use]
    pub fn retry(mut self, pause: Duration) -> Self {
        self.retry = Some(pause);
        self
    }

    /// Returns the id.
    pub(super) fn own_id(&self) -> Option<&str> {
        self.id.as_deref()
    }

    /// Returns the lines of the event, as they are sent.
    ///
    /// # Errors
    /// [`InvalidEvent`] if the event cannot be sent.
    pub fn encode(&self) -> Result<Bytes, InvalidEvent> {
        let data = self.data.as_deref();
        let parts = [self.event.as_deref(), self.id.as_deref(), data];
        let size: usize = parts.iter().flatten().map(|part| part.len() + 8).sum();
        let mut lines = String::with_capacity(size + 32);
        put_line(&mut lines, "event: ", self.event.as_deref(), InvalidEvent::Event)?;
        put_line(&mut lines, "id: ", self.id.as_deref(), InvalidEvent::Id)?;
        if let Some(pause) = self.retry {
            let milliseconds = pause.as_millis();
            if milliseconds > LONGEST_RETRY {
                return Err(InvalidEvent::Retry);
            }
            let text = milliseconds.to_string();
            put_line(&mut lines, "retry: ", Some(&text), InvalidEvent::Retry)?;
        }
        if let Some(mut rest) = data {
            loop {
                let end = memchr::memchr2(b'\r', b'\n', rest.as_bytes()).unwrap_or(rest.len());
                lines.push_str("data: ");
                lines.push_str(&rest[..end]);
                lines.push('\n');
                let after = &rest[end..];
                let Some(next) = after.strip_prefix("\r\n").or_else(|| after.get(1..)) else { break };
                rest = next;
            }
        }
        lines.push('\n');
        Ok(lines.into())
    }
}

/// Puts a field whose value is one line.
fn put_line(
    lines: &mut String,
    name: &str,
    value: Option<&str>,
    fault: InvalidEvent,
) -> Result<(), InvalidEvent> {
    let Some(value) = value else { return Ok(()) };
    if memchr::memchr3(b'\r', b'\n', b'\0', value.as_bytes()).is_some() {
        return Err(fault);
    }
    lines.extend([name, value, "\n"]);
    Ok(())
}

impl From<&str> for ServerSentEvent {
    fn from(data: &str) -> Self {
        Self::new(data)
    }
}

impl From<String> for ServerSentEvent {
    fn from(data: String) -> Self {
        Self::new(data)
    }
}

impl fmt::Display for InvalidEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Event => "the name of an event is one line without NUL",
            Self::Id => "the id of an event is one line without NUL",
            Self::Retry => "the retry of an event is at most 2^53 milliseconds",
        })
    }
}

impl std::error::Error for InvalidEvent {}

impl From<InvalidEvent> for io::Error {
    fn from(error: InvalidEvent) -> Self {
        Self::new(io::ErrorKind::InvalidData, error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(event: impl Into<ServerSentEvent>) -> Bytes {
        event.into().encode().unwrap()
    }

    #[test]
    fn each_end_of_a_line_begins_another_line_of_data() {
        assert_eq!(text("a\r\nb\rc\nd"), "data: a\ndata: b\ndata: c\ndata: d\n\n");
        assert_eq!(text("\n\r"), "data: \ndata: \ndata: \n\n");
        assert_eq!(text(""), "data: \n\n");
        assert_eq!(text("a\u{85}b\u{2028}c\0"), "data: a\u{85}b\u{2028}c\0\n\n");
        assert_eq!(text(" :ü"), "data:  :ü\n\n");
    }

    #[test]
    fn an_event_may_have_no_data() {
        assert_eq!(text(ServerSentEvent::without_data().id("")), "id: \n\n");
        let retry = ServerSentEvent::without_data().retry(Duration::from_micros(2_999));
        assert_eq!(text(retry), "retry: 2\n\n");
    }

    #[test]
    fn a_name_or_an_id_of_several_lines_is_refused() {
        for bad in ["a\nb", "a\rb", "\0", "a\r\n"] {
            assert_eq!(ServerSentEvent::new("").event(bad).encode(), Err(InvalidEvent::Event));
            assert_eq!(ServerSentEvent::new("").id(bad).encode(), Err(InvalidEvent::Id));
        }
        let most = Duration::from_millis(1 << 53);
        assert_eq!(text(ServerSentEvent::without_data().retry(most)), "retry: 9007199254740992\n\n");
        let more = ServerSentEvent::without_data().retry(most + Duration::from_millis(1));
        assert_eq!(more.encode(), Err(InvalidEvent::Retry));
    }
}
