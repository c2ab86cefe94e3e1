//! Listeners that another process passes to this one: systemd, or a predecessor that hands over. The
//! other process is this test binary once more, with a role.
#![cfg(target_os = "linux")]

mod common;

const MODEL: Model = Model::EventDriven;

use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use transom::{Error, Handle, Listener, Model, Readiness, Request, Router, Server};

use common::{Client, PATIENCE, SHORT, configured, eventually, own_address, socket_path};

const MODELS: [Model; 3] = [Model::Sequential, Model::ThreadPerConnection, Model::EventDriven];
/// The variable that names the role of a process.
const ROLE: &str = "TRANSOM_TEST_ROLE";
/// The variable that names the socket to connect to when something has happened.
const TOLD: &str = "TRANSOM_TEST_TOLD";

/// A child that is killed and waited for at the end of a test.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Ended {
    /// Closes the child's input, at which it stops, and waits for its end.
    fn stop(mut self) {
        drop(self.0.stdin.take());
        assert!(self.0.wait().unwrap().success());
    }
}

/// This binary, in a role.
fn role(name: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "in_a_role", "--nocapture"]).env(ROLE, name);
    command.stdin(Stdio::piped()).stdout(Stdio::null());
    command
}

/// What a process does that a test has started.
#[test]
fn in_a_role() {
    let Ok(role) = std::env::var(ROLE) else { return };
    let model = role.rsplit(' ').next().and_then(|name| name.parse().ok()).unwrap_or_default();
    match role.split(' ').next().unwrap() {
        "serve" => serve(model, Listener::inherited().unwrap()),
        "never" => {
            let _kept = Listener::inherited().unwrap();
            tell();
            wait_for_input();
        }
        "drop" => {
            assert!(!Listener::inherited().unwrap().is_empty());
            wait_for_input();
        }
        "abort" => {
            let _kept = Listener::inherited().unwrap();
            std::process::abort();
        }
        "guess" => {
            guess();
            wait_for_input();
        }
        "guess-first" => {
            guess();
            serve(model, Listener::inherited().unwrap());
        }
        "show" => show(),
        other => panic!("no role {other}"),
    }
}

fn wait_for_input() {
    let _ = std::io::stdin().read(&mut [0]);
}

/// Tells the test that something has happened.
fn tell() {
    if let Ok(path) = std::env::var(TOLD) {
        UnixStream::connect(path).unwrap();
    }
}

/// Connects as a successor, with a wrong secret.
fn guess() {
    let value = std::env::var("TRANSOM_HANDOVER").unwrap();
    let (name, secret) = value.split_once(' ').unwrap();
    // `SOCK_SEQPACKET`, which the crate names only with a feature.
    let packets = socket2::Type::from(5);
    let socket = socket2::Socket::new(socket2::Domain::UNIX, packets, None).unwrap();
    socket.connect(&socket2::SockAddr::unix(format!("\0{name}")).unwrap()).unwrap();
    socket.send(&vec![b'0'; secret.len()]).unwrap();
    let mut byte = [std::mem::MaybeUninit::uninit()];
    assert_eq!(socket.recv(&mut byte).unwrap(), 0, "the connection is closed");
}

fn app(name: &'static str) -> Router {
    Router::new().get("/", async move |_: Request| name)
}

/// Serves until the input ends.
fn serve(model: Model, listeners: Vec<Listener>) {
    let server = configured(app("new"), |_, _| ()).model(model).workers(2);
    let server = listeners.into_iter().fold(server, Server::listen).start().unwrap();
    assert!(Listener::inherited().unwrap().is_empty(), "they are there once");
    wait_for_input();
    server.stop(PATIENCE);
}

/// Prints each listener, and the sockets that a further program gets.
fn show() {
    match Listener::inherited() {
        Ok(listeners) => {
            for listener in &listeners {
                println!("listener {} {:?}", listener.local_addr(), listener.name());
            }
            println!("again {}", Listener::inherited().unwrap().len());
            let found = Command::new("ls").args(["-l", "/proc/self/fd"]).output().unwrap();
            let found = String::from_utf8(found.stdout).unwrap();
            let count = found.lines().filter(|line| line.contains("socket:")).count();
            println!("leaked {count}");
        }
        Err(error) => println!("error {error}"),
    }
}

