//! Wraps: functions of the host that run before and after handlers.

use std::ffi::c_void;
use std::sync::Arc;

use transom::{Next, Reply, Request, Response, StatusCode, Wrap};

use crate::bytes::{borrow, place};
use crate::request::transom_request;
use crate::response::transom_response;
use crate::status::transom_status;
use crate::user_data::{UserData, transom_free_fn};

/// A function that runs before a handler. It returns true to go on to the handler, or false
/// to answer with `response`, which is an empty 403 unless the function changes it. Both
/// pointers are valid during the call only.
pub type transom_before_fn = Option<
    unsafe extern "C" fn(
        user_data: *mut c_void,
        request: *mut transom_request,
        response: *mut transom_response,
    ) -> bool,
>;

/// A function that runs after a handler has answered. It may change `response`. Both pointers
/// are valid during the call only. `request` is a copy without the body.
pub type transom_after_fn = Option<
    unsafe extern "C" fn(
        user_data: *mut c_void,
        request: *const transom_request,
        response: *mut transom_response,
    ),
>;

/// The two functions of the host with their user data.
pub(crate) struct HostWrap {
    pub before: transom_before_fn,
    pub after: transom_after_fn,
    pub user_data: UserData,
}

/// The functions of the host, as a wrap.
struct Calls(Arc<HostWrap>);

/// A wrap that the routers of a server share with its setup.
pub(crate) struct SharedWrap(pub Arc<dyn Wrap>);

impl Wrap for SharedWrap {
    fn call(&self, request: Request, next: Next) -> Reply {
        self.0.call(request, next)
    }
}

/// The value that the host gave a request.
#[derive(Clone)]
struct HostValue(Arc<UserData>);

impl HostWrap {
    /// Returns the functions as a wrap.
    pub fn shared(self) -> Arc<dyn Wrap> {
        Arc::new(Calls(Arc::new(self)))
    }

    /// Runs the function before the handler. Returns the response with which it answers.
    fn enter(&self, request: &mut transom_request) -> Option<Response> {
        let before = self.before?;
        let mut response = transom_response::new(Response::new(StatusCode::FORBIDDEN));
        // SAFETY: the host's function with its user data; by the contract, any thread may call
        // it. Both objects outlive the call, and nobody else uses them.
        let goes_on = unsafe { before(self.user_data.pointer(), &raw mut *request, &raw mut response) };
        (!goes_on).then(|| response.into_inner())
    }

    /// Runs the function after the handler.
    fn leave(&self, request: &transom_request, response: Response) -> Response {
        let mut response = transom_response::new(response);
        if let Some(after) = self.after {
            // SAFETY: as above.
            unsafe { after(self.user_data.pointer(), &raw const *request, &raw mut response) }
        }
        response.into_inner()
    }
}

impl Wrap for Calls {
    fn call(&self, request: Request, next: Next) -> Reply {
        let mut seen = transom_request::view(request);
        if let Some(response) = self.0.enter(&mut seen) {
            return Reply::now(response);
        }
        let request = seen.into_request();
        if self.0.after.is_none() {
            return next.run(request);
        }
        // The handler takes the request away.
        let mut copy = request.clone_head();
        if let Some(value) = request.get::<HostValue>() {
            copy.set(value.clone());
        }
        let (host, seen) = (Arc::clone(&self.0), transom_request::view(copy));
        let reply = next.run(request);
        Reply::future(async move { host.leave(&seen, reply.await) })
    }
}

/// Gives a request a value, such as the user whom a before function has found. The handler
/// and the other functions get it with transom_request_value. `free_fn` frees the value when
/// the request has been answered. A second call replaces the value. Only a before function has
/// a request that is not const.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_request_set_value(
    request: *mut transom_request,
    value: *mut c_void,
    free_fn: transom_free_fn,
) -> transom_status {
    let value = UserData::new(value, free_fn);
    checked!({
        // SAFETY: NULL or valid, by the contract.
        let request = unsafe { place(request) }?;
        drop(request.request_mut().set(HostValue(Arc::new(value))));
    })
}

/// Returns the value that a before function gave a request, or NULL if none did. It belongs to
/// the request. An after function gets the value that was there when the before function of
/// the same registration had returned.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_request_value(request: *const transom_request) -> *mut c_void {
    guard!(std::ptr::null_mut(), {
        // SAFETY: NULL or valid, by the contract.
        let value = unsafe { borrow(request) }.ok().and_then(|it| it.request().get::<HostValue>());
        value.map_or(std::ptr::null_mut(), |HostValue(value)| value.pointer())
    })
}
