//! What the socket tests share: servers to talk to, of the model that the crate
//! calls `MODEL`, a blocking client, captured log lines, and waiting that always
//! ends.
#![allow(dead_code, unused_imports, reason = "each test binary uses a part of it")]

mod client;
mod logs;

use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use transom::{
    Context, Handle, Handler, Limits, Model, Reply, Report, Request, Responder, Router, Server, Timeouts,
};

use crate::MODEL;

pub use client::{Answer, Client};
pub use logs::Logs;

/// How long anything that must happen may take on a machine with other work to do.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A deadline of the server's that a test waits for.
pub const SHORT: Duration = Duration::from_millis(150);

/// A server of these routes on a free port of the loopback.
pub fn start(app: Router) -> Handle {
    start_with(app, |_, _| ())
}

/// The same, with limits and timeouts changed.
pub fn start_with(app: Router, set: impl FnOnce(&mut Limits, &mut Timeouts)) -> Handle {
    configured(app, set).workers(2).bind("127.0.0.1:0").unwrap().start().unwrap()
}

/// A server whose connections all share one worker.
pub fn start_single(app: Router) -> Handle {
    configured(app, |_, _| ()).workers(1).bind("127.0.0.1:0").unwrap().start().unwrap()
}

/// A server to be, with limits and timeouts changed and without a listener.
pub fn configured(app: Router, set: impl FnOnce(&mut Limits, &mut Timeouts)) -> Server {
    Logs::capture();
    let (mut limits, mut timeouts) = (Limits::default(), Timeouts::default());
    // A server that a failing test leaves behind goes quickly.
    timeouts.stop = Duration::from_millis(200);
    if MODEL == Model::Sequential {
        // A client that a test is done with makes room for its next one at once.
        timeouts.drain = Some(SHORT);
    }
    set(&mut limits, &mut timeouts);
    Server::new(app).model(MODEL).limits(limits).timeouts(timeouts)
}

/// How many of so many clients the model serves at once.
pub fn at_once(count: usize) -> usize {
    if MODEL == Model::Sequential { 1 } else { count }
}

/// A client that must not notice what others go through: connected all the while
/// if the model serves several at once, else whenever it asks.
#[derive(Debug)]
pub struct Bystander<'a> {
    server: &'a Handle,
    client: Option<Client>,
}

impl<'a> Bystander<'a> {
    #[track_caller]
    pub fn of(server: &'a Handle) -> Self {
        let client = (at_once(2) == 2).then(|| Client::connect(server));
        Self { server, client }
    }

    #[track_caller]
    pub fn get(&mut self, path: &str) -> Answer {
        match &mut self.client {
            Some(client) => client.get(path),
            None => Client::connect(self.server).get(path),
        }
    }
}

/// The report when all is over: at the deadline of a stop a busy machine may not yet
/// have got round to dropping what was cut.
#[track_caller]
pub fn final_report(server: &Handle) -> Report {
    server.wait_timeout(PATIENCE).unwrap().expect("its threads go on")
}

/// Waits until something holds, and fails the test if it never does.
#[track_caller]
pub fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < PATIENCE, "it never came about: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Says when something happened on another thread, and holds others until then.
#[derive(Clone, Debug, Default)]
pub struct Signal(Arc<(Mutex<u64>, Condvar)>);

impl Signal {
    pub fn new() -> Self {
        Self::default()
    }

    /// It happened, once more.
    pub fn set(&self) {
        *self.0.0.lock().unwrap() += 1;
        self.0.1.notify_all();
    }

    pub fn count(&self) -> u64 {
        *self.0.0.lock().unwrap()
    }

    /// Waits until it has happened that often; says whether it has.
    pub fn reached(&self, count: u64, timeout: Duration) -> bool {
        let state = self.0.0.lock().unwrap();
        !self.0.1.wait_timeout_while(state, timeout, |seen| *seen < count).unwrap().1.timed_out()
    }

    #[track_caller]
    pub fn wait_for(&self, count: u64) {
        assert!(self.reached(count, PATIENCE), "waited in vain: {} of {count}", self.count());
    }

    #[track_caller]
    pub fn wait(&self) {
        self.wait_for(1);
    }
}

/// Sets its signal when dropped.
#[derive(Debug)]
pub struct OnDrop(pub Signal);

impl Drop for OnDrop {
    fn drop(&mut self) {
        self.0.set();
    }
}

/// A future that never ends.
pub async fn forever() {
    std::future::pending::<()>().await;
}

/// A handler of a function that gets the request and the right to answer it.
#[derive(Debug)]
pub struct Later<F>(pub F);

impl<F: Fn(Request, Responder) + Send + Sync + 'static> Handler for Later<F> {
    fn call(&self, request: Request, _: &Context<'_>) -> Reply {
        let (responder, reply) = Reply::later(&request);
        (self.0)(request, responder);
        reply
    }
}

/// Where the work of a handler is done.
#[derive(Clone, Copy, Debug)]
pub enum Place {
    /// Where the server runs a handler that may block.
    Job,
    /// On another thread, after the handler has returned.
    Elsewhere,
}

/// A handler of a function that may block, and that gets the request and the right to answer it.
#[derive(Debug)]
pub struct Work<F>(pub Place, pub F);

impl<F: Fn(Request, Responder) + Clone + Send + Sync + 'static> Handler for Work<F> {
    fn call(&self, request: Request, context: &Context<'_>) -> Reply {
        let ((responder, reply), work) = (Reply::later(&request), self.1.clone());
        match self.0 {
            Place::Job => {
                context.run_blocking(move || work(request, responder)).map_or_else(Reply::now, |()| reply)
            }
            Place::Elsewhere => {
                std::thread::spawn(move || work(request, responder));
                reply
            }
        }
    }
}

/// An address of the loopback that no other test listens at: nobody is given a port
/// that is free there again.
pub fn own_address() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(2);
    if !cfg!(target_os = "linux") {
        return "127.0.0.1:0".into();
    }
    let [.., high, low] = std::process::id().to_be_bytes();
    format!("127.{high}.{low}.{}:0", NEXT.fetch_add(1, Ordering::Relaxed))
}

/// A path for a Unix socket that no other test has.
pub fn socket_path() -> PathBuf {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    std::env::temp_dir().join(format!("transom-test-{}-{number}", std::process::id()))
}

/// A server on a Unix socket: between it and its client lie a few hundred KiB
/// at most, where TCP buffers may grow to many MiB.
pub fn start_unix(app: Router, set: impl FnOnce(&mut Limits, &mut Timeouts)) -> Handle {
    let address = format!("unix:{}", socket_path().display());
    configured(app, set).workers(2).bind(&address).unwrap().start().unwrap()
}
