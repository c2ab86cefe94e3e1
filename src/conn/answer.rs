//! Answers on their way to the wire: every head that a client reads is written here.

use std::cell::RefCell;
use std::io;
use std::time::{Instant, SystemTime};

use http::{StatusCode, Version};

use super::date::DateLine;
use super::output::BIG;
use super::wire::Wire;
use super::{Transport, outgoing};
use crate::fields::Headers;
use crate::http1::{Payload, Plan, encode_head, encode_interim, encode_switch, head_room, plan};
use crate::message::Response;

thread_local! {
    static DATE: RefCell<DateLine> = const { RefCell::new(DateLine::new()) };
}

/// Puts the head of a final answer on the wire, all of it or, without memory, nothing.
pub(super) fn put_head<T: Transport>(
    wire: &mut Wire<'_, T>,
    response: &Response,
    plan: &Plan,
) -> io::Result<()> {
    let now = wire.now();
    write_head(wire.output.room(head_room(&response.headers))?, response, plan, now);
    wire.note_answer(response.status, &response.headers);
    Ok(())
}

/// Puts a final answer on the wire whose body is at hand, and no shorter than announced.
/// Without memory, the client must not get what there is of the answer: the caller ends the
/// connection.
pub(super) fn put_whole<T: Transport>(
    wire: &mut Wire<'_, T>,
    response: &mut Response,
    plan: &Plan,
) -> io::Result<()> {
    let now = wire.now();
    let room = head_room(&response.headers);
    match (plan.payload, response.body.as_bytes()) {
        (Payload::Length(length), Some(bytes)) if bytes.len() < BIG && bytes.len() as u64 == length => {
            let out = wire.output.room(room + bytes.len())?;
            write_head(out, response, plan, now);
            out.extend_from_slice(bytes);
        }
        (payload, _) => {
            write_head(wire.output.room(room)?, response, plan, now);
            outgoing::put(wire, &mut response.body, payload)?;
        }
    }
    wire.note_answer(response.status, &response.headers);
    Ok(())
}

#[inline]
fn write_head(out: &mut Vec<u8>, response: &Response, plan: &Plan, now: Instant) {
    DATE.with_borrow_mut(|date| {
        encode_head(out, response.status, &response.headers, plan, date.at(now, SystemTime::now));
    });
}

/// Puts a refusal on the wire, the last answer of its connection.
pub(super) fn put_refusal<T: Transport>(
    wire: &mut Wire<'_, T>,
    is_head: bool,
    mut response: Response,
) -> io::Result<()> {
    let plan = plan(is_head, Version::HTTP_11, false, &response);
    put_whole(wire, &mut response, &plan)
}

/// Puts the answer on the wire that leaves HTTP for another protocol.
pub(super) fn put_switch<T: Transport>(wire: &mut Wire<'_, T>, headers: &Headers, protocol: &str) {
    wire.note_answer(StatusCode::SWITCHING_PROTOCOLS, headers);
    encode_switch(wire.output.buffer(), headers, protocol);
}

/// Puts early hints on the wire (RFC 8297).
pub(super) fn put_hints<T: Transport>(wire: &mut Wire<'_, T>, hints: &[Headers]) {
    for fields in hints {
        encode_interim(wire.output.buffer(), StatusCode::EARLY_HINTS, fields);
    }
}
