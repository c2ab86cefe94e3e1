//! Routes: registering the handlers of a server.

use std::ffi::{c_char, c_void};

use crate::error::{report, transom_error};
use crate::handler::transom_handler_fn;
use crate::route::{self, Draft, transom_route};
use crate::server::transom_server;
use crate::status::transom_status;
use crate::user_data::{UserData, transom_free_fn};

/// Calls `handler` for requests with this method and with a path that matches `pattern`. This
/// is short for transom_route_new and transom_server_add, for a route without settings of its
/// own.
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
/// already; the message tells why and shows the correct form. TRANSOM_ALREADY_STARTED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_server_route(
    server: *mut transom_server,
    method: *const c_char,
    pattern: *const c_char,
    handler: transom_handler_fn,
    user_data: *mut c_void,
    free_fn: transom_free_fn,
    error: *mut *mut transom_error,
) -> transom_status {
    let user_data = UserData::new(user_data, free_fn);
    let body = || {
        // SAFETY: NULL or valid, by the contract.
        let server = unsafe { transom_server::get(server) }?;
        // SAFETY: as above.
        let draft = unsafe { Draft::with_handler(method, pattern, handler, user_data) };
        add(server, draft)
    };
    // SAFETY: NULL or valid, by the contract.
    unsafe { report(error, body) }
}

/// Adds a route. The route belongs to the server from this call on, and is freed if it is
/// refused.
///
/// Errors: as transom_server_route, or what was wrong with a setting of the route.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_server_add(
    server: *mut transom_server,
    route: *mut transom_route,
    error: *mut *mut transom_error,
) -> transom_status {
    let body = || {
        // SAFETY: NULL, or its last use, by the contract. Taken first, so that every error frees it.
        let draft = unsafe { route::take(route) }?;
        // SAFETY: NULL or valid, by the contract.
        add(unsafe { transom_server::get(server) }?, draft)
    };
    // SAFETY: NULL or valid, by the contract.
    unsafe { report(error, body) }
}

/// Uses a route for the requests whose path matches no other route, which get a 404
/// otherwise. Its method and its pattern are not used and may be NULL. The route belongs to
/// the server from this call on. A second call replaces the first.
///
/// Errors: TRANSOM_ALREADY_STARTED, or what was wrong with a setting of the route.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_server_set_fallback(
    server: *mut transom_server,
    route: *mut transom_route,
    error: *mut *mut transom_error,
) -> transom_status {
    let body = || {
        // SAFETY: NULL, or its last use, by the contract. Taken first, so that every error frees it.
        let draft = unsafe { route::take(route) }?;
        // SAFETY: NULL or valid, by the contract.
        let server = unsafe { transom_server::get(server) }?;
        let (endpoint, settings) = draft.into_fallback(&server.queue)?;
        // What is replaced is dropped after the lock is free: the host's free function runs then.
        drop(server.set_up(|setup| setup.fallback(endpoint.clone(), settings.clone()))?);
        Ok(())
    };
    // SAFETY: NULL or valid, by the contract.
    unsafe { report(error, body) }
}

/// Adds a route to the setup of a server.
fn add(server: &transom_server, draft: Draft) -> Result<(), transom_error> {
    let added = draft.into_route(&server.queue)?;
    // The clone keeps the user data until the lock is free: if the route is refused, the
    // free function of the host must not run under the lock.
    Ok(server.set_up(|setup| setup.route(added.clone()))??)
}
