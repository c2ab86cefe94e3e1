//! Ready middleware: wraps of the library for the routes of a server, or for one route.

use std::ffi::c_char;
use std::ptr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use transom::{
    BasicAuth, BearerAuth, CacheControl, CanonicalHost, ConcurrencyLimit, Cors, Method, RateLimit,
    RequestIds, SecurityHeaders, TrailingSlash, Wrap,
};

use crate::bytes::{borrow, place, text};
use crate::error::{report, transom_error};
use crate::route::{Draft, change, transom_route};
use crate::server::transom_server;
use crate::status::transom_status;

/// Ready middleware, to be used by servers and routes. It belongs to you: free it, at once if you like,
/// because servers and routes keep what they use. Middleware that counts, such as "rate_limit", counts
/// the requests of all places that use it together.
pub struct transom_middleware {
    ready: Mutex<Ready>,
}

/// The middleware that there is.
#[derive(Clone)]
pub(crate) enum Ready {
    Cors(Cors),
    BasicAuth(BasicAuth),
    BearerAuth(BearerAuth),
    SecurityHeaders(SecurityHeaders),
    RequestIds(RequestIds),
    CanonicalHost(CanonicalHost),
    TrailingSlash(TrailingSlash),
    RateLimit(RateLimit),
    ConcurrencyLimit(ConcurrencyLimit),
    CacheControl(CacheControl),
}

impl Ready {
    fn new(name: &str, argument: &str) -> Option<Self> {
        Some(match (name, argument) {
            ("cors", "") => Self::Cors(Cors::new()),
            ("security_headers", "") => Self::SecurityHeaders(SecurityHeaders::new()),
            ("request_ids", "") => Self::RequestIds(RequestIds::new()),
            ("basic_auth", realm) => Self::BasicAuth(BasicAuth::new(realm)),
            ("bearer_auth", realm) => Self::BearerAuth(BearerAuth::new(realm)),
            ("canonical_host", host) if !host.is_empty() => Self::CanonicalHost(CanonicalHost::new(host)),
            ("trailing_slash", "remove") => Self::TrailingSlash(TrailingSlash::remove()),
            ("trailing_slash", "add") => Self::TrailingSlash(TrailingSlash::add()),
            ("rate_limit", rate) => {
                let (requests, seconds) = rate.split_once('/')?;
                let requests = requests.parse().ok().filter(|it| *it > 0)?;
                Self::RateLimit(RateLimit::new(requests, seconds_of(seconds).filter(|it| !it.is_zero())?))
            }
            ("concurrency_limit", most) => Self::ConcurrencyLimit(ConcurrencyLimit::new(most.parse().ok()?)),
            ("cache_control", value) => Self::CacheControl(CacheControl::new(value)),
            _ => return None,
        })
    }

    fn with(self, setting: &str, value: &str) -> Option<Self> {
        Some(match self {
            Self::Cors(cors) => Self::Cors(match setting {
                "origin" => cors.origin(value),
                "any_origin" => cors.any_origin(),
                "method" => cors.method(&Method::from_bytes(value.as_bytes()).ok()?),
                "request_header" => cors.request_header(value),
                "expose" => cors.expose(value),
                "credentials" => cors.credentials(true),
                "max_age" => cors.max_age(seconds_of(value)?),
                _ => return None,
            }),
            Self::BasicAuth(auth) if setting == "user" => {
                let (name, password) = value.split_once(':')?;
                Self::BasicAuth(auth.user(name, password))
            }
            Self::BearerAuth(auth) if setting == "token" => {
                let (name, token) = value.split_once(':')?;
                Self::BearerAuth(auth.token(name, token))
            }
            Self::SecurityHeaders(headers) => Self::SecurityHeaders(match setting {
                "hsts" => headers.hsts(seconds_of(value)?),
                "field" => {
                    let (name, value) = value.split_once(':')?;
                    headers.field(name.trim(), value.trim())
                }
                _ => return None,
            }),
            Self::RequestIds(ids) if setting == "trust_client" => Self::RequestIds(ids.trust_client(true)),
            Self::CanonicalHost(host) if setting == "https" => Self::CanonicalHost(host.https()),
            Self::RateLimit(limit) => Self::RateLimit(match setting {
                "for_all_clients" => limit.for_all_clients(),
                "addresses" => limit.addresses(value.parse().ok()?),
                _ => return None,
            }),
            Self::ConcurrencyLimit(limit) if setting == "for_each_address" => {
                Self::ConcurrencyLimit(limit.for_each_address())
            }
            Self::CacheControl(cache) if setting == "for_type" => {
                let (beginning, value) = value.split_once(':')?;
                Self::CacheControl(cache.for_type(beginning.trim(), value.trim()))
            }
            _ => return None,
        })
    }

    /// Returns the middleware as a wrap.
    pub fn wrap(&self) -> Arc<dyn Wrap> {
        match self.clone() {
            Self::Cors(it) => Arc::new(it),
            Self::BasicAuth(it) => Arc::new(it),
            Self::BearerAuth(it) => Arc::new(it),
            Self::SecurityHeaders(it) => Arc::new(it),
            Self::RequestIds(it) => Arc::new(it),
            Self::CanonicalHost(it) => Arc::new(it),
            Self::TrailingSlash(it) => Arc::new(it),
            Self::RateLimit(it) => Arc::new(it),
            Self::ConcurrencyLimit(it) => Arc::new(it),
            Self::CacheControl(it) => Arc::new(it),
        }
    }
}

