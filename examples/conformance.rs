//! The small application that an HTTP/1.1 conformance probe is run against.
//!
//! `cargo run --release --example conformance -- --port 8080 --workers 2 --model event`

use std::error::Error;
use std::time::Duration;

use async_signal::{Signal, Signals};
use futures_lite::{StreamExt, future, stream};
use transom::{HttpResult, IntoResponse, Model, OrStatus, Request, Response, Router, Server, StatusCode};

async fn headers(req: Request) -> Response {
    let mut text = Vec::new();
    for (name, value) in req.headers().iter() {
        text.extend_from_slice(name.to_ascii_lowercase().as_bytes());
        text.extend_from_slice(b": ");
        text.extend_from_slice(value);
        text.push(b'\n');
    }
    Response::bytes("text/plain", text)
}

async fn echo(req: Request) -> Response {
    let kind = req.header("content-type").unwrap_or("application/octet-stream").to_owned();
    Response::bytes(kind, req.into_body())
}

async fn sleep(req: Request) -> HttpResult<Response> {
    let millis = req.param("millis").parse().or_not_found("no number")?;
    transom::sleep(Duration::from_millis(millis)).await;
    Ok("slept".into_response())
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let (mut port, mut workers, mut model) = (8080_u16, 2_usize, Model::default());
    while let (Some(name), value) = (args.next(), args.next()) {
        let value = value.ok_or_else(|| format!("{name} needs a value"))?;
        match name.as_str() {
            "--port" => port = value.parse()?,
            "--workers" => workers = value.parse()?,
            "--model" => model = value.parse()?,
            _ => return Err(format!("unknown option {name}").into()),
        }
    }
    let app = Router::new()
        .get("/plain", async |_: Request| Response::bytes("text/plain", "hello"))
        .post("/echo", echo)
        .put("/echo", echo)
        .get("/chunked", async |_: Request| {
            Response::stream("text/plain", stream::iter(["a", "bb", "ccc"]).map(|chunk| Ok(chunk.into())))
        })
        .get("/empty", async |_: Request| StatusCode::NO_CONTENT)
        .get("/headers", headers)
        .get("/sleep/{millis}", sleep);
    // Ctrl-C, on Windows too.
    let mut signals = Signals::new([Signal::Int])?;
    #[cfg(unix)]
    signals.add_signals([Signal::Term])?;
    let server =
        Server::new(app).model(model).workers(workers).bind(&format!("127.0.0.1:{port}"))?.start()?;
    println!("listening on http://{}", server.local_addr());
    future::block_on(signals.next());
    server.stop(Duration::from_secs(10));
    Ok(())
}
