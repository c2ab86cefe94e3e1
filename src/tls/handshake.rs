//! The handshake of a TLS connection.

use std::future::poll_fn;
use std::io;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use rustls::{CipherSuite, HandshakeKind, ProtocolVersion, ServerConfig};

use super::certificates::take_name;
use super::records::{Progress, Records};
use super::stream::{READS_PER_TURN, TlsStream};
use crate::conn::Transport;
use crate::message::TlsInfo;

/// The end of a handshake that failed.
pub(crate) enum Refused<T> {
    /// The client speaks HTTP without TLS: it understands an answer.
    PlainHttp(T),
    /// The client was sent an alert, if there was one to send. Dropping the transport closes it.
    Failed(io::Error),
}

/// Does the handshake with a client.
pub(crate) async fn accept<T: Transport>(
    transport: T,
    config: Arc<ServerConfig>,
) -> Result<(TlsStream<T>, TlsInfo), Refused<T>> {
    let mut stream = TlsStream::new(transport, Records::new(config).map_err(Refused::Failed)?);
    let (mut has_begun, mut name) = (false, None);
    match poll_fn(|cx| poll_handshake(&mut stream, cx, &mut has_begun, &mut name)).await {
        Ok(true) => {
            let info = settled(&stream.records, name);
            Ok((stream, info))
        }
        Ok(false) => Err(Refused::PlainHttp(stream.transport)),
        Err(error) => {
            // The client gets to read the alert: the transport is not closed while it still sends. The
            // deadline of the handshake ends this.
            if error.kind() == io::ErrorKind::InvalidData {
                let _ = poll_fn(|cx| poll_part(&mut stream, cx)).await;
            }
            Err(Refused::Failed(error))
        }
    }
}

/// Ready once the handshake is done, with `false` if the client does not begin one.
fn poll_handshake<T: Transport>(
    stream: &mut TlsStream<T>,
    cx: &mut Context<'_>,
    has_begun: &mut bool,
    name: &mut Option<String>,
) -> Poll<io::Result<bool>> {
    loop {
        let incoming = stream.records.incoming.as_slice();
        if !*has_begun && is_http(incoming) {
            return Poll::Ready(Ok(false));
        }
        *has_begun |= !incoming.is_empty();
        let processed = stream.records.process(&mut []);
        if let Some(found) = take_name() {
            *name = Some(found);
        }
        let (_, progress) = processed?;
        ready!(stream.poll_all(cx))?;
        if progress != Progress::Handshaking {
            // The first request may have come together with the end of the handshake.
            stream.records.may_hold_record = true;
            return Poll::Ready(Ok(true));
        }
        if ready!(stream.poll_fill(cx))? == 0 {
            return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
        }
    }
}

/// Sends what is left, and drops what comes until the client closes.
fn poll_part<T: Transport>(stream: &mut TlsStream<T>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
    ready!(stream.poll_send(cx))?;
    ready!(std::pin::Pin::new(&mut stream.transport).poll_close(cx))?;
    for _ in 0..READS_PER_TURN {
        let length = stream.records.incoming.len();
        stream.records.incoming.consume(length);
        if ready!(stream.poll_fill(cx))? == 0 {
            return Poll::Ready(Ok(()));
        }
    }
    cx.waker().wake_by_ref();
    Poll::Pending
}

/// Returns `true` if the bytes are the beginning of a request without TLS: a method begins with a letter.
/// The number of a record's type is none.
fn is_http(bytes: &[u8]) -> bool {
    !bytes.is_empty() && bytes.iter().take(3).all(u8::is_ascii_alphabetic)
}

/// Returns the name of a cipher suite in the registry of IANA. Those of TLS 1.3 have others in rustls.
fn cipher_name(suite: CipherSuite) -> &'static str {
    match suite {
        CipherSuite::TLS13_AES_128_GCM_SHA256 => "TLS_AES_128_GCM_SHA256",
        CipherSuite::TLS13_AES_256_GCM_SHA384 => "TLS_AES_256_GCM_SHA384",
        CipherSuite::TLS13_CHACHA20_POLY1305_SHA256 => "TLS_CHACHA20_POLY1305_SHA256",
        suite => suite.as_str().unwrap_or("unknown"),
    }
}

/// Returns what the handshake settled.
fn settled(records: &Records, server_name: Option<String>) -> TlsInfo {
    let connection = records.connection();
    let suite = connection.negotiated_cipher_suite().map(|suite| suite.suite());
    TlsInfo {
        version: match connection.protocol_version() {
            Some(ProtocolVersion::TLSv1_3) => "TLSv1.3",
            _ => "TLSv1.2",
        },
        cipher: suite.map_or("unknown", cipher_name),
        server_name,
        alpn: connection.alpn_protocol().map(<[u8]>::to_vec),
        certificates: connection
            .peer_certificates()
            .map(|chain| chain.iter().map(|certificate| certificate.to_vec()).collect())
            .unwrap_or_default(),
        is_resumed: connection.handshake_kind() == Some(HandshakeKind::Resumed),
    }
}
