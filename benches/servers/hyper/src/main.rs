//! hyper 1 on tokio's current-thread runtime.
//!
//!     serve-hyper --port 8080 --file FILE

#[path = "../../options.rs"]
mod options;

use std::convert::Infallible;
use std::io;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use http_body_util::{BodyExt, Either, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper::body::{Frame, Incoming};
use hyper::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use options::option;
use tokio::fs::File;
use tokio::net::TcpSocket;
use tokio_util::io::ReaderStream;

const MIB: usize = 1 << 20;
const PIECE: usize = 64 * 1024;

type Answer = Response<Either<Full<Bytes>, UnsyncBoxBody<Bytes, io::Error>>>;

struct Site {
    mebibyte: Bytes,
    file: PathBuf,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> io::Result<()> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind((Ipv4Addr::LOCALHOST, option("--port")).into())?;
    let listener = socket.listen(4096)?;
    let site = Arc::new(Site { mebibyte: vec![b'x'; MIB].into(), file: option("--file") });
    let mut server = http1::Builder::new();
    server.pipeline_flush(true);
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let site = Arc::clone(&site);
        let service = service_fn(move |request| answer(request, Arc::clone(&site)));
        tokio::spawn(server.serve_connection(TokioIo::new(stream), service));
    }
}

async fn answer(request: Request<Incoming>, site: Arc<Site>) -> Result<Answer, Infallible> {
    let answer = match (request.method(), request.uri().path()) {
        (&Method::GET, "/plain") => text("hello"),
        (&Method::GET, "/wait") => {
            tokio::time::sleep(Duration::from_millis(10)).await;
            text("waited")
        }
        (&Method::GET, "/bytes/1m") => typed(Either::Left(Full::new(site.mebibyte.clone())), OCTETS),
        (&Method::GET, "/bytes/100m") => {
            let pieces = stream::repeat(site.mebibyte.slice(..PIECE)).take(100 * MIB / PIECE);
            streamed(
                100 * MIB as u64,
                StreamBody::new(pieces.map(|piece| Ok(Frame::data(piece)))).boxed_unsync(),
            )
        }
        (&Method::POST, "/upload") => upload(request.into_body()).await,
        (&Method::GET, "/file") => file(&site.file).await.unwrap_or_else(|_| status(StatusCode::NOT_FOUND)),
        _ => status(StatusCode::NOT_FOUND),
    };
    Ok(answer)
}

async fn upload(mut body: Incoming) -> Answer {
    let mut total = 0;
    while let Some(frame) = body.frame().await {
        let Ok(frame) = frame else { return status(StatusCode::BAD_REQUEST) };
        total += frame.data_ref().map_or(0, Bytes::len);
    }
    text(total.to_string())
}

async fn file(path: &Path) -> io::Result<Answer> {
    let file = File::open(path).await?;
    let length = file.metadata().await?.len();
    let pieces = ReaderStream::with_capacity(file, PIECE).map_ok(Frame::data);
    Ok(streamed(length, StreamBody::new(pieces).boxed_unsync()))
}

const TEXT: HeaderValue = HeaderValue::from_static("text/plain");
const OCTETS: HeaderValue = HeaderValue::from_static("application/octet-stream");

fn text(body: impl Into<Bytes>) -> Answer {
    typed(Either::Left(Full::new(body.into())), TEXT)
}

fn streamed(length: u64, body: UnsyncBoxBody<Bytes, io::Error>) -> Answer {
    let mut answer = typed(Either::Right(body), OCTETS);
    answer.headers_mut().insert(CONTENT_LENGTH, length.into());
    answer
}

fn typed(body: Either<Full<Bytes>, UnsyncBoxBody<Bytes, io::Error>>, kind: HeaderValue) -> Answer {
    let mut answer = Response::new(body);
    answer.headers_mut().insert(CONTENT_TYPE, kind);
    answer
}

fn status(status: StatusCode) -> Answer {
    let mut answer = Response::new(Either::Left(Full::default()));
    *answer.status_mut() = status;
    answer
}
