//! Static files: the files of a folder as an object of the host, and one file as a response.

use std::ffi::c_char;
use std::mem;

use transom::{Files, Response};

use crate::bytes::{borrow, file_name, store, text, transom_field};
use crate::error::{report, transom_error};
use crate::exchange;
use crate::fields::{bad_header, headers};
use crate::request::transom_request;
use crate::responder::{checked, handle, transom_responder};
use crate::server::transom_server;
use crate::slots::{Handle, Table};
use crate::status::transom_status;

/// The files of a folder, to be served under a path: see docs/files.md. The responses have ETag,
/// Last-Modified, Accept-Ranges, a Content-Type by the name of the file, and X-Content-Type-Options.
/// Conditional requests and ranges are answered (RFC 9110 13 and 14): 206 with one part or many, 304, 412,
/// 416. The kernel sends the files. Nothing outside the folder is served, nor is a name that begins with a
/// dot.
///
/// Each server that gets it keeps its own copy of the settings. Any thread may call its functions. A call
/// with an object that was freed returns TRANSOM_ALREADY_ANSWERED and does no harm.
pub struct transom_files {
    _nothing: [u8; 0],
}

/// The objects of the host.
static OBJECTS: Table<Files> = Table::new();

/// Returns the files of an object.
fn get(files: *const transom_files) -> Result<Files, transom_status> {
    let handle = Handle::from_pointer(files).ok_or(transom_status::TRANSOM_NULL_ARGUMENT)?;
    OBJECTS.look(handle, Files::clone)
}

/// Puts changed files in place of those of an object.
fn change(
    files: *const transom_files,
    change: impl FnOnce(Files) -> Result<Files, transom_error>,
) -> Result<(), transom_error> {
    let handle = Handle::from_pointer(files).ok_or(transom_status::TRANSOM_NULL_ARGUMENT)?;
    let mut other = change(get(files)?)?;
    Ok(OBJECTS.change(handle, |files| mem::swap(files, &mut other))?)
}

/// Opens a folder to serve its files. Stores the object in `files`. Free it with transom_files_free. The
/// path may be a link that a deployment points elsewhere: it is looked up again each second.
///
/// Errors: TRANSOM_IO if the folder cannot be opened, with the errno; TRANSOM_NO_MEMORY if there is no room
/// for another object; TRANSOM_FORKED.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_files_new(
    root: *const c_char,
    files: *mut *mut transom_files,
    error: *mut *mut transom_error,
) -> transom_status {
    let body = || {
        if files.is_null() {
            return Err(transom_status::TRANSOM_NULL_ARGUMENT.into());
        }
        // SAFETY: NULL or NUL-terminated, by the contract.
        let root = unsafe { file_name(root) }?;
        OBJECTS.check()?;
        let made = Files::new(root).map_err(|error| transom_error::bad_folder(&error))?;
        let handle = OBJECTS.insert(made).map_err(|_full| transom_status::TRANSOM_NO_MEMORY)?;
        // SAFETY: not NULL, and valid by the contract.
        unsafe { store(files, handle.to_pointer()) };
        Ok(())
    };
    // SAFETY: NULL or valid, by the contract.
    unsafe { report(error, body) }
}

/// Frees the object. Servers that have it keep it. Does nothing with NULL, nor when it was freed before.
#[unsafe(no_mangle)]
pub extern "C" fn transom_files_free(files: *mut transom_files) {
    guard!((), {
        if let Some(handle) = Handle::from_pointer(files) {
            // A stale handle has nothing to free.
            drop(OBJECTS.take(handle));
        }
    });
}