/// A server on TCP, on a Unix socket with a file and on one with an abstract name.
struct Old {
    handle: Handle,
    path: PathBuf,
}

impl Old {
    fn start(model: Model) -> Self {
        let path = socket_path();
        let server = configured(app("old"), |_, _| ()).model(model).workers(2);
        let server = server.bind(&own_address()).unwrap();
        let server = server.bind(&format!("unix:{}", path.display())).unwrap();
        let name = path.file_name().unwrap().to_str().unwrap();
        let handle = server.bind(&format!("unix:@{name}")).unwrap().start().unwrap();
        Self { handle, path }
    }

    fn hand_over(&self, command: &mut Command) -> transom::Result<Ended> {
        self.handle.hand_over(command, PATIENCE).map(Ended)
    }

    fn fails(&self, command: &mut Command, patience: Duration) -> String {
        match self.handle.hand_over(command, patience).map(Ended) {
            Ok(_) => panic!("it was handed over"),
            Err(error @ Error::HandOver { .. }) => error.to_string(),
            Err(error) => panic!("{error}"),
        }
    }

    /// Hands over to a process that never serves, and calls `meanwhile` while that process has the
    /// listeners. On a busy machine it may not get them in time: then it is given more.
    fn never_served(&self, meanwhile: impl Fn()) {
        let path = socket_path();
        let told = UnixListener::bind(&path).unwrap();
        told.set_nonblocking(true).unwrap();
        let is_told = [20 * SHORT, PATIENCE].into_iter().any(|patience| {
            std::thread::scope(|scope| {
                let first = scope.spawn(|| self.fails(role("never").env(TOLD, &path), patience));
                let mut is_told = false;
                eventually("a word of the process, or its end", || {
                    is_told = told.accept().is_ok();
                    is_told || first.is_finished()
                });
                if is_told {
                    meanwhile();
                }
                let error = first.join().unwrap();
                assert!(error.contains("did not serve in time") || is_told, "{error}");
                is_told
            })
        });
        assert!(is_told, "the process never had the listeners");
        std::fs::remove_file(path).unwrap();
    }

    /// Every listener serves, and is this server's alone: all ends with it.
    fn goes_on_and_ends(self) {
        answers(&self, "old");
        let address = self.handle.local_addr().to_string();
        self.handle.stop(PATIENCE);
        drop(self.handle);
        assert!(!self.path.exists(), "the file stays");
        assert!(std::net::TcpStream::connect(address).is_err(), "somebody else listens");
    }
}

