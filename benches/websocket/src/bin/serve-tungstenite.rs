//! tungstenite over tokio under test, on one thread.

use futures_util::{SinkExt, StreamExt};
use tokio::net::TcpListener;
use tokio::sync::broadcast;
use tokio_tungstenite::accept_hdr_async;
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tokio_tungstenite::tungstenite::{Error, Message};

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let port = std::env::args().nth(1).unwrap_or_else(|| "0".into());
    let listener = TcpListener::bind(format!("127.0.0.1:{port}")).await?;
    let (news, _) = broadcast::channel::<Message>(1024);
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let news = news.clone();
        tokio::spawn(async move {
            let mut echoes = true;
            #[expect(clippy::result_large_err, reason = "the crate has it so")]
            let look = |request: &Request, response: Response| -> Result<Response, ErrorResponse> {
                echoes = request.uri().path() == "/echo";
                Ok(response)
            };
            let Ok(mut socket) = accept_hdr_async(stream, look).await else { return Ok(()) };
            if echoes {
                while let Some(message) = socket.next().await {
                    let message = message?;
                    if message.is_text() || message.is_binary() {
                        socket.send(message).await?;
                    }
                }
                return Ok::<(), Error>(());
            }
            let (mut sender, mut receiver) = socket.split();
            let mut heard = news.subscribe();
            let talking = async {
                while let Some(Ok(message)) = receiver.next().await {
                    let _ = news.send(message);
                }
            };
            let listening = async {
                while let Ok(message) = heard.recv().await {
                    if sender.send(message).await.is_err() {
                        break;
                    }
                }
            };
            tokio::select! { () = talking => {}, () = listening => {} }
            Ok(())
        });
    }
}
