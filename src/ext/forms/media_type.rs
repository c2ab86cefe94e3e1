//! The media type of a form, and the boundary that a multipart one has.

use super::error::FormError;
use super::parameters::Parameters;
use super::parser::MOST_BOUNDARY;

pub(super) const URLENCODED: &str = "application/x-www-form-urlencoded";
pub(super) const MULTIPART: &str = "multipart/form-data";

/// Returns the media type of a body, in lower case and without its parameters.
pub(super) fn media_type(content_type: &str) -> String {
    content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

/// Returns the boundary of a multipart form.
pub(super) fn boundary(content_type: &str) -> Result<Vec<u8>, FormError> {
    if media_type(content_type) != MULTIPART {
        return Err(FormError::WrongType("the content type of the body is not multipart/form-data"));
    }
    let parsed = Parameters::parse(content_type.as_bytes());
    let parsed = parsed.ok_or(FormError::malformed("the Content-Type of the form is malformed"))?;
    let boundary = parsed.get("boundary").unwrap_or_default();
    let is_printable = boundary.iter().all(|byte| matches!(byte, b' '..=b'~'));
    if boundary.is_empty() || boundary.len() > MOST_BOUNDARY || !is_printable {
        return Err(FormError::malformed("the form has no boundary of 1 to 70 characters"));
    }
    Ok(boundary.to_vec())
}
