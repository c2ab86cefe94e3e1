//! Typed input and output: JSON, queries, forms and path parameters as values of the
//! program's own types (feature `serde`).

use std::fmt;

use http::StatusCode;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_core::{Deserialize, Serialize};
use serde_json::error::Category;

use super::http_error::{HttpError, HttpResult};
use super::json_limits::JsonLimits;
use crate::message::{IntoResponse, Request, Response};

impl Request {
    /// Reads the body as JSON.
    ///
    /// ```
    /// use serde::{Deserialize, Serialize};
    /// use transom::{Json, Request, Router};
    ///
    /// #[derive(Deserialize, Serialize)]
    /// struct User {
    ///     name: String,
    /// }
    ///
    /// Router::new().post("/users", async |req: Request| {
    ///     let user: User = req.json()?;
    ///     Ok(Json(user))
    /// });
    /// ```
    ///
    /// # Errors
    /// The response says in a sentence what is wrong: 415 if Content-Type is not JSON (a page of
    /// another site can make a browser send other types), 400 if the body is not JSON, 422 if the
    /// JSON is not a `T`, 413 or 400 if it exceeds one of the default [`JsonLimits`]. On a route that streams it
    /// is a 500, because the body has not been read.
    pub fn json<'a, T: Deserialize<'a>>(&'a self) -> HttpResult<T> {
        self.json_within(JsonLimits::default())
    }

    /// Reads the body as JSON, as [`json`](Self::json) does, with limits.
    ///
    /// ```
    /// use transom::{JsonLimits, Request, Router};
    ///
    /// Router::new().post("/names", async |req: Request| {
    ///     let mut limits = JsonLimits::default();
    ///     limits.size = Some(64 * 1024);
    ///     limits.depth = 2;
    ///     let names: Vec<String> = req.json_within(limits)?;
    ///     Ok(names.join(", "))
    /// });
    /// ```
    ///
    /// # Errors
    /// As [`json`](Self::json).
    pub fn json_within<'a, T: Deserialize<'a>>(&'a self, limits: JsonLimits) -> HttpResult<T> {
        self.expect_type("application/json", |kind| kind == "application/json" || kind.ends_with("+json"))?;
        let text = self.whole("json")?;
        limits.check(text)?;
        serde_json::from_slice(text).map_err(|error| match error.classify() {
            Category::Data => {
                mismatch(StatusCode::UNPROCESSABLE_ENTITY, "the JSON is not as expected", &error)
            }
            _ => mismatch(StatusCode::BAD_REQUEST, "the body is not JSON", &error),
        })
    }

    /// Reads the query as a value, with one field for each name. A repeated name fills a `Vec`.
    ///
    /// ```
    /// use serde::Deserialize;
    /// use transom::{Request, Router};
    ///
    /// #[derive(Deserialize)]
    /// struct Page {
    ///     number: u32,
    ///     size: Option<u32>,
    /// }
    ///
    /// Router::new().get("/users", async |req: Request| {
    ///     let page: Page = req.query_as()?;
    ///     Ok(format!("page {} of {} each", page.number, page.size.unwrap_or(20)))
    /// });
    /// ```
    ///
    /// # Errors
    /// A 400 that says in a sentence what is wrong, also if the query has more than 1,000 fields.
    pub fn query_as<'a, T: Deserialize<'a>>(&'a self) -> HttpResult<T> {
        let query = self.query().unwrap_or_default();
        expect_few(query.as_bytes(), StatusCode::BAD_REQUEST, "query")?;
        serde_html_form::from_str(query)
            .map_err(|error| mismatch(StatusCode::BAD_REQUEST, "the query is not as expected", &error))
    }

