//! Requests from memory through Transom's connection loop, to memory: parse, route, handle,
//! encode, and no kernel. Run under callgrind, which counts its instructions. The last word
//! adds something to the server, so that the gate can tell what it costs: `wrap`, `hook`, `log` for an
//! access log, or `metrics`.
//!
//!     transom-replay 1000 $'GET /plain HTTP/1.1\r\nHost: h\r\n\r\n' hook

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};

use anyhow::{Context as _, Result, bail, ensure};
use futures_lite::{AsyncRead, AsyncWrite, future};
use transom::{AccessLog, ExchangeSeries, LogFormat, Metrics, Next, Peer, Request, Response, Router, Server};

fn main() -> Result<()> {
    let words: Vec<_> = std::env::args().skip(1).collect();
    let (count, request, added) = match &words[..] {
        [count, request] => (count, request, None),
        [count, request, added] => (count, request, Some(added.as_str())),
        _ => bail!("transom-replay COUNT REQUEST [wrap|hook|log|metrics]"),
    };
    let count: usize = count.parse().context("a number of requests")?;
    let mut app = Router::new()
        .get("/plain", async |_: Request| Response::bytes("text/plain", "hello"))
        .post("/echo", async |request: Request| Response::bytes("text/plain", request.into_body()));
    if added == Some("wrap") {
        app = app.wrap(async |request: Request, next: Next| next.run(request).await);
    }
    let mut server = Server::new(app);
    let told = Arc::new(AtomicUsize::new(0));
    if added == Some("hook") {
        let told = Arc::clone(&told);
        server = server.on_exchange(move |_| {
            told.fetch_add(1, Ordering::Relaxed);
        });
    }
    if added == Some("log") {
        let log = AccessLog::to_writer(io::sink())?.format(LogFormat::Combined);
        server = server.access_log(&log);
    }
    let metrics = Metrics::new();
    if added == Some("metrics") {
        server = server.metrics(&metrics);
    }
    let answered = Arc::new(AtomicUsize::new(0));
    let stream = Replay {
        request: request.clone().into_bytes(),
        left: count,
        position: 0,
        may_read: true,
        reader: None,
        answered: answered.clone(),
    };
    let service = server.service()?;
    future::block_on(service.serve_connection(stream, Peer::Unknown));
    let answered = answered.load(Ordering::Relaxed);
    ensure!(answered == count, "{answered} of {count} requests were answered");
    let told = told.load(Ordering::Relaxed);
    let expected = if added == Some("hook") { count } else { 0 };
    ensure!(told == expected, "the hook was told of {told} of {expected} exchanges");
    let counted: u64 = metrics.snapshot().series.iter().map(ExchangeSeries::count).sum();
    let expected = if added == Some("metrics") { count } else { 0 };
    ensure!(counted == expected as u64, "the metrics have {counted} of {expected} exchanges");
    Ok(())
}

/// A connection whose client sends its next request when it has the answer to the last.
struct Replay {
    request: Vec<u8>,
    left: usize,
    /// How much of the request has been read.
    position: usize,
    may_read: bool,
    reader: Option<Waker>,
    answered: Arc<AtomicUsize>,
}

impl AsyncRead for Replay {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        if !self.may_read {
            self.reader = Some(cx.waker().clone());
            return Poll::Pending;
        }
        if self.left == 0 {
            return Poll::Ready(Ok(0));
        }
        let size = buffer.len().min(self.request.len() - self.position);
        buffer[..size].copy_from_slice(&self.request[self.position..self.position + size]);
        self.position += size;
        if self.position == self.request.len() {
            self.position = 0;
            self.left -= 1;
            self.may_read = false;
        }
        Poll::Ready(Ok(size))
    }
}

impl AsyncWrite for Replay {
    fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if bytes.starts_with(b"HTTP/1.1 200 ") {
            self.answered.fetch_add(1, Ordering::Relaxed);
        }
        self.may_read = true;
        if let Some(reader) = self.reader.take() {
            reader.wake();
        }
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
