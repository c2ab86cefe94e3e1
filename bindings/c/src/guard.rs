//! The guards around every exported function: they keep panics out of C.

/// Runs the body, and returns `$on_panic` if it panics.
macro_rules! guard {
    ($on_panic:expr, $body:block) => {
        match ::std::panic::catch_unwind(::std::panic::AssertUnwindSafe(|| $body)) {
            Ok(value) => value,
            Err(payload) => {
                // The destructor of the payload could panic again, so it is leaked.
                ::std::mem::forget(payload);
                $on_panic
            }
        }
    };
}

/// Runs a body in which `?` returns a status. Returns `TRANSOM_OK` at its end, and
/// `TRANSOM_PANIC` if it panics.
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
