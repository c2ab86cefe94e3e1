//! Transom with slow handlers, for the bench of overload: four threads that each take 5 ms, and an
//! inline handler that computes for 2 ms.
//!
//!     serve-transom-overload --limited true|false --address 127.0.0.1:8080

#[path = "../../../options.rs"]
mod options;

use std::time::{Duration, Instant};

use options::option;
use transom::{Limits, Overload, Readiness, Request, Router, Server, blocking};

fn main() -> transom::Result<()> {
    let app = Router::new()
        .get(
            "/pool",
            blocking(|_: Request| {
                std::thread::sleep(Duration::from_millis(5));
                "done"
            }),
        )
        .get("/inline", async |_: Request| {
            let began = Instant::now();
            while began.elapsed() < Duration::from_millis(2) {
                std::hint::spin_loop();
            }
            "done"
        })
        .get("/ready", Readiness);
    let mut limits = Limits::default();
    (limits.pool_threads, limits.pool_queue) = (4, 20_000);
    limits.connections = 20_000;
    limits.backlog = Some(4096);
    let mut server = Server::new(app).workers(1).limits(limits);
    if option("--limited") {
        server = server.overload(Overload::default());
    }
    server.bind(&option::<String>("--address"))?.run()?;
    Ok(())
}
