//! TLS by rustls: the certificates and other settings ([`Tls`]), and a transport around a transport
//! (`stream`). Knows no socket, no server and no HTTP.

mod certificates;
mod handshake;
mod records;
mod settings;
#[cfg(test)]
mod simulation;
mod stream;

pub(crate) use handshake::{Refused, accept};
pub use settings::{Tls, TlsBuilder, TlsVersion};
