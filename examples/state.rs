//! Shared state: values that all handlers of a router use.
//!
//! `cargo run --example state`, then
//! `curl -X PUT --data 'buy milk' http://127.0.0.1:8080/notes/today` and
//! `curl http://127.0.0.1:8080/notes/today`.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use transom::{HttpResult, OrStatus, Request, Router, Server, StatusCode};

/// A database would stand here; its handle is shared in the same way.
#[derive(Default)]
struct Notes(Mutex<BTreeMap<String, String>>);

impl Notes {
    fn read(&self, name: &str) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }

    fn write(&self, name: &str, text: String) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(name.to_owned(), text);
    }
}

async fn read(req: Request) -> HttpResult<String> {
    req.state::<Notes>().read(req.param("name")).or_not_found("no such note")
}

async fn write(req: Request) -> HttpResult<StatusCode> {
    let text = str::from_utf8(req.bytes()).or_bad_request("a note is UTF-8")?;
    req.state::<Notes>().write(req.param("name"), text.to_owned());
    Ok(StatusCode::NO_CONTENT)
}

fn main() -> transom::Result<()> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8080".into());
    // A closure may also own what it uses. Each request gets a clone of the closure.
    let visits = Arc::new(AtomicU64::new(0));
    let app = Router::new()
        .state(Notes::default())
        .get("/notes/{name}", read)
        .put("/notes/{name}", write)
        .get("/visits", async move |_: Request| (visits.fetch_add(1, Ordering::Relaxed) + 1).to_string());
    let server = Server::new(app).bind(&address)?.start()?;
    println!("listening on http://{}", server.local_addr());
    server.wait()?;
    Ok(())
}
