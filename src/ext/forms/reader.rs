//! A reader of the parts of a multipart body, as functions that are polled.

use std::mem;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, Bytes};
use futures_lite::Stream as _;

use super::error::FormError;
use super::limits::FormLimits;
use super::parser::{Parser, Step};
use super::part_head::PartHead;
use crate::Body;

/// Reads parts one after another, and holds them to the limits.
#[derive(Debug)]
pub(super) struct PartReader {
    body: Body,
    parser: Parser,
    limits: FormLimits,
    /// The bytes that have come and that are not read.
    data: Bytes,
    part: Option<PartHead>,
    /// Content of the part that is counted and not read.
    content: Bytes,
    /// The bytes of the part so far, and if its end has come.
    part_length: u64,
    part_ended: bool,
    parts: usize,
    files: usize,
    /// The bytes of all fields with their names.
    fields: usize,
    is_broken: bool,
}

impl PartReader {
    pub fn new(boundary: &[u8], body: Body) -> Self {
        let limits = FormLimits::default();
        Self {
            body,
            parser: Parser::new(boundary, limits.head),
            limits,
            data: Bytes::new(),
            part: None,
            content: Bytes::new(),
            part_length: 0,
            part_ended: true,
            parts: 0,
            files: 0,
            fields: 0,
            is_broken: false,
        }
    }

    pub fn set_limits(&mut self, limits: FormLimits) {
        self.parser.set_most_head(limits.head);
        self.limits = limits;
    }

    pub fn has_part(&self) -> bool {
        self.part.is_some()
    }

    /// Returns the head of the part; an empty one if there is none.
    pub fn head(&self) -> &PartHead {
        const NONE: &PartHead =
            &PartHead { name: String::new(), name_length: 0, filename: None, content_type: None };
        self.part.as_ref().unwrap_or(NONE)
    }

    pub fn most_field(&self) -> usize {
        self.limits.field
    }

