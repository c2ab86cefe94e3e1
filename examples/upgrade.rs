//! A connection leaves HTTP for a protocol of the program's: here one that sends each line back
//! in capitals.
//!
//! `cargo run --example upgrade`, then
//! `printf 'GET /shout HTTP/1.1\r\nHost: h\r\nConnection: upgrade\r\nUpgrade: shout\r\n\r\nhello\n' | nc 127.0.0.1 8080`.

use std::io;

use futures_lite::io::BufReader;
use futures_lite::{AsyncBufReadExt, AsyncWriteExt, future};
use transom::{Request, Response, Router, Server, StatusCode, Upgraded};

/// Runs after the 101. A stop of the server ends the protocol with a word for the client.
async fn shout(stream: Upgraded) -> io::Result<()> {
    let mut stopping = stream.stopping();
    let mut stream = BufReader::new(stream);
    loop {
        let mut line = String::new();
        let read = async { stream.read_line(&mut line).await.map(Some) };
        let stop = async {
            (&mut stopping).await;
            Ok(None)
        };
        match future::or(stop, read).await? {
            None => {
                stream.get_mut().write_all(b"BYE\n").await?;
                return stream.get_mut().close().await;
            }
            Some(0) => return stream.get_mut().close().await,
            Some(_) => stream.get_mut().write_all(line.to_uppercase().as_bytes()).await?,
        }
    }
}

async fn upgrade(req: Request) -> Response {
    match req.header("upgrade") {
        Some(protocol) if protocol.eq_ignore_ascii_case("shout") => {
            Response::upgrade("shout", async |stream| {
                if let Err(error) = shout(stream).await {
                    eprintln!("the client has left: {error}");
                }
            })
        }
        _ => Response::text("this path speaks shout\n")
            .status(StatusCode::UPGRADE_REQUIRED)
            .header("upgrade", "shout"),
    }
}

fn main() -> transom::Result<()> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8080".into());
    let server = Server::new(Router::new().get("/shout", upgrade)).bind(&address)?.start()?;
    println!("listening on http://{}", server.local_addr());
    server.wait()?;
    Ok(())
}
