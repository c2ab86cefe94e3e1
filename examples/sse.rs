//! Server-sent events: one thread sends the news to everyone who listens. A browser that loses its
//! connection gets what it missed, and a stop ends all streams in order.
//!
//! `cargo run --features sse --example sse`, then open `http://127.0.0.1:8080/`, or
//! `curl -N http://127.0.0.1:8080/events`; Ctrl-C stops the server.

use std::thread;
use std::time::Duration;

use async_signal::{Signal, Signals};
use smol::stream::StreamExt as _;
use transom::{
    EventBroadcast, Request, Response, Router, Server, ServerSentEvent, ServerSentEvents, SlowReader,
};

const PAGE: &str = r#"<!doctype html>
<title>Ticks</title>
<ol></ol>
<script>
  new EventSource("/events").addEventListener("tick", event => {
    document.querySelector("ol").append(Object.assign(document.createElement("li"), {textContent: event.data}));
  });
</script>
"#;

/// Sends an event five times a second, whoever listens.
fn tick(news: &EventBroadcast) -> Result<(), transom::InvalidEvent> {
    for number in 0_u64.. {
        news.send(ServerSentEvent::new(format!("tick {number}")).event("tick").id(number.to_string()))?;
        thread::sleep(Duration::from_millis(200));
    }
    Ok(())
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8080".into());
    // Ctrl-C, on Windows too.
    let mut signals = Signals::new([Signal::Int])?;
    #[cfg(unix)]
    signals.add_signals([Signal::Term])?;
    // A browser that is too slow is disconnected. It connects again, and gets the last 100 events.
    let news = EventBroadcast::new().slow(SlowReader::Close).history(100);
    let feed = news.clone();
    let app = Router::new().get("/", async |_: Request| Response::html(PAGE)).get(
        "/events",
        async move |req: Request| {
            ServerSentEvents::new(&req).at_stop(ServerSentEvent::new("").event("bye")).subscribe(&feed)
        },
    );
    let server = Server::new(app).bind(&address)?.start()?;
    println!("listening on http://{}", server.local_addr());
    thread::spawn(move || tick(&news));
    smol::block_on(signals.next());
    let report = server.stop(Duration::from_secs(10));
    println!("finished {}, cut {}", report.finished, report.cut);
    Ok(())
}
