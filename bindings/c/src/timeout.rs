//! Timeouts as C has them: milliseconds, and -1 for no limit.

use std::time::Duration;

use crate::status::transom_status;

/// A deadline that is never reached, and that can be added to any time.
pub(crate) const FOREVER: Duration = Duration::from_secs(u32::MAX as u64);

/// Converts a time in milliseconds; `None` is no limit.
pub(crate) fn duration(ms: i64) -> Result<Option<Duration>, transom_status> {
    match ms {
        -1 => Ok(None),
        _ => match u64::try_from(ms) {
            Ok(ms) => Ok(Some(Duration::from_millis(ms))),
            Err(_) => Err(transom_status::TRANSOM_INVALID_ARGUMENT),
        },
    }
}
