//! [`Multipart`]: a multipart form, read part by part while it comes.

use std::future::poll_fn;
use std::mem;

use super::error::FormError;
use super::limits::FormLimits;
use super::media_type::boundary;
use super::part::Part;
use super::reader::PartReader;
use crate::Body;
use crate::Request;

impl Request {
    /// Takes the body, to read it as a multipart form part by part, with the default
    /// [`FormLimits`]. On a route that streams ([`Route::streaming`](crate::Route::streaming)) the form
    /// is read while it comes, in an amount of memory that does not grow with it.
    ///
    /// ```
    /// use transom::{Method, Request, Route, Router};
    ///
    /// let upload = Route::new(Method::POST, "/photos", async |mut req: Request| {
    ///     let mut form = req.multipart()?;
    ///     let mut total = 0;
    ///     while let Some(mut part) = form.next().await? {
    ///         if part.filename().is_some() {
    ///             total += part.save_to("/srv/photos/new.jpg").await?;
    ///         }
    ///     }
    ///     Ok(format!("{total} bytes"))
    /// });
    /// Router::new().route(upload.streaming().body_limit(1 << 30));
    /// ```
    ///
    /// # Errors
    /// 415 if the body is no multipart form, and 400 if its Content-Type has no boundary.
    pub fn multipart(&mut self) -> Result<Multipart, FormError> {
        let content_type = self.header("content-type").unwrap_or_default().to_owned();
        Multipart::new(&content_type, mem::take(self.body_mut()))
    }
}

/// A multipart form (RFC 7578), whose parts are read one after another. See
/// [`Request::multipart`] for an example.
#[derive(Debug)]
pub struct Multipart {
    reader: PartReader,
}

impl Multipart {
    /// Returns a reader of a body with that Content-Type.
    ///
    /// ```
    /// # smol::block_on(async {
    /// use transom::{Body, Multipart};
    ///
    /// let body = "--x\r\ncontent-disposition: form-data; name=\"a\"\r\n\r\nhello\r\n--x--\r\n";
    /// let mut form = Multipart::new("multipart/form-data; boundary=x", Body::from(body))?;
    /// let mut part = form.next().await?.unwrap();
    /// assert_eq!((part.name(), part.filename()), ("a", None));
    /// assert_eq!(part.text().await?, "hello");
    /// assert!(form.next().await?.is_none());
    /// # Ok::<(), transom::FormError>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    /// As [`Request::multipart`].
    pub fn new(content_type: &str, body: Body) -> Result<Self, FormError> {
        let boundary = boundary(content_type)?;
        Ok(Self { reader: PartReader::new(&boundary, body) })
    }

    /// Sets the limits on the parts that are not read yet.
    pub fn set_limits(&mut self, limits: FormLimits) {
        self.reader.set_limits(limits);
    }

    /// Waits for the next part. What was not read of the part before is read and dropped. Returns
    /// `None` after the last part.
    ///
    /// # Errors
    /// See [`FormError`]. After an error, nothing more can be read of the form.
    pub async fn next(&mut self) -> Result<Option<Part<'_>>, FormError> {
        poll_fn(|cx| self.reader.poll_next(cx)).await?;
        Ok(self.part())
    }

    /// Returns the part that [`next`](Self::next) returned last, to go on with it.
    pub fn part(&mut self) -> Option<Part<'_>> {
        self.reader.has_part().then(|| Part::new(&mut self.reader))
    }
}
