//! A route before it is added to a server: what answers its requests, and its settings.

use std::ffi::{c_char, c_void};
use std::ptr;
use std::sync::{Arc, Mutex, PoisonError};

use transom::{Decompression, Limits, Method, Priority, Wrap};

use crate::bytes::{borrow, text};
use crate::error::transom_error;
use crate::handler::{HostHandler, transom_handler_fn};
use crate::pull_queue::PullQueue;
use crate::setup::{AddedRoute, Endpoint, RouteSettings};
use crate::status::transom_status;
use crate::timeout::{FOREVER, duration};
use crate::user_data::{UserData, transom_free_fn};
use crate::wrap::{HostWrap, transom_after_fn, transom_before_fn};

/// A route that is not yet part of a server. It belongs to you: add it to a server, or free
/// it. Either is the last use of the route.
pub struct transom_route {
    draft: Mutex<Draft>,
}

/// A route that is not yet part of a server.
pub(crate) struct Draft {
    answer: Answer,
    method: Result<Option<Method>, String>,
    /// `None` is NULL.
    pattern: Option<String>,
    settings: RouteSettings,
    inline: bool,
    /// The first mistake, which adding the route reports.
    mistake: Option<transom_error>,
}

/// The handler of a route, or the number under which its requests are pulled.
enum Answer {
    Handler(transom_handler_fn, UserData),
    Pull(u32),
}

impl Draft {
    /// Makes a route that a handler answers.
    ///
    /// # Safety
    /// The texts are NULL or NUL-terminated.
    pub unsafe fn with_handler(
        method: *const c_char,
        pattern: *const c_char,
        handler: transom_handler_fn,
        user_data: UserData,
    ) -> Self {
        // SAFETY: the caller promises it.
        let draft = unsafe { Self::new(method, pattern, Answer::Handler(handler, user_data)) };
        match handler {
            Some(_) => draft,
            None => draft.with(Err(transom_status::TRANSOM_NULL_ARGUMENT)),
        }
    }

    /// # Safety
    /// The texts are NULL or NUL-terminated.
    unsafe fn new(method: *const c_char, pattern: *const c_char, answer: Answer) -> Self {
        let mut draft = Self {
            answer,
            method: Ok(None),
            pattern: None,
            settings: RouteSettings::default(),
            inline: false,
            mistake: None,
        };
        if !method.is_null() {
            // SAFETY: the caller promises it.
            match unsafe { text(method) } {
                Ok("*") => {}
                Ok(method) => {
                    let parsed = Method::from_bytes(method.as_bytes());
                    draft.method = parsed.map(Some).map_err(|_| method.to_owned());
                }
                Err(status) => draft = draft.with(Err(status)),
            }
        }
        if !pattern.is_null() {
            // SAFETY: the caller promises it.
            match unsafe { text(pattern) } {
                Ok(pattern) => draft.pattern = Some(pattern.to_owned()),
                Err(status) => draft = draft.with(Err(status)),
            }
        }
        draft
    }

    /// Keeps the first mistake.
    fn with(mut self, checked: Result<(), transom_status>) -> Self {
        if let Err(status) = checked {
            self.mistake.get_or_insert_with(|| status.into());
        }
        self
    }

    /// Keeps the sentence about a setting for `transom_server_add`.
    fn refuse(&mut self, sentence: &str) -> Result<(), transom_status> {
        self.mistake.get_or_insert_with(|| transom_error::bad_setting(sentence));
        Err(transom_status::TRANSOM_INVALID_ARGUMENT)
    }

    /// Puts a wrap around the handler, inside the others.
    pub fn use_wrap(&mut self, wrap: Arc<dyn Wrap>) {
        self.settings.wraps.push(wrap);
    }

    /// Sets the priority, or keeps the sentence about it.
    pub fn set_priority(&mut self, priority: Result<Priority, String>) -> Result<(), transom_status> {
        match priority {
            Ok(priority) => {
                self.settings.priority = Some(priority);
                Ok(())
            }
            Err(sentence) => self.refuse(&sentence),
        }
    }

