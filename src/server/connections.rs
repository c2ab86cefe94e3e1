//! The connections of a server, each with what it does.

use std::sync::Arc;
use std::time::Duration;

use super::shared::Shared;
use crate::conn::{ConnectionState, Session};
use crate::handler::Timeout;
use crate::message::Peer;

/// A connection, as it was when the server was asked for its connections.
///
/// ```
/// use transom::{ConnectionState, Router, Server};
///
/// let server = Server::new(Router::new()).bind("127.0.0.1:0")?.start()?;
/// for connection in server.connections() {
///     if connection.state == ConnectionState::Handling {
///         println!("{} is in {:?} for {:?}", connection.peer, connection.route, connection.lasted);
///     }
/// }
/// # Ok::<(), transom::Error>(())
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ConnectionInfo {
    /// The client, or the proxy in front of it.
    pub peer: Peer,
    /// The state of the connection.
    pub state: ConnectionState,
    /// The time in that state, to a few milliseconds. A handler that has not waited for anything so
    /// far counts from the moment at which the server was first asked.
    pub lasted: Duration,
    /// The pattern of the route whose handler runs, or whose answer is sent; empty for a fallback.
    pub route: Option<Arc<str>>,
    /// Bytes that were read from the client, as HTTP.
    pub bytes_in: u64,
    /// Bytes that were written to the client, as HTTP. Of a body that its writer sends itself
    /// ([`BodyWriter::send_now`](crate::BodyWriter::send_now)), up to 4 MiB count later.
    pub bytes_out: u64,
    /// Exchanges that have ended.
    pub exchanges: u64,
    /// The time until the server ends what the connection does. `None` if there is no such time, or if
    /// it depends on the rate at which the client sends or reads.
    pub deadline: Option<Duration>,
}

impl ConnectionInfo {
    /// Returns all connections that HTTP has begun on.
    pub(super) fn all(shared: &Shared) -> Vec<Self> {
        let sessions = shared.gate.sessions();
        let now = shared.app.started.elapsed();
        sessions.iter().map(|session| Self::of(session, shared, now)).collect()
    }

    fn of(session: &Session, shared: &Shared, now: Duration) -> Self {
        let doing = session.activity.doing(now);
        let (bytes_in, bytes_out) = session.activity.bytes();
        let endpoint = shared.app.router.endpoint(doing.route);
        let timeouts = &shared.app.config.timeouts;
        let timeout = match doing.state {
            ConnectionState::Idle => timeouts.idle,
            ConnectionState::ReadingHead => timeouts.head,
            ConnectionState::Lingering => timeouts.linger,
            ConnectionState::Handling => {
                match endpoint.map(|endpoint| (endpoint.streaming, endpoint.timeout)) {
                    // The deadline moves while the body comes.
                    Some((true, _)) | None => None,
                    Some((_, Timeout::Server)) => timeouts.handler,
                    Some((_, Timeout::Own(timeout))) => timeout,
                }
            }
            _ => None,
        };
        let lasted = now.saturating_sub(doing.since);
        Self {
            peer: session.client.peer,
            state: doing.state,
            lasted,
            route: endpoint.and_then(|endpoint| endpoint.pattern.clone()),
            bytes_in,
            bytes_out,
            exchanges: session.settled().into(),
            deadline: timeout.map(|timeout| timeout.saturating_sub(lasted)),
        }
    }
}
