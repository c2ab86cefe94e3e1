//! The server that `tests/clients/run.py` and `tests/abuse/run.py` talk to: the routes of the
//! conformance program that they need, and routes that answer before they have read the request.
//!
//! `test-server --port 0 --workers 2 --model event --set timeouts.body=1000 --set limits.body=4096`
//!
//! `--proxy-protocol 127.0.0.1` expects a PROXY header, `--forwarded 127.0.0.1` believes `Forwarded`, and
//! `--x-forwarded 127.0.0.1` believes `X-Forwarded-*`.
//!
//! Deadlines are in milliseconds, sizes in bytes, rates in bytes a second.

use std::error::Error;
use std::time::Duration;

use futures_lite::StreamExt;
use futures_lite::stream;
use signal_hook::consts::{SIGINT, SIGTERM};
use transom::{
    Forwarded, Handler, HttpResult, Limits, Listener, Method, Model, Network, OrStatus, Request, Response,
    Route, Router, Server, Timeouts,
};

/// The size of a chunk of `/stream/{bytes}`.
const CHUNK: usize = 64 * 1024;

/// Answers with that many bytes, and never looks at the request's body.
async fn unread(req: Request) -> HttpResult<Response> {
    let size = req.param("bytes").parse().or_not_found("no number")?;
    Ok(Response::bytes("text/plain", vec![b'x'; size]))
}

/// The same with a chunked response.
async fn unread_stream(req: Request) -> HttpResult<Response> {
    let size: usize = req.param("bytes").parse().or_not_found("no number")?;
    let sizes = (0..size).step_by(CHUNK).map(move |at| CHUNK.min(size - at));
    Ok(Response::stream("text/plain", stream::iter(sizes).map(|size| Ok(vec![b'x'; size].into()))))
}

/// Reads the first chunk of the body and answers.
async fn partly(mut req: Request) -> &'static str {
    let _ = req.body_mut().chunk().await;
    "hello"
}

/// Counts the bytes of a body, holding none of them.
async fn count(mut req: Request) -> HttpResult<String> {
    let mut count = 0;
    while let Some(chunk) = req.body_mut().chunk().await {
        count += chunk?.len();
    }
    Ok(count.to_string())
}

/// Answers with what the server believes of the request.
async fn origin(req: Request) -> String {
    let local = req.local_addr().map_or("nowhere".into(), |address| address.to_string());
    let (peer, scheme, host) = (req.peer(), req.scheme(), req.host().unwrap_or_default());
    format!("{peer} {scheme} {host} {} {local}", req.connection_peer())
}

async fn echo(req: Request) -> Response {
    Response::bytes("application/octet-stream", req.into_body())
}

/// A handler that answers at its deadline at the latest.
async fn late(_: Request) -> &'static str {
    std::future::pending().await
}

/// Answers after that many milliseconds, and does not read meanwhile.
async fn hold(req: Request) -> HttpResult<&'static str> {
    let millis = req.param("millis").parse().or_not_found("no number")?;
    transom::sleep(Duration::from_millis(millis)).await;
    Ok("held")
}

async fn fail(_: Request) -> &'static str {
    panic!("a handler that fails, as it should")
}

/// A route that takes any body, as it comes.
fn streaming(pattern: &str, handler: impl Handler) -> Route {
    Route::new(Method::POST, pattern, handler).streaming().body_limit(u64::MAX)
}

fn app() -> Router {
    Router::new()
        .get("/plain", async |_: Request| Response::bytes("text/plain", "hello"))
        .get("/unread/{bytes}", unread)
        .get("/origin", origin)
        .post("/echo", echo)
        .put("/echo", echo)
        .route(streaming("/unread/{bytes}", unread))
        .route(streaming("/unread/stream/{bytes}", unread_stream))
        .route(streaming("/partly", partly))
        .route(streaming("/count", count))
        .route(streaming("/hold/{millis}", hold))
        .route(streaming("/fail", fail))
        .route(streaming("/late", late).timeout(Duration::from_millis(100)))
}

/// Sets one limit or deadline.
fn set(limits: &mut Limits, timeouts: &mut Timeouts, setting: &str) -> Result<(), Box<dyn Error>> {
    let (name, value) = setting.split_once('=').ok_or("a setting is NAME=VALUE")?;
    let value: u32 = value.parse()?;
    let time = Some(Duration::from_millis(value.into()));
    match name {
        "limits.body" => limits.body = value.into(),
        "limits.connections" => limits.connections = value as usize,
        "timeouts.head" => timeouts.head = time,
        "timeouts.idle" => timeouts.idle = time,
        "timeouts.body" => timeouts.body = time,
        "timeouts.write" => timeouts.write = time,
        "timeouts.drain" => timeouts.drain = time,
        "timeouts.linger" => timeouts.linger = time,
        "timeouts.linger_idle" => timeouts.linger_idle = time,
        _ => return Err(format!("unknown setting {name}").into()),
    }
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let (mut port, mut workers, mut model) = (0_u16, 2_usize, Model::default());
    let (mut limits, mut timeouts) = (Limits::default(), Timeouts::default());
    let (mut proxies, mut trust) = (None, None);
    while let (Some(name), value) = (args.next(), args.next()) {
        let value = value.ok_or_else(|| format!("{name} needs a value"))?;
        match name.as_str() {
            "--port" => port = value.parse()?,
            "--workers" => workers = value.parse()?,
            "--model" => model = value.parse()?,
            "--proxy-protocol" => proxies = Some(value.parse::<Network>()?),
            "--forwarded" => trust = Some((Forwarded::rfc7239().with_host(), value.parse::<Network>()?)),
            "--x-forwarded" => trust = Some((Forwarded::x_forwarded().with_host(), value.parse()?)),
            "--set" => set(&mut limits, &mut timeouts, &value)?,
            _ => return Err(format!("unknown option {name}").into()),
        }
    }
    let mut signals = signal_hook::iterator::Signals::new([SIGINT, SIGTERM])?;
    let server = Server::new(app()).model(model).workers(workers).limits(limits).timeouts(timeouts);
    let server = match trust {
        Some((fields, network)) => server.trust_forwarded(fields, [network]),
        None => server,
    };
    let listener = Listener::bind(&format!("127.0.0.1:{port}"))?;
    let listener = match proxies {
        Some(network) => listener.proxy_protocol([network]),
        None => listener,
    };
    let server = server.listen(listener).start()?;
    println!("listening on http://{}", server.local_addr());
    signals.forever().next();
    server.stop(Duration::from_secs(10));
    Ok(())
}
