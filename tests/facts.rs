//! What a request knows of its connection: the address it came in at, and who is at the
//! other end of a Unix socket.

mod common;

const MODEL: Model = Model::EventDriven;

use std::os::unix::fs::MetadataExt as _;
use std::sync::mpsc;
use std::thread;

use futures_lite::{AsyncReadExt as _, AsyncWriteExt as _, future};
use transom::{Address, Credentials, Handle, Listener, Model, Peer, Request, Router, Server, Stopper};

use common::{Client, PATIENCE, configured, own_address, socket_path};

const MODELS: [Model; 3] = [Model::Sequential, Model::ThreadPerConnection, Model::EventDriven];

/// What a handler learns of its connection.
fn app() -> Router {
    Router::new().get("/", async |req: Request| {
        let address = req.local_addr().map_or("none".into(), |address| address.to_string());
        match req.peer_credentials() {
            Some(Credentials { pid, uid, gid, .. }) => format!("{address} {pid:?} {uid} {gid}"),
            None => format!("{address} nobody"),
        }
    })
}

fn serve(model: Model, app: Router, address: &str) -> Handle {
    configured(app, |_, _| ()).model(model).workers(1).bind(address).unwrap().start().unwrap()
}

/// As the kernel has it, this process at the other end of a Unix socket.
fn own_credentials() -> String {
    let me = std::fs::metadata("/proc/self").unwrap();
    format!("{:?} {} {}", Some(std::process::id()), me.uid(), me.gid())
}

#[test]
fn a_request_says_at_which_address_of_many_it_came_in() {
    if !cfg!(target_os = "linux") {
        return;
    }
    for model in MODELS {
        let server = serve(model, app(), "0.0.0.0:0");
        let port = server.local_addr().port().unwrap();
        for host in ["127.0.0.1", "127.0.0.77"] {
            let mut client = Client::tcp(format!("{host}:{port}").parse().unwrap());
            client.get("/").expect(200, &format!("{host}:{port} nobody"));
        }
    }
}

#[test]
fn a_unix_socket_says_which_process_and_user_is_at_the_other_end() {
    if !cfg!(target_os = "linux") {
        return;
    }
    let own = own_credentials();
    for model in MODELS {
        let address = format!("unix:{}", socket_path().display());
        let server = serve(model, app(), &address);
        Client::connect(&server).get("/").expect(200, &format!("{address} {own}"));
    }
}

#[test]
fn on_an_executor_of_the_host_the_facts_are_the_same() {
    if !cfg!(target_os = "linux") {
        return;
    }
    let stopper = Stopper::new();
    let unix = format!("unix:{}", socket_path().display());
    let listeners = [Listener::bind(&own_address()).unwrap(), Listener::bind(&unix).unwrap()];
    let addresses: Vec<Address> = listeners.iter().map(|listener| listener.local_addr().clone()).collect();
    let server = configured(app(), |_, _| ()).stopper(&stopper);
    let server = listeners.into_iter().fold(server, Server::listen);
    let serving = thread::spawn(move || smol::block_on(server.serve()).unwrap());
    let expected = [format!("{} nobody", addresses[0]), format!("{unix} {}", own_credentials())];
    for (address, expected) in addresses.iter().zip(expected) {
        Client::connect_to(address).get("/").expect(200, &expected);
    }
    stopper.stop(PATIENCE);
    serving.join().unwrap();
}

#[test]
fn a_connection_that_the_host_accepted_has_no_facts() {
    let service = configured(app(), |_, _| ()).service().unwrap();
    let (client, stream) = std::os::unix::net::UnixStream::pair().unwrap();
    let (mut client, stream) = (smol::Async::new(client).unwrap(), smol::Async::new(stream).unwrap());
    let talk = async {
        client.write_all(b"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n").await.unwrap();
        let mut response = String::new();
        client.read_to_string(&mut response).await.unwrap();
        assert!(response.ends_with("\r\n\r\nnone nobody"), "{response}");
    };
    smol::block_on(future::zip(talk, service.serve_connection(stream, Peer::Unknown)));
}

#[test]
fn a_request_that_outlives_its_connection_keeps_no_socket_open_and_knows_no_facts() {
    for model in MODELS {
        let (sender, kept) = mpsc::channel();
        let app = Router::new().get("/", move |req: Request| {
            sender.send(req).unwrap();
            async { "kept" }
        });
        let server = serve(model, app, &own_address());
        let mut client = Client::connect(&server);
        client.get("/").expect(200, "kept");
        let req = kept.recv_timeout(PATIENCE).unwrap();
        assert!(req.local_addr().is_some(), "{model}");
        server.stop(PATIENCE);
        client.expect_closed();
        common::eventually("the socket is closed", || req.local_addr().is_none());
        assert_eq!(req.peer_credentials(), None);
    }
}
