//! The library itself: its version and its features.

use std::ffi::{CStr, c_char};

/// The version of the binary interface that this header describes. It changes only in
/// releases for which programs must be compiled again.
pub const TRANSOM_ABI_VERSION: u32 = 0;
/// The major version of the library that this header came with.
#[allow(dead_code, reason = "for the header")]
pub const TRANSOM_VERSION_MAJOR: u32 = 0;
/// The minor version of the library that this header came with.
#[allow(dead_code, reason = "for the header")]
pub const TRANSOM_VERSION_MINOR: u32 = 1;
/// The patch version of the library that this header came with.
#[allow(dead_code, reason = "for the header")]
pub const TRANSOM_VERSION_PATCH: u32 = 0;

/// Returns the TRANSOM_ABI_VERSION of the library that is loaded. If it differs from the
/// header's, the program must not use the library.
#[unsafe(no_mangle)]
pub extern "C" fn transom_abi_version() -> u32 {
    TRANSOM_ABI_VERSION
}

/// Returns the version of the library that is loaded, as "major.minor.patch". The text is
/// static: do not free it.
#[unsafe(no_mangle)]
pub extern "C" fn transom_version() -> *const c_char {
    VERSION.as_ptr()
}

const VERSION: &CStr = match CStr::from_bytes_with_nul(concat!(env!("CARGO_PKG_VERSION"), "\0").as_bytes()) {
    Ok(version) => version,
    Err(_) => c"",
};

/// Returns true if the library was built with the feature `name`: "access-log", "compression", "cookies", "forms",
/// "metrics", "middleware", "pull", "sse", "tls", "unix" or "websocket".
/// Returns false for any other name and for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_has_feature(name: *const c_char) -> bool {
    // SAFETY: NULL or NUL-terminated, by the contract.
    !name.is_null()
        && matches!(
            unsafe { CStr::from_ptr(name) }.to_bytes(),
            b"access-log"
                | b"compression"
                | b"cookies"
                | b"files"
                | b"forms"
                | b"metrics"
                | b"middleware"
                | b"pull"
                | b"sse"
                | b"tls"
                | b"unix"
                | b"websocket"
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn version_macros_are_the_package_version() {
        let macros = format!("{TRANSOM_VERSION_MAJOR}.{TRANSOM_VERSION_MINOR}.{TRANSOM_VERSION_PATCH}");
        assert_eq!(macros, env!("CARGO_PKG_VERSION"));
        assert_eq!(VERSION.to_str(), Ok(env!("CARGO_PKG_VERSION")));
    }
}
