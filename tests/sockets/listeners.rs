//! Where a server listens, and what it says when it cannot.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::time::Duration;

use transom::{Address, Error, Listener, Method, Request, Route, Router, Server};

use crate::MODEL;
use crate::common::{Client, PATIENCE, configured, own_address, socket_path};

fn app() -> Router {
    Router::new().get("/", async |request: Request| format!("to {}", request.peer()))
}

fn server() -> Server {
    configured(app(), |_, _| ())
}

/// What `start`, `serve` and `service` say, which must be the same.
fn refusals(build: impl Fn() -> Server) -> Vec<String> {
    vec![
        build().start().map(|_| ()).unwrap_err().to_string(),
        smol::block_on(build().serve()).map(|_| ()).unwrap_err().to_string(),
        build().run().map(|_| ()).unwrap_err().to_string(),
    ]
}

#[test]
fn ipv4_ipv6_and_a_unix_socket_at_once() {
    let path = socket_path();
    let mut building = server()
        .bind("127.0.0.1:0")
        .unwrap()
        .bind("localhost:0")
        .unwrap()
        .bind(&format!("unix:{}", path.display()))
        .unwrap();
    // Not every machine has IPv6.
    let has_v6 = TcpListener::bind("[::1]:0").is_ok();
    if has_v6 {
        building = building.bind("[::1]:0").unwrap();
    }
    let server = building.start().unwrap();
    let addresses = server.local_addrs().to_vec();
    assert_eq!(addresses.len(), 3 + usize::from(has_v6));
    assert_eq!(server.local_addr(), &addresses[0]);
    assert!(addresses[0].to_string().starts_with("127.0.0.1:"));
    assert_eq!(addresses[2], Address::Unix(path.clone()));
    for address in &addresses {
        let peer = match address {
            Address::Tcp(address) => {
                assert_ne!(address.port(), 0);
                format!("to {}", if address.is_ipv6() { "[::1]:" } else { "127.0.0.1:" })
            }
            _ => "to unix".into(),
        };
        let answer = Client::connect_to(address).get("/");
        assert!(answer.text().starts_with(&peer), "{address}: {}", answer.text());
    }
    server.stop(PATIENCE);
    assert!(!path.exists(), "the socket's file is still there");
    for address in &addresses {
        if let Address::Tcp(address) = address {
            assert_eq!(TcpStream::connect(address).unwrap_err().kind(), ErrorKind::ConnectionRefused);
        }
    }
}

/// The mode of a file, without its kind.
fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn the_mode_of_a_unix_socket_is_a_setting() {
    let paths = [socket_path(), socket_path(), socket_path()];
    let [early, late, own] = paths.each_ref().map(|path| format!("unix:{}", path.display()));
    let server = server().bind(&early).unwrap().unix_mode(0o606).bind(&late).unwrap();
    assert_eq!(mode(&paths[1]), 0o606, "before any client can connect");
    let listener = Listener::bind_with_mode(&own, 0o600).unwrap();
    assert_eq!(mode(&paths[2]), 0o600);
    let server = server.listen(listener).start().unwrap();
    assert_eq!(paths.each_ref().map(|path| mode(path)), [0o606; 3]);
    Client::connect(&server).get("/").expect(200, "to unix");
    for result in
        [server_error(server_with_mode(0o1777)), Listener::bind_with_mode(&late, 0o1000).unwrap_err()]
    {
        assert_eq!(result.to_string(), "bad setting unix_mode: it is at most 0o777");
    }
}

fn server_with_mode(mode: u32) -> Server {
    server().bind("127.0.0.1:0").unwrap().unix_mode(mode)
}

fn server_error(server: Server) -> Error {
    server.start().map(drop).unwrap_err()
}

#[test]
fn servers_share_a_port_if_each_asks_for_it() {
    let first = server().reuse_port().bind("127.0.0.1:0").unwrap().start().unwrap();
    let address = first.local_addr().to_string();
    assert!(matches!(server().bind(&address), Err(Error::Bind { .. })), "this one does not ask");
    let second = server().reuse_port().bind(&address).unwrap().start().unwrap();
    let third = server().listen(Listener::bind_reuse_port(&address).unwrap()).start().unwrap();
    for running in [first, second, third] {
        // A socket without `SO_REUSEPORT` cannot listen while one of them is left.
        assert!(matches!(server().bind(&address), Err(Error::Bind { .. })));
        let answer = Client::connect(&running).get("/");
        assert!(answer.text().starts_with("to 127.0.0.1:"), "{}", answer.text());
        running.stop(PATIENCE);
    }
}

