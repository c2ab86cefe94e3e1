//! The head of the last response that a thread has sent in a batch.

use std::cell::RefCell;

use transom::{Headers, Response, StatusCode};

use crate::fields::bad_header;
use crate::status::transom_status;

/// The longest block of header fields that is kept, in bytes.
const LONGEST_KEPT: usize = 1024;

thread_local! {
    static LAST: RefCell<LastHead> = const { RefCell::new(LastHead::new()) };
}

/// A status and header fields that were checked. Most responses have those of the one before, and a copy takes
/// a fifth of the instructions of a check.
struct LastHead {
    status: Option<StatusCode>,
    /// The lines that were given.
    block: Vec<u8>,
    /// The fields in these lines that are sent as they are.
    headers: Headers,
    /// The length of the body in these lines, if it is left out of the fields.
    length: Option<u64>,
}

/// Makes a response with these lines of header fields, and no body, for a body of `length` bytes.
pub(crate) fn response(status: StatusCode, block: &[u8], length: usize) -> Result<Response, transom_status> {
    let length = length as u64;
    let kept = LAST.try_with(|last| last.borrow_mut().response(status, block, length));
    // A thread that ends may have dropped what it kept.
    kept.unwrap_or_else(|_| LastHead::new().response(status, block, length))
}

impl LastHead {
    const fn new() -> Self {
        Self { status: None, block: Vec::new(), headers: Headers::new(), length: None }
    }

    fn response(
        &mut self,
        status: StatusCode,
        block: &[u8],
        length: u64,
    ) -> Result<Response, transom_status> {
        let mut response = Response::new(status);
        let is_length = |own: Option<u64>| own.is_none_or(|own| own == length);
        if self.status == Some(status) && self.block == block && is_length(self.length) {
            *response.headers_mut() = self.headers.clone();
            return Ok(response);
        }
        *response.headers_mut() = Headers::parse(block).map_err(|error| bad_header(&error).code())?;
        response.check_headers().map_err(|error| bad_header(&error).code())?;
        let own = response.headers().get("content-length").and_then(|value| value.parse::<u64>().ok());
        // The server writes this line itself, and a head without it takes fewer instructions. An empty body
        // may stand for that of GET, and other statuses have rules.
        let is_needless = length > 0 && own == Some(length) && status == StatusCode::OK;
        if is_needless {
            response.headers_mut().remove("content-length");
        }
        if block.len() <= LONGEST_KEPT {
            self.status = Some(status);
            self.block.clear();
            self.block.extend_from_slice(block);
            self.headers = response.headers().clone();
            self.length = own.filter(|_| is_needless);
        }
        Ok(response)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_that_is_used_again_is_that_which_was_checked() {
        let mut last = LastHead::new();
        let upgrade = b"x-a: 1\r\nupgrade: h2c\r\n";
        for _ in 0..2 {
            for block in [&b""[..], b"x-a: 1\r\n", upgrade] {
                for _ in 0..2 {
                    let response = last.response(StatusCode::UPGRADE_REQUIRED, block, 5).unwrap();
                    assert_eq!(response.headers().as_wire(), block);
                    assert_eq!(response.status_code(), StatusCode::UPGRADE_REQUIRED);
                }
            }
            // Another status, for which the field is not allowed.
            let refused = last.response(StatusCode::OK, upgrade, 5);
            assert_eq!(refused.unwrap_err(), transom_status::TRANSOM_BAD_HEADER);
            assert!(last.response(StatusCode::OK, b"no field\r\n", 5).is_err());
        }
    }

    #[test]
    fn lines_in_another_form_are_brought_into_the_usual_one() {
        let mut last = LastHead::new();
        for block in [&b"x-a:1\n"[..], b"x-a:  1 \r\n"] {
            for _ in 0..2 {
                let response = last.response(StatusCode::OK, block, 5).unwrap();
                assert_eq!(response.headers().as_wire(), b"x-a: 1\r\n");
            }
        }
    }

    #[test]
    fn a_length_that_the_server_writes_itself_is_left_out() {
        let mut last = LastHead::new();
        let block = b"Content-Length: 5\r\nx-a: 1\r\n";
        for (length, fields) in [(5, &b"x-a: 1\r\n"[..]), (4, block), (5, block), (0, block), (6, block)] {
            let response = last.response(StatusCode::OK, block, length).unwrap();
            assert_eq!(response.headers().as_wire(), fields, "{length} bytes");
        }
        let mut last = LastHead::new();
        let response = last.response(StatusCode::PARTIAL_CONTENT, block, 5).unwrap();
        assert_eq!(response.headers().as_wire(), block);
        let empty = b"content-length: 0\r\n";
        assert_eq!(last.response(StatusCode::OK, empty, 0).unwrap().headers().as_wire(), empty);
    }
}