    /// Decompresses the bodies of requests, and changes how.
    pub fn change_decompression(&mut self, change: impl FnOnce(Decompression) -> Decompression) {
        let decompression = self.settings.decompression.take().unwrap_or_default();
        self.settings.decompression = Some(change(decompression));
    }

    /// Returns the route to add to a server whose pull queue is `queue`.
    pub fn into_route(mut self, queue: &Arc<PullQueue>) -> Result<AddedRoute, transom_error> {
        if let Some(mistake) = self.mistake.take() {
            return Err(mistake);
        }
        let pattern = self.pattern.take().ok_or(transom_status::TRANSOM_NULL_ARGUMENT)?;
        let method = match &self.method {
            Ok(method) => method.clone(),
            Err(method) => return Err(transom_error::bad_method(method, &pattern)),
        };
        let (endpoint, settings) = self.into_fallback(queue)?;
        Ok(AddedRoute { method, pattern, endpoint, settings })
    }

    /// Returns what answers the requests that no route matches, with its settings.
    pub fn into_fallback(
        mut self,
        queue: &Arc<PullQueue>,
    ) -> Result<(Endpoint, RouteSettings), transom_error> {
        if let Some(mistake) = self.mistake.take() {
            return Err(mistake);
        }
        let streams = self.settings.streaming;
        let endpoint = match self.answer {
            Answer::Handler(function, user_data) => {
                let function = function.ok_or(transom_status::TRANSOM_NULL_ARGUMENT)?;
                Endpoint::Handler(Arc::new(HostHandler { function, user_data, inline: self.inline, streams }))
            }
            Answer::Pull(route_id) => Endpoint::Pull { queue: Arc::clone(queue), route_id, streams },
        };
        Ok((endpoint, self.settings))
    }
}

/// Takes a route, which must not be NULL.
///
/// # Safety
/// `route` is NULL, or comes from `give`; this is its last use.
pub(crate) unsafe fn take(route: *mut transom_route) -> Result<Draft, transom_status> {
    if route.is_null() {
        return Err(transom_status::TRANSOM_NULL_ARGUMENT);
    }
    // SAFETY: not NULL; the caller promises the rest.
    let route = unsafe { Box::from_raw(route) };
    Ok(route.draft.into_inner().unwrap_or_else(PoisonError::into_inner))
}

/// Gives a route to the host.
fn give(draft: Draft) -> *mut transom_route {
    Box::into_raw(Box::new(transom_route { draft: Mutex::new(draft) }))
}

/// Changes a route, which must not be NULL.
///
/// # Safety
/// `route` is NULL or valid.
pub(crate) unsafe fn change(
    route: *const transom_route,
    change: impl FnOnce(&mut Draft) -> Result<(), transom_status>,
) -> Result<(), transom_status> {
    // SAFETY: the caller promises it.
    let route = unsafe { borrow(route) }?;
    change(&mut route.draft.lock().unwrap_or_else(PoisonError::into_inner))
}

/// Makes a route whose requests `handler` answers: see transom_server_route. Add it with
/// transom_server_add, after you have set what is particular to it. What is wrong with the
/// arguments is reported then. Returns NULL only if the library has a defect.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_route_new(
    method: *const c_char,
    pattern: *const c_char,
    handler: transom_handler_fn,
    user_data: *mut c_void,
    free_fn: transom_free_fn,
) -> *mut transom_route {
    let user_data = UserData::new(user_data, free_fn);
    guard!(ptr::null_mut(), {
        // SAFETY: each NULL or valid, by the contract.
        give(unsafe { Draft::with_handler(method, pattern, handler, user_data) })
    })
}

/// Makes a route whose requests are queued for transom_server_next_batch. `route_id` is any
/// number; the record of each request has it. Otherwise as transom_route_new.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_route_new_pull(
    method: *const c_char,
    pattern: *const c_char,
    route_id: u32,
) -> *mut transom_route {
    guard!(ptr::null_mut(), {
        // SAFETY: each NULL or valid, by the contract.
        give(unsafe { Draft::new(method, pattern, Answer::Pull(route_id)) })
    })
}

