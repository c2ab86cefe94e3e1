//! Listening sockets, and the text form of their addresses.

use std::io;
use std::net::{Ipv6Addr, SocketAddr, TcpListener, ToSocketAddrs};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};

use super::accept::Accepted;
#[cfg(unix)]
use super::facts::local_addr;
#[cfg(any(feature = "tls", feature = "tls-ring"))]
use super::handshake::Handshake;
use super::lane::Lane;
use super::opening::Steps;
use super::proxy::ReadProxyHeader;
use super::socket::{Bound, ListeningSocket, SocketFile};
#[cfg(target_os = "linux")]
use super::succession::Announcement;
use crate::error::{Error, Result};
use crate::message::{Address, Network};
use crate::system::{
    UnixListener, apart, bind_abstract, bind_unix, prepare_to_bind, set_mode, set_reuse_port,
};
#[cfg(any(feature = "tls", feature = "tls-ring"))]
use crate::tls::Tls;

/// The number of connections that the kernel holds until they are accepted, unless the server
/// sets another. The kernel may hold fewer (`net.core.somaxconn`, see listen(2)).
const BACKLOG: i32 = 1024;
/// The silence after which the kernel probes a TCP connection. A quiet stream and an upgraded
/// connection have no deadline of their own, so only the kernel notices a vanished client.
const KEEPALIVE: Duration = Duration::from_secs(60);

/// A listening socket.
///
/// Clients can connect as soon as the listener exists. They are served once a server that has
/// the listener starts. The kernel probes TCP connections that are silent for a minute (tcp(7),
/// keepalive), so that a connection ends when its client has vanished.
///
/// ```
/// use transom::{Listener, Router, Server};
///
/// let listener = Listener::bind("127.0.0.1:0")?;
/// let inherited: Listener = std::net::TcpListener::bind("127.0.0.1:0").map_err(transom::Error::Io)?.try_into()?;
/// let server = Server::new(Router::new()).listen(listener).listen(inherited).start()?;
/// assert_eq!(server.local_addrs().len(), 2);
/// # Ok::<(), transom::Error>(())
/// ```
#[derive(Debug)]
pub struct Listener {
    pub(super) socket: Arc<ListeningSocket>,
    address: Address,
    /// What each connection goes through before HTTP; `None` if nothing.
    pub(super) steps: Option<Arc<Steps>>,
    /// Places for connections of this listener alone.
    pub(super) lane: Option<Arc<Lane>>,
    /// The name that systemd or a predecessor gave.
    name: Option<Arc<str>>,
    /// Tells the predecessor that the listener serves.
    #[cfg(target_os = "linux")]
    pub(super) announcement: Option<Announcement>,
}

impl Listener {
    /// Listens on an address:
    ///
    /// - `host:port`; port 0 lets the system choose a free port. A link-local IPv6 address
    ///   names its interface: `[fe80::1%eth0]:8080`.
    /// - `unix:path`, a Unix socket with a file.
    /// - `unix:@name`, an abstract name (unix(7), Linux only). A file of that name is
    ///   `unix:./@name`.
    ///
    /// ```
    /// let error = transom::Listener::bind("127.0.0.1").unwrap_err();
    /// assert!(error.to_string().contains("the port is missing"));
    /// ```
    ///
    /// # Errors
    /// [`Error::BadAddress`], or [`Error::Bind`] with the error of the system.
    pub fn bind(address: &str) -> Result<Self> {
        Self::bind_as(address, None, false)
    }

    /// Listens on an address, as [`bind`](Self::bind) does. The file of a Unix socket has this
    /// mode before any client can connect, whatever the umask; see
    /// [`Server::unix_mode`](crate::Server::unix_mode).
    ///
    /// ```
    /// let path = std::env::temp_dir().join(format!("transom-mode-{}", std::process::id()));
    /// let listener = transom::Listener::bind_with_mode(&format!("unix:{}", path.display()), 0o660)?;
    /// # Ok::<(), transom::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`bind`](Self::bind), and [`Error::BadSetting`] if the mode is beyond `0o777`.
    pub fn bind_with_mode(address: &str, mode: u32) -> Result<Self> {
        check_mode(mode)?;
        Self::bind_as(address, Some(mode), false)
    }

