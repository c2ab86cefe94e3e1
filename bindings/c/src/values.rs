//! The values that a request has by name: in its query, its form and its cookies.

use std::ffi::c_char;

use crate::bytes::{borrow, place, room, store_fields, transom_bytes, transom_field};
use crate::request::{name_of, part, transom_request};
use crate::status::transom_status;

/// Returns the query, encoded.
fn query(request: &transom_request) -> &[u8] {
    request.request().query().unwrap_or_default().as_bytes()
}

/// Returns the form in the body, encoded.
fn form(request: &transom_request) -> Result<&[u8], transom_status> {
    let sent = request.request().headers().get_bytes("content-type").unwrap_or_default();
    let kind = sent.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
    let is_form = kind.eq_ignore_ascii_case(b"application/x-www-form-urlencoded");
    let is_whole = request.incoming().is_none();
    (is_form && is_whole).then(|| request.request().bytes()).ok_or(transom_status::TRANSOM_INVALID_ARGUMENT)
}

/// Returns the value of that name with that index among the values of the name.
fn value_of<'a>(
    pairs: Result<impl Iterator<Item = (&'a [u8], &'a [u8])>, transom_status>,
    name: Option<&str>,
    index: usize,
) -> Option<&'a [u8]> {
    let name = name?.as_bytes();
    pairs.ok()?.filter(|(other, _)| *other == name).nth(index).map(|(_, value)| value)
}

/// Returns a value of the query: "1" for "x" in "/path?x=1&y". `index` counts from 0 among the
/// values with this name. Name and value are decoded: '+' is a space, %XX is a byte, and what is
/// malformed stays as it is. So the value may have any bytes, and may not be UTF-8. A name without
/// '=' has an empty value.
///
/// Absent if there is no such value, and if there is no memory to decode the query:
/// transom_request_query_fields tells which. Each call looks through the query again: use that
/// function for names that are repeated often, and for names with a NUL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_request_query_value(
    request: *const transom_request,
    name: *const c_char,
    index: usize,
) -> transom_bytes {
    // SAFETY: each NULL or valid, by the contract.
    unsafe { part(request, |it| value_of(it.query_decoded().pairs(query(it)), name_of(name), index)) }
}

/// Returns a value of the form that the body is, as transom_request_query_value does for the
/// query. Absent also if the body is no form: see transom_request_form_fields.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_request_form_value(
    request: *const transom_request,
    name: *const c_char,
    index: usize,
) -> transom_bytes {
    // SAFETY: each NULL or valid, by the contract.
    unsafe { part(request, |it| value_of(it.form_decoded().pairs(form(it).ok()?), name_of(name), index)) }
}

/// Stores the first `max` names and values of the query in `out`, in order and decoded as
/// transom_request_query_value says, and the number of all in `*count`. Call this with 0 to learn
/// the number. Without a query the number is 0.
///
/// Errors: TRANSOM_NO_MEMORY. `*count` is then 0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_request_query_fields(
    request: *const transom_request,
    out: *mut transom_field,
    max: usize,
    count: *mut usize,
) -> transom_status {
    checked!({
        // SAFETY: each NULL or valid, by the contract; pointers and numbers may have any value.
        let (request, out, count) = unsafe { (borrow(request)?, room(out, max)?, place(count)?) };
        *count = 0;
        *count = store_fields(request.query_decoded().pairs(query(request))?, out);
    })
}

/// As transom_request_query_fields, for the form that the body is: the body of a request whose
/// Content-Type is application/x-www-form-urlencoded, as browsers send it.
///
/// Errors: TRANSOM_INVALID_ARGUMENT if the Content-Type is another, or if the route streams, so
/// that the body is not in memory; TRANSOM_NO_MEMORY. `*count` is then 0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_request_form_fields(
    request: *const transom_request,
    out: *mut transom_field,
    max: usize,
    count: *mut usize,
) -> transom_status {
    checked!({
        // SAFETY: as above.
        let (request, out, count) = unsafe { (borrow(request)?, room(out, max)?, place(count)?) };
        *count = 0;
        *count = store_fields(request.form_decoded().pairs(form(request)?)?, out);
    })
}

/// Returns the value of the first cookie with this name, whose case matters. It is as the client
/// sent it, without the quotes around it: cookies have no encoding of their own. Absent if there is
/// no such cookie. What is not "name=value" in a Cookie field is passed over.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_request_cookie(
    request: *const transom_request,
    name: *const c_char,
) -> transom_bytes {
    // SAFETY: each NULL or valid, by the contract.
    unsafe { part(request, |it| cookie(it, name_of(name)?.as_bytes())) }
}

fn cookie<'a>(request: &'a transom_request, name: &[u8]) -> Option<&'a [u8]> {
    let lines = request.request().headers().get_all("cookie");
    let mut pairs = lines.flat_map(|line| line.split(|byte| *byte == b';')).filter_map(|pair| {
        let pair = pair.trim_ascii();
        let equals = pair.iter().position(|byte| *byte == b'=')?;
        Some((&pair[..equals], &pair[equals + 1..]))
    });
    let (_, value) = pairs.find(|(other, _)| *other == name && !name.is_empty())?;
    Some(value.strip_prefix(b"\"").and_then(|value| value.strip_suffix(b"\"")).unwrap_or(value))
}
