//! Connections that have left HTTP: they may be silent, but a client that takes nothing does not keep
//! them for ever.

use std::time::Duration;

use futures_lite::{AsyncReadExt, AsyncWriteExt};

use super::moves::{Phase, Tail};
use super::requests::{Expected, Request};
use super::script::Script;
use super::world::{Outcome, World};
use crate::base::pool::Pool;
use crate::config::Config;
use crate::conn::{App, Session, serve};
use crate::handler::Router;
use crate::message::{Response, Upgraded};

/// Longer than any deadline.
const LONG: Duration = Duration::from_secs(24 * 3600);

/// Sends each byte back.
async fn echo(mut stream: Upgraded) {
    let mut buffer = [0; 1000];
    while let Ok(length @ 1..) = stream.read(&mut buffer).await {
        if stream.write_all(&buffer[..length]).await.is_err() {
            return;
        }
    }
}

/// Returns a client that asks to leave HTTP, and then sends `bytes` for ever.
fn client(bytes: &[u8], every: Duration) -> Script {
    let head = b"GET / HTTP/1.1\r\nHost: h\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n";
    let request = Request { method: "GET", bytes: head.into(), expected: Expected::CutOff };
    let mut script = Script::new(0, vec![request]);
    script.tail = Some(Tail { bytes: bytes.into(), every, phase: Phase::Linger });
    script
}

/// Plays a script for a day at most. Returns the outcome if the script has ended.
fn played(script: &Script) -> Option<Outcome> {
    let router = Router::new().get("/", async |_| Response::upgrade("echo", echo));
    let app = App::new(router.build().unwrap().0, Config::default(), Pool::in_place());
    let session = Session::unknown();
    let world = World::new(script);
    let ended = world.drive(Box::pin(serve(world.transport(), &app, &session)), &session, LONG);
    ended.then(|| world.outcome())
}

#[test]
fn an_upgraded_connection_whose_client_takes_nothing_has_an_end() {
    let mut script = client(&[b'x'; 1000], Duration::from_millis(100));
    script.reads_until = 200;
    let outcome = played(&script).expect("it ends");
    let timeout = Config::default().timeouts.write.unwrap();
    // A window of 8 KiB is full after a second.
    assert!((timeout..timeout * 2).contains(&outcome.dropped), "{:?}", outcome.dropped);
}

#[test]
fn an_upgraded_connection_whose_client_takes_a_byte_now_and_then_has_an_end() {
    let mut script = client(&[b'x'; 1000], Duration::from_millis(100));
    (script.reads, script.read_wait) = (1, Duration::from_secs(5));
    let outcome = played(&script).expect("it ends");
    let timeout = Config::default().timeouts.write.unwrap();
    assert!((timeout..timeout * 2).contains(&outcome.dropped), "{:?}", outcome.dropped);
}

#[test]
fn an_upgraded_connection_may_be_quiet() {
    // One byte an hour, and each byte comes back.
    let script = client(b"x", Duration::from_secs(3600));
    assert!(played(&script).is_none(), "it was cut");
}

#[test]
fn an_upgraded_connection_may_be_busy() {
    let mut script = client(&[b'x'; 100], Duration::from_secs(100));
    (script.reads, script.read_wait) = (20, Duration::from_millis(20));
    assert!(played(&script).is_none(), "it was cut");
}
