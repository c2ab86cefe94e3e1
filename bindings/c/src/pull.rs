//! Pulling requests: batches of requests to the host, batches of responses back.

use std::ffi::c_void;
use std::ptr;
use std::time::{Duration, Instant};

use futures_lite::stream;
use transom::{Body, Reject, Responder, Response, StatusCode};

use crate::bytes::{copied, input, place, room, store};
use crate::exchange;
use crate::incoming::read_into;
use crate::last_head;
use crate::packed::{self, Packer, ResponseRecord};
use crate::pull_queue::{PullQueue, REQUESTS_PER_WAKE};
use crate::request::transom_request;
use crate::responder::{status_code, transom_responder};
use crate::server::transom_server;
use crate::slots::Handle;
use crate::status::transom_status;
use crate::system::{NO_DESCRIPTOR, transom_descriptor};
use crate::timeout::duration;

/// Fetches one request from the queue of the pull routes: stores the request in `*request`, its
/// responder in `*responder`, and the number of its route in `*route_id`, which may be NULL. Waits
/// until a request is queued, at most `timeout_ms` milliseconds (0: does not wait,
/// TRANSOM_FOREVER: no limit). Several threads may call this at the same time.
///
/// The request and the responder are those that a handler would get: the responder belongs to
/// you, and the request is valid until it is answered. Call this in your own event loop when
/// the descriptor of transom_server_event_fd is readable, until it returns TRANSOM_TIMEOUT.
///
/// Errors: TRANSOM_TIMEOUT; TRANSOM_STOPPED if the server has stopped;
/// TRANSOM_INVALID_ARGUMENT if the time is negative. Both are then NULL.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_server_next(
    server: *mut transom_server,
    request: *mut *const transom_request,
    responder: *mut *mut transom_responder,
    route_id: *mut u32,
    timeout_ms: i64,
) -> transom_status {
    checked!({
        // SAFETY: each NULL or valid, by the contract.
        let (server, request, responder) =
            unsafe { (transom_server::get(server)?, place(request)?, place(responder)?) };
        (*request, *responder) = (ptr::null(), ptr::null_mut());
        let timeout = duration(timeout_ms)?;
        let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        while responder.is_null() {
            let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            for pending in server.queue.take(1, left)? {
                if pending.exchange.is_over() {
                    continue;
                }
                if let Some((it, handle)) = pending.exchange.claim_with(pending.request, pending.streams) {
                    (*request, *responder) = (it, handle.to_pointer());
                    // SAFETY: NULL or valid, by the contract.
                    unsafe { store(route_id, pending.route_id) };
                }
            }
        }
    })
}

/// Fetches requests from the queue of the pull routes. Waits until a request is queued, at
/// most `timeout_ms` milliseconds (0: does not wait, TRANSOM_FOREVER: no limit). Then fills
/// `buf`, which has room for `cap` bytes, with the records of up to `max` requests that are
/// queued at that time. Stores the number of records in `*count` and their bytes in `*len`.
/// Several threads may call this at the same time.
///
/// Errors: TRANSOM_TIMEOUT; TRANSOM_STOPPED if the server has stopped;
/// TRANSOM_BUFFER_TOO_SMALL if the first record does not fit: `*len` is then the room that it
/// needs, and the request stays queued; TRANSOM_INVALID_ARGUMENT if `max` is 0 or the time is
/// negative. `*count` is then 0.
///
/// A record starts with a transom_request_record, in the byte order of the machine.
///
/// These parts follow it without padding between them: the method; the target, the path and
/// the query, percent-encoded and ASCII; the header fields, as "name: value" lines that each
/// end in CR LF; the peer; `param_count` times a transom_param_record, the name and the value
/// of a parameter; the body; with TRANSOM_TLS, a transom_tls_record. Padding makes the length a multiple of 8, so in a buffer that is
/// aligned to 8 each record is. A request of 2 GiB or more does not fit a record and gets a
/// 413.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_server_next_batch(
    server: *mut transom_server,
    buf: *mut c_void,
    cap: usize,
    max: u32,
    timeout_ms: i64,
    count: *mut u32,
    len: *mut usize,
) -> transom_status {
    checked!({
        // SAFETY: each NULL or valid, by the contract.
        let (server, buf, count, len) = unsafe {
            (transom_server::get(server)?, room(buf.cast::<u8>(), cap)?, place(count)?, place(len)?)
        };
        (*count, *len) = (0, 0);
        let timeout = duration(timeout_ms)?;
        let max = usize::try_from(max).unwrap_or(usize::MAX);
        if max == 0 {
            return Err(transom_status::TRANSOM_INVALID_ARGUMENT);
        }
        let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        while *count == 0 {
            let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            *count = fetch(&server.queue, buf, max, left, len)?;
        }
    })
}

