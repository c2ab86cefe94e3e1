//! Cookies that a response sets, and signed ones.

use std::ffi::{c_char, c_void};
use std::ptr;
use std::sync::Arc;
use std::time::Duration;

use transom::{SameSite, SetCookie, SigningKeys};

use crate::bytes::{input, place, print, text, transom_bytes};
use crate::error::{report, transom_error};
use crate::request::{name_of, part, transom_request};
use crate::slots::{Handle, Table};
use crate::status::transom_status;

/// The keys that sign the values of cookies with HMAC-SHA256. They belong to you; any thread may use
/// them. Like a responder, the pointer is a number that is looked up: one that was freed is no danger,
/// TRANSOM_ALREADY_ANSWERED.
pub struct transom_signing_keys {
    _nothing: [u8; 0],
}

static KEYS: Table<Arc<SigningKeys>> = Table::new();

/// Returns keys that are not freed.
fn find(keys: *const transom_signing_keys) -> Result<Arc<SigningKeys>, transom_status> {
    let handle = Handle::from_pointer(keys).ok_or(transom_status::TRANSOM_NULL_ARGUMENT)?;
    KEYS.look(handle, Arc::clone)
}

/// Makes signing keys of one key: at least 32 random bytes, which are copied. Stores them in `*out`.
///
/// A signed value is the value, a dot, and the signature of "name=value" in 64 hexadecimal digits: the
/// same in each language. A client can read it, and send an old one again: put a time into the value if
/// that matters.
///
/// Errors: TRANSOM_INVALID_ARGUMENT if the key is shorter; `*out` is then NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_signing_keys_new(
    key: *const c_void,
    len: usize,
    out: *mut *mut transom_signing_keys,
) -> transom_status {
    checked!({
        // SAFETY: each NULL or valid, by the contract.
        let out = unsafe { place(out) }?;
        *out = ptr::null_mut();
        // SAFETY: as above.
        let key = unsafe { input(key, len) }?;
        let keys = SigningKeys::new(key).map_err(|_| transom_status::TRANSOM_INVALID_ARGUMENT)?;
        KEYS.check()?;
        let handle = KEYS.insert(Arc::new(keys)).map_err(|_| transom_status::TRANSOM_NO_MEMORY)?;
        *out = Handle::to_pointer(handle);
    })
}

/// Adds an old key, whose signatures are still accepted: to change the key while clients have cookies.
///
/// Errors: TRANSOM_INVALID_ARGUMENT if the key has less than 32 bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_signing_keys_add_old(
    keys: *mut transom_signing_keys,
    key: *const c_void,
    len: usize,
) -> transom_status {
    checked!({
        // SAFETY: each NULL or valid, by the contract.
        let key = unsafe { input(key, len) }?;
        let handle = Handle::from_pointer(keys).ok_or(transom_status::TRANSOM_NULL_ARGUMENT)?;
        let more = SigningKeys::clone(&*find(keys)?);
        let more = more.and_old(key).map_err(|_| transom_status::TRANSOM_INVALID_ARGUMENT)?;
        KEYS.change(handle, |kept| *kept = Arc::new(more))?;
    })
}

/// Frees signing keys. Does nothing with NULL, nor when they were freed before.
#[unsafe(no_mangle)]
pub extern "C" fn transom_signing_keys_free(keys: *mut transom_signing_keys) {
    guard!((), {
        if let Some(handle) = Handle::from_pointer(keys) {
            drop(KEYS.take(handle));
        }
    });
}

/// Returns the value of a cookie that one of the keys has signed, without its signature. Absent if there
/// is no such cookie, or nobody who has a key has signed it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_request_signed_cookie(
    request: *const transom_request,
    name: *const c_char,
    keys: *const transom_signing_keys,
) -> transom_bytes {
    let keys = guard!(None, { find(keys).ok() });
    // SAFETY: each NULL or valid, by the contract.
    unsafe {
        part(request, |it| {
            let value = it.request().cookies().ok()?.signed(name_of(name)?, &*keys?)?;
            Some(value.as_bytes())
        })
    }
}