    /// Reads the body as a form (`application/x-www-form-urlencoded`), as
    /// [`query_as`](Self::query_as) reads a query.
    ///
    /// # Errors
    /// The response says in a sentence what is wrong: 415 for another Content-Type, 413 for more than 1,000
    /// fields, 422 if the form is not a `T`. On a route that streams it is a 500, because the body has not been read.
    pub fn form<'a, T: Deserialize<'a>>(&'a self) -> HttpResult<T> {
        let kind = "application/x-www-form-urlencoded";
        self.expect_type(kind, |sent| sent == kind)?;
        let form = self.whole("form")?;
        expect_few(form, StatusCode::PAYLOAD_TOO_LARGE, "form")?;
        serde_html_form::from_bytes(form).map_err(|error| {
            mismatch(StatusCode::UNPROCESSABLE_ENTITY, "the form is not as expected", &error)
        })
    }

    /// Reads the path parameters as a value, with one field for each name.
    ///
    /// ```
    /// use serde::Deserialize;
    /// use transom::{Request, Router};
    ///
    /// #[derive(Deserialize)]
    /// struct Place {
    ///     year: u16,
    ///     slug: String,
    /// }
    ///
    /// Router::new().get("/{year}/{slug}", async |req: Request| {
    ///     let place: Place = req.params_as()?;
    ///     Ok(format!("{} in {}", place.slug, place.year))
    /// });
    /// ```
    ///
    /// # Errors
    /// A 404 that says in a sentence what is wrong.
    pub fn params_as<T: for<'a> Deserialize<'a>>(&self) -> HttpResult<T> {
        let encode = |text| utf8_percent_encode(text, NON_ALPHANUMERIC);
        let pairs = self.params().iter().map(|(name, value)| format!("{}={}", encode(name), encode(value)));
        serde_html_form::from_str(&pairs.collect::<Vec<_>>().join("&"))
            .map_err(|error| mismatch(StatusCode::NOT_FOUND, "the path is not as expected", &error))
    }

    /// Checks the media type of the body, in lower case and without its parameters.
    fn expect_type(&self, expected: &str, is_right: impl FnOnce(&str) -> bool) -> HttpResult<()> {
        let sent = self.header("content-type").unwrap_or_default();
        let kind = sent.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        if is_right(&kind) {
            return Ok(());
        }
        let sentence = format!("the content type of the body is not {expected}");
        Err(HttpError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, sentence))
    }

    /// Returns the whole body for a method that needs it.
    fn whole(&self, method: &str) -> HttpResult<&[u8]> {
        self.body.as_bytes().ok_or_else(|| {
            HttpError::from(format!(
                "{method}() needs the whole body, and the route streams it: collect the body first"
            ))
        })
    }
}

/// The most fields of a query or a form that is read as a value.
const MOST_FIELDS: usize = 1_000;

/// Refuses a query or a form with too many fields, before anything is decoded.
fn expect_few(encoded: &[u8], status: StatusCode, what: &str) -> HttpResult<()> {
    if memchr::memchr_iter(b'&', encoded).count() < MOST_FIELDS {
        return Ok(());
    }
    Err(HttpError::new(status, format!("the {what} has more than {MOST_FIELDS} fields")))
}

/// The longest text of an error that a client is shown, in bytes. The text may repeat a value that
/// the client sent, however long.
const LONGEST: usize = 256;

/// Returns the response for input that is not as expected.
fn mismatch(status: StatusCode, what: &str, error: &impl fmt::Display) -> HttpError {
    let error = error.to_string();
    if error.len() <= LONGEST {
        return HttpError::new(status, format!("{what}: {error}"));
    }
    // The kind of the error is at the start of its text, the position at the end.
    let is_boundary = |&at: &usize| error.is_char_boundary(at);
    let start = (0..=LONGEST / 2).rev().find(is_boundary).map_or("", |at| &error[..at]);
    let end = (error.len() - LONGEST / 2..error.len()).find(is_boundary).map_or("", |at| &error[at..]);
    HttpError::new(status, format!("{what}: {start} ... {end}"))
}

/// A response in JSON: 200 with the value, as `application/json`.
///
/// A value that cannot be written as JSON is a 500 and a line in the log. See
/// [`Request::json`] for an example.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Json<T>(pub T);

impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        match serde_json::to_vec(&self.0) {
            Ok(text) => Response::bytes("application/json", text),
            Err(error) => Response::failed(format!("a handler's JSON could not be written: {error}")),
        }
    }
}