/// Frees a route that was not added. Does nothing with NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_route_free(route: *mut transom_route) {
    guard!((), {
        // SAFETY: NULL, or its last use, by the contract.
        drop(unsafe { take(route) });
    });
}

/// Sets the most bytes of a request body of this route, in place of the limit "body" of the
/// server. A larger body gets a 413.
///
/// Errors: TRANSOM_INVALID_ARGUMENT if the value is out of the range of the limit "body".
/// transom_server_add reports it too, so the status need not be looked at.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_route_set_body_limit(
    route: *mut transom_route,
    bytes: u64,
) -> transom_status {
    checked!({
        let range = Limits::range("body").unwrap_or(0..=u64::MAX);
        let set = |draft: &mut Draft| {
            if !range.contains(&bytes) {
                let (least, most) = range.into_inner();
                return draft.refuse(&format!("the body limit of a route is {least} to {most}, got {bytes}"));
            }
            draft.settings.body_limit = Some(bytes);
            Ok(())
        };
        // SAFETY: NULL or valid, by the contract.
        unsafe { change(route, set) }?;
    })
}

/// Sets the time from the call of the handler of this route to its response, in milliseconds,
/// in place of the timeout "handler" of the server. TRANSOM_FOREVER turns it off.
///
/// Errors: TRANSOM_INVALID_ARGUMENT if the time is 0 or negative. transom_server_add reports it
/// too, so the status need not be looked at.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_route_set_timeout(
    route: *mut transom_route,
    timeout_ms: i64,
) -> transom_status {
    checked!({
        let set = |draft: &mut Draft| {
            let Some(timeout) = duration(timeout_ms).ok().filter(|_| timeout_ms != 0) else {
                let range = format!("1 to {} ms, or TRANSOM_FOREVER (-1)", i64::MAX);
                return draft.refuse(&format!("the timeout of a route is {range}, got {timeout_ms}"));
            };
            draft.settings.timeout = Some(timeout.unwrap_or(FOREVER));
            Ok(())
        };
        // SAFETY: NULL or valid, by the contract.
        unsafe { change(route, set) }?;
    })
}

/// With true, the handler of this route is called when the head of a request has come, and reads
/// the body with transom_request_read while it comes. A request whose route is pulled is queued
/// then. Without this, a body is read whole before.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_route_set_streaming(
    route: *mut transom_route,
    streaming: bool,
) -> transom_status {
    checked!({
        let set = |draft: &mut Draft| {
            draft.settings.streaming = streaming;
            Ok(())
        };
        // SAFETY: NULL or valid, by the contract.
        unsafe { change(route, set) }?;
    })
}

/// With true, runs the handler of this route on the thread that serves the connection, in
/// every model. This is fastest. The handler must not block: everything else on that thread
/// waits until it returns. Has no effect on a route whose requests are pulled.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_route_set_inline(route: *mut transom_route, inline: bool) -> transom_status {
    checked!({
        let set = |draft: &mut Draft| {
            draft.inline = inline;
            Ok(())
        };
        // SAFETY: NULL or valid, by the contract.
        unsafe { change(route, set) }?;
    })
}

/// Runs `before` before the handler of this route, and `after` after it: as transom_server_wrap
/// does for all routes. On a route that becomes the fallback, they run for the requests that
/// the fallback gets.
///
/// Errors: TRANSOM_NULL_ARGUMENT if both functions are NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_route_wrap(
    route: *mut transom_route,
    before: transom_before_fn,
    after: transom_after_fn,
    user_data: *mut c_void,
    free_fn: transom_free_fn,
) -> transom_status {
    let wrap = HostWrap { before, after, user_data: UserData::new(user_data, free_fn) };
    checked!({
        if before.is_none() && after.is_none() {
            return Err(transom_status::TRANSOM_NULL_ARGUMENT);
        }
        let set = |draft: &mut Draft| {
            draft.settings.wraps.push(wrap.shared());
            Ok(())
        };
        // SAFETY: NULL or valid, by the contract.
        unsafe { change(route, set) }?;
    })
}
