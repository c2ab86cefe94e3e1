//! The head of the last response that a thread has sent in a batch.

use std::cell::RefCell;

use transom::{Headers, Response, StatusCode};

use crate::fields::bad_header;
use crate::status::transom_status;

/// The longest block of header fields that is kept, in bytes.
const LONGEST_KEPT: usize = 1024;

thread_local! {
    static LAST: RefCell<LastHead> = const { RefCell::new(LastHead { status: None, headers: Headers::new() }) };
}

/// A status and header fields that were checked. Most responses have those of the one before, and a copy takes
/// a fifth of the instructions of a check.
struct LastHead {
    status: Option<StatusCode>,
    headers: Headers,
}

/// Makes a response with these lines of header fields, and no body.
pub(crate) fn response(status: StatusCode, block: &[u8]) -> Result<Response, transom_status> {
    LAST.with_borrow_mut(|last| last.response(status, block))
}

impl LastHead {
    fn response(&mut self, status: StatusCode, block: &[u8]) -> Result<Response, transom_status> {
        let mut response = Response::new(status);
        if self.status == Some(status) && self.headers.as_wire() == block {
            *response.headers_mut() = self.headers.clone();
            return Ok(response);
        }
        *response.headers_mut() = Headers::parse(block).map_err(|error| bad_header(&error).code())?;
        response.check_headers().map_err(|error| bad_header(&error).code())?;
        if block.len() <= LONGEST_KEPT {
            *self = Self { status: Some(status), headers: response.headers().clone() };
        }
        Ok(response)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_that_is_used_again_is_that_which_was_checked() {
        let mut last = LastHead { status: None, headers: Headers::new() };
        let upgrade = b"x-a: 1\r\nupgrade: h2c\r\n";
        for _ in 0..2 {
            for block in [&b""[..], b"x-a: 1\r\n", upgrade] {
                for _ in 0..2 {
                    let response = last.response(StatusCode::UPGRADE_REQUIRED, block).unwrap();
                    assert_eq!(response.headers().as_wire(), block);
                    assert_eq!(response.status_code(), StatusCode::UPGRADE_REQUIRED);
                }
            }
            // Another status, for which the field is not allowed.
            let refused = last.response(StatusCode::OK, upgrade);
            assert_eq!(refused.unwrap_err(), transom_status::TRANSOM_BAD_HEADER);
            assert!(last.response(StatusCode::OK, b"no field\r\n").is_err());
        }
    }

    #[test]
    fn lines_in_another_form_are_parsed_each_time() {
        let mut last = LastHead { status: None, headers: Headers::new() };
        for block in [&b"x-a:1\n"[..], b"x-a:  1 \r\n"] {
            for _ in 0..2 {
                assert_eq!(last.response(StatusCode::OK, block).unwrap().headers().as_wire(), b"x-a: 1\r\n");
            }
        }
    }
}
