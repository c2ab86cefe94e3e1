//! A chat: rooms, each with a `Broadcast`, and a page for browsers.
//!
//! `cargo run --features websocket --example chat`, then open <http://127.0.0.1:8080/> in two windows.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_signal::{Signal, Signals};
use smol::stream::StreamExt as _;
use transom::{Broadcast, Request, Response, Router, Server, SlowReader, WebSocket, WebSocketUpgrade};

/// The most rooms at a time: a client can open one by its name.
const ROOMS: usize = 100;

#[derive(Clone, Default)]
struct Chat(Arc<Mutex<HashMap<String, Broadcast>>>);

impl Chat {
    /// Returns a room. `None` if there are too many.
    fn room(&self, name: &str) -> Option<Broadcast> {
        let mut rooms = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        rooms.retain(|other, room| other == name || !room.is_empty());
        if rooms.len() >= ROOMS && !rooms.contains_key(name) {
            return None;
        }
        // Who is too slow to follow is disconnected; the page connects again.
        Some(rooms.entry(name.into()).or_insert_with(|| Broadcast::new().slow(SlowReader::Close)).clone())
    }

    /// Sends what a member says to all members of the room, the speaker included.
    async fn talk(self, name: String, mut socket: WebSocket) {
        let Some(room) = self.room(&name) else { return socket.close(1013, "there are too many rooms") };
        room.add(&socket.sender());
        room.send(format!("* somebody enters {name}: {} here", room.len()));
        while let Some(message) = socket.recv().await {
            room.send(message.as_text().unwrap_or("* somebody sends bytes"));
        }
        room.send(format!("* somebody leaves {name}: {} here", room.len()));
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8080".into());
    let (chat, settings) = (Chat::default(), WebSocketUpgrade::new().message_limit(4096));
    let page = async |_: Request| Response::html(include_str!("chat.html"));
    let app = Router::new().get("/", page).get("/rooms/{name}", async move |req: Request| {
        let (chat, name) = (chat.clone(), req.param("name").chars().take(40).collect());
        settings.accept(&req, |socket| chat.talk(name, socket))
    });
    let mut signals = Signals::new([Signal::Int])?;
    #[cfg(unix)]
    signals.add_signals([Signal::Term])?;
    let server = Server::new(app).bind(&address)?.start()?;
    println!("listening on http://{}", server.local_addr());
    smol::block_on(signals.next());
    // Each member gets a Close with 1001.
    server.stop(Duration::from_secs(5));
    Ok(())
}
