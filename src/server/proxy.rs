//! The step that reads the PROXY header of a connection, before TLS and before HTTP.

use std::fmt;
use std::future::ready;
use std::io;
use std::sync::Arc;

use futures_lite::AsyncReadExt as _;
use log::Level;

use super::opening::{NotOpened, Opened, Opens, Step};
use super::proxy_header::{Endpoints, Malformed, Progress, read};
use crate::base::guard::RateLimitedLog;
use crate::error::Reject;
use crate::message::Network;

/// Reads the PROXY header of connections from trusted addresses, and closes the others.
pub(super) struct ReadProxyHeader {
    trusted: Vec<Network>,
    told: Arc<RateLimitedLog>,
}

impl ReadProxyHeader {
    pub fn new(trusted: impl IntoIterator<Item = Network>) -> Self {
        Self { trusted: trusted.into_iter().collect(), told: Arc::default() }
    }
}

impl Step for ReadProxyHeader {
    fn open(&self, mut connection: Opened) -> Opens {
        let told = Arc::clone(&self.told);
        if !self.trusted.iter().any(|network| network.contains(connection.peer)) {
            let reason = format_args!("the address is in no trusted network");
            let refusal = refuse(&told, connection, Reject::UntrustedProxy, reason);
            return Box::pin(ready(Err(refusal)));
        }
        Box::pin(async move {
            let reason = match read_header(&mut connection).await {
                Ok(()) => return Ok(connection),
                Err(Unread::Silent(error)) => return Err(NotOpened::Closed(error)),
                Err(Unread::Malformed(Malformed(reason))) => reason.to_owned(),
                Err(Unread::CutShort(error)) => error.to_string(),
            };
            let reason = format_args!("the PROXY header is not well-formed: {reason}");
            Err(refuse(&told, connection, Reject::BadProxyHeader, reason))
        })
    }
}

/// Logs why a connection is closed: once a second at most, because anybody may connect.
fn refuse(
    told: &RateLimitedLog,
    connection: Opened,
    reject: Reject,
    reason: fmt::Arguments<'_>,
) -> NotOpened {
    told.log(Level::Warn, format_args!("closed a connection of {}: {reason}", connection.peer));
    NotOpened::Dropped(Box::new(connection), reject)
}

/// The reasons for which there is no header.
enum Unread {
    /// The peer closed before it sent a byte, as many health checks do.
    Silent(io::Error),
    CutShort(io::Error),
    Malformed(Malformed),
}

/// Reads exactly the header: the first byte after it belongs to the next step.
async fn read_header(connection: &mut Opened) -> Result<(), Unread> {
    let mut header = Vec::new();
    loop {
        match read(&header).map_err(Unread::Malformed)? {
            Progress::More(more) => {
                let start = header.len();
                header.resize(start + more, 0);
                // Fewer bytes than asked for may show that the rest is no header.
                match connection.transport.read(&mut header[start..]).await {
                    Ok(0) if start == 0 => return Err(Unread::Silent(io::ErrorKind::UnexpectedEof.into())),
                    Ok(0) => return Err(Unread::CutShort(io::ErrorKind::UnexpectedEof.into())),
                    Ok(count) => header.truncate(start + count),
                    Err(error) if start == 0 => return Err(Unread::Silent(error)),
                    Err(error) => return Err(Unread::CutShort(error)),
                }
            }
            Progress::Whole(Endpoints::Own) => return Ok(()),
            Progress::Whole(Endpoints::Proxied { peer, local }) => {
                let proxy = std::mem::replace(&mut connection.peer, peer);
                connection.arrival.proxy = Some(proxy);
                connection.arrival.local = Some(local);
                return Ok(());
            }
        }
    }
}
