//! A listening socket that is handed over to another server, in each model.

mod common;

const MODEL: Model = Model::EventDriven;

use std::net::TcpListener;
use std::os::unix::net::UnixListener;
use std::time::{Duration, Instant};

use transom::{Handle, Listener, Model, Request, Router, Server};

use common::{Client, PATIENCE, Signal, configured, final_report, own_address, socket_path};

const MODELS: [Model; 3] = [Model::Sequential, Model::ThreadPerConnection, Model::EventDriven];

/// A server that answers with a name, or never.
fn server(model: Model, name: &'static str, waits: &Signal) -> Server {
    let waits = waits.clone();
    let app =
        Router::new().get("/", move |_: Request| async move { name }).get("/forever", move |_: Request| {
            waits.set();
            async {
                common::forever().await;
                "never"
            }
        });
    configured(app, |_, _| ()).model(model).workers(2)
}

fn take_over(model: Model, old: &Handle) -> Handle {
    let socket = TcpListener::from(old.share_listener(0).unwrap());
    let listener = Listener::try_from(socket).unwrap();
    server(model, "new", &Signal::new()).listen(listener).start().unwrap()
}

#[test]
fn no_client_is_refused_or_forgotten_while_the_old_server_still_drains() {
    for model in MODELS {
        let waits = Signal::new();
        let old = server(model, "old", &waits).bind(&own_address()).unwrap().start().unwrap();
        Client::connect(&old).get("/").expect(200, "old");
        let mut pending = Client::connect(&old);
        pending.request("/forever");
        waits.wait();
        let new = take_over(model, &old);
        assert_eq!(new.local_addr(), old.local_addr());
        old.stopper().stop(PATIENCE);
        let (mut answered, mut strays) = (0, 0);
        while answered < 100 {
            let mut client = Client::connect(&new);
            let begun = Instant::now();
            let sent = client.try_send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
            match sent.and_then(|()| client.try_answer()) {
                Ok(answer) if answer.text() == "new" => answered += 1,
                // The old server accepted it before it saw the stop.
                _ => strays += 1,
            }
            assert!(begun.elapsed() < PATIENCE / 2, "{model}: a client was forgotten after {answered}");
            assert!(strays < 100, "{model}: the old server goes on to accept");
        }
        assert_eq!(old.report().pending, 1, "{model}: it has drained");
        old.stopper().stop(Duration::ZERO);
        final_report(&old);
        assert!(old.share_listener(0).is_err(), "{model}: it listens no more");
        drop(old);
        Client::connect(&new).get("/").expect(200, "new");
    }
}

#[test]
fn a_noted_successor_gets_new_clients_while_open_connections_are_served() {
    for model in [Model::ThreadPerConnection, Model::EventDriven] {
        let app = Router::new().get("/", async |_: Request| "old");
        let old = configured(app, |_, timeouts| timeouts.stop_delay = 2 * PATIENCE).model(model);
        let old = old.bind(&own_address()).unwrap().start().unwrap();
        let mut open = Client::connect(&old);
        open.get("/").expect(200, "old");
        let new = take_over(model, &old);
        old.note_successor();
        old.stopper().stop(3 * PATIENCE);
        // The old server may have accepted some before it saw the stop.
        let (mut in_a_row, mut asked) = (0, 0);
        while in_a_row < 30 {
            let answer = Client::connect(&new).get("/");
            in_a_row = if answer.text() == "new" { in_a_row + 1 } else { 0 };
            asked += 1;
            assert!(asked < 1000, "{model}: the old server goes on to accept");
        }
        open.get("/").expect(200, "old");
        open.expect_closed();
        final_report(&old);
    }
}

#[test]
fn a_socket_that_is_not_handed_over_ends_with_its_server_in_each_process() {
    for model in MODELS {
        let old = server(model, "old", &Signal::new()).bind("127.0.0.1:0").unwrap().start().unwrap();
        assert!(old.share_listener(1).is_err());
        let address = old.local_addr().to_string();
        old.stop(PATIENCE);
        assert!(old.share_listener(0).is_err());
        assert!(std::net::TcpStream::connect(address).is_err(), "{model}");
    }
}

#[test]
fn the_file_of_a_unix_socket_stays_for_the_successor() {
    for model in MODELS {
        let path = socket_path();
        let address = format!("unix:{}", path.display());
        let old = server(model, "old", &Signal::new()).bind(&address).unwrap().start().unwrap();
        let socket = UnixListener::from(old.share_listener(0).unwrap());
        let new = server(model, "new", &Signal::new()).listen(Listener::try_from(socket).unwrap());
        let new = new.start().unwrap();
        old.stop(PATIENCE);
        drop(old);
        Client::unix(&path).get("/").expect(200, "new");
        new.stop(PATIENCE);
        drop(new);
        assert!(path.exists(), "{model}: the file belongs to nobody");
        std::fs::remove_file(&path).unwrap();
    }
}
