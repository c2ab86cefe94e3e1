//! fastwebsockets over hyper and tokio under test, on one thread.

use std::sync::Arc;

use fastwebsockets::upgrade::{UpgradeFut, is_upgrade_request, upgrade};
use fastwebsockets::{FragmentCollector, Frame, OpCode, Payload, WebSocketError};
use http_body_util::Empty;
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::sync::broadcast;

type News = broadcast::Sender<Arc<[u8]>>;

async fn echo(socket: UpgradeFut) -> Result<(), WebSocketError> {
    let mut socket = FragmentCollector::new(socket.await?);
    loop {
        let frame = socket.read_frame().await?;
        match frame.opcode {
            OpCode::Close => return Ok(()),
            OpCode::Text | OpCode::Binary => socket.write_frame(frame).await?,
            _ => {}
        }
    }
}

async fn talk(socket: UpgradeFut, news: News) -> Result<(), WebSocketError> {
    let mut socket = FragmentCollector::new(socket.await?);
    let mut heard = news.subscribe();
    loop {
        tokio::select! {
            frame = socket.read_frame() => {
                let frame = frame?;
                if frame.opcode == OpCode::Close {
                    return Ok(());
                }
                let _ = news.send(frame.payload[..].into());
            }
            Ok(message) = heard.recv() => {
                socket.write_frame(Frame::text(Payload::Borrowed(&message))).await?;
            }
        }
    }
}

async fn serve(mut request: Request<Incoming>, news: News) -> Result<Response<Empty<Bytes>>, WebSocketError> {
    if !is_upgrade_request(&request) {
        let mut refusal = Response::new(Empty::new());
        *refusal.status_mut() = StatusCode::UPGRADE_REQUIRED;
        return Ok(refusal);
    }
    let echoes = request.uri().path() == "/echo";
    let (response, socket) = upgrade(&mut request)?;
    tokio::spawn(async move { if echoes { echo(socket).await } else { talk(socket, news).await } });
    Ok(response)
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let port = std::env::args().nth(1).unwrap_or_else(|| "0".into());
    let listener = TcpListener::bind(format!("127.0.0.1:{port}")).await?;
    let (news, _) = broadcast::channel(1024);
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let news: News = news.clone();
        tokio::spawn(async move {
            let service = service_fn(move |request| serve(request, news.clone()));
            let http = hyper::server::conn::http1::Builder::new();
            let _ = http.serve_connection(TokioIo::new(stream), service).with_upgrades().await;
        });
    }
}
