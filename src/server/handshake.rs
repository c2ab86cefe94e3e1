//! The step that gives a connection TLS.

use super::opening::{NotOpened, Opened, Opens, Step};
use crate::error::Reject;
use crate::tls::{Refused, Tls, accept};

/// Does the TLS handshake of each connection.
pub(super) struct Handshake(pub Tls);

impl Step for Handshake {
    fn open(&self, connection: Opened) -> Opens {
        let config = self.0.config();
        // What a handshake needs stays no longer than it.
        Box::pin(async move {
            let Opened { transport, peer, mut arrival } = connection;
            match accept(transport, config).await {
                Ok((stream, info)) => {
                    arrival.tls = Some(info);
                    Ok(Opened { transport: Box::new(stream), peer, arrival })
                }
                Err(Refused::PlainHttp(transport)) => {
                    let connection = Opened { transport, peer, arrival };
                    Err(NotOpened::Refused(Box::new(connection), Reject::PlainHttp))
                }
                Err(Refused::Failed(error)) => Err(error.into()),
            }
        })
    }
}
