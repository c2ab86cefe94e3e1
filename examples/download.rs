//! Files of a folder, with ranges, conditional requests and a listing.
//!
//! `cargo run --features files --example download -- 127.0.0.1:8080 .`, then
//! `curl http://127.0.0.1:8080/files/Cargo.toml`.

use transom::{Files, Router, Server};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8080".into());
    let folder = std::env::args().nth(2).unwrap_or_else(|| ".".into());
    let files = Files::new(folder)?.listing(true).cache_control("**", "no-cache")?;
    let server = Server::new(Router::new().nest("/files", files.router())).bind(&address)?.start()?;
    println!("listening on http://{}", server.local_addr());
    server.wait()?;
    Ok(())
}