/// Writes the value of a field Set-Cookie to `buf` as snprintf does, and its length to `*len`: if that is
/// not less than `cap`, the text was cut. `attributes` is NULL or a list such as
/// "Max-Age=3600; Secure; SameSite=Strict": Max-Age in seconds, Path, Domain, Secure, HttpOnly, SameSite
/// and Partitioned. Without them, a cookie has "Path=/; HttpOnly; SameSite=Lax"; "Path=", "SameSite=" and
/// "HttpOnly=no" leave these out. "Delete" alone has the client forget the cookie. With `keys`, the value
/// is signed. Send the text as a field: see transom_responder_send.
///
/// Errors: TRANSOM_INVALID_ARGUMENT if a browser would refuse the cookie, with a sentence in `*error`:
/// the name is no token, a character is not allowed, the name with the value is larger than 4,096 bytes,
/// or Secure is missing where "__Secure-", "__Host-", SameSite=None or Partitioned needs it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_format_set_cookie(
    name: *const c_char,
    value: *const c_char,
    attributes: *const c_char,
    keys: *const transom_signing_keys,
    buf: *mut c_char,
    cap: usize,
    len: *mut usize,
    error: *mut *mut transom_error,
) -> transom_status {
    let body = || {
        // SAFETY: each NULL or valid, by the contract.
        let (name, value, len) = unsafe { (text(name)?, text(value)?, place(len)?) };
        *len = 0;
        if buf.is_null() && cap > 0 {
            return Err(transom_status::TRANSOM_NULL_ARGUMENT.into());
        }
        // SAFETY: not NULL, and NUL-terminated by the contract.
        let attributes = if attributes.is_null() { "" } else { unsafe { text(attributes) }? };
        let mut cookie = SetCookie::new(name, value);
        for attribute in attributes.split(';').map(str::trim).filter(|attribute| !attribute.is_empty()) {
            let (key, given) = attribute.split_once('=').unwrap_or((attribute, ""));
            cookie = with(cookie, name, key.trim_end(), given.trim_start()).ok_or_else(|| {
                transom_error::bad_setting(&format!("{attribute:?} is no attribute of a cookie"))
            })?;
        }
        if !keys.is_null() {
            cookie = cookie.signed(&*find(keys)?);
        }
        let field = cookie.to_field().map_err(|bad| transom_error::bad_setting(&bad.to_string()))?;
        // SAFETY: NULL with a size of 0, or valid, by the contract.
        *len = unsafe { print(&field, buf, cap) };
        Ok(())
    };
    // SAFETY: NULL or valid, by the contract.
    unsafe { report(error, body) }
}

/// Sets an attribute. `None` if there is no such attribute.
fn with(cookie: SetCookie, name: &str, key: &str, given: &str) -> Option<SetCookie> {
    Some(match (&*key.to_ascii_lowercase(), &*given.to_ascii_lowercase()) {
        ("max-age", _) => cookie.max_age(Duration::from_secs(given.parse().ok()?)),
        ("path", _) => cookie.path(Some(given).filter(|path| !path.is_empty())),
        ("domain", _) => cookie.domain(given),
        ("secure", "") => cookie.secure(true),
        ("httponly", "") => cookie.http_only(true),
        ("httponly", "no") => cookie.http_only(false),
        ("partitioned", "") => cookie.partitioned(true),
        ("samesite", "strict") => cookie.same_site(SameSite::Strict),
        ("samesite", "lax") => cookie.same_site(SameSite::Lax),
        ("samesite", "none") => cookie.same_site(SameSite::None),
        ("samesite", "") => cookie.same_site(None),
        ("delete", "") => SetCookie::delete(name),
        _ => return None,
    })
}