#[test]
#[cfg(target_os = "linux")]
fn an_abstract_name_is_an_address_without_a_file() {
    use std::os::linux::net::SocketAddrExt as _;
    use std::os::unix::net::{SocketAddr, UnixStream};

    let name = format!("transom-{}-{MODEL}", std::process::id());
    let address = format!("unix:@{name}");
    let at = SocketAddr::from_abstract_name(&name).unwrap();
    let running = server().unix_mode(0o600).bind(&address).unwrap().start().unwrap();
    assert_eq!(running.local_addr(), &Address::Abstract(name.clone().into()));
    assert_eq!(running.local_addr().to_string(), address);
    assert!(!Path::new(&format!("@{name}")).exists());
    let mut client = UnixStream::connect_addr(&at).unwrap();
    client.write_all(b"GET / HTTP/1.0\r\n\r\n").unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).unwrap();
    assert!(answer.ends_with("to unix"), "{answer}");
    assert!(matches!(server().bind(&address), Err(Error::Bind { .. })), "it is in use");
    running.stop(PATIENCE);
    assert!(UnixStream::connect_addr(&at).is_err());
    // A socket that was given says its name too.
    let given = UnixListener::bind_addr(&at).unwrap();
    assert_eq!(Listener::try_from(given).unwrap().local_addr().to_string(), address);
    let file = Address::Unix("@name".into());
    assert_eq!(file.to_string(), "unix:./@name");
}

#[test]
fn a_link_local_address_has_its_interface_by_name() {
    // One line for each address: it, the interface's number and its name among more.
    let known = std::fs::read_to_string("/proc/net/if_inet6").unwrap_or_default();
    for line in known.lines().filter(|line| line.starts_with("fe80")) {
        let interface = line.split_whitespace().last().unwrap();
        let digits: Vec<_> = line.as_bytes()[..32].chunks(4).map(String::from_utf8_lossy).collect();
        let server =
            server().bind(&format!("[{}%{interface}]:0", digits.join(":"))).unwrap().start().unwrap();
        assert_eq!(Client::connect(&server).get("/").status, 200);
    }
    for (address, reason) in [
        ("[fe80::1%nowhere]:0", "there is no interface \"nowhere\""),
        ("[fe80::1]:0", "a link-local address has its interface, as in `[fe80::1%eth0]`"),
    ] {
        let text = server().bind(address).unwrap_err().to_string();
        assert!(text.starts_with(&format!("bad address {address:?}: {reason}")), "{text}");
    }
}

#[test]
fn an_address_is_free_again_after_a_stop() {
    let first = server().bind(&own_address()).unwrap().start().unwrap();
    let address = first.local_addr().to_string();
    // So that there is a connection in TIME_WAIT on the server's side.
    let mut client = Client::connect(&first);
    client.get("/");
    first.stop(PATIENCE);
    client.expect_closed();
    let second = server().bind(&address).unwrap().start().unwrap();
    assert_eq!(Client::connect(&second).get("/").status, 200);
}

#[test]
fn clients_may_connect_before_the_start() {
    let listener = Listener::bind("127.0.0.1:0").unwrap();
    let mut early = Client::connect_to(listener.local_addr());
    early.request("/");
    let server = server().listen(listener).start().unwrap();
    assert_eq!(early.answer().status, 200);
    drop(server);
}

#[test]
fn sockets_may_be_inherited() {
    let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
    let path = socket_path();
    let unix = UnixListener::bind(&path).unwrap();
    let address = tcp.local_addr().unwrap();
    let server = server().listen(tcp.try_into().unwrap()).listen(unix.try_into().unwrap()).start().unwrap();
    assert_eq!(server.local_addrs(), [Address::Tcp(address), Address::Unix(path.clone())]);
    for address in server.local_addrs() {
        assert_eq!(Client::connect_to(address).get("/").status, 200);
    }
    server.stop(PATIENCE);
    assert!(path.exists(), "the file of an inherited socket is not the server's to remove");
    std::fs::remove_file(path).unwrap();
}

