//! [`Part`]: a part of a multipart form while it is read.

use std::future::poll_fn;
use std::path::Path;

use blocking::unblock;
use bytes::Bytes;

use super::error::FormError;
use super::new_file::{NewFile, folder_of};
use super::part_head::{PartHead, safe_name};
use super::reader::PartReader;

/// The bytes that are collected before a thread writes them to a file. Each write but the last has just so many, so
/// that it begins and ends with a page: 100 MiB take 46 ms of the kernel's time, and 70 in pieces of 64 KiB that
/// begin within a page (ext4, getrusage(2), 2026-11).
const BYTES_PER_WRITE: usize = 256 * 1024;

/// A part of a multipart form: a field, or a file. See [`Request::multipart`](crate::Request::multipart)
/// for an example.
#[derive(Debug)]
pub struct Part<'a> {
    form: &'a mut PartReader,
}

impl<'a> Part<'a> {
    pub(super) fn new(form: &'a mut PartReader) -> Self {
        Self { form }
    }

    /// Returns the name of the field. Bytes that are not UTF-8 are U+FFFD.
    pub fn name(&self) -> &str {
        &self.form.head().name
    }

    /// Returns the name of the file without its folders and control characters. `None` for a field. The
    /// name may be empty, and it may be a name that matters to your system: do not open it for writing
    /// unchecked.
    pub fn filename(&self) -> Option<String> {
        self.form.head().filename.as_deref().map(safe_name)
    }

    /// Returns the media type that the client names, with its parameters.
    pub fn content_type(&self) -> Option<&str> {
        self.form.head().content_type.as_deref()
    }

    pub(super) fn head(&self) -> &PartHead {
        self.form.head()
    }

    /// Waits for the next bytes of the content. Returns `None` at its end.
    ///
    /// # Errors
    /// See [`FormError`]. After an error, nothing more can be read of the form.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, FormError> {
        poll_fn(|cx| self.form.poll_content(cx)).await
    }

    /// Waits for the next bytes of the content, and stores as many as fit in `buf`. Returns their number; 0
    /// is the end, unless `buf` is empty.
    ///
    /// # Errors
    /// As [`chunk`](Self::chunk).
    pub async fn read(&mut self, buf: &mut [u8]) -> Result<usize, FormError> {
        poll_fn(|cx| self.form.poll_read(cx, buf)).await
    }

    /// Returns the rest of the content, of a file too, at most
    /// [`FormLimits::field`](crate::FormLimits::field) bytes.
    ///
    /// # Errors
    /// As [`chunk`](Self::chunk); [`FormError::TooLarge`] if there is more.
    pub async fn bytes(&mut self) -> Result<Bytes, FormError> {
        let most = self.form.most_field();
        let Some(first) = self.chunk().await? else { return Ok(Bytes::new()) };
        let mut all: Option<Vec<u8>> = None;
        let mut length = first.len();
        while let Some(chunk) = self.chunk().await? {
            length += chunk.len();
            if length > most {
                break;
            }
            let all = all.get_or_insert_with(|| first.to_vec());
            all.try_reserve(chunk.len()).map_err(|error| FormError::Body(error.into()))?;
            all.extend_from_slice(&chunk);
        }
        if length > most {
            return Err(FormError::TooLarge(format!("a part of the form is larger than {most} bytes")));
        }
        Ok(all.map_or(first, Bytes::from))
    }

    /// Returns the rest of the content as text. Bytes that are not UTF-8 are U+FFFD.
    ///
    /// # Errors
    /// As [`bytes`](Self::bytes).
    pub async fn text(&mut self) -> Result<String, FormError> {
        Ok(String::from_utf8_lossy(&self.bytes().await?).into_owned())
    }

    /// Writes the rest of the content to a file, and returns its length. A file of that name is
    /// replaced. The name is given at the end, to a whole file: of an upload that breaks off, nothing is
    /// left.
    ///
    /// The crate `blocking` writes on its threads, so that the thread that serves the connection does
    /// not wait for the disk.
    ///
    /// # Errors
    /// As [`chunk`](Self::chunk), and [`FormError::File`].
    pub async fn save_to(&mut self, path: impl AsRef<Path>) -> Result<u64, FormError> {
        let path = path.as_ref().to_owned();
        let folder = folder_of(&path);
        let mut file = unblock(move || NewFile::create(&folder)).await.map_err(FormError::File)?;
        let mut total = 0;
        loop {
            let (chunks, length) = self.chunks().await?;
            if length == 0 {
                break;
            }
            total += length as u64;
            file = unblock(move || file.write(&chunks)).await.map_err(FormError::File)?;
        }
        unblock(move || file.keep(&path)).await.map_err(FormError::File)?;
        Ok(total)
    }

    /// Collects chunks for one write. There are none at the end.
    pub(super) async fn chunks(&mut self) -> Result<(Vec<Bytes>, usize), FormError> {
        let (mut chunks, mut length) = (Vec::new(), 0);
        while length < BYTES_PER_WRITE {
            let Some(mut chunk) = self.chunk().await? else { break };
            let room = BYTES_PER_WRITE - length;
            if chunk.len() > room {
                self.form.put_back(chunk.split_off(room));
            }
            length += chunk.len();
            chunks.push(chunk);
        }
        Ok((chunks, length))
    }
}