    /// Listens on an address, as [`bind`](Self::bind) does, with `SO_REUSEPORT` on a TCP socket: other
    /// sockets with this option, also of other processes of the same user, may listen on the same address.
    /// See [`Server::reuse_port`](crate::Server::reuse_port). A Unix socket has no such option.
    ///
    /// ```
    /// use transom::Listener;
    ///
    /// let first = Listener::bind_reuse_port("127.0.0.1:0")?;
    /// let second = Listener::bind_reuse_port(&first.local_addr().to_string())?;
    /// assert_eq!(first.local_addr(), second.local_addr());
    /// # Ok::<(), transom::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`bind`](Self::bind).
    pub fn bind_reuse_port(address: &str) -> Result<Self> {
        Self::bind_as(address, None, true)
    }

    /// Expects a PROXY header, version 1 or 2, at the beginning of each connection, as HAProxy
    /// (`send-proxy`, `send-proxy-v2`), nginx (`proxy_protocol on`) and cloud load balancers send it.
    /// The client that the header names is the peer of the connection: for
    /// [`Request::peer`](crate::Request::peer), for the limit for one address, for logs. Its destination
    /// is [`Request::local_addr`](crate::Request::local_addr). The proxy's own address is
    /// [`Request::connection_peer`](crate::Request::connection_peer).
    ///
    /// A header can name any client, so only connections from `trusted` networks may have one. A
    /// connection from another address is closed and counted ([`Reject::UntrustedProxy`]). So is one
    /// whose header is missing or malformed ([`Reject::BadProxyHeader`]). The header has the time of
    /// [`Timeouts::handshake`](crate::Timeouts::handshake). The health checks of HAProxy
    /// (`check send-proxy`) keep the addresses of the proxy.
    ///
    /// ```
    /// use transom::{Listener, Router, Server};
    ///
    /// let behind_proxy = Listener::bind("127.0.0.1:0")?.proxy_protocol(["10.0.0.0/8".parse()?]);
    /// Server::new(Router::new()).listen(behind_proxy).start()?;
    /// # Ok::<(), transom::Error>(())
    /// ```
    ///
    /// [`Reject::UntrustedProxy`]: crate::Reject::UntrustedProxy
    /// [`Reject::BadProxyHeader`]: crate::Reject::BadProxyHeader
    #[must_use]
    pub fn proxy_protocol(mut self, trusted: impl IntoIterator<Item = Network>) -> Self {
        self.steps_mut().proxy = Some(Box::new(ReadProxyHeader::new(trusted)));
        self
    }

    /// Listens on an address. `mode` is for a Unix socket, `reuse_port` for a TCP socket.
    pub(super) fn bind_as(address: &str, mode: Option<u32>, reuse_port: bool) -> Result<Self> {
        let failed = |source| Error::Bind { address: address.to_owned(), source };
        if let Some(name) = address.strip_prefix("unix:@") {
            if name.is_empty() || name.contains('\0') {
                return Err(bad(address, "the name of an abstract Unix socket is missing or holds NUL"));
            }
            let socket = bind_abstract(name, BACKLOG).map_err(failed)?;
            return Self::of_unix(socket, Address::Abstract(name.into()), |it| it.bound_here(None));
        }
        if let Some(path) = address.strip_prefix("unix:") {
            if path.is_empty() || path.contains('\0') {
                return Err(bad(address, "the path of a Unix socket is missing or holds NUL"));
            }
            let socket = bind_unix(Path::new(path), mode, BACKLOG).map_err(failed)?;
            let file = SocketFile::new(path.into());
            return Self::of_unix(socket, Address::Unix(path.into()), |it| it.bound_here(Some(file)));
        }
        let mut last = None;
        for address in resolve(address)? {
            match bind_tcp(address, reuse_port) {
                Ok(socket) => return Self::of_tcp(socket, |it| it.bound_here(None)),
                Err(error) => last = Some((address, error)),
            }
        }
        Err(match last {
            None => bad(address, "the host has no address"),
            Some((SocketAddr::V6(v6), error))
                if v6.ip().is_unicast_link_local()
                    && v6.scope_id() == 0
                    && error.kind() == io::ErrorKind::InvalidInput =>
            {
                bad(address, format!("a link-local address has its interface, as in `[{}%eth0]`", v6.ip()))
            }
            Some((_, error)) => failed(error),
        })
    }

