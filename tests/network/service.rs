//! The program that `tests/network/run.py` runs on several hosts, behind proxies. Its twins are
//! `service.c` and `service.py`.
//!
//! `network-service --bind 10.0.0.1:8080 --name a --record FILE [--stop-delay 2000] [--model event]
//! [--trust-proxy NETWORK] [--trust-forwarded NETWORK]`
//!
//! - `GET /where`: the name, the client and the scheme.
//! - `GET /small/{id}`, `POST /upload/{id}`, `GET /stream/{id}`: each writes a line with the id to the record.
//! - `GET /ready`: readiness.
//! - `GET /alive`: liveness.
//!
//! SIGTERM stops it. SIGHUP starts a successor with the same arguments, which gets the listener, and then
//! stops it. What it prints says how both went.

use std::collections::HashMap;
use std::error::Error;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use futures_lite::{StreamExt, stream};
use signal_hook::consts::{SIGHUP, SIGTERM};
use signal_hook::iterator::Signals;
use transom::{
    Forwarded, Listener, Liveness, Method, Readiness, Request, Response, Route, Router, Server, Timeouts,
};

/// The time for requests in progress to finish.
const STOP: Duration = Duration::from_secs(20);
/// The time for a successor to serve.
const SUCCESSION: Duration = Duration::from_secs(10);
/// The time for which a worker or the pool may not turn.
const WATCHDOG: Duration = Duration::from_secs(10);

/// The name of the instance, and where it writes which requests it had.
struct Instance {
    name: String,
    record: File,
}

impl Instance {
    fn note(&self, req: &Request) {
        let line = format!("{} {}\n", req.param("id"), self.name);
        // One write for each line: others append too.
        (&self.record).write_all(line.as_bytes()).expect("the record takes a line");
    }
}

fn app(instance: Instance) -> Router {
    Router::new()
        .state(Arc::new(instance))
        .get("/ready", Readiness)
        .get("/alive", Liveness)
        .get("/where", async |req: Request| {
            let instance = req.state::<Arc<Instance>>();
            format!("{} {} {}\n", instance.name, req.peer(), req.scheme())
        })
        .get("/small/{id}", async |req: Request| {
            let instance = req.state::<Arc<Instance>>();
            instance.note(&req);
            format!("{}\n", req.param("id"))
        })
        .route(
            Route::new(Method::POST, "/upload/{id}", async |mut req: Request| {
                let mut count = 0;
                while let Some(chunk) = req.body_mut().chunk().await {
                    match chunk {
                        Ok(chunk) => count += chunk.len(),
                        Err(reject) => return reject.to_string(),
                    }
                }
                req.state::<Arc<Instance>>().note(&req);
                format!("{count}\n")
            })
            .streaming()
            .body_limit(1 << 30),
        )
        .get("/stream/{id}", async |req: Request| {
            req.state::<Arc<Instance>>().note(&req);
            let chunks = stream::iter(0..10).then(async |number| {
                transom::sleep(Duration::from_millis(50)).await;
                Ok(format!("{number}\n").into())
            });
            Response::stream("text/plain", Box::pin(chunks))
        })
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().collect();
    let options: HashMap<&str, &str> =
        arguments[1..].chunks_exact(2).map(|pair| (pair[0].trim_start_matches('-'), &*pair[1])).collect();
    let option = |name: &str| options.get(name).copied();
    let required = |name: &str| option(name).ok_or_else(|| format!("--{name} is missing"));

    let record = OpenOptions::new().append(true).create(true).open(required("record")?)?;
    let mut timeouts = Timeouts::default();
    timeouts.stop_delay = Duration::from_millis(option("stop-delay").unwrap_or("0").parse()?);
    timeouts.watchdog = Some(WATCHDOG);
    let mut server = Server::new(app(Instance { name: required("name")?.to_owned(), record }))
        .timeouts(timeouts)
        .model(option("model").unwrap_or("event").parse()?)
        .notify_systemd();
    if let Some(network) = option("trust-forwarded") {
        server = server.trust_forwarded(Forwarded::x_forwarded(), [network.parse()?]);
    }
    let mut listeners = Listener::inherited()?;
    if listeners.is_empty() {
        listeners.push(Listener::bind(required("bind")?)?);
    }
    for mut listener in listeners {
        if let Some(network) = option("trust-proxy") {
            listener = listener.proxy_protocol([network.parse()?]);
        }
        server = server.listen(listener);
    }
    // Before it serves: a signal that comes early must not end the program.
    let mut signals = Signals::new([SIGTERM, SIGHUP])?;
    let handle = server.start()?;
    println!("listening on {}", handle.local_addr());
    for signal in signals.forever() {
        if signal == SIGHUP {
            let mut command = Command::new(std::env::current_exe()?);
            match handle.hand_over(command.args(&arguments[1..]), SUCCESSION) {
                Ok(child) => println!("handed over to {}", child.id()),
                Err(error) => {
                    println!("{error}");
                    continue;
                }
            }
        }
        break;
    }
    let report = handle.stop(STOP);
    println!("finished {}, cut {}, pending {}", report.finished, report.cut, report.pending);
    Ok(())
}
