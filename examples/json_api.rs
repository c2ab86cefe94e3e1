//! A JSON API: `cargo run --example json_api --features serde`, then
//! `curl --json '{"name": "ada"}' http://127.0.0.1:8080/users`.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};
use transom::{HttpError, HttpResult, IntoResponse, Json, Next, OrStatus, Request, Response, Router, Server};

#[derive(Clone, Deserialize, Serialize)]
struct User {
    name: String,
}

#[derive(Default)]
struct Users(Mutex<Vec<User>>);

async fn create(req: Request) -> HttpResult<Json<User>> {
    let user: User = req.json()?;
    if user.name.is_empty() {
        return Err(HttpError::bad_request("a user has a name"));
    }
    req.state::<Users>().0.lock().unwrap_or_else(PoisonError::into_inner).push(user.clone());
    Ok(Json(user))
}

async fn show(req: Request) -> HttpResult<Json<User>> {
    let at: usize = req.param("at").parse().or_not_found("no such user")?;
    let users = req.state::<Users>().0.lock().unwrap_or_else(PoisonError::into_inner);
    users.get(at).cloned().map(Json).or_not_found("no such user")
}

/// Turns the text of an error into JSON.
fn in_json(text: &str) -> Response {
    Json(BTreeMap::from([("error", text.trim())])).into_response()
}

/// Logs each request, and sends each error as JSON.
async fn log(req: Request, next: Next) -> Response {
    let line = format!("{} {}", req.method(), req.path());
    let response = next.run(req).await;
    let status = response.status_code();
    eprintln!("{line} {}", status.as_u16());
    let page = match response.body_ref().as_bytes() {
        Some(text) if status.as_u16() >= 400 => in_json(&String::from_utf8_lossy(text)),
        _ => return response,
    };
    response.header("content-type", "application/json").body(page.into_body())
}

fn main() -> transom::Result<()> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8080".into());
    let app = Router::new().state(Users::default()).post("/users", create).get("/users/{at}", show).wrap(log);
    // A request that is refused before it reaches the router gets JSON too.
    let server = Server::new(app).own_answers(|answer| in_json(answer.text())).bind(&address)?.start()?;
    println!("listening on http://{}", server.local_addr());
    server.wait()?;
    Ok(())
}
