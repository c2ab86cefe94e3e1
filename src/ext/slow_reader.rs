//! The policy of a broadcast for readers that are too slow.

/// The policy of a broadcast for a member whose queue is full, because its client reads more slowly than
/// messages or events come. `WebSocketUpgrade::queue_limit` and `ServerSentEvents::queue_limit` set the size
/// of the queue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum SlowReader {
    /// The member misses the message.
    #[default]
    Drop,
    /// The member misses all but the newest: it gets that once its queue has room. For messages of which
    /// only the latest counts, such as a price.
    Coalesce,
    /// The connection is closed after what waits, that of a WebSocket with 1008, and the member is
    /// removed. For messages of which none may be missed: the client can connect again and ask for the
    /// whole state.
    Close,
}
