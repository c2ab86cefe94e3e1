//! Files of a folder. The kernel sends large ones, so that they take no memory.
//!
//! `cargo run --example download -- 127.0.0.1:8080 .`, then
//! `curl http://127.0.0.1:8080/files/Cargo.toml`.

use std::fs::File;
use std::path::{Component, Path, PathBuf};

use transom::{Body, HttpError, HttpResult, OrStatus, Request, Response, Router, Server};

struct Folder(PathBuf);

/// Returns a path below the folder. A parameter comes from the client and may hold `..`.
fn checked(folder: &Path, path: &str) -> HttpResult<PathBuf> {
    let path = Path::new(path);
    if path.components().all(|part| matches!(part, Component::Normal(_))) {
        Ok(folder.join(path))
    } else {
        Err(HttpError::not_found("no such file"))
    }
}

fn content_type(path: &Path) -> &'static str {
    match path.extension().and_then(|extension| extension.to_str()) {
        Some("html") => "text/html; charset=utf-8",
        Some("txt" | "md" | "toml") => "text/plain; charset=utf-8",
        Some("json") => "application/json",
        Some("png") => "image/png",
        _ => "application/octet-stream",
    }
}

/// Opening a file may wait for the disk, so this handler runs on the pool.
fn download(req: &Request) -> HttpResult<Response> {
    let path = checked(&req.state::<Folder>().0, req.param("path"))?;
    let file = File::open(&path).or_not_found("no such file")?;
    let body = Body::file(file).or_not_found("no such file")?;
    Ok(Response::bytes(content_type(&path), body).header("cache-control", "no-cache"))
}

fn main() -> transom::Result<()> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8080".into());
    let folder = PathBuf::from(std::env::args().nth(2).unwrap_or_else(|| ".".into()));
    let app = Router::new()
        .state(Folder(folder))
        .get("/files/{*path}", transom::blocking(|req: Request| download(&req)));
    let server = Server::new(app).bind(&address)?.start()?;
    println!("listening on http://{}", server.local_addr());
    server.wait()?;
    Ok(())
}
