//! The certificates of a server, and the choice of one for a client.

use std::cell::RefCell;
use std::fmt;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use rustls::client::verify_server_name;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::{ClientHello, ParsedCertificate, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use crate::error::{Error, Result};

/// The header of a key that has a passphrase (RFC 7468 11).
const ENCRYPTED: &str = "-----BEGIN ENCRYPTED PRIVATE KEY-----";

/// Where a text in PEM comes from.
#[derive(Clone)]
pub(super) enum Pem {
    File(PathBuf),
    Bytes { name: &'static str, bytes: Vec<u8> },
}

/// A certificate with its chain, and its key.
#[derive(Clone)]
pub(super) struct Pair {
    pub chain: Pem,
    pub key: Pem,
}

impl Pem {
    /// Returns the error of this text.
    pub fn bad(&self, reason: impl Into<String>) -> Error {
        Error::Tls { subject: self.to_string(), reason: reason.into() }
    }

    pub fn read(&self) -> Result<Vec<u8>> {
        match self {
            Self::File(path) => fs::read(path).map_err(|error| self.bad(error.to_string())),
            Self::Bytes { bytes, .. } => Ok(bytes.clone()),
        }
    }

    /// Returns the certificates in the text, at least one.
    pub fn certificates(&self) -> Result<Vec<CertificateDer<'static>>> {
        let bytes = self.read()?;
        let found: Vec<_> = CertificateDer::pem_slice_iter(&bytes)
            .collect::<std::result::Result<_, pem::Error>>()
            .map_err(|error| self.bad(format!("it is no PEM: {error}")))?;
        if found.is_empty() {
            return Err(self.bad("there is no certificate in PEM in it"));
        }
        Ok(found)
    }

    fn key(&self) -> Result<PrivateKeyDer<'static>> {
        let bytes = self.read()?;
        PrivateKeyDer::from_pem_slice(&bytes).map_err(|error| match error {
            pem::Error::NoItemsFound if String::from_utf8_lossy(&bytes).contains(ENCRYPTED) => {
                self.bad("the key has a passphrase; `openssl pkey -in FILE -out FILE` takes it off")
            }
            pem::Error::NoItemsFound => self.bad("there is no private key in PEM in it"),
            error => self.bad(format!("it is no PEM: {error}")),
        })
    }

    /// Returns the time of the last change, if the text is a file.
    pub fn changed(&self) -> Option<SystemTime> {
        match self {
            Self::File(path) => fs::metadata(path).and_then(|file| file.modified()).ok(),
            Self::Bytes { .. } => None,
        }
    }
}

impl fmt::Display for Pem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            Self::Bytes { name, .. } => f.write_str(name),
        }
    }
}

impl Pair {
    fn load(&self, provider: &CryptoProvider) -> Result<Arc<CertifiedKey>> {
        let (chain, key) = (self.chain.certificates()?, self.key.key()?);
        ParsedCertificate::try_from(&chain[0]).map_err(|error| self.chain.bad(sentence(&error)))?;
        let loaded = CertifiedKey::from_der(chain, key, provider).map_err(|error| match error {
            rustls::Error::InconsistentKeys(_) => {
                self.key.bad(format!("the key is not that of the certificate in {}", self.chain))
            }
            error => self.key.bad(sentence(&error)),
        })?;
        Ok(Arc::new(loaded))
    }
}

/// Returns the sentence of an error of rustls.
pub(super) fn sentence(error: &rustls::Error) -> String {
    error.to_string()
}

/// The certificates that a server has now. Each is for the names in it. A client that names none of
/// them, or no name at all, gets the first.
#[derive(Debug)]
pub(super) struct Certificates(Vec<Arc<CertifiedKey>>);

impl Certificates {
    /// Reads certificates and keys, and checks that each key is that of its certificate.
    pub fn load(pairs: &[Pair], provider: &CryptoProvider) -> Result<Self> {
        pairs.iter().map(|pair| pair.load(provider)).collect::<Result<_>>().map(Self)
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let suits = |key: &CertifiedKey| key.key.choose_scheme(hello.signature_schemes()).is_some();
        let named = |key: &CertifiedKey, name: &ServerName<'_>| {
            let leaf = key.cert.first().map(ParsedCertificate::try_from);
            matches!(leaf, Some(Ok(leaf)) if verify_server_name(&leaf, name).is_ok())
        };
        let name = hello.server_name().and_then(|name| ServerName::try_from(name).ok());
        let mut suitable = self.0.iter().filter(|key| suits(key));
        let by_name = name.and_then(|name| suitable.clone().find(|key| named(key, &name)));
        by_name.or_else(|| suitable.next()).or_else(|| self.0.first()).cloned()
    }
}

thread_local! {
    /// The name that the last client on this thread asked for. rustls tells it to nobody but the choice
    /// of the certificate, which has no access to the connection.
    static NAME: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Notes the name that a client asks for, and leaves the choice of a certificate to another.
#[derive(Debug)]
pub(super) struct NotesName(pub Arc<dyn ResolvesServerCert>);

impl ResolvesServerCert for NotesName {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        NAME.with_borrow_mut(|name| *name = hello.server_name().map(str::to_owned));
        self.0.resolve(hello)
    }

    fn only_raw_public_keys(&self) -> bool {
        self.0.only_raw_public_keys()
    }
}

/// Takes the name that [`NotesName`] noted on this thread.
pub(super) fn take_name() -> Option<String> {
    NAME.take()
}
