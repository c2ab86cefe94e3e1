//! A server on the executor of the program: it has no threads of its own (but for handlers that
//! block), and its handlers are tasks like all others.
//!
//! `cargo run --example host_executor`, then `curl http://127.0.0.1:8080/` and
//! `curl -X POST http://127.0.0.1:8080/quit`.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use smol::{Executor, Timer};
use transom::{Listener, Request, Router, Server, Stopper};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8080".into());
    let listener = Listener::bind(&address)?;
    println!("listening on http://{}", listener.local_addr());

    let executor = Arc::new(Executor::new());
    let uptime = Arc::new(AtomicU64::new(0));
    let stopper = Stopper::new();

    // A task of the program, which runs beside the server.
    let clock = Arc::clone(&uptime);
    let ticking = executor.spawn(async move {
        loop {
            Timer::after(Duration::from_millis(10)).await;
            clock.fetch_add(10, Ordering::Relaxed);
        }
    });

    let (spawner, quit) = (Arc::clone(&executor), stopper.clone());
    let app = Router::new()
        // A handler may spawn tasks of its own on the same executor, and wait for them.
        .get("/", async move |_: Request| {
            let clock = Arc::clone(&uptime);
            let text = spawner.spawn(async move { format!("up {} ms\n", clock.load(Ordering::Relaxed)) });
            text.await
        })
        .post("/quit", async move |_: Request| {
            quit.stop(Duration::from_secs(5));
            "bye\n"
        });
    let serving = Server::new(app).stopper(&stopper).listen(listener).serve();
    let report = smol::block_on(executor.run(serving))?;
    drop(ticking);
    println!("finished {}, cut {}", report.finished, report.cut);
    Ok(())
}
