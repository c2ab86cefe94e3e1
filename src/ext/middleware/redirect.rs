//! The response that sends a client to another place.

use crate::Response;
use crate::StatusCode;

/// Returns a redirect that keeps the method and the body: 308.
pub(super) fn redirect(location: &str) -> Response {
    Response::text("308 Permanent Redirect\n")
        .status(StatusCode::PERMANENT_REDIRECT)
        .header("location", location)
}
