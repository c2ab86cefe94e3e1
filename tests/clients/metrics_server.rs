//! The server that `tests/clients/metrics.py` counts with: `metrics-server --port 0 --model event`.

use std::error::Error;

use futures_lite::stream;
use signal_hook::consts::{SIGINT, SIGTERM};
use transom::{Body, Bytes, Metrics, Model, Request, Response, Router, Server, StatusCode};

fn main() -> Result<(), Box<dyn Error>> {
    let words: Vec<_> = std::env::args().skip(1).collect();
    let [_, port, _, model] = &words[..] else { return Err("--port PORT --model MODEL".into()) };
    let model = match &**model {
        "event" => Model::EventDriven,
        "threads" => Model::ThreadPerConnection,
        "sequential" => Model::Sequential,
        _ => return Err("event, threads or sequential".into()),
    };
    let metrics = Metrics::new();
    let app = Router::new()
        .get("/users/{id}", async |req: Request| Response::text(req.param("id")))
        .get("/busy", async |_: Request| StatusCode::SERVICE_UNAVAILABLE)
        .get("/endless", async |_: Request| {
            let chunks = stream::repeat_with(|| Ok(Bytes::from(vec![b'a'; 65536])));
            Response::new(StatusCode::OK).body(Body::stream(chunks))
        })
        .get("/metrics", metrics.handler());
    let server = Server::new(app).model(model).metrics(&metrics);
    let server = server.bind(&format!("127.0.0.1:{port}"))?.start()?;
    signal_hook::iterator::Signals::new([SIGINT, SIGTERM])?.forever().next();
    server.stop(std::time::Duration::from_secs(1));
    Ok(())
}
