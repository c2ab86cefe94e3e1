//! Hooks of a server: registering the functions of the host.

use std::ffi::{c_char, c_void};
use std::sync::Arc;

use transom::Headers;

use crate::bytes::{input, text};
use crate::error::{report, transom_error};
use crate::exchange_hook::{ExchangeHook, transom_exchange_fn};
use crate::fields::bad_header;
use crate::own_answer::{OwnAnswerHook, transom_own_answer_fn};
use crate::server::transom_server;
use crate::status::transom_status;
use crate::user_data::{UserData, transom_free_fn};
use crate::wrap::{HostWrap, transom_after_fn, transom_before_fn};

/// Calls `function` once for each response of the server, when it was written or when the
/// connection has ended before that: for an access log and for metrics. It is also
/// called for the responses of the server itself: refused requests, 404, 405, and connections
/// for which there is no room. After several calls each function is called for each response, in
/// that order.
///
/// `function` runs on a thread that serves connections, on several at the same time, and must
/// not block.
///
/// Errors: TRANSOM_ALREADY_STARTED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_server_on_exchange(
    server: *mut transom_server,
    function: transom_exchange_fn,
    user_data: *mut c_void,
    free_fn: transom_free_fn,
) -> transom_status {
    let user_data = UserData::new(user_data, free_fn);
    checked!({
        // SAFETY: NULL or valid, by the contract.
        let server = unsafe { transom_server::get(server) }?;
        let hook = Arc::new(ExchangeHook::new(function, user_data)?);
        server.set_up(|setup| setup.on_exchange.push(Arc::clone(&hook)))?;
    })
}

/// Has `function` word the answers that the server gives by itself: refused requests, 404,
/// 405, and the 500 of a responder that was freed. So an API that speaks JSON answers these in
/// JSON too. A second call replaces the first.
///
/// `response` holds the status code and the text that the server would send, to be changed by
/// the functions for a transom_response. Fields of the answer that are not shown there stay,
/// unless you set one of the same name: Allow, Retry-After, and what after functions have set.
/// A status code of 200 does not replace the answer's.
///
/// `function` runs once for an answer, on a thread that serves connections, on several at the
/// same time, and must not block.
///
/// Errors: TRANSOM_ALREADY_STARTED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_server_own_answers(
    server: *mut transom_server,
    function: transom_own_answer_fn,
    user_data: *mut c_void,
    free_fn: transom_free_fn,
) -> transom_status {
    let user_data = UserData::new(user_data, free_fn);
    checked!({
        // SAFETY: NULL or valid, by the contract.
        let server = unsafe { transom_server::get(server) }?;
        let hook = Arc::new(OwnAnswerHook::new(function, user_data)?);
        // As above.
        drop(server.set_up(|setup| setup.own_answers.replace(Arc::clone(&hook)))?);
    })
}

/// Sets the body of the answers that the server gives by itself with a status code: refused
/// requests, 404, 405, and the 500 of a responder that was freed. `status_code` 0 stands for all
/// status codes that have no body of their own. `{status}` in the body becomes the status code, and
/// `{reason}` its reason phrase. `{detail}` becomes the sentence that says what was refused, which has
/// no character that JSON or HTML would need to escape. Where there is none, as for a 404, the body is
/// sent without the parts between `{?` and `?}`. Other fields of the answer stay: Allow, Retry-After.
///
/// This is for languages whose code cannot run on a thread of the library. Elsewhere,
/// transom_server_own_answers also knows the request; its function gets the response with this body.
///
/// The body is UTF-8; `len` may be TRANSOM_NUL_TERMINATED. A second call for a status code replaces
/// the first.
///
/// Errors: TRANSOM_BAD_STATUS_CODE unless `status_code` is 0 or 400 to 599, TRANSOM_BAD_HEADER if
/// the content type cannot be sent, TRANSOM_NOT_UTF8, TRANSOM_ALREADY_STARTED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_server_set_own_body(
    server: *mut transom_server,
    status_code: u16,
    content_type: *const c_char,
    body: *const c_void,
    len: usize,
    error: *mut *mut transom_error,
) -> transom_status {
    let set = || {
        // SAFETY: each NULL or valid, by the contract.
        let (server, content_type, bytes) =
            unsafe { (transom_server::get(server)?, text(content_type)?, input(body, len)?) };
        if status_code != 0 && !(400..600).contains(&status_code) {
            return Err(transom_error::bad_own_status(status_code));
        }
        Headers::new().append("content-type", content_type).map_err(|error| bad_header(&error))?;
        let text = std::str::from_utf8(bytes).map_err(|_| transom_status::TRANSOM_NOT_UTF8)?;
        server.set_up(|setup| setup.own_bodies.set(status_code, content_type, text))?;
        Ok(())
    };
    // SAFETY: NULL or valid, by the contract.
    unsafe { report(error, set) }
}

/// Runs `before` before the handlers of the server, and `after` after them, for every request
/// that the server accepts: those of routes, pulled or not, those of the fallback, and those
/// that get a 404 or a 405. Either function may be NULL. For refused requests, see
/// transom_server_own_answers. transom_route_wrap does this for one route.
///
/// This can be called several times. The first registration is the outermost: its `before`
/// runs first and its `after` last. The functions of a route run inside those of the server. If a
/// `before` answers, neither its own `after` nor any function inside it runs.
///
/// `before` sees the request with its body, unless the route streams. `after` sees a copy
/// without the body, and the response, also the 500 of a responder that was freed. It does not
/// run if the timeout "handler" passes.
///
/// Both run on a thread that serves connections, on several at the same time, and must not
/// block (in the models "threads" and "sequential" they may).
///
/// Errors: TRANSOM_NULL_ARGUMENT if both functions are NULL, TRANSOM_ALREADY_STARTED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_server_wrap(
    server: *mut transom_server,
    before: transom_before_fn,
    after: transom_after_fn,
    user_data: *mut c_void,
    free_fn: transom_free_fn,
) -> transom_status {
    let wrap = HostWrap { before, after, user_data: UserData::new(user_data, free_fn) };
    checked!({
        // SAFETY: NULL or valid, by the contract.
        let server = unsafe { transom_server::get(server) }?;
        if before.is_none() && after.is_none() {
            return Err(transom_status::TRANSOM_NULL_ARGUMENT);
        }
        let wrap = wrap.shared();
        server.set_up(|setup| setup.wraps.push(Arc::clone(&wrap)))?;
    })
}
