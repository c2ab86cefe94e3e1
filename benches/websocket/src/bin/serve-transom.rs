//! Transom under test, with one worker.

use transom::{Broadcast, Model, Request, Router, Server, WebSocket, WebSocketUpgrade};

fn main() -> transom::Result<()> {
    let port = std::env::args().nth(1).unwrap_or_else(|| "0".into());
    let settings = WebSocketUpgrade::new().message_limit(16 << 20).compress_from(0);
    let echo = settings.clone();
    let members = Broadcast::new();
    let app = Router::new()
        .get("/echo", async move |request: Request| {
            echo.accept(&request, async |mut socket: WebSocket| {
                while let Some(message) = socket.recv().await {
                    socket.send(message).await?;
                }
                Ok(())
            })
        })
        .get("/broadcast", async move |request: Request| {
            settings.accept(&request, async move |mut socket: WebSocket| {
                members.add(&socket.sender());
                while let Some(message) = socket.recv().await {
                    members.send(message);
                }
            })
        });
    let server = Server::new(app).model(Model::EventDriven).workers(1).bind(&format!("127.0.0.1:{port}"))?;
    server.run()?;
    Ok(())
}
