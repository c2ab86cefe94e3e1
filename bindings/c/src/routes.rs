//! Routes: registering the handlers of a server.

use std::ffi::{c_char, c_void};
use std::ptr;
use std::sync::Arc;

use transom::Method;

use crate::bytes::text;
use crate::error::{status_of, transom_error};
use crate::handler::{HostHandler, transom_handler};
use crate::server::transom_server;
use crate::setup::Endpoint;
use crate::status::transom_status;
use crate::user_data::{UserData, transom_free_fn};

/// The method and the pattern of a route, as the host passes them.
#[derive(Clone, Copy)]
struct RouteTexts {
    method: *const c_char,
    pattern: *const c_char,
}

/// Calls `handler` for requests with this method and with a path that matches `pattern`.
///
/// The handler runs on a pool of threads and may block. If all threads of the pool are busy
/// (the limit "pool_threads") and its queue is full ("pool_queue"), the client gets a 503. In
/// the models "threads" and "sequential", which have no pool, the handler runs on the thread
/// of its connection and may block too: see transom_server_set_model.
///
/// `method` is case-sensitive; NULL or "*" is any method without a route of its own. A route
/// for GET also gets HEAD requests. In a pattern, {name} matches one segment of the path, and
/// {*name} at the end matches the rest of the path, which may be empty: "/users/{id}",
/// "/files/{*path}". Routes of different methods may name the parameters of a path
/// differently.
///
/// Errors: TRANSOM_BAD_ROUTE if no request could match the pattern, or if the route exists
/// already; transom_server_route_error tells why and shows the correct form.
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
    // SAFETY: the caller promises it.
    unsafe { register(server, Some(RouteTexts { method, pattern }), handler, user_data, false) }
}

/// Like transom_server_route, but runs `handler` on the thread that serves the connection, in
/// every model. This is fastest. The handler must not block: everything else on that thread
/// waits until it returns.
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
    // SAFETY: the caller promises it.
    unsafe { register(server, Some(RouteTexts { method, pattern }), handler, user_data, true) }
}

/// Calls `handler` for requests whose path matches no route, which get a 404 otherwise. The
/// handler runs where one of transom_server_route runs. A second call replaces the first.
///
/// Errors: TRANSOM_ALREADY_STARTED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_server_fallback(
    server: *mut transom_server,
    handler: transom_handler,
    user_data: *mut c_void,
    free_fn: transom_free_fn,
) -> transom_status {
    let user_data = UserData::new(user_data, free_fn);
    // SAFETY: the caller promises it.
    unsafe { register(server, None, handler, user_data, false) }
}

/// Queues requests with this method and a path that matches `pattern` (see
/// transom_server_route), for transom_server_next_batch to fetch. `route_id` is any number;
/// the record of each request has it.
///
/// Errors: as transom_server_route.
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
        // SAFETY: the caller promises it.
        unsafe { add(server, Some(RouteTexts { method, pattern }), endpoint) }?;
    })
}

/// Queues requests whose path matches no route, for transom_server_next_batch to fetch.
/// `route_id` is any number; the record of each request has it.
///
/// Errors: TRANSOM_ALREADY_STARTED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_server_fallback_pull(
    server: *mut transom_server,
    route_id: u32,
) -> transom_status {
    checked!({
        // SAFETY: NULL or valid, by the contract.
        let server = unsafe { transom_server::get(server) }?;
        let endpoint = Endpoint::Pull { queue: Arc::clone(&server.queue), route_id };
        // SAFETY: the caller promises it.
        unsafe { add(server, None, endpoint) }?;
    })
}

/// Returns the reason for which this server last refused a route with TRANSOM_BAD_ROUTE, or
/// NULL if it has refused none since the last call. The error belongs to you: free it with
/// transom_error_free.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_server_route_error(server: *mut transom_server) -> *mut transom_error {
    guard!(ptr::null_mut(), {
        // SAFETY: NULL or valid, by the contract.
        let error =
            unsafe { transom_server::get(server) }.ok().and_then(|server| server.swap_route_error(None));
        error.map_or(ptr::null_mut(), |error| Box::into_raw(Box::new(error)))
    })
}

/// Registers a handler. The caller has wrapped the user data already, so that every error
/// frees it.
///
/// # Safety
/// Each pointer is as the contract says.
unsafe fn register(
    server: *mut transom_server,
    texts: Option<RouteTexts>,
    handler: transom_handler,
    user_data: UserData,
    inline: bool,
) -> transom_status {
    checked!({
        // SAFETY: NULL or valid, by the contract.
        let server = unsafe { transom_server::get(server) }?;
        let function = handler.ok_or(transom_status::TRANSOM_NULL_ARGUMENT)?;
        let handler = Arc::new(HostHandler { function, user_data, inline });
        // SAFETY: the caller promises it.
        unsafe { add(server, texts, Endpoint::Handler(handler)) }?;
    })
}

/// Adds a route, or with `None` the fallback.
///
/// # Safety
/// The texts are NULL or NUL-terminated.
unsafe fn add(
    server: &transom_server,
    texts: Option<RouteTexts>,
    endpoint: Endpoint,
) -> Result<(), transom_status> {
    let Some(RouteTexts { method, pattern }) = texts else {
        return server.set_up(|setup| setup.fallback(endpoint)).map(drop);
    };
    // SAFETY: the caller promises it.
    let pattern = unsafe { text(pattern) }?;
    // SAFETY: the caller promises it.
    let method = unsafe { parse_method(server, method, pattern) }?;
    // The clone keeps the user data until the lock is free: if the route is refused, the
    // free function of the host must not run under the lock.
    let added = server.set_up(|setup| setup.route(method, pattern, endpoint.clone()))?;
    added.map_err(|error| {
        let status = status_of(&error);
        drop(server.swap_route_error(Some(error.into())));
        status
    })
}

/// Returns the method; `None` is any.
///
/// # Safety
/// `method` is NULL or NUL-terminated.
unsafe fn parse_method(
    server: &transom_server,
    method: *const c_char,
    pattern: &str,
) -> Result<Option<Method>, transom_status> {
    if method.is_null() {
        return Ok(None);
    }
    // SAFETY: the caller promises it.
    match unsafe { text(method) }? {
        "*" => Ok(None),
        method => Method::from_bytes(method.as_bytes()).map(Some).map_err(|_| {
            drop(server.swap_route_error(Some(transom_error::bad_method(method, pattern))));
            transom_status::TRANSOM_BAD_ROUTE
        }),
    }
}
