//! The same scripts over real sockets, in each model, because the simulation does not cover the code
//! of a model around the loop.
//!
//! A seed decides which pieces a client sends, where it stops and how it ends. There are no pauses,
//! because time is real here. A script that ends without a deadline runs against a server with very
//! long deadlines, and its client must receive the same as in the simulation. The other scripts run
//! against a server with very short deadlines. These may end any exchange, so only the answers that
//! come must be right. There are more testers than a server serves at once, so that the server has to
//! ask connections to leave.

use std::io::{Read as _, Write as _};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::answers::{self, Fate};
use super::app::{Counts, Place, router};
use super::requests::shown;
use super::script::{End, Script};
use crate::{Handle, Limits, Model, Server, Timeouts};

/// Seeds of a usual run, for each model.
const SEEDS: u64 = 300;
/// The number of clients at once.
const TESTERS: usize = 48;
/// Each deadline of a server that is in a hurry.
const MOMENT: Duration = Duration::from_millis(250);
/// Each deadline of a server that is not in a hurry. No client takes longer, although clients wait
/// for each other.
const PATIENCE: Duration = Duration::from_secs(60);
/// The longest wait between two pieces of the bytes that a client sends for ever.
const DRIBBLE: Duration = Duration::from_millis(10);
/// The most writes of a script. One for each byte would take too long.
const PIECES: usize = 1000;

/// The place with real time and sockets. The number of bytes that a client has taken is not known.
#[derive(Clone)]
struct Real;

impl Place for Real {
    fn sleep(&self, _: Duration) -> impl Future<Output = ()> + Send {
        crate::sleep(Duration::from_millis(1))
    }

    fn taken(&self) -> Option<(usize, usize)> {
        None
    }
}

/// A server, and the counts of its handlers.
struct Site {
    path: PathBuf,
    handle: Handle,
    counts: Arc<Counts>,
}

impl Site {
    fn new(model: Model, number: usize, deadline: Duration) -> Self {
        let counts = Arc::new(Counts::default());
        let limits = Limits {
            output: 16 * 1024,
            connection_threads: TESTERS / 2,
            body: super::app::BODY,
            ..Limits::default()
        };
        let mut timeouts = Timeouts::default();
        for timeout in [
            &mut timeouts.head,
            &mut timeouts.idle,
            &mut timeouts.body,
            &mut timeouts.write,
            &mut timeouts.handler,
            &mut timeouts.drain,
            &mut timeouts.linger,
            &mut timeouts.linger_idle,
        ] {
            *timeout = Some(deadline);
        }
        let name = format!("transom-{}-{model}-{number}-{}", std::process::id(), deadline.as_millis());
        let path = std::env::temp_dir().join(name);
        let server = Server::new(router(&Real, &counts)).model(model).limits(limits).timeouts(timeouts);
        let handle = server.bind(&format!("unix:{}", path.display())).unwrap().start().unwrap();
        Self { path, handle, counts }
    }

    /// Waits until no handler and no exchange is left, then stops the server and checks its report.
    fn end(&self) -> Result<(), String> {
        let begun = Instant::now();
        let left = || (self.counts.alive.load(Ordering::Relaxed), self.handle.report().pending);
        while left() != (0, 0) {
            if begun.elapsed() > PATIENCE {
                return Err(format!("handlers left alive, exchanges pending: {:?}", left()));
            }
            thread::sleep(Duration::from_millis(5));
        }
        let report = self.handle.stop(PATIENCE);
        if (report.cut, report.pending) == (0, 0) { Ok(()) } else { Err(format!("at the end {report:?}")) }
    }
}

/// The servers of some testers.
struct Sites {
    patient: Site,
    hasty: Site,
}

/// Returns `true` if only a deadline of the server ends the script.
fn needs_deadlines(script: &Script) -> bool {
    let stops = script.stall.is_some() || (script.end == End::Wait && script.sent < script.all());
    let hangs = script.requests.iter().any(|request| request.bytes.starts_with(b"GET /never"));
    let dribbles = script.tail.as_ref().is_some_and(|tail| tail.bytes.len() == 1);
    stops || hangs || dribbles || script.reads_until != usize::MAX
}

/// Plays one seed. The error says what was wrong.
fn play(seed: u64, sites: &Sites) -> Result<(), String> {
    let mut script = Script::of(seed);
    script.read_wait = Duration::ZERO;
    if needs_deadlines(&script) {
        // The client may be slower than a deadline allows.
        return play_at(&script, &sites.hasty.path, true);
    }
    script.is_stubborn = false;
    if script.end == End::Wait && script.tail.is_none() {
        // The client need not wait until the server closes an idle connection.
        script.end = End::HalfClose;
    }
    play_at(&script, &sites.patient.path, false)
}