    /// Reserves places for connections of this listener, beside those of
    /// [`Limits::connections`](crate::Limits::connections): health checks and the pages of an operator can
    /// then connect although the server is full. Connections beyond these places take common ones. In
    /// the model with a thread for each connection, the listener has as many threads of its own, beside
    /// [`Limits::connection_threads`](crate::Limits::connection_threads), and further connections wait in
    /// the backlog. The sequential model serves one connection at a time, of whichever listener. 0, the
    /// default, reserves none.
    ///
    /// Let only those connect who watch the server: bind the listener to a loopback address or to a
    /// Unix socket.
    ///
    /// ```
    /// use transom::{Listener, Readiness, Router, Server};
    ///
    /// let watched = Listener::bind("127.0.0.1:0")?.reserve(8);
    /// let app = Router::new().get("/ready", Readiness);
    /// Server::new(app).bind("127.0.0.1:0")?.listen(watched).start()?;
    /// # Ok::<(), transom::Error>(())
    /// ```
    #[must_use]
    pub fn reserve(mut self, places: usize) -> Self {
        self.lane = (places > 0).then(|| Lane::new(places));
        self
    }

    /// Returns the name of a listener that was passed to this process, such as
    /// `FileDescriptorName=` in a systemd unit; see [`inherited`](Self::inherited).
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// Gives the connections of this listener TLS. See [`Tls`] for an example.
    #[cfg(any(feature = "tls", feature = "tls-ring"))]
    #[must_use]
    pub fn tls(mut self, tls: &Tls) -> Self {
        self.steps_mut().tls = Some(Box::new(Handshake(tls.clone())));
        self
    }

    /// Answers each request of this listener with 308 and the same address by `https`, at this port.
    /// Requests below `/.well-known/acme-challenge/` are served, so that an authority can check who has the
    /// name (RFC 8555 8.3).
    #[must_use]
    pub fn redirect_to_https(mut self, port: u16) -> Self {
        self.steps_mut().https_port = Some(port);
        self
    }

    /// Returns the steps before HTTP, to change them.
    pub(super) fn steps_mut(&mut self) -> &mut Steps {
        // No server shares them before it starts.
        Arc::get_mut(self.steps.get_or_insert_default()).expect("the listener is not in use")
    }

    /// Takes one connection from the backlog. `WouldBlock` if there is none.
    pub(super) fn accept(&self) -> io::Result<Accepted> {
        let (socket, peer) = self.socket.bound().accept()?;
        Ok(Accepted { socket, peer, steps: self.steps.clone(), lane: self.lane.clone() })
    }

    /// Sets the mode of the socket's file, if this process made the file.
    pub(super) fn set_mode(&self, mode: u32) -> io::Result<()> {
        self.socket.file().map_or(Ok(()), |file| set_mode(&file.path, mode))
    }

    /// Returns the address that the socket listens on, with the port that the system chose.
    pub fn local_addr(&self) -> &Address {
        &self.address
    }

    /// Sets how many connections the kernel holds until they are accepted.
    pub(super) fn set_backlog(&self, length: u32) -> io::Result<()> {
        let length = i32::try_from(length).unwrap_or(i32::MAX);
        // On a socket that listens already, this changes only the length of the backlog (listen(2)).
        SockRef::from(&*self.socket).listen(length)
    }

    /// Takes over a TCP socket; `note` says where it is from.
    fn of_tcp(socket: TcpListener, note: impl FnOnce(ListeningSocket) -> ListeningSocket) -> Result<Self> {
        let socket = apart(socket)?;
        socket.set_nonblocking(true)?;
        // Connections inherit both options (tcp(7)). A response leaves in one write, so that
        // waiting to fill a segment gains nothing.
        SockRef::from(&socket).set_tcp_keepalive(&TcpKeepalive::new().with_time(KEEPALIVE))?;
        SockRef::from(&socket).set_tcp_nodelay(true)?;
        let address = Address::Tcp(socket.local_addr()?);
        Ok(Self::of(note(ListeningSocket::passed(Bound::Tcp(socket))), address))
    }

