//! What a server tells systemd. The service is this test binary once more, with a role, and the test
//! is systemd.
#![cfg(target_os = "linux")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram, UnixListener, UnixStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use transom::{Handle, Limits, Listener, Model, Request, Router, Server, Timeouts, blocking};

const MODELS: [Model; 3] = [Model::Sequential, Model::ThreadPerConnection, Model::EventDriven];
/// How long anything that must happen may take on a machine with other work to do.
const PATIENCE: Duration = Duration::from_secs(60);
/// The interval of the watchdog.
const INTERVAL: Duration = Duration::from_millis(400);
/// The log line of a service whose watchdog is no longer fed.
const UNFED: &str = "systemd's watchdog is not fed";
/// The variable that names the role of a process.
const ROLE: &str = "TRANSOM_TEST_ROLE";
/// The variable that names the socket to connect to when something has happened.
const TOLD: &str = "TRANSOM_TEST_TOLD";

/// Prints the log.
struct Printer;

impl log::Log for Printer {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        eprintln!("{} {}", record.level(), record.args());
    }

    fn flush(&self) {}
}

/// What the service does.
#[test]
fn in_a_role() {
    let Ok(role) = std::env::var(ROLE) else { return };
    log::set_logger(&Printer).unwrap();
    log::set_max_level(log::LevelFilter::Info);
    let (what, model) = role.split_once(' ').unwrap();
    let hold = || std::thread::sleep(Duration::from_secs(600));
    let app = Router::new()
        .get("/", async |_: Request| "well")
        .get("/hold", async move |_: Request| hold())
        .get("/pool", blocking(move |_: Request| hold()));
    let mut limits = Limits::default();
    limits.pool_threads = 1;
    let mut timeouts = Timeouts::default();
    if what == "watched" {
        timeouts.watchdog = Some(INTERVAL / 4);
    }
    let server = Server::new(app).limits(limits).timeouts(timeouts).workers(1).notify_systemd();
    if what == "hosted" {
        let stopper = transom::Stopper::new();
        let server = server.stopper(&stopper).bind("127.0.0.1:0").unwrap();
        std::thread::spawn(move || {
            wait_for_input();
            stopper.stop(PATIENCE);
        });
        smol::block_on(server.serve()).unwrap();
        return;
    }
    let passed = Listener::inherited().unwrap();
    let is_successor = !passed.is_empty();
    let server = passed.into_iter().fold(server.model(model.parse().unwrap()), Server::listen);
    let server = if is_successor { server } else { server.bind("127.0.0.1:0").unwrap() };
    let server = server.start().unwrap();
    if what == "hand-over" && !is_successor {
        return hand_over(&server);
    }
    server.notify_status(&format!("{}\nX=1", server.local_addr()));
    if what == "reload" {
        server.notify_reloading();
        server.notify_ready();
    }
    wait_for_input();
    server.stop(PATIENCE);
}

/// Hands over to a process with the same role, stops, and waits for the end of that process.
fn hand_over(server: &Handle) {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "in_a_role", "--nocapture"]);
    let mut successor = server.hand_over(&mut command, PATIENCE).unwrap();
    server.stop(PATIENCE);
    UnixStream::connect(std::env::var(TOLD).unwrap()).unwrap();
    assert!(successor.wait().unwrap().success());
}

fn wait_for_input() {
    let _ = std::io::stdin().read(&mut [0]);
}

/// Systemd, and the service that it has started.
struct Systemd {
    socket: UnixDatagram,
    service: Child,
    path: Option<PathBuf>,
}

impl Systemd {
    /// Starts this binary as a service, with further assignments of a shell.
    fn start(role: &str, is_abstract: bool, variables: &str) -> Self {
        let path = own_path();
        let (address, name, path) = if is_abstract {
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            (SocketAddr::from_abstract_name(&name).unwrap(), format!("@{name}"), None)
        } else {
            (SocketAddr::from_pathname(&path).unwrap(), path.to_str().unwrap().to_owned(), Some(path))
        };
        let socket = UnixDatagram::bind_addr(&address).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        let program = std::env::current_exe().unwrap();
        let script = format!("{variables} exec '{}' --exact in_a_role --nocapture", program.display());
        let mut command = Command::new("/bin/sh");
        command.args(["-c", &script]).env(ROLE, role).env("NOTIFY_SOCKET", name);
        let service = command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn();
        Self { socket, service: service.unwrap(), path }
    }

