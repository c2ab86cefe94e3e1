//! [`HttpError`]: the error type of handlers, into which `?` converts all others.

use std::error::Error;
use std::{fmt, io};

use http::StatusCode;

use crate::error::Reject;
use crate::message::{BoxError, Failure, IntoResponse, Response};

/// The result of a handler that uses `?`.
///
/// ```
/// use transom::{HttpResult, OrStatus, Request, Router};
///
/// async fn double(req: Request) -> HttpResult<String> {
///     let number: i64 = req.param("number").parse().or_bad_request("not a number")?;
///     Ok((2 * number).to_string())
/// }
/// Router::new().get("/double/{number}", double);
/// ```
pub type HttpResult<T> = Result<T, HttpError>;

/// The error of a handler: a response, and the error that caused it, if there is one.
///
/// `?` converts every [`std::error::Error`], every text and every boxed error into an
/// `HttpError`. The client then gets a 500 without details, and the log has the text of the error
/// and of its sources. [`OrStatus`] chooses another status;
/// [`Router::on_error`](crate::Router::on_error) chooses the response for one type of errors.
///
/// [`Server::own_answers`](crate::Server::own_answers) words that 500, but no error with another
/// status or a response of its own: a [wrap](crate::Router::wrap) can change those.
///
/// ```
/// use transom::{HttpError, Request, Response, Router, StatusCode};
///
/// Router::new().get("/motd", async |req: Request| {
///     if req.header("authorization").is_none() {
///         let denied = Response::new(StatusCode::UNAUTHORIZED).header("www-authenticate", "Basic");
///         return Err(HttpError::respond(denied));
///     }
///     Ok(std::fs::read_to_string("/etc/motd")?) // an error is a 500 and a line in the log
/// });
/// ```
///
/// A closure needs no annotation, because a [`Result`] is a response only if its error type is
/// `HttpError`. With another error type it does not compile:
///
/// ```compile_fail,E0277
/// use transom::{Request, Router, StatusCode};
/// async fn missing(_: Request) -> Result<&'static str, StatusCode> {
///     Err(StatusCode::NOT_FOUND)
/// }
/// Router::new().get("/", missing);
/// ```
pub struct HttpError(Box<Inner>);

struct Inner {
    response: Response,
    cause: Option<BoxError>,
    /// True if the handler has not chosen the response, so that a hook for errors may.
    is_open: bool,
}

/// Declares a constructor for one status.
macro_rules! status {
    ($name:ident $status:ident $code:literal) => {
        #[doc = concat!("Returns an error of status ", $code, " whose body is the sentence.")]
        pub fn $name(sentence: impl Into<String>) -> Self {
            Self::new(StatusCode::$status, sentence)
        }
    };
}

impl HttpError {
    /// Returns an error of that status whose body is the sentence, as a line of plain text.
    pub fn new(status: StatusCode, sentence: impl Into<String>) -> Self {
        let mut sentence = sentence.into();
        if !sentence.ends_with('\n') {
            sentence.push('\n');
        }
        Self::respond(Response::text(sentence).status(status))
    }

    status!(bad_request BAD_REQUEST "400");
    status!(unauthorized UNAUTHORIZED "401");
    status!(forbidden FORBIDDEN "403");
    status!(not_found NOT_FOUND "404");
    status!(conflict CONFLICT "409");

    /// Returns an error that is answered with `response`.
    pub fn respond(response: impl IntoResponse) -> Self {
        Self(Box::new(Inner { response: response.into_response(), cause: None, is_open: false }))
    }

    /// Adds the error that caused this one. The log gets it with its sources, at level error if the
    /// status is 500 or above, otherwise at level debug. The client does not see it.
    #[must_use]
    pub fn because(mut self, cause: impl Into<BoxError>) -> Self {
        self.0.cause = Some(cause.into());
        self
    }

    /// Returns the status.
    pub fn status(&self) -> StatusCode {
        self.0.response.status_code()
    }
}

impl<E: Into<BoxError>> From<E> for HttpError {
    fn from(error: E) -> Self {
        let error = error.into();
        if let Some(reject) = reject(&*error) {
            return Self::respond(reject);
        }
        let response = Response::plain(StatusCode::INTERNAL_SERVER_ERROR);
        Self(Box::new(Inner { response, cause: Some(error), is_open: true }))
    }
}

/// Returns the refusal that an error is, or that the error of a body holds.
fn reject(error: &(dyn Error + Send + Sync + 'static)) -> Option<Reject> {
    let held = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
    held.unwrap_or(error).downcast_ref().copied()
}

impl fmt::Debug for HttpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpError").field("status", &self.status()).field("cause", &self.0.cause).finish()
    }
}

impl IntoResponse for HttpError {
    fn into_response(self) -> Response {
        let Inner { mut response, cause, is_open } = *self.0;
        if let Some(cause) = cause {
            response.extra().failure = Some(Box::new(if is_open {
                Failure::unanswered(cause)
            } else {
                Failure::of(response.status_code(), &cause)
            }));
        }
        response
    }
}

/// The only implementation for a `Result`, so that rustc infers the error type of a closure.
impl<T: IntoResponse> IntoResponse for HttpResult<T> {
    fn into_response(self) -> Response {
        self.map_or_else(IntoResponse::into_response, IntoResponse::into_response)
    }
}

/// Turns `None` or any error into an [`HttpError`] with a status and a sentence, for use with `?`.
///
/// The error is kept as the cause: see [`HttpError::because`].
///
/// ```
/// use std::collections::HashMap;
/// use transom::{OrStatus, Request, Router};
///
/// let names = HashMap::from([(1, "ada"), (2, "grace")]);
/// Router::new().get("/names/{id}", async move |req: Request| {
///     let id: u32 = req.param("id").parse().or_bad_request("an id is a number")?;
///     names.get(&id).copied().or_not_found("no such name")
/// });
/// ```
pub trait OrStatus<T>: Sized {
    /// Returns the value, or an error of that status with that sentence.
    ///
    /// # Errors
    /// An [`HttpError`] for `None` or `Err`.
    fn or_status(self, status: StatusCode, sentence: impl Into<String>) -> HttpResult<T>;

    /// Returns the value, or a 404 with that sentence.
    ///
    /// # Errors
    /// An [`HttpError`] for `None` or `Err`.
    fn or_not_found(self, sentence: impl Into<String>) -> HttpResult<T> {
        self.or_status(StatusCode::NOT_FOUND, sentence)
    }

    /// Returns the value, or a 400 with that sentence.
    ///
    /// # Errors
    /// An [`HttpError`] for `None` or `Err`.
    fn or_bad_request(self, sentence: impl Into<String>) -> HttpResult<T> {
        self.or_status(StatusCode::BAD_REQUEST, sentence)
    }
}

impl<T> OrStatus<T> for Option<T> {
    fn or_status(self, status: StatusCode, sentence: impl Into<String>) -> HttpResult<T> {
        self.ok_or_else(|| HttpError::new(status, sentence))
    }
}

impl<T, E: Into<BoxError>> OrStatus<T> for Result<T, E> {
    fn or_status(self, status: StatusCode, sentence: impl Into<String>) -> HttpResult<T> {
        self.map_err(|error| HttpError::new(status, sentence).because(error))
    }
}
