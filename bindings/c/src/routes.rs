//! Registering handlers.

use std::ffi::{c_char, c_void};
use std::ptr;
use std::sync::Arc;

use transom::Method;

use crate::bytes::text;
use crate::error::{status_of, transom_error};
use crate::handler::{Callback, transom_handler};
use crate::server::transom_server;
use crate::setup::Endpoint;
use crate::status::transom_status;
use crate::user_data::{UserData, transom_free_fn};

/// Where a route stands.
#[derive(Clone, Copy)]
struct Place {
    method: *const c_char,
    pattern: *const c_char,
}

/// Calls `handler` for requests of that method whose path matches the pattern.
/// It runs on the library's pool of blocking threads, so it may block; when as
/// many as the limits "pool_threads" and "pool_queue" allow are busy and
/// waiting, the answer is 503. In the models without a pool it runs on the
/// connection's own thread and may block too: see transom_server_set_model.
///
/// `method` is case-sensitive; NULL or "*" is any without a route of its own.
/// GET answers HEAD too. In a pattern, {name} stands for one segment and, at
/// the end, {*name} for all that is left, which may be empty: "/users/{id}",
/// "/files/{*path}". Each method of a path may name its parameters otherwise.
///
/// Errors: TRANSOM_BAD_ROUTE if no request could match, or if the route is there
/// already (transom_server_route_error says why, and shows the right form),
/// TRANSOM_ALREADY_STARTED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_server_route(
    server: *mut transom_server,
    method: *const c_char,
    pattern: *const c_char,
    handler: transom_handler,
    user_data: *mut c_void,
    free_fn: transom_free_fn,
) -> transom_status {
    let user_data = UserData::new(user_data, free_fn);
    // SAFETY: passed on.
    unsafe { register(server, Some(Place { method, pattern }), handler, user_data, false) }
}

/// As transom_server_route, but `handler` runs right on the thread that serves
/// the connection, in every model: the shortest way, for handlers that never
/// block. Everything else on that thread waits for it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_server_route_inline(
    server: *mut transom_server,
    method: *const c_char,
    pattern: *const c_char,
    handler: transom_handler,
    user_data: *mut c_void,
    free_fn: transom_free_fn,
) -> transom_status {
    let user_data = UserData::new(user_data, free_fn);
    // SAFETY: passed on.
    unsafe { register(server, Some(Place { method, pattern }), handler, user_data, true) }
}

/// Calls `handler`, where transom_server_route would, for requests whose path no
/// route matches. A second call replaces the first. Without it they get 404.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_server_fallback(
    server: *mut transom_server,
    handler: transom_handler,
    user_data: *mut c_void,
    free_fn: transom_free_fn,
) -> transom_status {
    let user_data = UserData::new(user_data, free_fn);
    // SAFETY: passed on.
    unsafe { register(server, None, handler, user_data, false) }
}

/// Puts requests for that route into the server's queue, to be fetched with
/// transom_server_next_batch. `route_id` comes back in the record.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_server_route_pull(
    server: *mut transom_server,
    method: *const c_char,
    pattern: *const c_char,
    route_id: u32,
) -> transom_status {
    checked!({
        // SAFETY: NULL or valid, by the contract.
        let server = unsafe { transom_server::get(server) }?;
        let endpoint = Endpoint::Pull { queue: Arc::clone(&server.queue), route_id };
        // SAFETY: passed on.
        unsafe { add(server, Some(Place { method, pattern }), endpoint) }?;
    })
}

/// The same for requests whose path no route matches.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_server_fallback_pull(
    server: *mut transom_server,
    route_id: u32,
) -> transom_status {
    checked!({
        // SAFETY: NULL or valid, by the contract.
        let server = unsafe { transom_server::get(server) }?;
        let endpoint = Endpoint::Pull { queue: Arc::clone(&server.queue), route_id };
        // SAFETY: passed on.
        unsafe { add(server, None, endpoint) }?;
    })
}

/// Why a route of this server was last refused with TRANSOM_BAD_ROUTE, in a
/// sentence; NULL if none was, or it was told already. It is yours: free it
/// with transom_error_free.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_server_route_error(server: *mut transom_server) -> *mut transom_error {
    guard!(ptr::null_mut(), {
        // SAFETY: NULL or valid, by the contract.
        let error =
            unsafe { transom_server::get(server) }.ok().and_then(|server| server.swap_route_error(None));
        error.map_or(ptr::null_mut(), |error| Box::into_raw(Box::new(error)))
    })
}

/// Registers a handler, its user data in hand before anything can fail.
///
/// # Safety
/// The contract's, for each pointer.
unsafe fn register(
    server: *mut transom_server,
    place: Option<Place>,
    handler: transom_handler,
    user_data: UserData,
    inline: bool,
) -> transom_status {
    checked!({
        // SAFETY: NULL or valid, by the contract.
        let server = unsafe { transom_server::get(server) }?;
        let function = handler.ok_or(transom_status::TRANSOM_NULL_ARGUMENT)?;
        let callback = Arc::new(Callback { function, user_data, inline });
        // SAFETY: passed on.
        unsafe { add(server, place, Endpoint::Callback(callback)) }?;
    })
}

/// Adds a route, or the fallback.
///
/// # Safety
/// Texts are NULL or NUL-terminated.
unsafe fn add(
    server: &transom_server,
    place: Option<Place>,
    endpoint: Endpoint,
) -> Result<(), transom_status> {
    let Some(Place { method, pattern }) = place else {
        return server.set_up(|setup| setup.fallback(endpoint)).map(drop);
    };
    // SAFETY: passed on.
    let (method, pattern) = unsafe { (parse_method(server, method)?, text(pattern)?) };
    // What is left of it when it cannot be added goes when the lock is free.
    let added = server.set_up(|setup| setup.route(method, pattern, endpoint.clone()))?;
    added.map_err(|error| {
        let status = status_of(&error);
        drop(server.swap_route_error(Some(error.into())));
        status
    })
}

/// # Safety
/// `method` is NULL or NUL-terminated.
unsafe fn parse_method(
    server: &transom_server,
    method: *const c_char,
) -> Result<Option<Method>, transom_status> {
    if method.is_null() {
        return Ok(None);
    }
    // SAFETY: passed on.
    match unsafe { text(method) }? {
        "*" => Ok(None),
        method => Method::from_bytes(method.as_bytes()).map(Some).map_err(|_| {
            drop(server.swap_route_error(Some(transom_error::bad_method(method))));
            transom_status::TRANSOM_BAD_ROUTE
        }),
    }
}
