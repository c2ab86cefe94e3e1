//! Trillium on smol, with one worker.
//!
//!     serve-trillium-smol --port 8080 --file FILE

#[path = "../../options.rs"]
mod options;

use std::io;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::time::Duration;

use async_io::Timer;
use futures_lite::{AsyncReadExt, io::repeat};
use options::option;
use trillium::{Body, Conn, HttpConfig, KnownHeaderName, Status};
use trillium_router::Router;
use trillium_static::StaticConnExt;

const MIB: usize = 1 << 20;
const PIECE: usize = 64 * 1024;

fn main() -> io::Result<()> {
    let mebibyte: &'static [u8] = vec![b'x'; MIB].leak();
    let file: PathBuf = option("--file");
    let app = Router::new()
        .get("/plain", async |conn: Conn| text(conn, "hello"))
        .get("/wait", async |conn: Conn| {
            Timer::after(Duration::from_millis(10)).await;
            text(conn, "waited")
        })
        .get("/bytes/1m", move |conn: Conn| async move { octets(conn, mebibyte) })
        .get("/bytes/100m", async |conn: Conn| {
            let length = 100 * MIB as u64;
            octets(conn, Body::new_streaming(repeat(b'x').take(length), Some(length)))
        })
        .get("/file", move |conn: Conn| {
            let file = file.clone();
            async move { conn.send_path(file).await }
        })
        .post("/upload", upload);
    let http = HttpConfig::default().with_body_write_chunk_len(PIECE).with_received_body_max_len(1 << 30);
    trillium_smol::config()
        .with_nodelay()
        .with_http_config(http)
        .without_signals()
        .listeners()
        .with_reuseport_workers(1)
        .bind_reuseport_tcp((Ipv4Addr::LOCALHOST, option("--port")))?
        .run(app);
    Ok(())
}

async fn upload(mut conn: Conn) -> Conn {
    let mut piece = vec![0; PIECE];
    let mut total = 0;
    let mut body = conn.request_body();
    loop {
        match body.read(&mut piece).await {
            Ok(0) => break,
            Ok(read) => total += read,
            Err(_) => return conn.with_status(Status::BadRequest).halt(),
        }
    }
    text(conn, total.to_string())
}

fn text(conn: Conn, body: impl Into<Body>) -> Conn {
    conn.with_response_header(KnownHeaderName::ContentType, "text/plain").ok(body)
}

fn octets(conn: Conn, body: impl Into<Body>) -> Conn {
    conn.with_response_header(KnownHeaderName::ContentType, "application/octet-stream").ok(body)
}