/// Asks each of the listeners.
fn answers(old: &Old, expected: &str) {
    Client::connect(&old.handle).get("/").expect(200, expected);
    unix_answers(&old.path, expected);
    let name = old.path.file_name().unwrap().to_str().unwrap();
    let address = SocketAddr::from_abstract_name(name).unwrap();
    let mut client = UnixStream::connect_addr(&address).unwrap();
    client.write_all(b"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).unwrap();
    assert!(answer.ends_with(expected), "{answer}");
}

fn unix_answers(path: &Path, expected: &str) {
    Client::unix(path).get("/").expect(200, expected);
}

#[test]
fn a_successor_gets_all_listeners_and_the_file() {
    for model in MODELS {
        let old = Old::start(model);
        let new = old.hand_over(&mut role(&format!("serve {model}"))).unwrap();
        old.handle.stop(PATIENCE);
        assert!(old.path.exists(), "{model}: the old server has removed the file");
        answers(&old, "new");
        assert!(old.handle.hand_over(&mut role("serve"), PATIENCE).is_err(), "{model}: it has stopped");
        new.stop();
        assert!(!old.path.exists(), "{model}: the file belongs to the successor");
    }
}

#[test]
fn after_a_hand_over_connections_stay_for_the_delay_and_the_service_is_ready() {
    for model in [Model::ThreadPerConnection, Model::EventDriven] {
        let app = app("old").get("/ready", Readiness);
        let server = configured(app, |_, timeouts| timeouts.stop_delay = PATIENCE).model(model).workers(2);
        let old = server.bind(&own_address()).unwrap().start().unwrap();
        let (mut busy, mut idle) = (Client::connect(&old), Client::connect(&old));
        for client in [&mut busy, &mut idle] {
            client.get("/").expect(200, "old");
        }
        let new = Ended(old.hand_over(&mut role(&format!("serve {model}")), PATIENCE).unwrap());
        old.stopper().stop(2 * PATIENCE);
        let begun = Instant::now();
        // The old one may have accepted a client before it saw the stop.
        while Client::connect(&old).get("/").text() != "new" {
            assert!(begun.elapsed() < PATIENCE, "{model}: the old server goes on to accept");
        }
        let answer = busy.get("/ready");
        answer.expect(200, "ready\n");
        assert!(answer.closes(), "{model}");
        idle.get("/").expect(200, "old");
        old.wait_timeout(PATIENCE).unwrap().expect("without connections it ends before the delay");
        new.stop();
    }
}

#[test]
fn a_successor_that_fails_leaves_the_old_server_serving() {
    let shell = |script: &str| {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", script]);
        command
    };
    let cases: [(&str, Command, Duration, &str); 8] = [
        ("no such program", Command::new("/no/such/program"), PATIENCE, "does not start: No such file"),
        ("ends at once", shell("exit 3"), PATIENCE, "ended before it served: exit status: 3"),
        ("is killed", shell("kill -9 $$"), PATIENCE, "ended before it served: signal: 9 (SIGKILL)"),
        ("knows nothing", shell("exec sleep 600"), SHORT, "did not serve in time"),
        ("never serves", role("never"), 4 * SHORT, "did not serve in time"),
        ("drops them", role("drop"), PATIENCE, "gave the listeners up before it served"),
        ("ends with them", role("abort"), PATIENCE, "ended before it served: signal: 6 (SIGABRT)"),
        ("has another secret", role("guess"), 4 * SHORT, "did not serve in time"),
    ];
    for ((what, mut command, patience, sentence), model) in cases.into_iter().zip(MODELS.into_iter().cycle())
    {
        let old = Old::start(model);
        let begun = Instant::now();
        let error = old.fails(&mut command, patience);
        assert!(error.contains(sentence), "{what}: {error}");
        assert!(begun.elapsed() < PATIENCE, "{what}");
        old.goes_on_and_ends();
    }
}

#[test]
fn after_a_failure_the_next_hand_over_succeeds() {
    let old = Old::start(MODEL);
    let mut command = role("abort");
    old.fails(&mut command, PATIENCE);
    let new = old.hand_over(command.env(ROLE, "serve")).unwrap();
    old.handle.stop(PATIENCE);
    answers(&old, "new");
    new.stop();
}

#[test]
fn a_process_with_a_wrong_secret_does_not_keep_the_successor_out() {
    let old = Old::start(MODEL);
    let new = old.hand_over(&mut role("guess-first")).unwrap();
    old.handle.stop(PATIENCE);
    answers(&old, "new");
    new.stop();
}

#[test]
fn a_second_hand_over_at_the_same_time_is_refused() {
    let old = Old::start(MODEL);
    old.never_served(|| {
        let second = old.fails(&mut role("serve"), PATIENCE);
        assert!(second.contains("another hand-over is in progress"), "{second}");
    });
    old.goes_on_and_ends();
}

#[test]
fn a_stop_in_the_middle_ends_the_listeners_if_the_successor_fails() {
    let old = Old::start(MODEL);
    old.never_served(|| {
        old.handle.stop(Duration::ZERO);
        assert!(old.path.exists(), "the successor may still need the file");
    });
    assert!(!old.path.exists());
    assert!(std::net::TcpStream::connect(old.handle.local_addr().to_string()).is_err());
}

/// Starts this binary to show its listeners, as systemd would: with these descriptors from 3 on.
fn activated(first: OwnedFd, second: OwnedFd, variables: &str) -> String {
    let program = std::env::current_exe().unwrap();
    let script = format!(
        "exec 3<&0 4<&1 0</dev/null 1>&2; {variables} exec '{}' --exact in_a_role --nocapture",
        program.display()
    );
    let mut command = Command::new("/bin/sh");
    command.args(["-c", &script]).env(ROLE, "show").env_remove("TRANSOM_HANDOVER");
    command.stdin(first).stdout(second).stderr(Stdio::piped());
    let Output { stderr, .. } = command.output().unwrap();
    String::from_utf8(stderr).unwrap()
}

#[test]
fn systemd_passes_listeners_with_their_names() {
    let path = socket_path();
    let (tcp, unix) = (TcpListener::bind("127.0.0.1:0").unwrap(), UnixListener::bind(&path).unwrap());
    let address = tcp.local_addr().unwrap();
    let pass = |variables: &str| {
        activated(tcp.try_clone().unwrap().into(), unix.try_clone().unwrap().into(), variables)
    };
    let shown = pass("LISTEN_PID=$$ LISTEN_FDS=2 LISTEN_FDNAMES=web:admin");
    assert!(shown.contains(&format!("listener {address} Some(\"web\")\n")), "{shown}");
    assert!(shown.contains(&format!("listener unix:{} Some(\"admin\")\n", path.display())), "{shown}");
    assert!(shown.contains("again 0\n"), "{shown}");
    assert!(shown.contains("leaked 0\n"), "{shown}");
    let unnamed = pass("LISTEN_PID=$$ LISTEN_FDS=1");
    assert!(unnamed.contains(&format!("listener {address} None\n")), "{unnamed}");
    for none in ["LISTEN_PID=1 LISTEN_FDS=2", "LISTEN_FDS=2", "LISTEN_PID=$$", "LISTEN_PID=$$ LISTEN_FDS=0"] {
        let shown = pass(none);
        assert!(shown.contains("again 0\n") && !shown.contains("listener "), "{none}: {shown}");
    }
    std::fs::remove_file(path).unwrap();
}

#[test]
fn a_descriptor_that_cannot_be_listened_on_is_named() {
    let listener = || OwnedFd::from(TcpListener::bind("127.0.0.1:0").unwrap());
    let null = || OwnedFd::from(std::fs::File::options().read(true).write(true).open("/dev/null").unwrap());
    let datagrams = || OwnedFd::from(std::net::UdpSocket::bind("127.0.0.1:0").unwrap());
    let stream = || OwnedFd::from(UnixStream::pair().unwrap().0);
    let two = "LISTEN_PID=$$ LISTEN_FDS=2 LISTEN_FDNAMES=web:admin";
    for (passed, variables, sentence) in [
        (null(), two, "cannot listen on descriptor 4: Socket operation on non-socket (os error 88) (admin)"),
        (datagrams(), two, "cannot listen on descriptor 4: it is no stream socket (admin)"),
        (stream(), two, "cannot listen on descriptor 4: the socket does not listen (admin)"),
        (listener(), "LISTEN_PID=$$ LISTEN_FDS=40", "cannot listen on descriptor 5: Bad file descriptor"),
        (listener(), "LISTEN_PID=$$ LISTEN_FDS=4000000000", "LISTEN_FDS is \"4000000000\", and no number"),
        (listener(), "LISTEN_PID=$$ LISTEN_FDS=-1", "LISTEN_FDS is \"-1\", and no number"),
        (listener(), "TRANSOM_HANDOVER=x", "TRANSOM_HANDOVER is malformed"),
    ] {
        let shown = activated(listener(), passed, variables);
        assert!(shown.contains(sentence), "{sentence}: {shown}");
    }
}
