//! An axum router with its layers, unchanged, beside handlers of Transom and without tokio's
//! runtime.
//!
//! `cargo run --example axum --features tower`, then
//! `curl -i -H 'Origin: http://example.org' http://127.0.0.1:8080/api/users/1`.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::get;
use axum::{Json, Router};
use tower_http::compression::CompressionLayer;
use tower_http::cors::CorsLayer;
use transom::{Request, Server, tower_service};

type Users = Arc<Vec<&'static str>>;

async fn user(State(users): State<Users>, Path(id): Path<usize>) -> Result<Json<&'static str>, StatusCode> {
    users.get(id).copied().map(Json).ok_or(StatusCode::NOT_FOUND)
}

async fn echo(body: String) -> String {
    body
}

/// The application as it was written for axum.
fn axum_app() -> Router {
    Router::new()
        .route("/api/users/{id}", get(user))
        .route("/api/echo", get(async || "post a text\n").post(echo))
        .layer(CorsLayer::permissive())
        .layer(CompressionLayer::new())
        .with_state(Arc::new(vec!["ada", "grace"]))
}

fn main() -> transom::Result<()> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8080".into());
    let app = transom::Router::new()
        .get("/", async |_: Request| "the axum router is under /api\n")
        .any("/api/{*path}", tower_service(axum_app()));
    let server = Server::new(app).bind(&address)?.start()?;
    println!("listening on http://{}", server.local_addr());
    server.wait()?;
    Ok(())
}
