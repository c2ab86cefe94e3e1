//! hyper 1 with slow handlers, for the bench of overload: four blocking threads that each take 5 ms,
//! and a handler in the loop that computes for 2 ms.
//!
//!     serve-hyper-overload --port 8080

#[path = "../../../options.rs"]
mod options;

use std::convert::Infallible;
use std::io;
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use options::option;
use tokio::net::TcpSocket;

fn main() -> io::Result<()> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().max_blocking_threads(4).build()?;
    runtime.block_on(serve())
}

async fn serve() -> io::Result<()> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind((Ipv4Addr::LOCALHOST, option("--port")).into())?;
    let listener = socket.listen(4096)?;
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service_fn(answer)));
    }
}

async fn answer(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let text = match request.uri().path() {
        "/pool" => {
            let slept = tokio::task::spawn_blocking(|| std::thread::sleep(Duration::from_millis(5))).await;
            if slept.is_ok() { "done" } else { "" }
        }
        "/inline" => {
            let began = Instant::now();
            while began.elapsed() < Duration::from_millis(2) {
                std::hint::spin_loop();
            }
            "done"
        }
        "/ready" => "ready",
        _ => "",
    };
    let mut response = Response::new(Full::from(text));
    if text.is_empty() {
        *response.status_mut() = StatusCode::NOT_FOUND;
    }
    Ok(response)
}
