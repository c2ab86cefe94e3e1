//! Server-sent events. The stream ends in order when the server stops, and with its client.
//!
//! `cargo run --example sse`, then `curl -N http://127.0.0.1:8080/events`; Ctrl-C stops the
//! server.

use std::time::Duration;

use futures_lite::{future, stream};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use transom::{Request, Response, Router, Server, Stopping};

enum Events {
    Next(u64, Stopping),
    Over,
}

/// Makes one event a moment, and a last one when a stop begins.
async fn next(events: Events) -> Option<(std::io::Result<transom::Bytes>, Events)> {
    let Events::Next(count, mut stopping) = events else { return None };
    let tick = async {
        transom::sleep(Duration::from_millis(200)).await;
        false
    };
    let stop = async {
        (&mut stopping).await;
        true
    };
    if future::or(stop, tick).await {
        return Some((Ok("event: bye\ndata:\n\n".into()), Events::Over));
    }
    Some((Ok(format!("id: {count}\ndata: tick\n\n").into()), Events::Next(count + 1, stopping)))
}

async fn events(req: Request) -> Response {
    // A browser that connects again says which event it has seen last.
    let seen = req.header("last-event-id").and_then(|id| id.parse::<u64>().ok());
    let events = Events::Next(seen.map_or(0, |id| id + 1), req.stopping());
    Response::stream("text/event-stream", stream::unfold(events, next)).header("cache-control", "no-store")
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8080".into());
    let mut signals = Signals::new([SIGINT, SIGTERM])?;
    let server = Server::new(Router::new().get("/events", events)).bind(&address)?.start()?;
    println!("listening on http://{}", server.local_addr());
    signals.forever().next();
    let report = server.stop(Duration::from_secs(10));
    println!("finished {}, cut {}", report.finished, report.cut);
    Ok(())
}
