//! Transom over TLS, with one worker. It is a program of its own so that the others are built without
//! the feature.
//!
//!     serve-transom-tls --model threads|event --port 8443 --certificate FILE --key FILE

#[path = "../../options.rs"]
mod options;

use std::path::PathBuf;

use options::option;
use transom::{Bytes, Limits, Listener, Request, Response, Router, Server, Tls};

fn main() -> transom::Result<()> {
    let mebibyte = Bytes::from(vec![b'x'; 1 << 20]);
    let app = Router::new().get("/plain", async |_: Request| Response::bytes("text/plain", "hello")).get(
        "/bytes/1m",
        move |_: Request| {
            let body = mebibyte.clone();
            async move { Response::bytes("application/octet-stream", body) }
        },
    );
    let mut limits = Limits::default();
    limits.connections = 20_000;
    limits.backlog = Some(4096);
    let tls = Tls::from_files(option::<PathBuf>("--certificate"), option::<PathBuf>("--key"))?;
    let address = format!("127.0.0.1:{}", option::<u16>("--port"));
    let listener = Listener::bind(&address)?.tls(&tls);
    Server::new(app).model(option("--model")).workers(1).limits(limits).listen(listener).run()?;
    Ok(())
}
