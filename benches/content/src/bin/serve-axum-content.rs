//! axum on tokio's current-thread runtime, with tower-http for files and compression, and multer for forms.
//!
//!     serve-axum-content --port 8080 --folder FOLDER --level LEVEL --write tokio|std

#[path = "../../../servers/options.rs"]
mod options;

use std::io::{self, Write as _};
use std::net::Ipv4Addr;
use std::path::PathBuf;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::DefaultBodyLimit;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::{get, post};
use axum::serve::ListenerExt as _;
use options::option;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpSocket;
use tower_http::CompressionLevel;
use tower_http::compression::CompressionLayer;
use tower_http::services::ServeDir;

#[tokio::main(flavor = "current_thread")]
async fn main() -> io::Result<()> {
    let folder: PathBuf = option("--folder");
    let json = Bytes::from(std::fs::read(folder.join("site/10k.json"))?);
    let blocks = option::<String>("--write") == "std";
    let level = CompressionLevel::Precise(option("--level"));
    let answer = async move || ([(CONTENT_TYPE, "application/json")], json);
    let path = folder.join("saved-axum");
    let app = Router::new()
        .route("/json", get(answer).layer(CompressionLayer::new().quality(level)))
        .route(
            "/upload",
            post(async move |headers: HeaderMap, body: Body| upload(&headers, body, &path, blocks).await),
        )
        .nest_service("/files", ServeDir::new(folder.join("site")))
        .layer(DefaultBodyLimit::disable());
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind((Ipv4Addr::LOCALHOST, option("--port")).into())?;
    let listener = socket.listen(4096)?.tap_io(|stream| drop(stream.set_nodelay(true)));
    axum::serve(listener, app).await
}

/// Writes the files of a form: on tokio's pool of threads, or on the thread of the connection, which waits.
async fn upload(
    headers: &HeaderMap,
    body: Body,
    path: &std::path::Path,
    blocks: bool,
) -> Result<String, StatusCode> {
    let bad = |_| StatusCode::BAD_REQUEST;
    let failed = |_: io::Error| StatusCode::INTERNAL_SERVER_ERROR;
    let kind =
        headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).ok_or(StatusCode::BAD_REQUEST)?;
    let boundary = multer::parse_boundary(kind).map_err(bad)?;
    let mut form = multer::Multipart::new(body.into_data_stream(), boundary);
    let mut total = 0;
    while let Some(mut field) = form.next_field().await.map_err(bad)? {
        if blocks {
            let mut file = std::fs::File::create(path).map_err(failed)?;
            while let Some(chunk) = field.chunk().await.map_err(bad)? {
                total += chunk.len();
                file.write_all(&chunk).map_err(failed)?;
            }
        } else {
            let mut file = tokio::fs::File::create(path).await.map_err(failed)?;
            while let Some(chunk) = field.chunk().await.map_err(bad)? {
                total += chunk.len();
                file.write_all(&chunk).await.map_err(failed)?;
            }
            file.flush().await.map_err(failed)?;
        }
    }
    Ok(total.to_string())
}
