//! Answers on their way to the wire: every head that a client reads is written here.

use std::cell::RefCell;
use std::time::{Instant, SystemTime};

use http::{StatusCode, Version};

use super::date::DateLine;
use super::output::BIG;
use super::wire::Wire;
use super::{Transport, outgoing};
use crate::fields::Headers;
use crate::http1::{Payload, Plan, encode_head, encode_interim, encode_switch, plan};
use crate::message::Response;

thread_local! {
    static DATE: RefCell<DateLine> = const { RefCell::new(DateLine::new()) };
}

/// Puts the head of a final answer on the wire.
pub(super) fn put_head<T: Transport>(wire: &mut Wire<T>, response: &Response, plan: &Plan) {
    wire.note_status(response.status);
    let now = wire.now();
    write_head(wire.output.buffer(), response, plan, now);
}

/// Puts a final answer on the wire whose body is at hand, and no shorter than announced.
pub(super) fn put_whole<T: Transport>(wire: &mut Wire<T>, response: &mut Response, plan: &Plan) {
    wire.note_status(response.status);
    let now = wire.now();
    let out = wire.output.buffer();
    write_head(out, response, plan, now);
    match (plan.payload, response.body.as_bytes()) {
        (Payload::Length(length), Some(bytes)) if bytes.len() < BIG && bytes.len() as u64 == length => {
            out.extend_from_slice(bytes);
        }
        (payload, _) => outgoing::put(wire, &mut response.body, payload),
    }
}

#[inline]
fn write_head(out: &mut Vec<u8>, response: &Response, plan: &Plan, now: Instant) {
    DATE.with_borrow_mut(|date| {
        encode_head(out, response.status, &response.headers, plan, date.at(now, SystemTime::now));
    });
}

/// Puts a refusal on the wire, the last answer of its connection.
pub(super) fn put_refusal<T: Transport>(wire: &mut Wire<T>, is_head: bool, response: Response) {
    let plan = plan(is_head, Version::HTTP_11, false, &response);
    put_head(wire, &response, &plan);
    if let (Payload::Length(_), Some(body)) = (plan.payload, response.into_body().take_whole()) {
        wire.output.push(body);
    }
}

/// Puts the answer on the wire that leaves HTTP for another protocol.
pub(super) fn put_switch<T: Transport>(wire: &mut Wire<T>, headers: &Headers, protocol: &str) {
    wire.note_status(StatusCode::SWITCHING_PROTOCOLS);
    encode_switch(wire.output.buffer(), headers, protocol);
}

/// Puts early hints on the wire (RFC 8297).
pub(super) fn put_hints<T: Transport>(wire: &mut Wire<T>, hints: &[Headers]) {
    for fields in hints {
        encode_interim(wire.output.buffer(), StatusCode::EARLY_HINTS, fields);
    }
}
