//! The library itself: its version and what it was built with.

use std::ffi::{CStr, c_char};

/// The version of the binary interface this header describes. It changes only
/// when programs have to be compiled again.
pub const TRANSOM_ABI_VERSION: u32 = 0;
/// The version of the library this header came with: major.
#[allow(dead_code, reason = "for the header")]
pub const TRANSOM_VERSION_MAJOR: u32 = 0;
/// The version of the library this header came with: minor.
#[allow(dead_code, reason = "for the header")]
pub const TRANSOM_VERSION_MINOR: u32 = 1;
/// The version of the library this header came with: patch.
#[allow(dead_code, reason = "for the header")]
pub const TRANSOM_VERSION_PATCH: u32 = 0;

/// TRANSOM_ABI_VERSION of the library that is loaded. If it is not the
/// header's, do not go on.
#[unsafe(no_mangle)]
pub extern "C" fn transom_abi_version() -> u32 {
    TRANSOM_ABI_VERSION
}

/// The version of the library that is loaded, "major.minor.patch". Static.
#[unsafe(no_mangle)]
pub extern "C" fn transom_version() -> *const c_char {
    VERSION.as_ptr()
}

const VERSION: &CStr = match CStr::from_bytes_with_nul(concat!(env!("CARGO_PKG_VERSION"), "\0").as_bytes()) {
    Ok(version) => version,
    Err(_) => c"",
};

/// Whether the library was built with that feature: "pull", "unix". False of
/// unknown names and NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_has_feature(name: *const c_char) -> bool {
    // SAFETY: NULL or NUL-terminated, by the contract.
    !name.is_null() && matches!(unsafe { CStr::from_ptr(name) }.to_bytes(), b"pull" | b"unix")
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
