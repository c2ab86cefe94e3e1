//! The parser of multipart bodies (RFC 2046 5.1, RFC 7578): functions over bytes, however they come.

use std::ops::Range;

use memchr::memmem::Finder;
use memchr::{memmem, memrchr};

use super::error::FormError;

/// The most bytes of white space after a boundary.
const MOST_PADDING: usize = 64;
/// The most bytes of a boundary (RFC 2046 5.1.1).
pub(super) const MOST_BOUNDARY: usize = 70;

/// The kind of the next bytes of a body, with their range in the bytes that the parser got.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// The header section of the next part: lines that CR LF separates.
    Head(Range<usize>),
    /// Bytes of the content of the part.
    Content(Range<usize>),
    /// The part is complete.
    PartEnd,
    /// More bytes are needed.
    More,
    /// The form is complete. What follows does not count.
    End,
}

#[derive(Debug)]
enum State {
    /// At the start of the body, where a boundary may have no line before it.
    Start,
    /// Before the first boundary.
    Preamble,
    /// After a boundary, in the same line.
    Line,
    /// In the header section of a part, which begins with CR LF. So many bytes have been searched.
    Head { searched: usize },
    /// In the content of a part. So many bytes at its start are not content.
    Content { skip: usize },
    /// After the last boundary.
    End,
}

/// A parser of a multipart body. It keeps no bytes.
#[derive(Debug)]
pub(super) struct Parser {
    delimiter: Finder<'static>,
    most_head: usize,
    state: State,
}

impl Parser {
    pub fn new(boundary: &[u8], most_head: usize) -> Self {
        let delimiter = Finder::new(&[b"\r\n--", boundary].concat()).into_owned();
        Self { delimiter, most_head, state: State::Start }
    }

    pub fn set_most_head(&mut self, bytes: usize) {
        self.most_head = bytes;
    }

    /// Returns the next step, and how many bytes at the start of `data` are done with. The next call
    /// gets the rest, and after [`Step::More`] what has come behind it.
    pub fn step(&mut self, data: &[u8]) -> Result<(usize, Step), FormError> {
        let mut done = 0;
        loop {
            let (consumed, step) = self.advance(&data[done..])?;
            let before = done;
            done += consumed;
            if let Some(step) = step {
                return Ok((done, moved(step, before)));
            }
        }
    }

    /// Takes one step. `None` is a step that a reader need not know of.
    fn advance(&mut self, data: &[u8]) -> Result<(usize, Option<Step>), FormError> {
        Ok(match self.state {
            State::Start => self.start(data),
            State::Preamble => match self.find(data) {
                Ok(at) => {
                    self.state = State::Line;
                    (at + self.delimiter.needle().len(), None)
                }
                Err(end) => (end, Some(Step::More)),
            },
            State::Line => self.line(data)?,
            State::Head { searched } => self.head(data, searched)?,
            State::Content { skip } => self.content(data, skip),
            State::End => (data.len(), Some(Step::End)),
        })
    }

    fn start(&mut self, data: &[u8]) -> (usize, Option<Step>) {
        let first = &self.delimiter.needle()[2..];
        if data.starts_with(first) {
            self.state = State::Line;
            return (first.len(), None);
        }
        if first.starts_with(data) {
            return (0, Some(Step::More));
        }
        self.state = State::Preamble;
        (0, None)
    }

    /// Reads the rest of the line of a boundary, up to its CR LF.
    fn line(&mut self, data: &[u8]) -> Result<(usize, Option<Step>), FormError> {
        let malformed = || FormError::malformed("a boundary of the form is malformed");
        if data.starts_with(b"--") {
            self.state = State::End;
            return Ok((2, None));
        }
        let line = &data[..data.len().min(MOST_PADDING + 2)];
        let Some(end) = memmem::find(line, b"\r\n") else {
            return if line.len() == MOST_PADDING + 2 { Err(malformed()) } else { Ok((0, Some(Step::More))) };
        };
        if !line[..end].iter().all(|byte| matches!(byte, b' ' | b'\t')) {
            return Err(malformed());
        }
        self.state = State::Head { searched: 0 };
        Ok((end, None))
    }

    /// Reads the header section of a part, which begins with CR LF here.
    fn head(&mut self, data: &[u8], searched: usize) -> Result<(usize, Option<Step>), FormError> {
        let most = self.most_head.saturating_add(6);
        let head = &data[..data.len().min(most)];
        let Some(found) = memmem::find(&head[searched..], b"\r\n\r\n") else {
            if head.len() == most {
                let sentence =
                    format!("the header section of a part is larger than {} bytes", self.most_head);
                return Err(FormError::TooLarge(sentence));
            }
            // So that a head that comes byte by byte is not searched from its start each time.
            self.state = State::Head { searched: head.len().saturating_sub(3) };
            return Ok((0, Some(Step::More)));
        };
        let end = searched + found;
        // The empty line may belong to the next boundary already, if the part has no content.
        self.state = State::Content { skip: 2 };
        Ok((end + 2, Some(Step::Head(end.min(2)..end))))
    }

    fn content(&mut self, data: &[u8], skip: usize) -> (usize, Option<Step>) {
        let delimiter = self.delimiter.needle();
        // The search of the step before has ended here.
        if data.starts_with(delimiter) {
            self.state = State::Line;
            return (delimiter.len(), Some(Step::PartEnd));
        }
        let end = self.find(data).unwrap_or_else(|end| end);
        if end == 0 {
            return (0, Some(Step::More));
        }
        self.state = State::Content { skip: 0 };
        // A CR LF alone could begin a delimiter, so that the search does not end between the two.
        let start = skip.min(end);
        (end, (start < end).then_some(Step::Content(start..end)))
    }

    /// Returns where the delimiter begins, or where one may begin of which the end has not come: the
    /// end of the data, if none does.
    fn find(&self, data: &[u8]) -> Result<usize, usize> {
        if let Some(at) = self.delimiter.find(data) {
            return Ok(at);
        }
        let delimiter = self.delimiter.needle();
        let tail = data.len().saturating_sub(delimiter.len() - 1);
        let partial = memrchr(b'\r', &data[tail..]).map(|at| tail + at);
        Err(partial.filter(|at| delimiter.starts_with(&data[*at..])).unwrap_or(data.len()))
    }
}

/// Returns a step whose places are those of data that begins `by` bytes earlier.
fn moved(step: Step, by: usize) -> Step {
    let range = |range: Range<usize>| range.start + by..range.end + by;
    match step {
        Step::Head(head) => Step::Head(range(head)),
        Step::Content(content) => Step::Content(range(content)),
        other => other,
    }
}
