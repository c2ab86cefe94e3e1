//! The choice of what a broadcast does about a reader that is too slow.

/// What a broadcast does with a member whose queue is full: a client that reads more slowly than
/// messages or events come. The queue is that of
/// `WebSocketUpgrade::queue_limit` or `ServerSentEvents::queue_limit`.
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
