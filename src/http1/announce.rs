//! Tells the writer of a response body how much of the body is sent.

use http::Version;

use super::plan::{Payload, plan};
use crate::body::Body;
use crate::message::Response;

/// Tells the body's writer, if there is one, before the response is planned. This is possible
/// because the plan's payload does not depend on the connection.
pub(crate) fn announce_early(is_head: bool, response: &Response) {
    if response.body.reader().is_some() {
        announce(&response.body, plan(is_head, Version::HTTP_11, true, response).payload);
    }
}

/// Tells the body's writer, if there is one, how much of the body is sent.
pub(crate) fn announce(body: &Body, payload: Payload) {
    let Some(reader) = body.reader() else { return };
    match payload {
        Payload::None { .. } => reader.discard(),
        Payload::Length(length) => reader.expect(length),
        Payload::Chunked | Payload::UntilClose => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::body::{BodyWriter, WriteError};
    use http::StatusCode;

    fn announced(is_head: bool, response: Response) -> BodyWriter {
        let (writer, body) = Body::channel();
        announce_early(is_head, &response.body(body));
        writer
    }

    #[test]
    fn rfc9110_9_3_2_a_writer_fills_what_is_not_sent_in_vain_but_without_an_error() {
        for (is_head, status) in [(true, 200), (false, 204), (false, 205), (false, 304)] {
            let response = Response::new(StatusCode::from_u16(status).unwrap()).header("content-length", "3");
            let writer = announced(is_head, response);
            for _ in 0..3 {
                writer.write_blocking(vec![0; 64 * 1024], None).unwrap();
            }
            assert!(writer.is_gone());
            writer.finish().unwrap();
        }
    }

    #[test]
    fn a_writer_is_held_to_the_content_length() {
        let response = || Response::new(StatusCode::OK).header("Content-Length", "3");
        let (writer, body) = Body::channel();
        let response_with_body = response().body(body);
        announce_early(false, &response_with_body);
        writer.try_write("ab").unwrap();
        assert_eq!(writer.try_write("cd"), Err(WriteError::TooLong));
        writer.try_write("c").unwrap();
        writer.try_write("").unwrap();
        writer.finish().unwrap();
        drop(response_with_body);

        let (writer, body) = Body::channel();
        let response = response().body(body);
        announce_early(false, &response);
        writer.try_write("ab").unwrap();
        assert_eq!(writer.finish(), Err(WriteError::TooShort));
        drop(response);
    }
}
