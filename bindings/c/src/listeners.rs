//! Inherited sockets: from a descriptor of the host to a listener.

use transom::Listener;

use crate::error::transom_error;
use crate::system::{close_socket, listener, listening_family, transom_descriptor};

/// Takes over a listening socket. If it is not one, it stays the caller's.
///
/// # Safety
/// If `descriptor` is open, the caller gives it up.
pub(crate) unsafe fn inherit(descriptor: transom_descriptor) -> Result<Listener, transom_error> {
    let family =
        listening_family(descriptor).map_err(|error| transom_error::bad_descriptor(descriptor, &error))?;
    // A copy, so that the descriptor stays the caller's if a later step fails.
    // SAFETY: `listening_family` has shown that it is open.
    let listener = unsafe { listener(descriptor, family) }?;
    // SAFETY: the caller gives it up, and nobody uses it any more.
    unsafe { close_socket(descriptor) };
    Ok(listener)
}
