//! Uploads of any size, written to disk while they come. Memory holds 64 KiB of each.
//!
//! `cargo run --example upload`, then `curl -T Cargo.lock http://127.0.0.1:8080/files/copy`.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::{env, fs};

use futures_lite::AsyncWriteExt;
use transom::{HttpResult, Method, OrStatus, Request, Route, Router, Server, StatusCode};

/// The folder for the files, and a number for the next upload.
struct Store(PathBuf, AtomicU64);

/// A parameter comes from the client: check it before it becomes a file name.
fn checked(name: &str) -> HttpResult<&str> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    let good = Some(name).filter(|name| !name.starts_with('.') && name.bytes().all(is_plain));
    good.or_bad_request("a name has letters, digits, '.', '_' and '-'")
}

async fn upload(mut req: Request) -> HttpResult<(StatusCode, String)> {
    let name = checked(req.param("name"))?.to_owned();
    let Store(folder, next) = req.state();
    let part = folder.join(format!(".part-{}", next.fetch_add(1, Ordering::Relaxed)));
    let whole = folder.join(&name);
    let written = write(&mut req, &part).await;
    // A client that leaves, or a body beyond the limit, leaves no half file.
    if written.is_err() {
        fs::remove_file(&part)?;
    }
    let length = written?;
    fs::rename(&part, &whole)?;
    Ok((StatusCode::CREATED, format!("{length} bytes in {name}\n")))
}

async fn write(req: &mut Request, path: &Path) -> HttpResult<u64> {
    let mut file = smol::fs::File::create(path).await?;
    let mut length = 0;
    while let Some(chunk) = req.body_mut().chunk().await {
        let chunk = chunk?;
        file.write_all(&chunk).await?;
        length += chunk.len() as u64;
    }
    file.flush().await?;
    Ok(length)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let address = env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8080".into());
    let folder = PathBuf::from(env::args().nth(2).unwrap_or_else(|| "uploads".into()));
    fs::create_dir_all(&folder)?;
    let route = Route::new(Method::PUT, "/files/{name}", upload).streaming().body_limit(1 << 30);
    let app = Router::new().state(Store(folder, AtomicU64::new(0))).route(route);
    let server = Server::new(app).bind(&address)?.start()?;
    println!("listening on http://{}", server.local_addr());
    server.wait().map(drop).map_err(Into::into)
}