/// Returns a time in whole seconds.
fn seconds_of(text: &str) -> Option<Duration> {
    text.parse::<u32>().ok().map(|seconds| Duration::from_secs(seconds.into()))
}

/// Returns middleware, which must not be NULL.
///
/// # Safety
/// `middleware` is NULL or valid during `'a`.
pub(crate) unsafe fn ready<'a>(
    middleware: *const transom_middleware,
) -> Result<MutexGuard<'a, Ready>, transom_status> {
    // SAFETY: the caller promises it.
    Ok(unsafe { borrow::<'a>(middleware) }?.ready.lock().unwrap_or_else(PoisonError::into_inner))
}

/// Makes ready middleware by its name, and stores it in `*out`. `argument` is NULL if it needs none:
///
/// "cors": pages of other origins may read the answers, errors and the server's own answers included.
/// "basic_auth", "bearer_auth": only who has a password or a token gets through; the argument is the realm.
/// "security_headers": fields that tell browsers to be strict.
/// "request_ids": an identifier for each request, in the field X-Request-Id of request and response, and a
/// traceparent.
/// "canonical_host": redirects to the host that is the argument.
/// "trailing_slash": redirects to the path with or without a slash; the argument is "add" or "remove".
/// "rate_limit": so many requests in so many seconds of each address: "100/60".
/// "concurrency_limit": so many requests at once: "4".
/// "cache_control": the field Cache-Control of responses that have none; the argument is its value.
///
/// docs/content.md has their settings.
///
/// Errors: TRANSOM_INVALID_ARGUMENT, with a sentence in `*error`; `*out` is then NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_middleware_new(
    name: *const c_char,
    argument: *const c_char,
    out: *mut *mut transom_middleware,
    error: *mut *mut transom_error,
) -> transom_status {
    let body = || {
        // SAFETY: each NULL or valid, by the contract.
        let out = unsafe { place(out) }?;
        *out = ptr::null_mut();
        // SAFETY: as above.
        let name = unsafe { text(name) }?;
        // SAFETY: not NULL, and NUL-terminated by the contract.
        let argument = if argument.is_null() { "" } else { unsafe { text(argument) }? };
        let ready = Ready::new(name, argument).ok_or_else(|| {
            transom_error::bad_setting(&format!("there is no middleware {name:?} for {argument:?}"))
        })?;
        *out = Box::into_raw(Box::new(transom_middleware { ready: Mutex::new(ready) }));
        Ok(())
    };
    // SAFETY: NULL or valid, by the contract.
    unsafe { report(error, body) }
}

/// Changes a setting of middleware before it is used. `value` is NULL if the setting needs none. A setting
/// such as "origin" may be set several times, and adds to the others.
///
/// Errors: TRANSOM_INVALID_ARGUMENT, with a sentence in `*error`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_middleware_set(
    middleware: *mut transom_middleware,
    setting: *const c_char,
    value: *const c_char,
    error: *mut *mut transom_error,
) -> transom_status {
    let body = || {
        // SAFETY: each NULL or valid, by the contract.
        let (setting, mut ready) = unsafe { (text(setting)?, ready(middleware)?) };
        // SAFETY: not NULL, and NUL-terminated by the contract.
        let value = if value.is_null() { "" } else { unsafe { text(value) }? };
        *ready = ready.clone().with(setting, value).ok_or_else(|| {
            transom_error::bad_setting(&format!("the middleware has no setting {setting:?} of {value:?}"))
        })?;
        Ok(())
    };
    // SAFETY: NULL or valid, by the contract.
    unsafe { report(error, body) }
}

/// Uses middleware around all routes of a server, and around its 404 and 405, inside what was used or
/// wrapped before (transom_server_wrap).
///
/// Errors: TRANSOM_ALREADY_STARTED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_server_use(
    server: *mut transom_server,
    middleware: *const transom_middleware,
) -> transom_status {
    checked!({
        // SAFETY: each NULL or valid, by the contract.
        let (server, ready) = unsafe { (transom_server::get(server)?, ready(middleware)?) };
        server.set_up(|setup| {
            if let Ready::Cors(cors) = &*ready {
                setup.cors = Some(cors.clone());
            }
            setup.wraps.push(ready.wrap());
        })?;
    })
}

/// Uses middleware around a route, inside what was used or wrapped before (transom_route_wrap). "cors" and
/// "trailing_slash" belong around a server: a route does not get the requests that concern them.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_route_use(
    route: *mut transom_route,
    middleware: *const transom_middleware,
) -> transom_status {
    checked!({
        // SAFETY: NULL or valid, by the contract.
        let wrap = unsafe { ready(middleware) }?.wrap();
        let use_it = |draft: &mut Draft| {
            draft.use_wrap(wrap);
            Ok(())
        };
        // SAFETY: as above.
        unsafe { change(route, use_it) }?;
    })
}

/// Frees middleware. Servers and routes that use it keep it. Does nothing with NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_middleware_free(middleware: *mut transom_middleware) {
    guard!((), {
        if !middleware.is_null() {
            // SAFETY: not NULL, and its last use, by the contract.
            drop(unsafe { Box::from_raw(middleware) });
        }
    });
}
