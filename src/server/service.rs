//! A server without listeners: the embedding program brings each connection.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::accept::Refusals;
use super::models::hosted;
use super::shared::Shared;
use super::stats::Stats;
use super::stop::Report;
use crate::message::Peer;
use futures_lite::{AsyncRead, AsyncWrite};

/// Serves connections that the embedding program accepts, on the executor of that program.
///
/// A connection can be anything that reads and writes: a TLS stream, a pipe, a tunnel.
///
/// ```
/// use futures_lite::{AsyncReadExt, AsyncWriteExt, future};
/// use transom::{Peer, Request, Router, Server};
///
/// let app = Router::new().get("/", async |_: Request| "hello");
/// let service = Server::new(app).service()?;
/// let (mut client, server) = std::os::unix::net::UnixStream::pair().map(|(a, b)| {
///     (smol::Async::new(a).unwrap(), smol::Async::new(b).unwrap())
/// })?;
/// let talk = async {
///     client.write_all(b"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n").await?;
///     let mut answer = String::new();
///     client.read_to_string(&mut answer).await?;
///     Ok::<_, std::io::Error>(answer)
/// };
/// let (answer, _) = smol::block_on(future::zip(talk, service.serve_connection(server, Peer::Unknown)));
/// assert!(answer?.ends_with("\r\n\r\nhello"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Service {
    shared: Arc<Shared>,
    refusals: Refusals,
}

impl Service {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared, refusals: Refusals::default() }
    }

    /// Serves a connection until it ends. Beyond the limits on connections, the client gets a
    /// 503. See [`Service`] for an example.
    pub async fn serve_connection<S>(&self, stream: S, peer: Peer)
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        hosted::serve_stream(&self.shared, &self.refusals, stream, peer).await;
    }

    /// Stops the service and waits until its connections have ended.
    ///
    /// Idle connections close at once, and so do new ones. Exchanges in progress may finish until
    /// `deadline`; the rest are then cut.
    pub async fn stop(&self, deadline: Duration) -> Report {
        self.shared.stopper.stop(deadline);
        hosted::drain_here(&self.shared).await;
        self.report()
    }

    /// Returns the counters of the service; see [`Handle::stats`](crate::Handle::stats).
    pub fn stats(&self) -> Stats {
        Stats::of(&self.shared)
    }

    /// Returns how many exchanges have finished, were cut, and are pending so far.
    pub fn report(&self) -> Report {
        self.shared.gate.report()
    }
}

impl fmt::Debug for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Service").finish_non_exhaustive()
    }
}
