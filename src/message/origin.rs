//! The origin of a request that came through trusted proxies, as they tell it.

use super::Peer;

/// What trusted proxies told of a request in its fields.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Origin {
    /// The client, or the last proxy whose client is not known.
    pub peer: Peer,
    pub scheme: Option<&'static str>,
    /// The host that the client addressed, if the server believes it.
    pub host: Option<Box<str>>,
}