/// Fetches requests once. Returns 0 if nobody waits any more for those that were queued.
fn fetch(
    queue: &PullQueue,
    buf: &mut [u8],
    max: usize,
    timeout: Option<Duration>,
    len: &mut usize,
) -> Result<u32, transom_status> {
    let mut taken = queue.take(max, timeout)?;
    let mut packer = Packer::new(buf);
    let mut count = 0;
    let mut too_small = None;
    while let Some(pending) = taken.pop_front() {
        if pending.exchange.is_over() {
            continue;
        }
        match packer.push(pending.exchange.token(), pending.route_id, &pending.request, pending.streams) {
            Ok(()) => {
                count += 1;
                if pending.streams || packed::asks_for_upgrade(&pending.request) {
                    // The request stays in the table, because its body or its handshake is still to be read.
                    pending.exchange.claim_with(pending.request, pending.streams);
                } else {
                    pending.exchange.claim();
                }
            }
            Err(needed) => {
                taken.push_front(pending);
                too_small = Some(needed);
                break;
            }
        }
    }
    *len = packer.used();
    queue.put_back(taken);
    match too_small {
        Some(needed) if count == 0 => {
            *len = needed;
            Err(transom_status::TRANSOM_BUFFER_TOO_SMALL)
        }
        _ => Ok(count),
    }
}

/// Answers the first request in the queue with 503 if its record needs more than `cap` bytes.
/// Otherwise does nothing. Call this if there is no memory for the buffer that
/// transom_server_next_batch asks for.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_server_refuse_larger(
    server: *mut transom_server,
    cap: usize,
) -> transom_status {
    checked!({
        // SAFETY: NULL or valid, by the contract.
        let server = unsafe { transom_server::get(server) }?;
        let mut taken = server.queue.take(1, Some(Duration::ZERO)).unwrap_or_default();
        if let Some(pending) = taken.pop_front() {
            let needed = Packer::new(&mut []).push(0, 0, &pending.request, false).err().unwrap_or_default();
            if needed > cap {
                log::error!(target: "transom", "a request was refused: there is no memory for its {needed} bytes");
                pending.exchange.refuse(Reject::NoMemory);
            } else {
                taken.push_front(pending);
            }
        }
        server.queue.put_back(taken);
    })
}

/// Sends the responses to requests that transom_server_next_batch returned, from the `len`
/// bytes of records in `buf`. Stores the number of records that were processed in `*done`,
/// and the outcome of each in `results`, in order, up to `result_count` of them.
///
/// An outcome is TRANSOM_OK, TRANSOM_ALREADY_ANSWERED or TRANSOM_GONE; or TRANSOM_BAD_HEADER,
/// TRANSOM_BAD_STATUS_CODE or TRANSOM_NO_MEMORY, in which case the client gets a 500.
///
/// Errors: TRANSOM_MALFORMED if a record has another layout; the records before it were
/// processed. TRANSOM_OK says nothing about the outcomes.
///
/// A record starts with a transom_response_record, in the byte order of the machine.
///
/// These parts follow it without padding between them: the header fields, as "name: value"
/// lines that each end in CR LF (transom_responder_send tells which are allowed); the
/// body. Padding makes the length a multiple of 8. A response that does not fit in 4 GiB can
/// be sent with transom_token_responder.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_server_respond_batch(
    server: *mut transom_server,
    buf: *const c_void,
    len: usize,
    results: *mut i32,
    result_count: u32,
    done: *mut u32,
) -> transom_status {
    checked!({
        let result_count = usize::try_from(result_count).unwrap_or(usize::MAX);
        // SAFETY: each NULL or valid, by the contract.
        let (_server, results, done) =
            unsafe { (transom_server::get(server)?, room(results, result_count)?, place(done)?) };
        *done = 0;
        if len == usize::MAX {
            return Err(transom_status::TRANSOM_INVALID_ARGUMENT);
        }
        // SAFETY: NULL or valid, by the contract.
        let mut buf = unsafe { input(buf, len) }?;
        let mut results = results.iter_mut();
        while !buf.is_empty() {
            Responder::batch(|| {
                for _ in 0..REQUESTS_PER_WAKE {
                    if buf.is_empty() {
                        break;
                    }
                    let outcome = answer(&ResponseRecord::read(&mut buf)?);
                    *done += 1;
                    if let Some(result) = results.next() {
                        *result = outcome as i32;
                    }
                }
                Ok(())
            })?;
        }
    })
}

