//! A server inside a program that has a loop of its own. The loop alone touches the program's
//! data; handlers send it messages, and it answers the requests.
//!
//! `cargo run --example embedded`, then `curl http://127.0.0.1:8080/ticks` and
//! `curl -X POST http://127.0.0.1:8080/quit`.

use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use transom::{Reply, Request, Responder, Response, Router, Server};

/// What a handler asks of the loop.
enum Message {
    Ticks(Responder),
    Quit(Responder),
}

/// A handler that passes the request on. Its reply waits for the responder.
fn ask(inbox: &Sender<Message>, req: &Request, message: fn(Responder) -> Message) -> Reply {
    let (responder, reply) = Reply::later(req);
    // If the loop has ended, the responder is dropped, and the client gets a 500.
    let _ = inbox.send(message(responder));
    reply
}

fn answer(responder: Responder, text: impl Into<String>) {
    // The client may have left meanwhile, which is no fault of the program's.
    let _ = responder.send(Response::text(text));
}

/// The program: a simulation, a game, a device. It ticks a hundred times a second.
fn run(messages: &Receiver<Message>) {
    let (mut ticks, mut next) = (0_u64, Instant::now());
    loop {
        match messages.recv_timeout(next.saturating_duration_since(Instant::now())) {
            Ok(Message::Ticks(responder)) => answer(responder, format!("{ticks}\n")),
            Ok(Message::Quit(responder)) => return answer(responder, "bye\n"),
            Err(RecvTimeoutError::Timeout) => (ticks, next) = (ticks + 1, next + Duration::from_millis(10)),
            Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}

fn main() -> transom::Result<()> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8080".into());
    let (inbox, messages) = channel();
    let other = inbox.clone();
    let app = Router::new()
        .get("/ticks", move |req: Request| ask(&inbox, &req, Message::Ticks))
        .post("/quit", move |req: Request| ask(&other, &req, Message::Quit));
    // The server has threads of its own: the loop of the program stays as it was.
    let server = Server::new(app).bind(&address)?.start()?;
    println!("listening on http://{}", server.local_addr());
    run(&messages);
    let report = server.stop(Duration::from_secs(5));
    println!("finished {}, cut {}", report.finished, report.cut);
    Ok(())
}
