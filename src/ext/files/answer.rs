//! The answer with a file: its fields, and the parts of it that the request asks for.

use std::io;
use std::time::SystemTime;

use super::super::accept_encoding::Coding;
use super::byte_ranges;
use super::conditions::{Outcome, allows_part, evaluate};
use super::disposition::attachment;
use super::media_type::MediaTypes;
use super::opened::Opened;
use super::range::{Parts, parts};
use super::system::Patience;
use super::validators::Validators;
use crate::Body;
use crate::Method;
use crate::Request;
use crate::Response;
use crate::StatusCode;

/// The most parts that a request may ask for, unless the program says otherwise.
pub(super) const RANGE_LIMIT: usize = 32;

/// How a file is described to the client.
pub(super) struct Representation<'a> {
    pub types: &'a MediaTypes,
    /// The path or the name that tells the type.
    pub path: &'a str,
    pub coding: Option<Coding>,
    /// The fields of the request that decided on the file.
    pub vary: Option<&'static str>,
    pub cache_control: Option<&'a str>,
    /// The name under which the client stores the file.
    pub download: Option<&'a str>,
    pub range_limit: usize,
}

impl Representation<'_> {
    /// Returns the answer to a GET or HEAD.
    ///
    /// # Errors
    /// As [`Opened::body`].
    pub fn answer(&self, request: &Request, opened: Opened, patience: Patience) -> io::Result<Response> {
        let validators = Validators::of(&opened, self.coding, SystemTime::now());
        let (headers, size) = (request.headers(), opened.size);
        match evaluate(headers, &validators) {
            Outcome::Proceed => {}
            Outcome::Failed => return Ok(Response::plain(StatusCode::PRECONDITION_FAILED)),
            Outcome::NotModified => {
                return Ok(self.for_caches(Response::new(StatusCode::NOT_MODIFIED), &validators));
            }
        }
        let content_type = self.types.of(self.path);
        if request.method() == Method::HEAD {
            let response = self.described(&validators, &content_type, Body::empty());
            return Ok(response.header("content-length", size.to_string()));
        }
        let is_partial = headers.contains("range") && allows_part(headers, &validators);
        let wanted = if is_partial { parts(headers, size, self.range_limit) } else { Parts::Whole };
        Ok(match wanted {
            Parts::Whole => self.described(&validators, &content_type, opened.body(0..size, patience)?),
            Parts::One(part) => {
                let range = format!("bytes {}-{}/{size}", part.start, part.end - 1);
                self.described(&validators, &content_type, opened.body(part, patience)?)
                    .status(StatusCode::PARTIAL_CONTENT)
                    .header("content-range", range)
            }
            Parts::Many(parts) => {
                let boundary = byte_ranges::boundary();
                let many = format!("multipart/byteranges; boundary={boundary}");
                let body = byte_ranges::body(opened.into_file(), size, parts, &content_type, &boundary);
                self.described(&validators, &many, body).status(StatusCode::PARTIAL_CONTENT)
            }
            Parts::Unsatisfiable => Response::plain(StatusCode::RANGE_NOT_SATISFIABLE)
                .header("content-range", format!("bytes */{size}")),
        })
    }

    /// Returns a 200 with all fields of the representation.
    fn described(&self, validators: &Validators, content_type: &str, body: Body) -> Response {
        let response = Response::bytes(content_type, body);
        let mut response = self
            .for_caches(response, validators)
            .append_header("last-modified", validators.last_modified())
            .append_header("accept-ranges", "bytes")
            // A browser must not take a file for a script because of its bytes.
            .append_header("x-content-type-options", "nosniff");
        if let Some(coding) = self.coding {
            response = response.append_header("content-encoding", coding.name());
        }
        if let Some(name) = self.download {
            response = response.append_header("content-disposition", attachment(name));
        }
        response
    }

    /// Adds the fields that a 304 has too (RFC 9110 15.4.5).
    fn for_caches(&self, response: Response, validators: &Validators) -> Response {
        let mut response = response.append_header("etag", &validators.tag);
        if let Some(value) = self.cache_control {
            response = response.append_header("cache-control", value);
        }
        if let Some(fields) = self.vary {
            response = response.append_header("vary", fields);
        }
        response
    }
}
