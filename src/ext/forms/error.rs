//! [`FormError`]: why a form was not read.

use std::borrow::Cow;
use std::{fmt, io};

use crate::HttpError;
use crate::Reject;
use crate::StatusCode;

/// The reason why a form was not read. `?` in a handler turns it into a response: see
/// [`status`](Self::status).
///
/// ```
/// use transom::{FormError, FormLimits, Request, Router};
///
/// Router::new().post("/photos", async |mut req: Request| match req.read_form(FormLimits::default()).await {
///     Ok(form) => Ok(format!("{} files", form.files().len())),
///     Err(FormError::TooLarge(sentence)) => Ok(format!("less, please: {sentence}")),
///     Err(other) => Err(other.into()),
/// });
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub enum FormError {
    /// The Content-Type is not that of a form: 415.
    WrongType(&'static str),
    /// The body is not a form: 400.
    Malformed(Cow<'static, str>),
    /// The form exceeds one of the [`FormLimits`](crate::FormLimits): 413.
    TooLarge(String),
    /// The body broke off, or the server refused the rest: the status of that refusal.
    Body(io::Error),
    /// A file could not be written: 500, and a line in the log.
    File(io::Error),
}

impl FormError {
    pub(super) fn malformed(sentence: &'static str) -> Self {
        Self::Malformed(Cow::Borrowed(sentence))
    }

    /// Returns the status of the response that this error becomes.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::WrongType(_) => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::Malformed(_) => StatusCode::BAD_REQUEST,
            Self::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Body(error) => {
                let reject = error.get_ref().and_then(|inner| inner.downcast_ref::<Reject>());
                reject.map_or(StatusCode::INTERNAL_SERVER_ERROR, |reject| reject.status())
            }
            Self::File(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

impl fmt::Display for FormError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::WrongType(sentence) => f.write_str(sentence),
            Self::Malformed(sentence) => f.write_str(sentence),
            Self::TooLarge(sentence) => f.write_str(sentence),
            Self::Body(error) => error.fmt(f),
            Self::File(error) => write!(f, "a file of a form could not be written: {error}"),
        }
    }
}

/// No [`std::error::Error`], of which an [`HttpError`] has one conversion for all: a 500.
impl From<FormError> for HttpError {
    fn from(error: FormError) -> Self {
        match error {
            FormError::Body(error) => error.into(),
            FormError::File(_) => error.to_string().into(),
            _ => Self::new(error.status(), error.to_string()),
        }
    }
}
