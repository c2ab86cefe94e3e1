//! The settings of TLS: [`Tls`] and its builder.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{Duration, Instant, SystemTime};

use log::Level;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::CertificateRevocationListDer;
use rustls::pki_types::pem::PemObject;
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoClientAuth, ProducesTickets, WebPkiClientVerifier};
use rustls::version::{TLS12, TLS13};
use rustls::{RootCertStore, ServerConfig};

use super::certificates::{Certificates, NotesName, Pair, Pem, sentence};
use crate::base::guard::log_event;
use crate::error::{Error, Result};

#[cfg(feature = "tls")]
use rustls::crypto::aws_lc_rs as crypto;
#[cfg(all(feature = "tls-ring", not(feature = "tls")))]
use rustls::crypto::ring as crypto;

/// The largest number of protocols that a server offers by ALPN.
const MOST_PROTOCOLS: usize = 16;

/// TLS for the connections of a listener: certificates, keys, and what else a handshake needs.
///
/// Clones are the same thing: [`reload`](Self::reload) has an effect on all listeners that have it. A
/// handshake has a deadline ([`Timeouts::handshake`](crate::Timeouts::handshake)), and the number of
/// handshakes under way is limited ([`Limits::handshakes`](crate::Limits::handshakes)).
///
/// ```no_run
/// use transom::{Listener, Request, Router, Server, Tls};
///
/// let tls = Tls::from_files("/etc/ssl/site.pem", "/etc/ssl/private/site.key")?;
/// let app = Router::new().get("/", async |req: Request| format!("hello by {}", req.scheme()));
/// Server::new(app)
///     .listen(Listener::bind("0.0.0.0:443")?.tls(&tls))
///     .listen(Listener::bind("0.0.0.0:80")?.redirect_to_https(443))
///     .run()?;
/// # Ok::<(), transom::Error>(())
/// ```
#[derive(Clone)]
pub struct Tls(Arc<Inner>);

struct Inner {
    /// `None` for settings that the host made with rustls.
    sources: Option<Mutex<Sources>>,
    config: RwLock<Arc<ServerConfig>>,
}

/// What the settings are made of, to make them again.
struct Sources {
    builder: TlsBuilder,
    /// The keys of session tickets, which outlive a reload.
    tickets: Arc<dyn ProducesTickets>,
    /// The times of the last changes of the files, as they were read.
    changed: Vec<Option<SystemTime>>,
    /// When the files were last looked at.
    looked: Instant,
}

/// A version of TLS.
///
/// ```
/// use transom::TlsVersion;
/// assert_eq!("1.3".parse::<TlsVersion>()?, TlsVersion::Tls13);
/// # Ok::<(), transom::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum TlsVersion {
    /// TLS 1.2 (RFC 5246).
    Tls12,
    /// TLS 1.3 (RFC 8446).
    Tls13,
}

impl FromStr for TlsVersion {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "1.2" => Ok(Self::Tls12),
            "1.3" => Ok(Self::Tls13),
            _ => Err(Error::Tls {
                subject: format!("version {text:?}"),
                reason: "the versions are 1.2 and 1.3".to_owned(),
            }),
        }
    }
}

/// The settings of TLS, before they are used: see [`Tls::builder`].
#[derive(Clone)]
#[must_use]
pub struct TlsBuilder {
    pairs: Vec<Pair>,
    client_roots: Vec<Pem>,
    client_lists: Vec<Pem>,
    is_client_optional: bool,
    protocols: Vec<Vec<u8>>,
    least: TlsVersion,
    watch: Option<Duration>,
}

impl Tls {
    /// Returns TLS with the certificate and the key in two files, both in PEM. The certificate comes
    /// first in its file, and those that lead to a known authority follow. The key may be in PKCS#8,
    /// PKCS#1 or SEC1, without a passphrase.
    ///
    /// # Errors
    /// [`Error::Tls`] names the file, and says what is wrong: it cannot be read, it holds no certificate
    /// or no key, or the key is not that of the certificate.
    pub fn from_files(certificate: impl Into<PathBuf>, key: impl Into<PathBuf>) -> Result<Self> {
        Self::builder().files(certificate, key).build()
    }

