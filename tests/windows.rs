//! What differs on Windows, over sockets. `.ci/platforms` runs this under Wine; on other systems there is
//! no test here.
#![cfg(windows)]

use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::os::windows::io::AsRawHandle;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use socket2::{Domain, SockAddr, SockRef, Socket, Type};
use transom::{
    Body, Error, Handle, HttpResult, Limits, Listener, Model, OrStatus, Request, Response, Router, Server,
    Timeouts,
};

#[cfg(feature = "files")]
#[path = "windows/files.rs"]
mod files;

/// Tests take turns, so that one of them can count handles.
fn turn() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Longer than any answer takes.
const PATIENCE: Duration = Duration::from_secs(60);

fn path(name: &str) -> PathBuf {
    std::env::temp_dir().join(format!("transom-{name}-{}", std::process::id()))
}

fn connect(server: &Handle) -> TcpStream {
    let client = TcpStream::connect(server.local_addr().to_string()).unwrap();
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    client
}

/// Sends bytes, and returns all that comes until the server closes.
fn ask(server: &Handle, request: &[u8]) -> Vec<u8> {
    let mut client = connect(server);
    client.write_all(request).unwrap();
    let mut answer = Vec::new();
    client.read_to_end(&mut answer).unwrap();
    answer
}

fn get(path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n").into_bytes()
}

fn app() -> Router {
    Router::new()
        .get("/", async |_: Request| "hello")
        .get("/where", async |req: Request| req.local_addr().unwrap().to_string())
        .post("/echo", async |req: Request| Response::bytes("text/plain", req.into_body()))
}

/// Returns how many handles are open. The system gives the lowest numbers that are free, which are multiples of
/// 4. So many are opened here that no lower number stays free; the others below the highest were open before.
fn open_handles() -> usize {
    const MORE: usize = 500;
    let program = std::env::current_exe().unwrap();
    let files: Vec<_> = (0..MORE).map(|_| File::open(&program).unwrap()).collect();
    files.iter().map(|file| file.as_raw_handle().addr() / 4).max().unwrap() - MORE
}

#[test]
fn a_hundred_restarts_leave_no_handle() {
    let _turn = turn();
    let serve = || {
        let server = Server::new(app()).bind("127.0.0.1:0").unwrap().start().unwrap();
        assert!(ask(&server, &get("/")).ends_with(b"\r\n\r\nhello"));
        let idle = connect(&server);
        let report = server.stop(PATIENCE);
        assert_eq!((report.cut, report.pending), (0, 0));
        drop((server, idle));
    };
    // The first ones start what lives as long as the process.
    (0..5).for_each(|_| serve());
    let before = open_handles();
    (0..100).for_each(|_| serve());
    let more = open_handles().saturating_sub(before);
    // The threads of other tests, which wait for their turn, have some.
    assert!(more < 10, "{more} more handles than before");
}

#[test]
fn an_address_can_be_bound_again_at_once_and_by_one_server_only() {
    let _turn = turn();
    let first = Server::new(app()).bind("127.0.0.1:0").unwrap().start().unwrap();
    let address = first.local_addr().to_string();
    let taken = Server::new(app()).bind(&address).unwrap_err();
    let Error::Bind { source, .. } = taken else { panic!("{taken}") };
    assert!(matches!(source.kind(), ErrorKind::AddrInUse | ErrorKind::PermissionDenied), "{source}");
    assert!(ask(&first, &get("/")).ends_with(b"hello"));
    first.stop(PATIENCE);
    let second = Server::new(app()).bind(&address).unwrap().start().unwrap();
    assert!(ask(&second, &get("/")).ends_with(b"hello"));
}

/// Windows has Unix sockets since version 1803 of Windows 10. Wine 8 has none, and says so by this code.
const WSAEAFNOSUPPORT: i32 = 10047;

