//! Connections that are opened beside their answer, and served elsewhere.

use std::sync::mpsc::{self, Receiver};
use std::task::{Context, Waker};
use std::thread;

use transom::{HttpResult, Request, Response, Router, WebSocket, WebSocketClose, WebSocketUpgrade, wait};

use crate::common::{Client, PATIENCE, eventually};
use crate::peer::{CLOSE, Peer, TEXT, close_code, frame};
use crate::{MODELS, close_of, recv, start, start_model};

/// A route that opens connections and gives them away; `/lost` does not send the answer.
fn giving_away() -> (Router, Receiver<WebSocket>) {
    let (sender, sockets) = mpsc::channel();
    let (settings, other) = (WebSocketUpgrade::new(), sender.clone());
    let opening = async move |request: Request| -> HttpResult<Response> {
        let (response, socket) = settings.open(&request)?;
        socket.sender().try_send("before the answer").unwrap();
        sender.send(socket).unwrap();
        Ok(response)
    };
    let losing = move |request: Request| {
        let (_, socket) = WebSocketUpgrade::new().open(&request).unwrap();
        other.send(socket).unwrap();
        async { "no" }
    };
    (Router::new().get("/", opening).get("/lost", losing), sockets)
}

#[test]
fn a_connection_is_served_outside_of_its_handler() {
    for model in MODELS {
        let (app, sockets) = giving_away();
        let server = start_model(app, model);
        let mut peer = Peer::connect(&server, "");
        let mut socket = sockets.recv_timeout(PATIENCE).unwrap();
        assert_eq!(peer.next(), Some((TEXT, b"before the answer".to_vec())), "{model}");
        peer.send(&frame(TEXT, b"hello"));
        let message = recv(&mut socket).unwrap();
        wait(socket.send(message), Some(PATIENCE)).unwrap().unwrap();
        assert_eq!(peer.next(), Some((TEXT, b"hello".to_vec())), "{model}");
        drop(socket);
        assert_eq!(close_code(peer.next().as_ref()), Some(1000), "{model}");
        peer.send(&frame(CLOSE, b"\x03\xe8"));
        peer.until_end();
    }
}

#[test]
fn a_connection_whose_answer_is_not_sent_is_lost() {
    let (app, sockets) = giving_away();
    let server = start(app);
    let mut client = Client::connect(&server);
    let key = "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    client.send(format!(
        "GET /lost HTTP/1.1\r\nHost: h\r\nConnection: Upgrade, close\r\nUpgrade: websocket\r\n{key}\r\n"
    ));
    let mut socket = sockets.recv_timeout(PATIENCE).unwrap();
    assert_eq!(recv(&mut socket), None);
    assert_eq!((close_of(&socket), socket.sender().is_closed()), (Some(1006), true));
}

#[test]
fn a_wrong_handshake_is_an_error_and_an_answer() {
    let (app, _sockets) = giving_away();
    let server = start(app);
    let mut client = Client::connect(&server);
    let answer = client.get("/");
    assert_eq!(answer.header("upgrade"), Some("websocket"));
    answer.expect(426, "This address speaks WebSocket.\n");
    let request = Request::new(transom::Method::GET, "/").unwrap();
    let refusal = WebSocketUpgrade::new().open(&request).err().unwrap();
    assert_eq!((refusal.status().as_u16(), &*refusal.to_string()), (426, "This address speaks WebSocket."));
}

#[test]
fn a_sender_is_told_when_the_connection_has_ended() {
    let (app, sockets) = giving_away();
    let server = start(app);
    let mut peer = Peer::connect(&server, "");
    let socket = sockets.recv_timeout(PATIENCE).unwrap();
    let sender = socket.sender();
    let has_ended = || sender.poll_closed(&mut Context::from_waker(Waker::noop())).is_ready();
    sender.close(4000, "enough");
    assert!(sender.is_closed() && !has_ended(), "the peer may still send");
    let waiting = sender.clone();
    let waiter =
        thread::spawn(move || wait(std::future::poll_fn(|cx| waiting.poll_closed(cx)), Some(PATIENCE)));
    peer.send(&frame(CLOSE, b"\x0f\xa0"));
    waiter.join().unwrap().unwrap();
    eventually("the end is seen", has_ended);
    assert_eq!(close_of(&socket), Some(4000));
    assert!(WebSocketClose::is_sendable(4000) && !WebSocketClose::is_sendable(1006));
}
