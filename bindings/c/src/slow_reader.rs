//! The policy of a broadcast for readers that are too slow.

use transom::SlowReader;

use crate::status::transom_status;

/// The policy of a broadcast for a client whose queue is full, because the client reads more slowly than
/// messages or events come.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum transom_slow_reader {
    /// The client misses the message.
    TRANSOM_SLOW_READER_DROP = 0,
    /// The client misses all but the newest: it gets that once there is room.
    TRANSOM_SLOW_READER_COALESCE = 1,
    /// The connection is closed after what waits: the client can connect again.
    TRANSOM_SLOW_READER_CLOSE = 2,
}

/// Returns the choice of the host.
pub(crate) fn slow_reader(number: i32) -> Result<SlowReader, transom_status> {
    use transom_slow_reader::{
        TRANSOM_SLOW_READER_CLOSE, TRANSOM_SLOW_READER_COALESCE, TRANSOM_SLOW_READER_DROP,
    };
    match number {
        _ if number == TRANSOM_SLOW_READER_DROP as i32 => Ok(SlowReader::Drop),
        _ if number == TRANSOM_SLOW_READER_COALESCE as i32 => Ok(SlowReader::Coalesce),
        _ if number == TRANSOM_SLOW_READER_CLOSE as i32 => Ok(SlowReader::Close),
        _ => Err(transom_status::TRANSOM_INVALID_ARGUMENT),
    }
}