    /// Returns TLS with a certificate and a key in PEM, as [`from_files`](Self::from_files).
    ///
    /// # Errors
    /// [`Error::Tls`].
    pub fn from_pem(certificate: &[u8], key: &[u8]) -> Result<Self> {
        Self::builder().pem(certificate, key).build()
    }

    /// Returns a builder, for several certificates, certificates of clients, versions and protocols.
    ///
    /// ```no_run
    /// use std::time::Duration;
    /// use transom::{Tls, TlsVersion};
    ///
    /// let tls = Tls::builder()
    ///     .files("/etc/ssl/example.org.pem", "/etc/ssl/private/example.org.key")
    ///     .files("/etc/ssl/example.com.pem", "/etc/ssl/private/example.com.key")
    ///     .client_authorities_file("/etc/ssl/staff.pem")
    ///     .client_certificates_optional()
    ///     .least_version(TlsVersion::Tls13)
    ///     .watch(Duration::from_secs(60))
    ///     .build()?;
    /// # Ok::<(), transom::Error>(())
    /// ```
    pub fn builder() -> TlsBuilder {
        TlsBuilder {
            pairs: Vec::new(),
            client_roots: Vec::new(),
            client_lists: Vec::new(),
            is_client_optional: false,
            protocols: vec![b"http/1.1".to_vec()],
            least: TlsVersion::Tls12,
            watch: None,
        }
    }

    /// Returns TLS with settings that the host made with rustls. The version of rustls is that of this
    /// crate, and a new version of rustls is a new version of this crate.
    ///
    /// The settings apply as they are. ALPN should offer `http/1.1` or nothing, and early data is
    /// dropped.
    pub fn rustls(config: Arc<ServerConfig>) -> Self {
        let mut config = Arc::unwrap_or_clone(config);
        config.cert_resolver = Arc::new(NotesName(config.cert_resolver));
        Self(Arc::new(Inner { sources: None, config: RwLock::new(Arc::new(config)) }))
    }

    /// Reads the files again: certificates, keys, authorities of clients. Handshakes that begin from now
    /// on use what was read. Connections that are open stay as they are.
    ///
    /// Clients can resume their sessions unless certificates of clients are asked for: those are verified
    /// anew.
    ///
    /// # Errors
    /// [`Error::Tls`]; everything then stays as it was. Also for [`Tls::rustls`], which has no files.
    pub fn reload(&self) -> Result<()> {
        let Some(sources) = &self.0.sources else {
            return Err(Error::Tls {
                subject: "reload".to_owned(),
                reason: "the settings are the host's own, and it has no files".to_owned(),
            });
        };
        let mut sources = lock(sources);
        self.load(&mut sources)
    }

    /// Puts a certificate and a key in PEM in place of all that there were.
    ///
    /// # Errors
    /// As [`reload`](Self::reload).
    pub fn replace(&self, certificate: &[u8], key: &[u8]) -> Result<()> {
        let Some(sources) = &self.0.sources else {
            return Err(Error::Tls {
                subject: "replace".to_owned(),
                reason: "the settings are the host's own".to_owned(),
            });
        };
        let mut sources = lock(sources);
        let pairs = std::mem::take(&mut sources.builder.pairs);
        sources.builder = sources.builder.clone().pem(certificate, key);
        self.load(&mut sources).inspect_err(|_| sources.builder.pairs = pairs)
    }

    fn load(&self, sources: &mut Sources) -> Result<()> {
        let changed = sources.builder.changed();
        if sources.builder.asks_clients() {
            sources.tickets = tickets()?;
        }
        let config = sources.builder.config(&sources.tickets)?;
        *self.0.config.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(config);
        sources.changed = changed;
        Ok(())
    }

