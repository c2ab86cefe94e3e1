//! A server that is restarted without a lost request: SIGHUP starts the program once more, as it is on
//! disk now, and hands the server over to it. Under systemd (`Type=notify`) the new process becomes the
//! main process of the service.
//!
//! `cargo run --example handover`, then `curl http://127.0.0.1:8080/`, and `kill -HUP` with the number
//! that this shows.

use std::process::Command;
use std::time::Duration;

use async_signal::{Signal, Signals};
use smol::stream::StreamExt as _;
use transom::{Handle, Listener, Readiness, Request, Router, Server, Timeouts};

/// Starts the successor with the command line of this process.
fn hand_over(server: &Handle) -> transom::Result<()> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(std::env::args_os().skip(1));
    server.hand_over(&mut command, Duration::from_secs(30))?;
    Ok(())
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8080".into());
    let process = std::process::id();
    let app = Router::new().get("/ready", Readiness).get("/", async move |_: Request| format!("{process}\n"));
    let mut timeouts = Timeouts::default();
    // Clients that keep their connections are told to open new ones before these are closed.
    timeouts.stop_delay = Duration::from_millis(500);
    // A signal that comes before the server has started waits.
    let mut signals = Signals::new([Signal::Int])?;
    #[cfg(unix)]
    signals.add_signals([Signal::Hup, Signal::Term])?;
    let server = Server::new(app).timeouts(timeouts).notify_systemd();
    let passed = Listener::inherited()?;
    let server = if passed.is_empty() {
        server.bind(&address)?
    } else {
        passed.into_iter().fold(server, Server::listen)
    };
    let server = server.start()?;
    println!("listening on http://{}", server.local_addr());
    while let Some(signal) = smol::block_on(signals.next()) {
        if signal? != Signal::Hup {
            break;
        }
        match hand_over(&server) {
            Ok(()) => break,
            Err(error) => eprintln!("{error}; this process goes on"),
        }
    }
    let report = server.stop(Duration::from_secs(30));
    println!("finished {}, cut {}", report.finished, report.cut);
    Ok(())
}
