//! axum on tokio's current-thread runtime.
//!
//!     serve-axum --port 8080 --file FILE

#[path = "../../options.rs"]
mod options;

use std::convert::Infallible;
use std::io;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{DefaultBodyLimit, State};
use axum::http::StatusCode;
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderName};
use axum::response::IntoResponse;
use axum::routing::{get, post};
use axum::serve::ListenerExt;
use futures_util::{StreamExt, stream};
use options::option;
use tokio::net::TcpSocket;
use tower_http::services::ServeFile;

const MIB: usize = 1 << 20;
const PIECE: usize = 64 * 1024;
const TEXT: [(HeaderName, &str); 1] = [(CONTENT_TYPE, "text/plain")];
const OCTETS: [(HeaderName, &str); 1] = [(CONTENT_TYPE, "application/octet-stream")];

#[tokio::main(flavor = "current_thread")]
async fn main() -> io::Result<()> {
    let app = Router::new()
        .route("/plain", get(async || (TEXT, "hello")))
        .route("/wait", get(wait))
        .route("/bytes/1m", get(mebibyte))
        .route("/bytes/100m", get(pieces))
        .route("/upload", post(upload))
        .route_service("/file", ServeFile::new(option::<PathBuf>("--file")))
        .layer(DefaultBodyLimit::disable())
        .with_state(Bytes::from(vec![b'x'; MIB]));
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind((Ipv4Addr::LOCALHOST, option("--port")).into())?;
    let listener = socket.listen(4096)?.tap_io(|stream| drop(stream.set_nodelay(true)));
    axum::serve(listener, app).await
}

async fn wait() -> impl IntoResponse {
    tokio::time::sleep(Duration::from_millis(10)).await;
    (TEXT, "waited")
}

async fn mebibyte(State(mebibyte): State<Bytes>) -> impl IntoResponse {
    (OCTETS, mebibyte)
}

async fn pieces(State(mebibyte): State<Bytes>) -> impl IntoResponse {
    let pieces = stream::repeat(mebibyte.slice(..PIECE)).take(100 * MIB / PIECE);
    let length = [(CONTENT_LENGTH, (100 * MIB).to_string())];
    (OCTETS, length, Body::from_stream(pieces.map(Ok::<_, Infallible>)))
}

async fn upload(body: Body) -> Result<impl IntoResponse, StatusCode> {
    let mut pieces = body.into_data_stream();
    let mut total = 0;
    while let Some(piece) = pieces.next().await {
        total += piece.map_err(|_| StatusCode::BAD_REQUEST)?.len();
    }
    Ok((TEXT, total.to_string()))
}
