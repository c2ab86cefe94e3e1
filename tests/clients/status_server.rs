//! The server with a status page that `tests/clients/status.js` looks at.
//!
//! `status-server 127.0.0.1:8080` has the page at `/status`, and with the password of ada, `sesame`, at
//! `/private`.

use std::time::{Duration, Instant};

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use transom::{Metrics, Request, Router, Server, StatusCode, StatusPage, blocking, sleep};

/// Takes as many milliseconds as its number says, up to 80.
async fn user(req: Request) -> String {
    let id: u64 = req.param("id").parse().unwrap_or(0);
    sleep(Duration::from_millis(if id.is_multiple_of(50) { 80 } else { id % 4 })).await;
    format!("user {id}\n")
}

/// Holds a thread of the pool for so many seconds, or until the server stops.
fn report(req: &Request) -> &'static str {
    let (begun, stopping) = (Instant::now(), req.stopping());
    let seconds = Duration::from_secs(req.param("seconds").parse().unwrap_or(1));
    while begun.elapsed() < seconds && !stopping.has_begun() {
        std::thread::sleep(Duration::from_millis(20));
    }
    "done\n"
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:0".into());
    let metrics = Metrics::new();
    let private = StatusPage::new(&metrics).password("ada", "sesame");
    let app = Router::new()
        .get("/users/{id}", user)
        .get("/report/{seconds}", blocking(|req: Request| report(&req)))
        .get("/fails", async |_: Request| StatusCode::INTERNAL_SERVER_ERROR)
        .get("/&lt;b&gt;", async |_: Request| "a pattern that must be escaped\n")
        .nest("/status", StatusPage::new(&metrics).router())
        .nest("/private", private.router());
    let mut signals = Signals::new([SIGINT, SIGTERM])?;
    let server = Server::new(app).metrics(&metrics).bind(&address)?.start()?;
    println!("http://{}", server.local_addr());
    signals.forever().next();
    server.stop(Duration::from_secs(10));
    Ok(())
}
