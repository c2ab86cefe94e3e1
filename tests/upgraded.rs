//! An upgraded connection that its handler has handed on: it lives as long as the
//! thread that waits for it, and then says so.

mod common;

const MODEL: Model = Model::EventDriven;

use std::future::poll_fn;
use std::io;
use std::net::TcpStream;
use std::pin::Pin;
use std::sync::mpsc;
use std::task::{Context, Waker};
use std::time::Duration;

use futures_lite::{AsyncRead as _, AsyncReadExt as _, AsyncWriteExt as _, future};
use transom::{Model, Peer, Request, Response, Router, Upgraded};

use common::{Client, PATIENCE, configured, own_address};

/// A server that hands each upgraded connection over.
fn handing_over(model: Model) -> (transom::Handle, mpsc::Receiver<Upgraded>) {
    let (sender, receiver) = mpsc::channel();
    let app = Router::new().get("/", move |_: Request| {
        let sender = sender.clone();
        async move { Response::upgrade("echo", async move |stream| drop(sender.send(stream))) }
    });
    let server = configured(app, |_, _| ()).model(model).bind(&own_address()).unwrap().start().unwrap();
    (server, receiver)
}

fn upgrade(server: &transom::Handle) -> Client {
    let mut client = Client::connect(server);
    client.send("GET / HTTP/1.1\r\nHost: h\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n");
    assert_eq!(client.head().status, 101);
    client
}

fn echo(stream: &mut Upgraded) -> io::Result<()> {
    future::block_on(async {
        let mut byte = [0];
        stream.read_exact(&mut byte).await?;
        stream.write_all(&byte).await
    })
}

#[test]
fn it_goes_on_until_the_server_ends() {
    // On async-io it goes on even then.
    let own = if cfg!(transom_portable) { None } else { Some(Model::EventDriven) };
    for model in own.into_iter().chain([Model::Sequential]) {
        let (server, streams) = handing_over(model);
        let mut client = upgrade(&server);
        let mut stream = streams.recv_timeout(PATIENCE).unwrap();
        client.send("a");
        echo(&mut stream).unwrap();
        assert_eq!(client.take(1).unwrap(), b"a", "{model}");
        server.stop(Duration::from_secs(1));
        let port = server.local_addr().to_string();
        assert!(TcpStream::connect(port).is_err(), "{model}: it listens for as long as that is held");
        assert_eq!(echo(&mut stream).unwrap_err().kind(), io::ErrorKind::NotConnected, "{model}");
    }
}

#[test]
fn with_a_thread_for_each_connection_it_ends_with_its_handler() {
    let (server, streams) = handing_over(Model::ThreadPerConnection);
    let _client = upgrade(&server);
    let mut stream = streams.recv_timeout(PATIENCE).unwrap();
    assert_eq!(echo(&mut stream).unwrap_err().kind(), io::ErrorKind::NotConnected);
}

#[test]
fn it_tells_if_there_is_something_to_read_and_whose_it_is() {
    let (server, streams) = handing_over(MODEL);
    let mut client = upgrade(&server);
    let mut stream = streams.recv_timeout(PATIENCE).unwrap();
    assert_ne!(stream.peer(), Peer::Unknown);
    let cx = &mut Context::from_waker(Waker::noop());
    if !cfg!(transom_portable) {
        // Asked once, it finds out with a read that there is nothing.
        assert!(Pin::new(&mut stream).poll_read(cx, &mut [0]).is_pending());
        assert!(stream.poll_readable(cx).is_pending());
    }
    client.send("a");
    future::block_on(poll_fn(|cx| stream.poll_readable(cx)));
    echo(&mut stream).unwrap();
    assert_eq!(client.take(1).unwrap(), b"a");
}

#[test]
fn its_timer_rings_when_it_is_set_to() {
    for model in [Model::EventDriven, Model::ThreadPerConnection, Model::Sequential] {
        let app = Router::new().get("/", async |_: Request| {
            Response::upgrade("echo", async |mut stream: Upgraded| {
                assert!(stream.poll_timer(&mut Context::from_waker(Waker::noop())).is_pending());
                stream.set_timer(Some(Duration::from_millis(10)));
                poll_fn(|cx| stream.poll_timer(cx)).await;
                stream.write_all(b"rung").await.ok();
            })
        });
        let server = configured(app, |_, _| ()).model(model).bind(&own_address()).unwrap().start().unwrap();
        assert_eq!(upgrade(&server).take(4).unwrap(), b"rung", "{model}");
    }
}
