//! [`UploadFile`]: a file that a form has sent.

use std::mem;
use std::path::Path;

use blocking::unblock;
use bytes::Bytes;

use super::error::FormError;
use super::limits::FormLimits;
use super::new_file::{NewFile, folder_of};
use super::part_head::{PartHead, safe_name};
use crate::Body;

/// A file that a form has sent. Its content is in memory if it is small, and else in a temporary file
/// without a name, which ends with this value. [`save_to`](Self::save_to) keeps it. See [`Form`](crate::Form)
/// for an example.
#[derive(Debug)]
pub struct UploadFile {
    head: PartHead,
    filename: String,
    length: u64,
    content: Content,
}

#[derive(Debug)]
enum Content {
    Memory(Vec<u8>),
    File(NewFile),
}

impl UploadFile {
    pub(super) fn new(head: PartHead) -> Self {
        let filename = safe_name(head.filename.as_deref().unwrap_or_default());
        Self { head, filename, length: 0, content: Content::Memory(Vec::new()) }
    }

    /// Returns the name of the form field.
    pub fn name(&self) -> &str {
        &self.head.name
    }

    /// Returns the name that the client gave the file, without its folders and control characters. It
    /// may be empty, and it may be a name that matters to your system: do not open it for writing
    /// unchecked.
    pub fn filename(&self) -> &str {
        &self.filename
    }

    /// Returns the media type that the client names, with its parameters; `text/plain` if it names none.
    pub fn content_type(&self) -> &str {
        self.head.content_type.as_deref().unwrap_or("text/plain")
    }

    /// Returns the number of bytes.
    pub fn len(&self) -> u64 {
        self.length
    }

    /// Returns `true` if the file has no bytes.
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Returns the content if it is in memory.
    pub fn in_memory(&self) -> Option<&[u8]> {
        match &self.content {
            Content::Memory(bytes) => Some(bytes),
            Content::File(_) => None,
        }
    }

    /// Returns `true` if a file input was sent without a file.
    pub(super) fn is_absent(&self) -> bool {
        self.head.filename.as_deref().is_none_or(str::is_empty) && self.length == 0
    }

    /// Adds to the content. `memory` is how much memory the files of the form take.
    pub(super) async fn add(
        &mut self,
        chunks: Vec<Bytes>,
        limits: &FormLimits,
        memory: &mut usize,
    ) -> Result<(), FormError> {
        let length: usize = chunks.iter().map(Bytes::len).sum();
        self.length += length as u64;
        let before = match &mut self.content {
            Content::Memory(bytes) if *memory + length <= limits.memory => {
                *memory += length;
                bytes.try_reserve(length).map_err(|error| FormError::Body(error.into()))?;
                for chunk in &chunks {
                    bytes.extend_from_slice(chunk);
                }
                return Ok(());
            }
            Content::Memory(bytes) => Some(mem::take(bytes)),
            Content::File(_) => None,
        };
        *memory -= before.as_ref().map_or(0, Vec::len);
        let content = mem::replace(&mut self.content, Content::Memory(Vec::new()));
        let folder = limits.folder.clone();
        let written = unblock(move || match content {
            Content::File(file) => file.write(&chunks),
            Content::Memory(_) => NewFile::create(&folder.unwrap_or_else(std::env::temp_dir))?
                .write(&[before.unwrap_or_default().into()])?
                .write(&chunks),
        });
        self.content = Content::File(written.await.map_err(FormError::File)?);
        Ok(())
    }

    /// Writes the whole content to a file. A file of that name is replaced in one step. Nothing is copied
    /// if the content is in a temporary file and the name is new and on its file system
    /// ([`FormLimits::folder`]).
    ///
    /// # Errors
    /// [`FormError::File`].
    pub async fn save_to(self, path: impl AsRef<Path>) -> Result<(), FormError> {
        let path = path.as_ref().to_owned();
        let saved = unblock(move || match self.content {
            Content::Memory(bytes) => NewFile::create(&folder_of(&path))?.write(&[bytes.into()])?.keep(&path),
            Content::File(file) => file.keep_or_copy(&path),
        });
        saved.await.map_err(FormError::File)
    }

    /// Returns the content as a body: to send it back, or to read its chunks.
    ///
    /// # Errors
    /// [`FormError::File`].
    pub fn into_body(self) -> Result<Body, FormError> {
        match self.content {
            Content::Memory(bytes) => Ok(bytes.into()),
            Content::File(file) => file.into_file().and_then(Body::file).map_err(FormError::File),
        }
    }
}
