//! What the metrics say about WebSocket connections. They are those of the process, and other tests count
//! too: a test can only ask for the least.

use transom::{Broadcast, Metrics, WebSocketUpgrade};

use crate::common::{PATIENCE, eventually};
use crate::peer::{BINARY, CLOSE, CONTINUATION, Peer, TEXT, frame};
use crate::{handing_over, recv, start};

/// Returns the value of a metric.
fn value(name: &str, label: Option<(&str, &str)>) -> f64 {
    let values = Metrics::new().snapshot().values;
    values.iter().find(|value| value.name == name && value.label == label).unwrap().value
}

#[test]
fn messages_bytes_and_codes_are_counted() {
    let (app, sockets) = handing_over(WebSocketUpgrade::new());
    let server = start(app);
    let both = ["receive", "transmit"].map(|direction| Some(("direction", direction)));
    let counts = || {
        [
            value("transom.websocket.messages", both[0]),
            value("transom.websocket.messages", both[1]),
            value("transom.websocket.io", both[0]),
            value("transom.websocket.io", both[1]),
            value("transom.websocket.closes", Some(("code", "4000-4999"))),
        ]
    };
    let before = counts();
    let mut peer = Peer::connect(&server, "");
    let mut socket = sockets.recv_timeout(PATIENCE).unwrap();
    assert!(value("transom.websocket.connections", None) >= 1.0);
    peer.send(&[frame(TEXT - 0x80, &[b'x'; 600]), frame(CONTINUATION, &[b'x'; 400])].concat());
    peer.send(&frame(BINARY, &[7; 1000]));
    for _ in 0..2 {
        assert_eq!(recv(&mut socket).unwrap().len(), 1000);
    }
    let (sender, room) = (socket.sender(), Broadcast::new());
    room.add(&sender);
    assert_eq!(room.send(vec![1; 1000]), 1);
    sender.try_send(vec![2; 1000]).unwrap();
    sender.try_send_piece(vec![3; 500], false).unwrap();
    sender.try_send_piece(vec![3; 500], true).unwrap();
    peer.send(&frame(CLOSE, b"\x10\xe1"));
    assert_eq!(recv(&mut socket), None);
    drop(peer);
    let least = [2.0, 3.0, 2000.0, 3000.0, 1.0];
    eventually("the connection is counted", || {
        counts().iter().zip(before).zip(least).all(|((now, before), least)| now - before >= least)
    });
}