    /// Returns the settings for a handshake. Looks for changes of the files first, if that is asked for
    /// and the time has come.
    pub(crate) fn config(&self) -> Arc<ServerConfig> {
        if let Some(sources) = &self.0.sources
            && let Ok(mut sources) = sources.try_lock()
            && sources.builder.watch.is_some_and(|interval| sources.looked.elapsed() >= interval)
        {
            sources.looked = Instant::now();
            if sources.builder.changed() != sources.changed {
                match self.load(&mut sources) {
                    Ok(()) => log_event(Level::Debug, format_args!("the files for TLS were read again")),
                    // The files may be halfway written: they are read once more next time.
                    Err(error) => {
                        log_event(Level::Error, format_args!("the old files for TLS stay in use: {error}"));
                    }
                }
            }
        }
        Arc::clone(&self.0.config.read().unwrap_or_else(PoisonError::into_inner))
    }
}

fn lock(sources: &Mutex<Sources>) -> MutexGuard<'_, Sources> {
    sources.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Returns new keys for session tickets. They are changed every six hours.
fn tickets() -> Result<Arc<dyn ProducesTickets>> {
    crypto::Ticketer::new()
        .map_err(|error| Error::Tls { subject: "session tickets".to_owned(), reason: sentence(&error) })
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").finish_non_exhaustive()
    }
}

impl fmt::Debug for TlsBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsBuilder").field("certificates", &self.pairs.len()).finish_non_exhaustive()
    }
}

impl TlsBuilder {
    /// Adds a certificate and its key, in two files; see [`Tls::from_files`]. A client gets the
    /// certificate that has the name that it asks for (SNI). A client that asks for another name, or for
    /// none, gets the first.
    pub fn files(mut self, certificate: impl Into<PathBuf>, key: impl Into<PathBuf>) -> Self {
        self.pairs.push(Pair { chain: Pem::File(certificate.into()), key: Pem::File(key.into()) });
        self
    }

    /// Adds a certificate and its key in PEM, as [`files`](Self::files).
    pub fn pem(mut self, certificate: &[u8], key: &[u8]) -> Self {
        self.pairs.push(Pair {
            chain: Pem::Bytes { name: "the certificate", bytes: certificate.to_vec() },
            key: Pem::Bytes { name: "the key", bytes: key.to_vec() },
        });
        self
    }

