//! The guards every entry point's body runs in: a panic never crosses into C.

/// Runs the body; a panic in it becomes `$on_panic`.
macro_rules! guard {
    ($on_panic:expr, $body:block) => {
        match ::std::panic::catch_unwind(::std::panic::AssertUnwindSafe(|| $body)) {
            Ok(value) => value,
            Err(payload) => {
                // Its destructor could panic again; a leak is the lesser evil.
                ::std::mem::forget(payload);
                $on_panic
            }
        }
    };
}

/// Runs a body that may leave early with `?` and a status, and makes a status
/// of it: `TRANSOM_OK` at its end, `TRANSOM_PANIC` after a panic.
macro_rules! checked {
    ($body:block) => {
        guard!($crate::status::transom_status::TRANSOM_PANIC, {
            let body = || -> ::std::result::Result<(), $crate::status::transom_status> {
                $body
                Ok(())
            };
            match body() {
                Ok(()) => $crate::status::transom_status::TRANSOM_OK,
                Err(status) => status,
            }
        })
    };
}