#[test]
fn a_unix_socket_serves_or_the_system_has_none() {
    let _turn = turn();
    let path = path("unix");
    let address = format!("unix:{}", path.display());
    let server = match Server::new(app()).bind(&address) {
        Ok(server) => server.start().unwrap(),
        Err(Error::Bind { source, .. }) => {
            assert_eq!(source.raw_os_error(), Some(WSAEAFNOSUPPORT), "{source}");
            return;
        }
        Err(error) => panic!("{error}"),
    };
    assert_eq!(server.local_addr().to_string(), address);
    let mut client = Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
    client.connect(&SockAddr::unix(&path).unwrap()).unwrap();
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    client.write_all(&get("/where")).unwrap();
    let mut answer = Vec::new();
    client.read_to_end(&mut answer).unwrap();
    assert!(answer.ends_with(address.as_bytes()), "{}", String::from_utf8_lossy(&answer));
    assert!(matches!(Server::new(app()).bind(&address), Err(Error::Bind { .. })), "it is in use");
    server.stop(PATIENCE);
    assert!(!path.exists());
    // What is left of a process that has ended.
    let stale = Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
    stale.bind(&SockAddr::unix(&path).unwrap()).unwrap();
    drop(stale);
    Server::new(app()).bind(&address).unwrap().start().unwrap().stop(PATIENCE);
    assert!(!path.exists());
}

#[test]
fn clients_that_reset_before_they_are_accepted_delay_no_other() {
    static FAILED: AtomicUsize = AtomicUsize::new(0);
    struct Count;
    impl log::Log for Count {
        fn enabled(&self, _: &log::Metadata<'_>) -> bool {
            true
        }

        fn log(&self, record: &log::Record<'_>) {
            if record.args().to_string().starts_with("cannot accept connections") {
                eprintln!("{}", record.args());
                FAILED.fetch_add(1, Ordering::SeqCst);
            }
        }

        fn flush(&self) {}
    }
    let _turn = turn();
    log::set_logger(&Count).unwrap();
    log::set_max_level(log::LevelFilter::Error);
    let listener = Listener::bind("127.0.0.1:0").unwrap();
    for _ in 0..20 {
        let client = TcpStream::connect(listener.local_addr().to_string()).unwrap();
        SockRef::from(&client).set_linger(Some(Duration::ZERO)).unwrap();
    }
    let server = Server::new(app()).listen(listener).start().unwrap();
    assert!(ask(&server, &get("/")).ends_with(b"hello"));
    // A failure of the listener, such as no memory, is logged, and a pause follows.
    assert_eq!(FAILED.load(Ordering::SeqCst), 0);
}

#[test]
fn a_file_is_sent_whole_and_in_part() {
    let _turn = turn();
    let content: Vec<u8> = (0..300_000_u32).map(|number| number.to_le_bytes()[0]).collect();
    let path = path("file");
    std::fs::write(&path, &content).unwrap();
    let open = path.clone();
    let whole = async move |_: Request| -> HttpResult<Response> {
        let file = File::open(&open).or_not_found("no file")?;
        Ok(Response::bytes("text/plain", Body::file(file).or_not_found("no file")?))
    };
    let open = path.clone();
    let part = async move |_: Request| -> HttpResult<Response> {
        let file = File::open(&open).or_not_found("no file")?;
        Ok(Response::bytes("text/plain", Body::file_range(file, 1000..250_000).or_not_found("no part")?))
    };
    let app = Router::new().get("/whole", whole).get("/part", part);
    let server = Server::new(app).bind("127.0.0.1:0").unwrap().start().unwrap();
    for (target, range) in [("/whole", 0..content.len()), ("/part", 1000..250_000)] {
        let answer = ask(&server, &get(target));
        let body = answer.windows(4).position(|end| end == b"\r\n\r\n").unwrap() + 4;
        assert!(answer[body..] == content[range], "{target}");
    }
    server.stop(PATIENCE);
    // Windows removes no file that is open.
    std::fs::remove_file(path).unwrap();
}

#[test]
fn limits_and_deadlines_hold() {
    let _turn = turn();
    let mut timeouts = Timeouts::default();
    timeouts.head = Some(Duration::from_millis(200));
    let mut limits = Limits::default();
    limits.body = 10;
    let server =
        Server::new(app()).limits(limits).timeouts(timeouts).bind("127.0.0.1:0").unwrap().start().unwrap();
    assert!(ask(&server, b"GET / HTT").starts_with(b"HTTP/1.1 408 "));
    let large = b"POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 11\r\n\r\n12345678901";
    assert!(ask(&server, large).starts_with(b"HTTP/1.1 413 "));
}

#[test]
fn the_models_with_blocking_threads_are_refused_with_a_sentence() {
    let _turn = turn();
    for model in [Model::Sequential, Model::ThreadPerConnection] {
        let refused = Server::new(app()).model(model).bind("127.0.0.1:0").unwrap().start().map(drop);
        assert!(refused.unwrap_err().to_string().contains("only `event` is there on this system"));
    }
}
