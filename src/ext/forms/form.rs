//! [`Form`]: a whole form, with its fields and files.

use std::mem;

use super::error::FormError;
use super::limits::FormLimits;
use super::media_type::{MULTIPART, URLENCODED, media_type};
use super::multipart::Multipart;
use super::reader::too_many;
use super::upload::UploadFile;
use crate::Body;
#[cfg(feature = "serde")]
use crate::HttpError;
#[cfg(feature = "serde")]
use crate::HttpResult;
use crate::Reject;
use crate::Request;
#[cfg(feature = "serde")]
use crate::StatusCode;

impl Request {
    /// Takes the body, and reads it as a whole form: `application/x-www-form-urlencoded` or
    /// `multipart/form-data`. Large files go to temporary files. See [`Form`] for an example.
    ///
    /// # Errors
    /// 415 if the body is no form, 400 if it is malformed, 413 if it exceeds a limit: see
    /// [`FormError`].
    pub async fn read_form(&mut self, limits: FormLimits) -> Result<Form, FormError> {
        let content_type = self.header("content-type").unwrap_or_default().to_owned();
        let body = mem::take(self.body_mut());
        match &*media_type(&content_type) {
            URLENCODED => urlencoded(body, &limits).await,
            MULTIPART => multipart(Multipart::new(&content_type, body)?, limits).await,
            _ => Err(FormError::WrongType("the content type of the body is not that of a form")),
        }
    }
}

/// The fields of a form in their order, with its files.
///
/// ```
/// use transom::{FormLimits, Request, Router};
///
/// Router::new().post("/photos", async |mut req: Request| {
///     let mut form = req.read_form(FormLimits::default()).await?;
///     let title = form.get("title").unwrap_or("no title").to_owned();
///     for (number, file) in form.take_files().into_iter().enumerate() {
///         file.save_to(format!("/srv/photos/{number}.jpg")).await?;
///     }
///     Ok(title)
/// });
/// ```
#[derive(Debug, Default)]
pub struct Form {
    fields: Vec<(String, String)>,
    files: Vec<UploadFile>,
}

impl Form {
    /// Returns the first value of a field. Bytes that are not UTF-8 are U+FFFD.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.iter().find(|(other, _)| *other == name).map(|(_, value)| value)
    }

    /// Returns all values of a field, in their order.
    pub fn get_all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.iter().filter(move |(other, _)| *other == name).map(|(_, value)| value)
    }

    /// Returns the names and values of the fields, in their order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.fields.iter().map(|(name, value)| (&**name, &**value))
    }

    /// Returns the fields as a value, with one field for each name. A repeated name fills a `Vec`. The files
    /// are not part of the value.
    ///
    /// ```
    /// use serde::Deserialize;
    /// use transom::{FormLimits, Request, Router};
    ///
    /// #[derive(Deserialize)]
    /// struct Photo {
    ///     title: String,
    ///     width: u32,
    /// }
    ///
    /// Router::new().post("/photos", async |mut req: Request| {
    ///     let form = req.read_form(FormLimits::default()).await?;
    ///     let photo: Photo = form.fields_as()?;
    ///     Ok(format!("{}, {} pixels, {} files", photo.title, photo.width, form.files().len()))
    /// });
    /// ```
    ///
    /// # Errors
    /// A 422 that says in a sentence what is wrong.
    #[cfg(feature = "serde")]
    pub fn fields_as<T: serde_core::de::DeserializeOwned>(&self) -> HttpResult<T> {
        let mut encoded = form_urlencoded::Serializer::new(String::new());
        encoded.extend_pairs(self.iter());
        serde_html_form::from_str(&encoded.finish()).map_err(|error| {
            // The sentence may repeat a value of the client, however long.
            let sentence: String = error.to_string().chars().take(256).collect();
            let status = StatusCode::UNPROCESSABLE_ENTITY;
            HttpError::new(status, format!("the form is not as expected: {sentence}"))
        })
    }

    /// Returns the files, in their order.
    pub fn files(&self) -> &[UploadFile] {
        &self.files
    }

    /// Takes the files out of the form, in their order.
    pub fn take_files(&mut self) -> Vec<UploadFile> {
        mem::take(&mut self.files)
    }
}

async fn urlencoded(body: Body, limits: &FormLimits) -> Result<Form, FormError> {
    let too_large =
        || FormError::TooLarge(format!("the fields of the form are larger than {} bytes", limits.fields));
    if body.len().is_some_and(|length| length > limits.fields as u64) {
        return Err(too_large());
    }
    let body = body.collect(limits.fields).await.map_err(|error| match error.kind() {
        std::io::ErrorKind::InvalidData if error.get_ref().is_some_and(|it| !it.is::<Reject>()) => {
            too_large()
        }
        _ => FormError::Body(error),
    })?;
    if !body.is_ascii() {
        return Err(FormError::malformed("the body is not a form"));
    }
    // Counted before anything is decoded.
    if !body.is_empty() && memchr::memchr_iter(b'&', &body).count() >= limits.parts {
        return Err(too_many(limits.parts, "parts"));
    }
    let fields = form_urlencoded::parse(&body);
    let fields = fields.map(|(name, value)| (name.into_owned(), value.into_owned())).collect();
    Ok(Form { fields, files: Vec::new() })
}

async fn multipart(mut parts: Multipart, limits: FormLimits) -> Result<Form, FormError> {
    parts.set_limits(limits.clone());
    let (mut form, mut memory) = (Form::default(), 0);
    while let Some(mut part) = parts.next().await? {
        if part.filename().is_none() {
            let value = part.text().await?;
            form.fields.push((part.name().to_owned(), value));
            continue;
        }
        let mut file = UploadFile::new(part.head().clone());
        loop {
            let (chunks, length) = part.chunks().await?;
            if length == 0 {
                break;
            }
            file.add(chunks, &limits, &mut memory).await?;
        }
        if !file.is_absent() {
            form.files.push(file);
        }
    }
    Ok(form)
}