/// Sets a number, for the servers that get the object after this call:
///
///     "precompressed"    1 sends app.js.zst, app.js.br or app.js.gz for
///                        app.js to clients that take it                       0
///     "listing"          1 lists a folder without an index                    0
///     "listing_limit"    the most entries of such a page                  10000
///     "dotfiles"         1 serves names that begin with a dot                 0
///     "downloads"        1 has clients store files under their names          0
///     "range_limit"      the most parts of one request; beyond it, the
///                        whole file is sent; with 0, there are no parts      32
///
/// Errors: TRANSOM_INVALID_ARGUMENT if there is no such setting, or its value is neither 0 nor 1 where only
/// these are possible.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_files_set(
    files: *mut transom_files,
    name: *const c_char,
    value: u64,
    error: *mut *mut transom_error,
) -> transom_status {
    let body = || {
        // SAFETY: NULL or NUL-terminated, by the contract.
        let name = unsafe { text(name) }?;
        change(files, |files| set(files, name, value).map_err(|why| transom_error::bad_setting(&why)))
    };
    // SAFETY: NULL or valid, by the contract.
    unsafe { report(error, body) }
}

/// Sets a number by its name. An error is the sentence for the host.
fn set(files: Files, name: &str, value: u64) -> Result<Files, String> {
    let flag = || match value {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(format!("the setting '{name}' of files is 0 or 1, got {value}")),
    };
    let count = usize::try_from(value).unwrap_or(usize::MAX);
    Ok(match name {
        "precompressed" => files.precompressed(flag()?),
        "listing" => files.listing(flag()?),
        "dotfiles" => files.dotfiles(flag()?),
        "downloads" => files.downloads(flag()?),
        "listing_limit" => files.listing_limit(count),
        "range_limit" => files.range_limit(count),
        _ => {
            let known = "precompressed, listing, listing_limit, dotfiles, downloads, range_limit";
            return Err(format!("files have no setting '{}': there are {known}", name.escape_debug()));
        }
    })
}

/// Sets the name of the file that answers for its folder, by default "index.html". NULL turns it off.
///
/// Errors: TRANSOM_NOT_UTF8.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_files_set_index(
    files: *mut transom_files,
    name: *const c_char,
    error: *mut *mut transom_error,
) -> transom_status {
    let body = || {
        // SAFETY: NULL or NUL-terminated, by the contract.
        let name = unsafe { optional(name) }?;
        change(files, |files| Ok(files.index(name)))
    };
    // SAFETY: NULL or valid, by the contract.
    unsafe { report(error, body) }
}

/// Answers with the file of this path below the folder, with 200, where there is no file: for an application
/// in the browser that has paths of its own. A path whose last segment has a dot gets a 404 as before, unless
/// the Accept field names "text/html".
///
/// Errors: TRANSOM_NOT_UTF8.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_files_set_single_page(
    files: *mut transom_files,
    path: *const c_char,
    error: *mut *mut transom_error,
) -> transom_status {
    let body = || {
        // SAFETY: NULL or NUL-terminated, by the contract.
        let path = unsafe { text(path) }?;
        change(files, |files| Ok(files.single_page(path)))
    };
    // SAFETY: NULL or valid, by the contract.
    unsafe { report(error, body) }
}

/// Sets the charset of texts, by default "utf-8". NULL leaves it away. It is neither for XML, which tells by
/// itself, nor for the types of transom_files_add_content_type.
///
/// Errors: TRANSOM_BAD_HEADER if it is no token; TRANSOM_NOT_UTF8.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_files_set_charset(
    files: *mut transom_files,
    charset: *const c_char,
    error: *mut *mut transom_error,
) -> transom_status {
    let body = || {
        // SAFETY: NULL or NUL-terminated, by the contract.
        let charset = unsafe { optional(charset) }?;
        change(files, |files| files.charset(charset).map_err(|fault| bad_header(&fault)))
    };
    // SAFETY: NULL or valid, by the contract.
    unsafe { report(error, body) }
}

/// Sets the Cache-Control of the files whose path matches a pattern, such as "*.html". One star is any text
/// without a slash, two are any text; a pattern without a slash is for names in each folder. If several match,
/// the first counts.
///
/// Errors: TRANSOM_BAD_HEADER if the value is not that of a field; TRANSOM_NOT_UTF8.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_files_add_cache_control(
    files: *mut transom_files,
    pattern: *const c_char,
    value: *const c_char,
    error: *mut *mut transom_error,
) -> transom_status {
    let body = || {
        // SAFETY: NULL or NUL-terminated, by the contract.
        let (pattern, value) = unsafe { (text(pattern)?, text(value)?) };
        change(files, |files| files.cache_control(pattern, value).map_err(|fault| bad_header(&fault)))
    };
    // SAFETY: NULL or valid, by the contract.
    unsafe { report(error, body) }
}