    /// Takes over a Unix socket with that address; `note` says where it is from.
    fn of_unix(
        socket: UnixListener,
        address: Address,
        note: impl FnOnce(ListeningSocket) -> ListeningSocket,
    ) -> Result<Self> {
        let socket = apart(socket)?;
        socket.set_nonblocking(true)?;
        Ok(Self::of(note(ListeningSocket::passed(Bound::Unix(socket))), address))
    }

    fn of(socket: ListeningSocket, address: Address) -> Self {
        Self {
            socket: Arc::new(socket),
            address,
            steps: None,
            lane: None,
            name: None,
            #[cfg(target_os = "linux")]
            announcement: None,
        }
    }

    #[cfg(target_os = "linux")]
    pub(super) fn named(self, name: Option<Arc<str>>) -> Self {
        Self { name, ..self }
    }

    /// Takes over a Unix socket that a predecessor has passed, with the file if it is left to this
    /// process.
    #[cfg(target_os = "linux")]
    pub(super) fn of_passed_unix(socket: UnixListener, file: Option<(u64, u64)>) -> Result<Self> {
        let address = local_addr(&socket)?;
        let left = match (&address, file) {
            (Address::Unix(path), Some(id)) => Some(SocketFile::left_to_us(path.clone(), id)),
            _ => None,
        };
        Self::of_unix(socket, address, |socket| match left {
            Some(file) => socket.with_file(file),
            None => socket,
        })
    }
}

/// Takes over a TCP socket that listens already.
impl TryFrom<TcpListener> for Listener {
    type Error = Error;

    fn try_from(socket: TcpListener) -> Result<Self> {
        Self::of_tcp(socket, |it| it)
    }
}

/// Takes over a Unix socket that listens already. Its file is left to the caller.
#[cfg(unix)]
impl TryFrom<UnixListener> for Listener {
    type Error = Error;

    fn try_from(socket: UnixListener) -> Result<Self> {
        let address = local_addr(&socket)?;
        Self::of_unix(socket, address, |it| it)
    }
}

fn bad(address: &str, reason: impl Into<String>) -> Error {
    Error::BadAddress { address: address.to_owned(), reason: reason.into() }
}

fn resolve(address: &str) -> Result<Vec<SocketAddr>> {
    if let Ok(address) = address.parse() {
        return Ok(vec![address]);
    }
    if address.contains("://") {
        return Err(bad(address, "it is a URL: an address has no scheme, as in `127.0.0.1:8080`"));
    }
    let Some((host, port)) = address.rsplit_once(':') else {
        return Err(bad(address, "the port is missing, as in `127.0.0.1:8080`"));
    };
    let port: u16 = port.parse().map_err(|_| bad(address, "invalid port value"))?;
    if host.is_empty() {
        return Err(bad(
            address,
            "the host is missing, as in `127.0.0.1:8080`; all of IPv4 is `0.0.0.0`, all `[::]`",
        ));
    }
    // getaddrinfo(3) resolves interface names, but takes no brackets.
    let plain = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    let found = (plain, port).to_socket_addrs().map_err(|error| match plain.split_once('%') {
        Some((ip, interface)) if ip.parse::<Ipv6Addr>().is_ok() => {
            bad(address, format!("there is no interface {interface:?}, or the address needs none"))
        }
        _ => bad(address, error.to_string()),
    })?;
    Ok(found.collect())
}

pub(super) fn check_mode(mode: u32) -> Result<()> {
    if mode > 0o777 {
        return Err(Error::BadSetting { name: "unix_mode", reason: "it is at most 0o777" });
    }
    Ok(())
}

