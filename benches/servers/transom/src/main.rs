//! Transom in the model that is asked for, with one worker where workers are counted.
//!
//!     serve-transom --model sequential|threads|event --port 8080 --file FILE

#[path = "../../options.rs"]
mod options;

use std::fs::File;
use std::path::PathBuf;
use std::time::Duration;

use futures_lite::stream;
use options::option;
use transom::{
    Body, Bytes, HttpResult, Limits, Method, Model, Request, Response, Route, Router, Server, blocking,
};

const MIB: usize = 1 << 20;
const PIECE: usize = 64 * 1024;
const WAIT: Duration = Duration::from_millis(10);

fn main() -> transom::Result<()> {
    let model: Model = option("--model");
    let file: PathBuf = option("--file");
    let mebibyte = Bytes::from(vec![b'x'; MIB]);
    let piece = mebibyte.slice(..PIECE);

    let app = Router::new()
        .get("/plain", async |_: Request| text("hello"))
        .get("/bytes/1m", move |_: Request| {
            let body = mebibyte.clone();
            async move { octets(body) }
        })
        .get("/bytes/100m", move |_: Request| {
            let pieces = std::iter::repeat_n(piece.clone(), 100 * MIB / PIECE);
            let body = Body::sized_stream(100 * MIB as u64, stream::iter(pieces.map(Ok)));
            async move { octets(body) }
        })
        .get("/file", move |_: Request| {
            let body = File::open(&file).and_then(Body::file);
            async { Ok(body.map(octets)?) }
        })
        .route(Route::new(Method::POST, "/upload", upload).streaming().body_limit(1 << 30));
    // Whoever has a thread of its own may as well sleep on it.
    let app = match model {
        Model::EventDriven => app.get("/wait", async |_: Request| {
            transom::sleep(WAIT).await;
            text("waited")
        }),
        _ => app.get(
            "/wait",
            blocking(|_: Request| {
                std::thread::sleep(WAIT);
                text("waited")
            }),
        ),
    };

    let mut limits = Limits::default();
    limits.connections = 20_000;
    limits.connection_threads = 10_100;
    limits.backlog = Some(4096);
    let address = format!("127.0.0.1:{}", option::<u16>("--port"));
    Server::new(app).model(model).workers(1).limits(limits).bind(&address)?.run()?;
    Ok(())
}

async fn upload(mut request: Request) -> HttpResult<Response> {
    let mut total = 0;
    while let Some(chunk) = request.body_mut().chunk().await {
        total += chunk?.len();
    }
    Ok(text(total.to_string()))
}

fn text(body: impl Into<Body>) -> Response {
    Response::bytes("text/plain", body)
}

fn octets(body: impl Into<Body>) -> Response {
    Response::bytes("application/octet-stream", body)
}
