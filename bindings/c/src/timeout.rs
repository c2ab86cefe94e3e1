//! Timeouts as C has them: milliseconds, of which -1 is for ever.

use std::time::Duration;

use crate::status::transom_status;

/// For ever, as a deadline that overflows no clock.
pub(crate) const FOREVER: Duration = Duration::from_secs(u32::MAX as u64);

/// A time in milliseconds; `None` is for ever.
pub(crate) fn duration(ms: i64) -> Result<Option<Duration>, transom_status> {
    match ms {
        -1 => Ok(None),
        _ => match u64::try_from(ms) {
            Ok(ms) => Ok(Some(Duration::from_millis(ms))),
            Err(_) => Err(transom_status::TRANSOM_INVALID_ARGUMENT),
        },
    }
}