/// Sets the Content-Type of the files with an extension, in place of the usual one. An empty extension is for
/// names that have none.
///
/// Errors: TRANSOM_BAD_HEADER if the type is not the value of a field; TRANSOM_NOT_UTF8.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_files_add_content_type(
    files: *mut transom_files,
    extension: *const c_char,
    content_type: *const c_char,
    error: *mut *mut transom_error,
) -> transom_status {
    let body = || {
        // SAFETY: NULL or NUL-terminated, by the contract.
        let (extension, content_type) = unsafe { (text(extension)?, text(content_type)?) };
        change(files, |files| files.content_type(extension, content_type).map_err(|fault| bad_header(&fault)))
    };
    // SAFETY: NULL or valid, by the contract.
    unsafe { report(error, body) }
}

/// Serves the files for GET and HEAD under a prefix, such as "/static": "/static/app.js" is the file "app.js".
/// An empty prefix serves at "/". Routes that are more specific win. No function of the program runs, except
/// those of transom_server_wrap.
///
/// Errors: as transom_server_route.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_server_add_files(
    server: *mut transom_server,
    prefix: *const c_char,
    files: *const transom_files,
    error: *mut *mut transom_error,
) -> transom_status {
    let body = || {
        // SAFETY: NULL or valid, by the contract.
        let (server, prefix) = unsafe { (transom_server::get(server)?, text(prefix)?) };
        let files = get(files)?;
        Ok(server.set_up(|setup| setup.files(prefix, files))??)
    };
    // SAFETY: NULL or valid, by the contract.
    unsafe { report(error, body) }
}

/// Answers a GET or HEAD with one regular file, as transom_files answers: conditional requests and ranges get
/// 206, 304, 412 or 416. The path is opened as it is. If it comes from a client, use transom_files. `fields`
/// are added, in place of those of the same name; without a Content-Type, it is guessed from the name.
/// `download_as` is a name under which the client stores the file (Content-Disposition; what is not safe
/// becomes "_"), or NULL.
///
/// Opening a file may wait for the disk: call this where the program may block. `request` is the one that the
/// responder answers.
///
/// Errors: as transom_responder_send; TRANSOM_INVALID_ARGUMENT if the path is no regular file, TRANSOM_IO if it
/// cannot be opened, with the errno, and TRANSOM_NOT_UTF8. After the last three, the responder can still be used.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_responder_send_path(
    responder: *mut transom_responder,
    request: *const transom_request,
    path: *const c_char,
    fields: *const transom_field,
    field_count: usize,
    download_as: *const c_char,
    error: *mut *mut transom_error,
) -> transom_status {
    let body = || {
        let handle = handle(responder)?;
        // SAFETY: each NULL or valid, by the contract.
        let (request, path) = unsafe { (borrow(request)?, file_name(path)?) };
        // SAFETY: as above.
        let (fields, download_as) = unsafe { (headers(fields, field_count)?, optional(download_as)?) };
        let file = Response::file(request.request(), path);
        let mut response = file.map_err(|error| transom_error::bad_file(&error))?;
        if let Some(name) = download_as {
            response = response.download_as(name);
        }
        for (name, _) in fields.iter() {
            response.headers_mut().remove(name);
        }
        for (name, value) in fields.iter() {
            response.headers_mut().append(name, value).map_err(|fault| bad_header(&fault))?;
        }
        exchange::take(handle)?.send(checked(response)?)?;
        Ok(())
    };
    // SAFETY: NULL or valid, by the contract.
    unsafe { report(error, body) }
}

/// Returns a text that may be left away.
///
/// # Safety
/// `text` is NULL or points to NUL-terminated bytes.
unsafe fn optional<'a>(text: *const c_char) -> Result<Option<&'a str>, transom_status> {
    if text.is_null() {
        return Ok(None);
    }
    // SAFETY: the caller promises it.
    unsafe { self::text(text) }.map(Some)
}