fn bind_tcp(address: SocketAddr, reuse_port: bool) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    prepare_to_bind(&socket)?;
    if reuse_port {
        set_reuse_port(&socket)?;
    }
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(address: &str) -> String {
        Listener::bind(address).map(|_| ()).unwrap_err().to_string()
    }

    // Windows knows interfaces by numbers.
    #[cfg(unix)]
    #[test]
    fn an_interface_is_known_by_its_name() {
        let found = resolve("[fe80::1%lo]:80").unwrap();
        let [SocketAddr::V6(address)] = *found else { panic!("no address") };
        assert_eq!((address.scope_id(), address.port()), (1, 80));
    }

    #[test]
    fn bad_addresses_are_told_apart() {
        assert_eq!(
            refusal("127.0.0.1"),
            "bad address \"127.0.0.1\": the port is missing, as in `127.0.0.1:8080`"
        );
        assert_eq!(refusal("127.0.0.1:70000"), "bad address \"127.0.0.1:70000\": invalid port value");
        assert!(refusal(":80").starts_with("bad address \":80\": the host is missing"));
        assert!(refusal("unix:").starts_with("bad address \"unix:\": the path"));
        assert!(refusal("unix:/no/such/folder/s").starts_with("cannot listen on unix:/no/such/folder/s: "));
    }

    #[cfg(windows)]
    #[test]
    fn what_windows_has_not_is_refused_with_a_sentence() {
        assert!(refusal("unix:@s").ends_with("only Linux has abstract names"));
        let error = Listener::bind_reuse_port("127.0.0.1:0").unwrap_err().to_string();
        assert!(error.ends_with("Windows has no SO_REUSEPORT"), "{error}");
    }

    #[test]
    fn a_port_in_use_is_told() {
        let first = Listener::bind("127.0.0.1:0").unwrap();
        let Err(Error::Bind { source, .. }) = Listener::bind(&first.address.to_string()) else {
            panic!("bound twice");
        };
        assert_eq!(source.kind(), io::ErrorKind::AddrInUse);
    }

    #[test]
    fn connections_are_asked_whether_somebody_is_left_and_do_not_wait_for_more_to_send() {
        let listener = Listener::bind("127.0.0.1:0").unwrap();
        let (Bound::Tcp(socket), Address::Tcp(address)) = (listener.socket.bound(), &listener.address) else {
            panic!("no TCP");
        };
        socket.set_nonblocking(false).unwrap();
        let _client = std::net::TcpStream::connect(address).unwrap();
        let (connection, _) = socket.accept().unwrap();
        assert!(SockRef::from(&connection).keepalive().unwrap());
        assert!(connection.nodelay().unwrap());
    }

    #[cfg(unix)]
    #[test]
    fn a_full_backlog_is_no_stale_socket() {
        use socket2::SockAddr;
        let path = std::env::temp_dir().join(format!("transom-backlog-{}", std::process::id()));
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
        let address = SockAddr::unix(&path).unwrap();
        socket.bind(&address).unwrap();
        socket.listen(0).unwrap();
        let waiting: Vec<_> = (0..2)
            .map(|_| {
                let client = Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
                client.set_nonblocking(true).unwrap();
                let _ = client.connect(&address);
                client
            })
            .collect();
        assert!(matches!(Listener::bind(&format!("unix:{}", path.display())), Err(Error::Bind { .. })));
        drop((waiting, socket));
        std::fs::remove_file(&path).unwrap();
    }

    #[cfg(unix)]
    #[test]
    fn a_socket_file_goes_with_its_listener_and_a_stale_one_is_replaced() {
        let path = std::env::temp_dir().join(format!("transom-address-{}", std::process::id()));
        let address = format!("unix:{}", path.display());
        let listener = Listener::bind(&address).unwrap();
        assert!(path.exists());
        assert!(matches!(Listener::bind(&address), Err(Error::Bind { .. })));
        drop(listener);
        assert!(!path.exists());
        let older = Listener::bind(&address).unwrap();
        std::fs::remove_file(&path).unwrap();
        let newer = Listener::bind(&address).unwrap();
        drop(older);
        assert!(path.exists(), "the file of another");
        drop(newer);
        drop(UnixListener::bind(&path).unwrap());
        assert!(path.exists(), "what std leaves behind");
        drop(Listener::bind(&address).unwrap());
        assert!(!path.exists());
    }
}