    /// Returns the next message.
    fn next(&self) -> String {
        let mut bytes = [0; 512];
        let length = self.socket.recv(&mut bytes).expect("no message");
        String::from_utf8(bytes[..length].to_vec()).unwrap()
    }

    /// Waits for a message that begins so, and returns the rest of it. Others may come before.
    fn until(&self, beginning: &str) -> String {
        let begun = Instant::now();
        loop {
            if let Some(rest) = self.next().strip_prefix(beginning) {
                return rest.to_owned();
            }
            assert!(begun.elapsed() < PATIENCE, "no {beginning}");
        }
    }

    #[track_caller]
    fn expect(&self, message: &str) {
        assert_eq!(self.next(), message);
    }

    /// Waits until the service logs that its watchdog is not fed, and checks that no message comes then.
    /// Kills the service, and returns what it has logged.
    fn falls_silent(&mut self) -> String {
        let mut lines = BufReader::new(self.service.stderr.take().unwrap()).lines().map_while(Result::ok);
        let (sender, log) = mpsc::channel();
        std::thread::spawn(move || {
            let mut text = String::new();
            for line in lines.by_ref() {
                text = text + &line + "\n";
                if line.contains(UNFED) {
                    break;
                }
            }
            let _ = sender.send(text);
            lines.for_each(drop);
        });
        let log = log.recv_timeout(PATIENCE).expect("the watchdog is fed");
        self.socket.set_nonblocking(true).unwrap();
        while self.socket.recv(&mut [0; 512]).is_ok() {}
        self.socket.set_nonblocking(false).unwrap();
        self.socket.set_read_timeout(Some(3 * INTERVAL)).unwrap();
        assert!(self.socket.recv(&mut [0; 512]).is_err(), "the watchdog is fed: {log}");
        let _ = self.service.kill();
        log
    }

    /// Closes the input of the service, at which it stops.
    fn stop(&mut self) {
        drop(self.service.stdin.take());
    }

    fn ends(&mut self) {
        assert!(self.service.wait().unwrap().success());
    }
}

impl Drop for Systemd {
    fn drop(&mut self) {
        let _ = self.service.kill();
        let _ = self.service.wait();
        if let Some(path) = &self.path {
            let _ = std::fs::remove_file(path);
        }
    }
}

fn own_path() -> PathBuf {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    std::env::temp_dir().join(format!("transom-systemd-{}-{number}", std::process::id()))
}

/// Sends a request and does not wait for the answer.
fn ask(address: &str, path: &str) -> TcpStream {
    let mut client = TcpStream::connect(address).unwrap();
    write!(client, "GET {path} HTTP/1.1\r\nHost: h\r\n\r\n").unwrap();
    client
}

#[test]
fn systemd_is_told_of_the_start_a_reload_and_the_stop() {
    for (model, is_abstract) in MODELS.into_iter().zip([true, false, true]) {
        let mut systemd = Systemd::start(&format!("reload {model}"), is_abstract, "");
        systemd.expect("READY=1");
        let status = systemd.next();
        assert!(status.starts_with("STATUS=127.0.0.1:") && status.ends_with(" X=1"), "{status}");
        let reloading = systemd.next();
        let time = reloading.strip_prefix("RELOADING=1\nMONOTONIC_USEC=").expect("a reload");
        assert!(time.parse::<u64>().unwrap() > 0);
        systemd.expect("READY=1");
        systemd.stop();
        systemd.expect("STOPPING=1");
        systemd.ends();
    }
}

#[test]
fn on_an_executor_of_the_host_systemd_is_told_too() {
    let mut systemd = Systemd::start("hosted event", false, "WATCHDOG_USEC=400000");
    systemd.expect("READY=1");
    (0..3).for_each(|_| systemd.expect("WATCHDOG=1"));
    systemd.stop();
    systemd.until("STOPPING=1");
    systemd.ends();
}

#[test]
fn without_systemd_nothing_is_told() {
    let mut systemd = Systemd::start("serve event", false, "unset NOTIFY_SOCKET; WATCHDOG_USEC=400000");
    systemd.stop();
    systemd.ends();
    systemd.socket.set_nonblocking(true).unwrap();
    assert!(systemd.socket.recv(&mut [0; 8]).is_err());
}

