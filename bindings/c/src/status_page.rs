//! The live status page of a server.

use std::ffi::{c_char, c_void};
use std::sync::Arc;

use transom::{Request, StatusPage};

use crate::bytes::text;
use crate::error::{report, transom_error};
use crate::metrics::{self, transom_metrics};
use crate::request::transom_request;
use crate::server::transom_server;
use crate::status::transom_status;
use crate::user_data::{UserData, transom_free_fn};

/// A function that returns true if the client of a request may see the status page. `request` has
/// no body, and is valid during the call only.
pub type transom_status_check_fn =
    Option<unsafe extern "C" fn(user_data: *mut c_void, request: *const transom_request) -> bool>;

/// The function of the host with its user data.
struct StatusCheck {
    function: unsafe extern "C" fn(*mut c_void, *const transom_request) -> bool,
    user_data: UserData,
}

impl StatusCheck {
    fn admits(&self, request: &Request) -> bool {
        let request = transom_request::view(request.clone_head());
        // SAFETY: the host's function with its user data; by the contract, any thread may call it. The
        // request outlives the call.
        unsafe { (self.function)(self.user_data.pointer(), &raw const request) }
    }
}

/// Adds a live status page at `path`, such as "/status", and its stream of events at `path`/events. The
/// page shows in a browser what the servers of `metrics` do: requests a second, times, routes, statuses,
/// connections, refusals, deadlines, and the requests that last longest. See docs/status.md. The
/// server should count in the metrics itself: see transom_server_add_metrics.
///
/// `check` says which clients may see the page; others get a 403. It runs on a thread that serves
/// connections, on several at the same time, and must not block. With NULL, the page answers clients on this
/// machine only: on a loopback address or a Unix socket, and not by way of a proxy.
///
/// No handler of the program and no thread of the pool takes part, so the page works while they are
/// stuck. The functions of transom_server_wrap run before it. In the model "sequential" an open page holds
/// the server.
///
/// Errors: as transom_server_route.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_server_add_status(
    server: *mut transom_server,
    path: *const c_char,
    metrics: *const transom_metrics,
    check: transom_status_check_fn,
    user_data: *mut c_void,
    free_fn: transom_free_fn,
    error: *mut *mut transom_error,
) -> transom_status {
    let user_data = UserData::new(user_data, free_fn);
    let body = || {
        // SAFETY: NULL or valid, by the contract.
        let (server, path) = unsafe { (transom_server::get(server)?, text(path)?) };
        let mut page = StatusPage::new(&metrics::get(metrics)?);
        if let Some(function) = check {
            let check = Arc::new(StatusCheck { function, user_data });
            page = page.check(move |request| check.admits(request));
        }
        // A failure drops the user data here, where no lock is held.
        let copy = page.clone();
        let added = server.set_up(|setup| setup.status_page(path, copy))?;
        drop(page);
        Ok(added?)
    };
    // SAFETY: NULL or valid, by the contract.
    unsafe { report(error, body) }
}

/// Adds a live status page that asks for a user name and a password (HTTP Basic, RFC 7617): see
/// transom_server_add_status. They go over the network as they are: use TLS.
///
/// Errors: as transom_server_route; TRANSOM_INVALID_ARGUMENT if the password is empty, or if the user
/// name has a colon.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_server_add_status_password(
    server: *mut transom_server,
    path: *const c_char,
    metrics: *const transom_metrics,
    user: *const c_char,
    password: *const c_char,
    error: *mut *mut transom_error,
) -> transom_status {
    let body = || {
        // SAFETY: NULL or valid, by the contract.
        let (server, path) = unsafe { (transom_server::get(server)?, text(path)?) };
        // SAFETY: as above.
        let (user, password) = unsafe { (text(user)?, text(password)?) };
        if password.is_empty() {
            return Err(transom_error::bad_setting("the password of the status page is empty"));
        }
        if user.contains(':') {
            return Err(transom_error::bad_setting("the user name of the status page has a colon"));
        }
        let page = StatusPage::new(&metrics::get(metrics)?).password(user, password);
        Ok(server.set_up(|setup| setup.status_page(path, page))??)
    };
    // SAFETY: NULL or valid, by the contract.
    unsafe { report(error, body) }
}