    /// Waits for the next part. What was not read of the part before is dropped.
    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), FormError>> {
        while let Some(dropped) = ready!(self.poll_content(cx))? {
            drop(dropped);
        }
        self.part = None;
        let polled = ready!(self.poll_step(cx));
        Poll::Ready(polled.and_then(|step| match step {
            Some((Step::Head(_), head)) => self.begin(&head),
            _ => Ok(()),
        }))
    }

    /// Begins a part.
    fn begin(&mut self, head: &[u8]) -> Result<(), FormError> {
        let limits = &self.limits;
        self.parts += 1;
        if self.parts > limits.parts {
            return Err(self.broken(too_many(limits.parts, "parts")));
        }
        let head = match PartHead::parse(head, limits) {
            Ok(head) => head,
            Err(error) => return Err(self.broken(error)),
        };
        (self.part_length, self.part_ended) = (0, false);
        if head.filename.is_none() {
            self.add_to_fields(head.name_length)?;
        } else if self.files >= limits.files {
            return Err(self.broken(too_many(limits.files, "files")));
        }
        self.part = Some(head);
        Ok(())
    }

    /// Waits for the next bytes of the part. `None` is its end.
    pub fn poll_content(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, FormError>> {
        if !self.content.is_empty() {
            return Poll::Ready(Ok(Some(mem::take(&mut self.content))));
        }
        if self.part_ended && !self.is_broken {
            return Poll::Ready(Ok(None));
        }
        Poll::Ready(match ready!(self.poll_step(cx)) {
            Ok(Some((Step::Content(_), content))) => self.count(content).map(Some),
            Ok(_) => {
                self.part_ended = true;
                let is_file = |name: &String| !name.is_empty() || self.part_length > 0;
                // A file input without a file is sent as an empty file without a name.
                self.files += usize::from(self.head().filename.as_ref().is_some_and(is_file));
                Ok(None)
            }
            Err(error) => Err(error),
        })
    }

    /// Waits for the next bytes of the part, and stores as many as fit. 0 is the end.
    pub fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<Result<usize, FormError>> {
        let Some(mut content) = ready!(self.poll_content(cx))? else { return Poll::Ready(Ok(0)) };
        let length = content.len().min(buf.len());
        buf[..length].copy_from_slice(&content.split_to(length));
        self.put_back(content);
        Poll::Ready(Ok(length))
    }

    /// Gives back the end of what [`poll_content`](Self::poll_content) returned last.
    pub fn put_back(&mut self, content: Bytes) {
        self.content = content;
    }

    /// Counts content of the part.
    fn count(&mut self, content: Bytes) -> Result<Bytes, FormError> {
        self.part_length += content.len() as u64;
        if self.head().filename.is_some() {
            let most = self.limits.file.unwrap_or(u64::MAX);
            if self.part_length > most {
                let sentence = format!("a file of the form is larger than {most} bytes");
                return Err(self.broken(FormError::TooLarge(sentence)));
            }
        } else {
            // Of two limits that the content exceeds, its bytes reached the one that it exceeds by more first:
            // so the refusal is the same however the content arrives.
            let beyond = self.part_length.saturating_sub(self.limits.field as u64);
            let fields = self.fields.saturating_add(content.len());
            if beyond > 0 && beyond >= fields.saturating_sub(self.limits.fields) as u64 {
                let sentence = format!("a field of the form is larger than {} bytes", self.limits.field);
                return Err(self.broken(FormError::TooLarge(sentence)));
            }
            self.add_to_fields(content.len())?;
        }
        Ok(content)
    }

    fn add_to_fields(&mut self, length: usize) -> Result<(), FormError> {
        self.fields = self.fields.saturating_add(length);
        if self.fields > self.limits.fields {
            let sentence = format!("the fields of the form are larger than {} bytes", self.limits.fields);
            return Err(self.broken(FormError::TooLarge(sentence)));
        }
        Ok(())
    }

    /// Waits for the next step, with the bytes that it names. `None` is the end of the form.
    fn poll_step(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<(Step, Bytes)>, FormError>> {
        if self.is_broken {
            return Poll::Ready(Err(FormError::malformed("the form could not be read to its end")));
        }
        loop {
            let (done, step) = match self.parser.step(&self.data) {
                Ok(taken) => taken,
                Err(error) => return Poll::Ready(Err(self.broken(error))),
            };
            let named = match &step {
                Step::Head(range) | Step::Content(range) => self.data.slice(range.clone()),
                Step::PartEnd | Step::More | Step::End => Bytes::new(),
            };
            self.data.advance(done);
            match step {
                Step::More => {
                    let came = ready!(Pin::new(&mut self.body).poll_next(cx));
                    let added = came.map(|chunk| chunk.and_then(|chunk| self.append(chunk)));
                    let error = match added {
                        Some(Ok(())) => continue,
                        Some(Err(error)) => FormError::Body(error),
                        None => FormError::malformed("the form ends before its last boundary"),
                    };
                    return Poll::Ready(Err(self.broken(error)));
                }
                Step::End => return Poll::Ready(Ok(None)),
                step => return Poll::Ready(Ok(Some((step, named)))),
            }
        }
    }

    /// Adds a chunk of the body. What is left of the one before is short: less than a delimiter or a head.
    fn append(&mut self, chunk: Bytes) -> std::io::Result<()> {
        if self.data.is_empty() {
            self.data = chunk;
            return Ok(());
        }
        let mut joined = Vec::new();
        joined.try_reserve_exact(self.data.len() + chunk.len())?;
        joined.extend_from_slice(&self.data);
        joined.extend_from_slice(&chunk);
        self.data = joined.into();
        Ok(())
    }

    /// Notes that nothing more can be read.
    fn broken(&mut self, error: FormError) -> FormError {
        self.is_broken = true;
        self.part_ended = false;
        (self.data, self.content) = (Bytes::new(), Bytes::new());
        error
    }
}

/// Returns the error for a form with too many parts or files.
pub(super) fn too_many(most: usize, what: &str) -> FormError {
    FormError::TooLarge(format!("the form has more than {most} {what}"))
}