/// Sends one response, and returns its outcome.
fn answer(answer: &ResponseRecord<'_>) -> transom_status {
    let Some(handle) = Handle::from_token(answer.token) else {
        return transom_status::TRANSOM_ALREADY_ANSWERED;
    };
    let exchange = match exchange::take(handle) {
        Ok(exchange) => exchange,
        Err(status) => return status,
    };
    let (response, fault) = match response(answer) {
        Ok(response) => (response, transom_status::TRANSOM_OK),
        Err(status) => (Response::plain(StatusCode::INTERNAL_SERVER_ERROR), status),
    };
    exchange.send(response).err().unwrap_or(fault)
}

/// Makes the response of a record, without its body framing.
fn response(answer: &ResponseRecord<'_>) -> Result<Response, transom_status> {
    let response = last_head::response(status_code(answer.status_code)?, answer.headers, answer.body.len())?;
    let body = copied(answer.body)?;
    Ok(if answer.tells_length {
        response.body(body)
    } else {
        response.body(Body::stream(stream::once(Ok(body))))
    })
}

/// Returns a descriptor for poll(2) and similar calls. It is readable while requests are
/// queued, and from the time when the server has stopped. Do not read it:
/// transom_server_next and transom_server_next_batch reset it. With EPOLLET, call either until it returns
/// TRANSOM_TIMEOUT, because requests that stay in the queue make no new edge. The descriptor
/// belongs to the server and is closed with it. Returns -1 if it cannot be opened.
///
/// On Windows it is the HANDLE of an event, for WaitForMultipleObjects and similar calls: it is
/// set in place of being readable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_server_event_fd(server: *mut transom_server) -> transom_descriptor {
    guard!(NO_DESCRIPTOR, {
        // SAFETY: NULL or valid, by the contract.
        let server = unsafe { transom_server::get(server) };
        server.ok().and_then(|server| server.queue.event().ok()).unwrap_or(NO_DESCRIPTOR)
    })
}

/// Reads the body of a pulled request whose route streams: as transom_request_read, by the token
/// of the request.
///
/// Errors: as transom_request_read; TRANSOM_ALREADY_ANSWERED if the request is answered whole;
/// TRANSOM_INVALID_ARGUMENT also if its route does not stream.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_token_read(
    token: u64,
    buf: *mut c_void,
    cap: usize,
    timeout_ms: i64,
    len: *mut usize,
) -> transom_status {
    checked!({
        let read = |buf: &mut [u8], timeout| {
            let handle = Handle::from_token(token).ok_or(transom_status::TRANSOM_ALREADY_ANSWERED)?;
            exchange::incoming(handle)?.read(buf, timeout)
        };
        // SAFETY: NULL or valid, by the contract.
        unsafe { read_into(buf, cap, timeout_ms, len, read) }?;
    })
}

/// Returns the responder of a pulled request, with which the host can stream the response, be
/// told when the client leaves, or free the request. The responder and the token identify the
/// same request: it can be answered once, through either. Returns NULL if `token` is 0.
#[unsafe(no_mangle)]
pub extern "C" fn transom_token_responder(token: u64) -> *mut transom_responder {
    guard!(ptr::null_mut(), { Handle::from_token(token).map_or(ptr::null_mut(), Handle::to_pointer) })
}
