//! One file as a response, whose path the program chooses.

use std::io;
use std::path::Path;

use super::answer::{RANGE_LIMIT, Representation};
use super::disposition::attachment;
use super::media_type::MediaTypes;
use super::opened::Found;
use super::system::{Patience, open_named};
use crate::Request;
use crate::Response;

impl Response {
    /// Returns the answer to a GET or HEAD with a regular file, as [`Files`](crate::Files) answers:
    /// conditional requests and ranges get 206, 304, 412 or 416 (RFC 9110 13 and 14). The Content-Type is
    /// guessed from the name; [`header`](Self::header) replaces it.
    ///
    /// The path is opened as it is. If a path comes from a client, use `Files`. Opening a file may wait for
    /// the disk, so a handler that calls this is [`blocking`](crate::blocking).
    ///
    /// ```
    /// use transom::{HttpResult, Request, Response, Router, blocking};
    ///
    /// fn report(req: Request) -> HttpResult<Response> {
    ///     Ok(Response::file(&req, "reports/2026.pdf")?.download_as("Report 2026.pdf"))
    /// }
    /// Router::new().get("/report", blocking(report));
    /// ```
    ///
    /// # Errors
    /// Any error of the system, and `InvalidInput` if the path is no regular file.
    pub fn file(request: &Request, path: impl AsRef<Path>) -> io::Result<Self> {
        let path = path.as_ref();
        let Found::File(opened) = Found::of(open_named(path)?)? else {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("{} is no regular file", path.display()),
            ));
        };
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let types = MediaTypes::default();
        let representation = Representation {
            types: &types,
            path: &name,
            coding: None,
            vary: None,
            cache_control: None,
            download: None,
            range_limit: RANGE_LIMIT,
        };
        representation.answer(request, opened, Patience::Blocking)
    }

    /// Has the client store the body under a name (Content-Disposition, RFC 6266, RFC 8187). What is not safe
    /// in a file name becomes `_`. An answer without the content, such as a 304, stays as it is.
    ///
    /// ```
    /// use transom::Response;
    ///
    /// let response = Response::text("a,b\n").download_as("caf\u{e9}.csv");
    /// assert_eq!(
    ///     response.headers().get("content-disposition"),
    ///     Some("attachment; filename=\"caf_.csv\"; filename*=UTF-8''caf%C3%A9.csv")
    /// );
    /// ```
    #[must_use]
    pub fn download_as(self, name: &str) -> Self {
        if self.status_code().is_success() {
            self.header("content-disposition", attachment(name))
        } else {
            self
        }
    }
}
