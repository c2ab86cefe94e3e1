//! `cargo run --example tracing --features tracing -- 127.0.0.1:8080`, then
//! `curl -H 'traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01' http://127.0.0.1:8080/users/7`.
//!
//! Each request is a span, and what its handler logs belongs to it. A layer such as that of the crate
//! tracing-opentelemetry sends the spans to a collector.

use transom::{Request, Response, Router, Server, TraceContext, Tracing};

async fn user(req: Request) -> Response {
    tracing::info!(id = req.param("id"), "looking for a user");
    // A request to another service carries this field, and belongs to the same trace.
    let onward = TraceContext::of(&req).map(|context| context.child().to_string());
    Response::text(format!("traceparent: {}\n", onward.unwrap_or_default()))
}

fn main() -> transom::Result<()> {
    tracing_subscriber::fmt().with_ansi(false).init();
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8080".into());
    let app = Router::new().get("/users/{id}", user).wrap(Tracing::new().traceresponse());
    let server = Server::new(app).trace_refusals().bind(&address)?.start()?;
    println!("listening on http://{}", server.local_addr());
    server.wait()?;
    Ok(())
}