#[test]
fn a_listener_that_is_not_used_is_closed() {
    let path = socket_path();
    let address = format!("unix:{}", path.display());
    drop(server().bind(&address).unwrap());
    assert!(!path.exists());
    let refused = Router::new().get("bad", async |_: Request| "");
    assert!(Server::new(refused).bind(&address).unwrap().start().is_err());
    assert!(!path.exists());
}

#[test]
fn an_address_in_use_is_told() {
    let tcp = server().bind("127.0.0.1:0").unwrap();
    let listening = tcp.start().unwrap();
    let path = socket_path();
    let unix = format!("unix:{}", path.display());
    let _holding = server().bind(&unix).unwrap();
    for address in [listening.local_addr().to_string(), unix] {
        let error = server().bind(&address).unwrap_err();
        assert!(error.to_string().starts_with(&format!("cannot listen on {address}: ")), "{error}");
        let Error::Bind { address: told, source } = error else { panic!("{error}") };
        assert_eq!((told, source.kind()), (address, ErrorKind::AddrInUse));
    }
    assert!(path.exists(), "a socket in use was taken away");
}

#[test]
fn bad_addresses_are_told_apart() {
    for (address, reason) in [
        ("", "the port is missing, as in `127.0.0.1:8080`"),
        ("127.0.0.1", "the port is missing, as in `127.0.0.1:8080`"),
        ("127.0.0.1:", "invalid port value"),
        ("127.0.0.1:http", "invalid port value"),
        ("127.0.0.1:65536", "invalid port value"),
        ("127.0.0.1:-1", "invalid port value"),
        (":8080", "the host is missing"),
        ("http://127.0.0.1:8080", "it is a URL: an address has no scheme, as in `127.0.0.1:8080`"),
        ("http://localhost/", "it is a URL: an address has no scheme, as in `127.0.0.1:8080`"),
        ("unix:", "the path of a Unix socket is missing or holds NUL"),
        ("unix:/tmp/a\0b", "the path of a Unix socket is missing or holds NUL"),
        ("unix:@", "the name of an abstract Unix socket is missing or holds NUL"),
        ("unix:@a\0b", "the name of an abstract Unix socket is missing or holds NUL"),
    ] {
        let error = server().bind(address).unwrap_err();
        let text = error.to_string();
        assert!(text.starts_with(&format!("bad address {address:?}: {reason}")), "{text}");
        assert!(matches!(error, Error::BadAddress { address: told, .. } if told == address));
    }
    for address in ["no such host:80", "[::1:80", "127.0.0.1\0:80"] {
        let text = server().bind(address).unwrap_err().to_string();
        assert!(text.starts_with(&format!("bad address {address:?}: ")), "{text}");
    }
    for address in ["unix:/no/such/folder/socket", "192.0.2.1:0", &format!("unix:/tmp/{}", "x".repeat(200))] {
        let text = server().bind(address).unwrap_err().to_string();
        assert!(text.starts_with(&format!("cannot listen on {address}: ")), "{text}");
    }
}

#[test]
fn a_server_without_a_listener_does_not_start() {
    for text in refusals(server) {
        assert_eq!(text, "no address to listen on: call bind first");
    }
    assert!(server().service().is_ok(), "a service needs none");
}