    /// Asks each client for a certificate that one of the authorities in this file has issued. A client
    /// without one gets no connection, unless certificates are
    /// [optional](Self::client_certificates_optional). [`TlsInfo`](crate::TlsInfo) has the certificates.
    pub fn client_authorities_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.client_roots.push(Pem::File(path.into()));
        self
    }

    /// The same with the certificates of the authorities in PEM.
    pub fn client_authorities(mut self, pem: &[u8]) -> Self {
        self.client_roots.push(Pem::Bytes { name: "the authorities of clients", bytes: pem.to_vec() });
        self
    }

    /// Adds a list of certificates of clients that are revoked (RFC 5280 5), in PEM.
    pub fn client_revocations_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.client_lists.push(Pem::File(path.into()));
        self
    }

    /// Lets clients in that have no certificate. A certificate that a client does send must be valid.
    pub fn client_certificates_optional(mut self) -> Self {
        self.is_client_optional = true;
        self
    }

    /// Sets the protocols that the server offers (ALPN), the preferred one first; default `http/1.1`.
    /// A client that offers only others gets no connection (RFC 7301 3.2). With none, whatever the client
    /// offers is ignored.
    pub fn protocols<P: AsRef<[u8]>>(mut self, protocols: impl IntoIterator<Item = P>) -> Self {
        self.protocols = protocols.into_iter().map(|protocol| protocol.as_ref().to_vec()).collect();
        self
    }

    /// Sets the least version; default TLS 1.2.
    pub fn least_version(mut self, version: TlsVersion) -> Self {
        self.least = version;
        self
    }

    /// Reads the files again when they have changed. A handshake looks for that, at most once in this
    /// interval, on a thread that serves connections: the files are best on a local disk. If the new
    /// files are not valid, the log says why, and the old ones stay in use.
    pub fn watch(mut self, interval: Duration) -> Self {
        self.watch = Some(interval);
        self
    }

    /// Reads all files, and checks them.
    ///
    /// # Errors
    /// [`Error::Tls`]: see [`Tls::from_files`]; also without a certificate, and for a protocol that is
    /// empty or longer than 255 bytes.
    pub fn build(self) -> Result<Tls> {
        let tickets = tickets()?;
        let changed = self.changed();
        let config = self.config(&tickets)?;
        let sources = Sources { builder: self, tickets, changed, looked: Instant::now() };
        let (sources, config) = (Some(Mutex::new(sources)), RwLock::new(Arc::new(config)));
        Ok(Tls(Arc::new(Inner { sources, config })))
    }

    fn asks_clients(&self) -> bool {
        !self.client_roots.is_empty()
    }

    /// Returns when each file was last changed.
    fn changed(&self) -> Vec<Option<SystemTime>> {
        let pairs = self.pairs.iter().flat_map(|pair| [&pair.chain, &pair.key]);
        pairs.chain(&self.client_roots).chain(&self.client_lists).map(Pem::changed).collect()
    }

    fn config(&self, tickets: &Arc<dyn ProducesTickets>) -> Result<ServerConfig> {
        let bad = |subject: &str, reason: &str| {
            Err(Error::Tls { subject: subject.to_owned(), reason: reason.to_owned() })
        };
        if self.pairs.is_empty() {
            return bad("certificates", "there is none: give at least one with its key");
        }
        if self.protocols.len() > MOST_PROTOCOLS
            || self.protocols.iter().any(|protocol| protocol.is_empty() || protocol.len() > 255)
        {
            return bad("protocols", "there are at most 16, each of 1 to 255 bytes (RFC 7301 3.1)");
        }
        let provider = Arc::new(crypto::default_provider());
        let certificates = Certificates::load(&self.pairs, &provider)?;
        let versions: &[_] = match self.least {
            TlsVersion::Tls12 => &[&TLS13, &TLS12],
            TlsVersion::Tls13 => &[&TLS13],
        };
        let verifier = self.verifier(&provider)?;
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)
            .map_err(|error| Error::Tls { subject: "versions".to_owned(), reason: sentence(&error) })?
            .with_client_cert_verifier(verifier)
            .with_cert_resolver(Arc::new(NotesName(Arc::new(certificates))));
        config.alpn_protocols.clone_from(&self.protocols);
        config.ticketer = Arc::clone(tickets);
        // Two are sent after a handshake by default; one saves 0.2 KB, and clients that open several
        // connections at once reuse it.
        config.send_tls13_tickets = 1;
        Ok(config)
    }

    /// Returns what verifies the certificates of clients.
    fn verifier(&self, provider: &Arc<CryptoProvider>) -> Result<Arc<dyn ClientCertVerifier>> {
        let Some(first) = self.client_roots.first() else {
            if self.is_client_optional || !self.client_lists.is_empty() {
                return Err(Error::Tls {
                    subject: "certificates of clients".to_owned(),
                    reason: "give the authorities that issue them".to_owned(),
                });
            }
            return Ok(Arc::new(NoClientAuth));
        };
        let mut roots = RootCertStore::empty();
        for pem in &self.client_roots {
            for certificate in pem.certificates()? {
                roots.add(certificate).map_err(|error| pem.bad(sentence(&error)))?;
            }
        }
        let mut lists = Vec::new();
        for pem in &self.client_lists {
            let bytes = pem.read()?;
            let before = lists.len();
            for list in CertificateRevocationListDer::pem_slice_iter(&bytes) {
                lists.push(list.map_err(|error| pem.bad(format!("it is no PEM: {error}")))?);
            }
            if lists.len() == before {
                return Err(pem.bad("there is no list of revoked certificates in PEM in it"));
            }
        }
        let mut builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider));
        if !lists.is_empty() {
            builder = builder.with_crls(lists).allow_unknown_revocation_status();
        }
        if self.is_client_optional {
            builder = builder.allow_unauthenticated();
        }
        builder.build().map_err(|error| first.bad(error.to_string()))
    }
}