fn play_at(script: &Script, path: &Path, is_hurried: bool) -> Result<(), String> {
    let stream = UnixStream::connect(path).map_err(|error| format!("it does not connect: {error}"))?;
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    let has_seen_end = AtomicBool::new(false);
    let (received, ended) = thread::scope(|scope| {
        let sender = scope.spawn(|| send(script, &stream, &has_seen_end));
        if script.sends_first {
            sender.join().unwrap();
        }
        let received = receive(script, &stream);
        has_seen_end.store(true, Ordering::Relaxed);
        received
    });
    if !ended {
        return Err(format!("it hangs; received {}", shown(&received)));
    }
    answers::check(script, &received, Fate { is_hurried, has_lost: false })
        .map_err(|fault| format!("{fault}\nreceived {}", shown(&received)))
}

/// Sends the pieces of the script, until the server takes no more.
fn send(script: &Script, mut stream: &UnixStream, has_seen_end: &AtomicBool) {
    let together = script.pieces.len() / PIECES + 1;
    for pieces in script.pieces.chunks(together) {
        let stall = pieces.iter().position(|piece| piece.wait > Duration::from_secs(60));
        let sent: Vec<u8> =
            pieces[..stall.unwrap_or(pieces.len())].iter().flat_map(|piece| piece.bytes.clone()).collect();
        if stream.write_all(&sent).is_err() || stall.is_some() {
            // The server ends the connection.
            return;
        }
        if pieces[0].wait > Duration::ZERO {
            thread::yield_now();
        }
    }
    if let Some(tail) = &script.tail {
        while script.is_stubborn || !has_seen_end.load(Ordering::Relaxed) {
            if stream.write_all(&tail.bytes).is_err() {
                return;
            }
            thread::sleep(tail.every.min(DRIBBLE));
        }
        let _ = stream.shutdown(Shutdown::Write);
        return;
    }
    let _ = match script.end {
        End::Wait => Ok(()),
        End::HalfClose => stream.shutdown(Shutdown::Write),
        End::Reset => stream.shutdown(Shutdown::Both),
    };
}

/// Reads as the script says. Returns all bytes, and `true` if the server has closed.
fn receive(script: &Script, mut stream: &UnixStream) -> (Vec<u8>, bool) {
    let mut received = Vec::new();
    let mut buffer = vec![0; script.reads.min(16 * 1024)];
    while received.len() < script.reads_until {
        match stream.read(&mut buffer) {
            Ok(0) => return (received, true),
            Ok(length) => received.extend_from_slice(&buffer[..length]),
            Err(error) => return (received, error.kind() != std::io::ErrorKind::WouldBlock),
        }
    }
    // The client takes no more, and waits for the server to give up.
    let mut ends = [PollFd::new(stream, PollFlags::RDHUP)];
    let patience = Timespec { tv_sec: PATIENCE.as_secs().cast_signed(), tv_nsec: 0 };
    let ended = poll(&mut ends, Some(&patience)) == Ok(1);
    (received, ended)
}

fn hold(model: Model) {
    let seeds = super::seeds_or(SEEDS, "TRANSOM_SOCKET_SEEDS");
    super::quiet_panics();
    // A sequential server serves one client at a time, so each server has only two testers.
    let sites = if model == Model::Sequential { TESTERS / 2 } else { 1 };
    let site = |number| Sites {
        patient: Site::new(model, number, PATIENCE),
        hasty: Site::new(model, number, MOMENT),
    };
    let sites: Vec<_> = (0..sites).map(site).collect();
    let next = AtomicU64::new(seeds.start);
    let faults: Vec<_> = thread::scope(|scope| {
        let testers: Vec<_> = (0..TESTERS)
            .map(|number| {
                let (sites, next, seeds) = (&sites[number % sites.len()], &next, &seeds);
                scope.spawn(move || {
                    std::iter::repeat_with(|| next.fetch_add(1, Ordering::Relaxed))
                        .take_while(|seed| seeds.contains(seed))
                        .filter_map(|seed| Some((seed, play(seed, sites).err()?)))
                        .collect::<Vec<_>>()
                })
            })
            .collect();
        testers.into_iter().flat_map(|tester| tester.join().unwrap()).collect()
    });
    if let Some((seed, fault)) = faults.first() {
        panic!(
            "{} seeds fail; {seed}: {fault}\nreplay: TRANSOM_SEED={seed} cargo test --lib simulation::sockets",
            faults.len()
        );
    }
    for Sites { patient, hasty } in &sites {
        patient.end().unwrap();
        hasty.end().unwrap();
    }
}

#[test]
fn seeds_hold_over_sockets_in_the_sequential_model() {
    hold(Model::Sequential);
}

#[test]
fn seeds_hold_over_sockets_with_a_thread_per_connection() {
    hold(Model::ThreadPerConnection);
}

#[test]
fn seeds_hold_over_sockets_in_the_event_driven_model() {
    hold(Model::EventDriven);
}
