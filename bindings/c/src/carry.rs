//! Moving the bytes of a connection that has left HTTP, between the client and the host.

use std::io;

use futures_lite::future::{self, poll_fn};
use futures_lite::io::split;
use futures_lite::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use transom::{Body, BodyWriter, Bytes, Upgraded};

/// The most bytes of one read.
const PIECE: usize = 16 * 1024;

/// Puts what the client sends into `received`, and sends it what comes out of `sent`, until the host
/// has ended `sent` or the connection breaks.
pub(crate) async fn carry(stream: Upgraded, received: BodyWriter, sent: Body) {
    let (reader, writer) = split(stream);
    future::or(receive(reader, received), send(writer, sent)).await;
}

/// Ends if the connection breaks. If the client only closes its sending side, the host may go on
/// writing.
async fn receive(mut stream: impl AsyncRead + Unpin, received: BodyWriter) {
    if take(&mut stream, &received).await.is_ok() {
        // If the host has freed the connection, it does not want the rest.
        let _ = received.finish();
        future::pending::<()>().await;
    }
}

/// Takes what the client sends, up to its end.
async fn take(stream: &mut (impl AsyncRead + Unpin), received: &BodyWriter) -> io::Result<()> {
    let mut piece = vec![0; PIECE];
    while poll_fn(|cx| received.poll_ready(cx)).await.is_ok() {
        let length = stream.read(&mut piece).await?;
        if length == 0 {
            break;
        }
        let mut copy = Vec::new();
        copy.try_reserve_exact(length)?;
        copy.extend_from_slice(&piece[..length]);
        // There is room, unless the host has freed the connection: the loop then ends.
        let _ = received.try_write(Bytes::from(copy));
    }
    Ok(())
}

/// Ends when the host has ended the bytes to send, or the connection breaks. Then the connection is
/// closed.
async fn send(mut stream: impl AsyncWrite + Unpin, mut sent: Body) {
    while let Some(Ok(piece)) = sent.chunk().await {
        if stream.write_all(&piece).await.is_err() || stream.flush().await.is_err() {
            return;
        }
    }
    let _ = stream.close().await;
}
