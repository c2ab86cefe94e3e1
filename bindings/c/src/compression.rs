//! Compressed responses and requests.

use std::ffi::c_char;
use std::ptr;

use transom::{Coding, Compression};

use crate::bytes::text;
use crate::error::{report, transom_error};
use crate::names::unknown;
use crate::route::{self, transom_route};
use crate::server::transom_server;
use crate::slots::{Handle, Table};
use crate::status::transom_status;

/// The settings of compressed responses: see transom_server_set_compression. A server that gets them
/// keeps a copy. Any thread may call its functions. A call with an object that was freed returns
/// TRANSOM_ALREADY_ANSWERED and does no harm.
pub struct transom_compression {
    _nothing: [u8; 0],
}

/// The objects of the host.
static OBJECTS: Table<Compression> = Table::new();

const CODINGS: [Coding; 3] = [Coding::Zstd, Coding::Brotli, Coding::Gzip];

fn get(compression: *const transom_compression) -> Result<Compression, transom_status> {
    let handle = Handle::from_pointer(compression).ok_or(transom_status::TRANSOM_NULL_ARGUMENT)?;
    OBJECTS.look(handle, Compression::clone)
}

fn change(
    compression: *const transom_compression,
    change: impl FnOnce(Compression) -> Compression,
) -> Result<(), transom_status> {
    let handle = Handle::from_pointer(compression).ok_or(transom_status::TRANSOM_NULL_ARGUMENT)?;
    let changed = change(get(compression)?);
    OBJECTS.change(handle, |settings| *settings = changed)
}

/// Returns the coding with this name, or a sentence that lists the names.
fn coding(name: &str) -> Result<Coding, String> {
    let found = CODINGS.into_iter().find(|coding| coding.name() == name);
    found.ok_or_else(|| unknown("coding", name, CODINGS.into_iter().map(Coding::name)))
}

fn elements(list: &str) -> impl Iterator<Item = &str> {
    list.split(',').map(str::trim).filter(|element| !element.is_empty())
}

/// Creates the default settings of compressed responses. Free them with transom_compression_free. Returns
/// NULL if there is no room for another object, and in a fork of a process that has used them.
#[unsafe(no_mangle)]
pub extern "C" fn transom_compression_new() -> *mut transom_compression {
    guard!(ptr::null_mut(), {
        let added = OBJECTS.check().and_then(|()| {
            OBJECTS.insert(Compression::new()).map_err(|_full| transom_status::TRANSOM_NO_MEMORY)
        });
        added.map_or(ptr::null_mut(), Handle::to_pointer)
    })
}

/// Frees the settings. Does nothing with NULL, nor when they were freed before.
#[unsafe(no_mangle)]
pub extern "C" fn transom_compression_free(compression: *mut transom_compression) {
    guard!((), {
        if let Some(handle) = Handle::from_pointer(compression) {
            // A stale handle has nothing to free.
            drop(OBJECTS.take(handle));
        }
    });
}

/// Sets the codings and their order, such as "br, gzip": of those that a client likes alike, the first is
/// taken. By default "zstd, br, gzip".
///
/// Errors: TRANSOM_INVALID_ARGUMENT for a name that is none of these.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_compression_set_codings(
    compression: *mut transom_compression,
    codings: *const c_char,
    error: *mut *mut transom_error,
) -> transom_status {
    let body = || {
        // SAFETY: NULL or NUL-terminated, by the contract.
        let names = unsafe { text(codings) }?;
        let codings = elements(names).map(coding).collect::<Result<Vec<_>, _>>();
        let codings = codings.map_err(|sentence| transom_error::bad_setting(&sentence))?;
        Ok(change(compression, |settings| settings.codings(codings))?)
    };
    // SAFETY: NULL or valid, by the contract.
    unsafe { report(error, body) }
}

/// Sets the level of a coding: 1 to 19 for "zstd" (default 3), 0 to 11 for "br" (4), 1 to 9 for "gzip" (4). The
/// nearest is taken. Higher levels take more time and make less.
///
/// Errors: TRANSOM_INVALID_ARGUMENT if there is no such coding.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_compression_set_level(
    compression: *mut transom_compression,
    name: *const c_char,
    level: u32,
    error: *mut *mut transom_error,
) -> transom_status {
    let body = || {
        // SAFETY: NULL or NUL-terminated, by the contract.
        let coding = coding(unsafe { text(name) }?);
        let coding = coding.map_err(|sentence| transom_error::bad_setting(&sentence))?;
        Ok(change(compression, |settings| settings.level(coding, level))?)
    };
    // SAFETY: NULL or valid, by the contract.
    unsafe { report(error, body) }
}