#[test]
fn bad_routes_are_told() {
    async fn nothing(_: Request) {}
    type Case = (fn(Router) -> Router, &'static str);
    let routes: &[Case] = &[
        (|app| app.get("", nothing), "bad route GET \"\": a pattern starts with `/`"),
        (|app| app.put("x", nothing), "bad route PUT \"x\": a pattern starts with `/`"),
        (|app| app.any("*", nothing), "bad route * \"*\": a pattern starts with `/`"),
        (
            |app| app.get("/a", nothing).get("/a", nothing),
            "bad route GET \"/a\": there is a handler for this already",
        ),
        (
            |app| app.any("/a", nothing).any("/a", nothing),
            "bad route * \"/a\": there is a handler for this already",
        ),
        (
            |app| app.get("/{*all}", nothing).get("/{*rest}", nothing),
            "bad route GET \"/{*rest}\": there is a handler for this already",
        ),
        (
            |app| app.get("/{a}", nothing).get("/{*b}", nothing),
            "bad route GET \"/{*b}\": some paths match both it and `/{a}`",
        ),
        (|app| app.get("/q?x=1", nothing), "bad route GET \"/q?x=1\": a pattern is a path"),
        (|app| app.get("/{id:int}", nothing), "bad route GET \"/{id:int}\": `{id:int}` is no parameter"),
        (|app| app.get("/a/{b}/{b}", nothing), "bad route GET \"/a/{b}/{b}\": two parameters have the name"),
        (
            |app| app.route(Route::new(Method::from_bytes(b"get").unwrap(), "/", nothing)),
            "bad route get \"/\": methods are case-sensitive: write `GET`",
        ),
        (
            |app| app.route(Route::new(Method::CONNECT, "/", nothing)),
            "bad route CONNECT \"/\": CONNECT is for proxies",
        ),
        (
            |app| app.route(Route::new(Method::from_bytes(&[b'M'; 33]).unwrap(), "/", nothing)),
            "bad route MMMMMMMMMMMMMMMMMMMMMMMMMMMMMMMMM \"/\": a method has 32 letters at most",
        ),
        (|app| app.get("/{", nothing), "bad route GET \"/{\": "),
        (|app| app.get("/{}", nothing), "bad route GET \"/{}\": "),
        (|app| app.get("/{*all}/more", nothing), "bad route GET \"/{*all}/more\": "),
        // The first of several is told.
        (
            |app| app.get("one", nothing).get("two", nothing),
            "bad route GET \"one\": a pattern starts with `/`",
        ),
    ];
    for (add, expected) in routes {
        for text in refusals(|| Server::new(add(Router::new())).bind("127.0.0.1:0").unwrap()) {
            assert!(text.starts_with(expected) && text.len() > "bad route GET \"/{\": ".len(), "{text}");
        }
        let service = Server::new(add(Router::new())).service();
        assert!(matches!(service, Err(Error::BadRoute { .. })));
    }
    let mut app = Router::new();
    app.add(Route::any("/a", nothing)).unwrap();
    assert!(app.add(Route::any("/a", nothing)).is_err());
    // What `add` has reported is no fault of the server's.
    Server::new(app).bind("127.0.0.1:0").unwrap().start().unwrap();
}

#[test]
fn settings_that_make_no_sense_are_told() {
    type Case = (&'static str, fn(&mut transom::Limits));
    type Timeout = (&'static str, fn(&mut transom::Timeouts));
    let names: &[Case] = &[
        ("target", |limits| limits.target = 0),
        ("head", |limits| limits.head = 0),
        ("headers", |limits| limits.headers = 0),
        ("connections", |limits| limits.connections = 0),
        ("connections_per_address", |limits| limits.connections_per_address = Some(0)),
        ("output", |limits| limits.output = 0),
        ("pool_threads", |limits| limits.pool_threads = 0),
    ];
    for (name, set) in names {
        let build = || configured(app(), |limits, _| set(limits)).bind("127.0.0.1:0").unwrap();
        for text in refusals(build) {
            assert_eq!(text, format!("bad setting {name}: it must be at least 1"));
        }
        assert!(matches!(build().service(), Err(Error::BadSetting { name: told, .. }) if told == *name));
    }
    let build = || configured(app(), |limits, _| limits.thread_stack = 65_535).bind("127.0.0.1:0").unwrap();
    for text in refusals(build) {
        assert_eq!(text, "bad setting thread_stack: it must be at least 65536");
    }
    let timeouts: &[Timeout] = &[
        ("head", |timeouts| timeouts.head = Some(Duration::ZERO)),
        ("idle", |timeouts| timeouts.idle = Some(Duration::ZERO)),
        ("body", |timeouts| timeouts.body = Some(Duration::ZERO)),
        ("write", |timeouts| timeouts.write = Some(Duration::ZERO)),
        ("handler", |timeouts| timeouts.handler = Some(Duration::ZERO)),
    ];
    for (name, set) in timeouts {
        for text in refusals(|| configured(app(), |_, timeouts| set(timeouts)).bind("127.0.0.1:0").unwrap()) {
            assert_eq!(
                text,
                format!("bad setting {name}: a timeout of 0 ends everything at once; None turns it off")
            );
        }
    }
    let error = server().workers(0).bind("127.0.0.1:0").unwrap().start().unwrap_err();
    assert_eq!(error.to_string(), "bad setting workers: it must be at least 1");
    let error = server().workers(usize::MAX).bind("127.0.0.1:0").unwrap().start().unwrap_err();
    assert_eq!(error.to_string(), "bad setting workers: it must be at most 1024");
}