#[test]
fn the_watchdog_is_fed_while_the_workers_turn() {
    for model in MODELS {
        let mut systemd =
            Systemd::start(&format!("serve {model}"), false, "WATCHDOG_USEC=400000 WATCHDOG_PID=$$");
        let begun = Instant::now();
        (0..6).for_each(|_| drop(systemd.until("WATCHDOG=1")));
        assert!(begun.elapsed() >= INTERVAL, "{model}: it is fed too often");
        systemd.stop();
        systemd.until("STOPPING=1");
        systemd.ends();
    }
    let mut systemd = Systemd::start("serve event", false, "WATCHDOG_USEC=400000 WATCHDOG_PID=1");
    systemd.expect("READY=1");
    assert!(systemd.next().starts_with("STATUS="));
    systemd.stop();
    systemd.expect("STOPPING=1");
    systemd.ends();
}

#[test]
fn the_watchdog_is_not_fed_while_a_worker_is_stuck() {
    for (model, name) in [(Model::Sequential, "the worker"), (Model::EventDriven, "worker 0")] {
        let mut systemd = Systemd::start(&format!("serve {model}"), false, "WATCHDOG_USEC=400000");
        let address = systemd.until("STATUS=").split(' ').next().unwrap().to_owned();
        let _client = ask(&address, "/hold");
        let log = systemd.falls_silent();
        assert!(log.contains(&format!("ERROR systemd's watchdog is not fed: stuck is {name}\n")), "{log}");
    }
}

#[test]
fn the_watchdog_is_not_fed_while_the_pool_is_stuck() {
    let mut systemd = Systemd::start("serve event", false, "WATCHDOG_USEC=400000");
    let address = systemd.until("STATUS=").split(' ').next().unwrap().to_owned();
    let _clients = [ask(&address, "/pool"), ask(&address, "/pool")];
    let log = systemd.falls_silent();
    assert!(log.contains("ERROR systemd's watchdog is not fed: stuck is the blocking pool\n"), "{log}");
}

#[test]
fn with_a_shorter_interval_of_its_own_the_server_reports_first_and_systemd_is_fed_until_its_own_has_passed() {
    let mut systemd = Systemd::start("watched event", false, "WATCHDOG_USEC=400000");
    let address = systemd.until("STATUS=").split(' ').next().unwrap().to_owned();
    (0..3).for_each(|_| drop(systemd.until("WATCHDOG=1")));
    let _client = ask(&address, "/hold");
    let log = systemd.falls_silent();
    let stuck = log.find("ERROR worker 0 has been stuck for").unwrap_or_else(|| panic!("{log}"));
    let unfed = log.find("ERROR systemd's watchdog is not fed: stuck is worker 0\n");
    assert!(unfed.is_some_and(|unfed| unfed > stuck), "{log}");
}

#[test]
fn handlers_that_block_on_threads_of_their_own_are_not_stuck() {
    let systemd = Systemd::start("serve threads", false, "WATCHDOG_USEC=400000");
    let address = systemd.until("STATUS=").split(' ').next().unwrap().to_owned();
    let _client = ask(&address, "/hold");
    (0..10).for_each(|_| systemd.expect("WATCHDOG=1"));
}

#[test]
fn a_successor_becomes_the_main_process_of_the_service() {
    let path = own_path();
    let told = UnixListener::bind(&path).unwrap();
    let variables =
        format!("export {TOLD}='{}'; export WATCHDOG_USEC=400000 WATCHDOG_PID=$$;", path.display());
    let mut systemd = Systemd::start("hand-over event", true, &variables);
    let process: u32 = systemd.until("MAINPID=").parse().unwrap();
    assert_ne!(process, systemd.service.id());
    told.accept().unwrap();
    // The old server has stopped, and the successor feeds the watchdog. Another `READY=1` and a
    // status may come, and no `STOPPING=1`.
    let mut fed = 0;
    while fed < 6 {
        let message = systemd.next();
        assert_ne!(message, "STOPPING=1", "the old server speaks for the service");
        fed += usize::from(message == "WATCHDOG=1");
    }
    systemd.stop();
    systemd.until("STOPPING=1");
    systemd.ends();
    std::fs::remove_file(path).unwrap();
}