/// Sets how many bytes a response must have to be compressed; default 1 KiB.
#[unsafe(no_mangle)]
pub extern "C" fn transom_compression_set_min_size(
    compression: *mut transom_compression,
    bytes: u64,
) -> transom_status {
    checked!({
        change(compression, |settings| settings.min_size(bytes))?;
    })
}

/// Sets the media types that are compressed, separated by commas. A star stands for all subtypes of a type,
/// and before a "+" for all types with that suffix: see docs/compression.md. By default those of texts, and
/// a few others that are not compressed already.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_compression_set_types(
    compression: *mut transom_compression,
    types: *const c_char,
) -> transom_status {
    checked!({
        // SAFETY: NULL or NUL-terminated, by the contract.
        let types = unsafe { text(types) }?;
        change(compression, |settings| settings.types(elements(types)))?;
    })
}

/// Limits the streams that are compressed at once; default 1,024. Each holds 250 KiB with zstd, 400 KiB with
/// gzip and 750 KiB with brotli. Further ones are sent as they are.
#[unsafe(no_mangle)]
pub extern "C" fn transom_compression_set_max_streams(
    compression: *mut transom_compression,
    count: usize,
) -> transom_status {
    checked!({
        change(compression, |settings| settings.max_streams(count))?;
    })
}

/// Compresses responses for clients that accept it (RFC 9110 8.4): zstd, brotli or gzip. With NULL for
/// `compression`, with the default settings.
///
/// A response is compressed if its media type is one of those that are set, and it is long enough or of
/// unknown length. It then has a weak ETag, and "Vary: accept-encoding" whether this client has it
/// compressed or not. A response is sent as it is if it has a Content-Encoding, is a part (206), has a
/// checksum of its bytes such as Repr-Digest, or says "Cache-Control: no-transform". A stream is compressed as
/// it comes, and what there is leaves whenever there is no more for now. docs/compression.md tells more,
/// also what compression can tell an attacker of a secret.
///
/// Errors: TRANSOM_ALREADY_STARTED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_server_set_compression(
    server: *mut transom_server,
    compression: *const transom_compression,
    error: *mut *mut transom_error,
) -> transom_status {
    let body = || {
        // SAFETY: NULL or valid, by the contract.
        let server = unsafe { transom_server::get(server) }?;
        let settings = if compression.is_null() { Compression::new() } else { get(compression)? };
        Ok(server.set_up(|setup| setup.compression = Some(settings.clone()))?)
    };
    // SAFETY: NULL or valid, by the contract.
    unsafe { report(error, body) }
}

/// Decompresses the bodies of requests of this route (RFC 9110 8.4): zstd, brotli or gzip, to at most
/// `limit` bytes. The handler gets the body as it was before it was compressed, whole or as a stream, without
/// the field Content-Encoding. The limit of the route for bodies holds before.
///
/// A larger body gets a 413 when the limit is reached, one that is malformed a 400, and one with another
/// coding, or with several, a 415. A handler that reads a stream gets TRANSOM_BODY_TOO_LARGE or
/// TRANSOM_BAD_BODY instead. transom_route_set_decompression_memory limits the memory.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_route_set_decompression(
    route: *mut transom_route,
    limit: u64,
) -> transom_status {
    checked!({
        let set = |draft: &mut route::Draft| {
            draft.change_decompression(|decompression| decompression.limit(limit));
            Ok(())
        };
        // SAFETY: NULL or valid, by the contract.
        unsafe { route::change(route, set) }?;
    })
}

/// Limits the memory for decompressed bodies of all requests of this route together, in bytes; default 256
/// MiB. A whole body counts with its bytes, and a stream with the largest window of its coding: 64 KiB for
/// gzip, 9 MiB for zstd and 17 MiB for brotli. What goes beyond gets a 503. The route decompresses, to at most
/// 10 MiB a body unless transom_route_set_decompression says otherwise.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_route_set_decompression_memory(
    route: *mut transom_route,
    max_memory: usize,
) -> transom_status {
    checked!({
        let set = |draft: &mut route::Draft| {
            draft.change_decompression(|decompression| decompression.max_memory(max_memory));
            Ok(())
        };
        // SAFETY: NULL or valid, by the contract.
        unsafe { route::change(route, set) }?;
    })
}
