//! Handlers, bodies and upgraded connections that wait for a stop to begin, in each model.

mod common;

const MODEL: Model = Model::EventDriven;

use std::io;
use std::pin::pin;
use std::time::{Duration, Instant};

use futures_lite::{AsyncReadExt as _, AsyncWriteExt as _, StreamExt as _, future, stream};
use transom::{
    Body, Bytes, Handle, Listener, Model, Peer, Request, Response, Router, StatusCode, Stopper, Upgraded,
    blocking,
};

use common::{Client, PATIENCE, Signal, configured, final_report, own_address};

const MODELS: [Model; 3] = [Model::Sequential, Model::ThreadPerConnection, Model::EventDriven];

fn serve(model: Model, app: Router) -> Handle {
    configured(app, |_, _| ()).model(model).workers(1).bind(&own_address()).unwrap().start().unwrap()
}

/// Stops a server, and checks that it ended well before the deadline with nothing cut.
#[track_caller]
fn stop_in_order(server: &Handle) {
    let begun = Instant::now();
    server.stop(PATIENCE);
    let report = final_report(server);
    assert!(begun.elapsed() < PATIENCE / 2, "it took {:?}", begun.elapsed());
    assert_eq!((report.cut, report.pending), (0, 0), "cut, pending");
}

/// Events without end, for as long as the server does not stop.
async fn events(req: Request) -> Response {
    let first = stream::once(Ok::<_, io::Error>(Bytes::from_static(b"data: hello\n\n")));
    let more = stream::stop_after_future(stream::pending(), req.stopping());
    let body = Body::stream(first.chain(more));
    Response::new(StatusCode::OK).header("content-type", "text/event-stream").body(body)
}

#[test]
fn a_stream_of_events_that_waits_for_a_stop_ends_in_order() {
    for model in MODELS {
        let server = serve(model, Router::new().get("/events", events));
        let mut client = Client::connect(&server);
        client.request("/events");
        assert_eq!(client.head().status, 200);
        assert_eq!(client.try_chunk().unwrap().unwrap(), b"data: hello\n\n");
        stop_in_order(&server);
        // The last chunk says that the response is whole.
        assert_eq!(client.try_chunk().unwrap(), None, "{model}");
        client.expect_closed();
        assert_eq!(server.report().finished, 1, "{model}");
    }
}

#[test]
fn a_handler_that_waits_for_a_stop_answers_when_one_begins() {
    for model in MODELS {
        let waits = Signal::new();
        let waiting = waits.clone();
        let app = Router::new().get("/news", move |req: Request| {
            waiting.set();
            async move {
                req.stopping().await;
                assert!(req.stopping().has_begun());
                // It is ready at once now.
                req.stopping().await;
                "no news"
            }
        });
        let server = serve(model, app);
        let mut client = Client::connect(&server);
        client.request("/news");
        waits.wait();
        server.stopper().stop(PATIENCE);
        client.answer().expect(200, "no news");
        drop(client);
        stop_in_order(&server);
    }
}

#[test]
fn a_blocking_handler_may_wait_for_a_stop_on_its_thread() {
    for model in MODELS {
        let waits = Signal::new();
        let waiting = waits.clone();
        let app = Router::new().get(
            "/",
            blocking(move |req: Request| {
                waiting.set();
                future::block_on(req.stopping());
                "stopping"
            }),
        );
        let server = serve(model, app);
        let mut client = Client::connect(&server);
        client.request("/");
        waits.wait();
        server.stopper().stop(PATIENCE);
        client.answer().expect(200, "stopping");
        drop(client);
        stop_in_order(&server);
    }
}

#[test]
fn the_writer_of_a_body_is_told_of_a_stop_and_finishes_in_order() {
    for model in MODELS {
        let app = Router::new().get("/", async |_: Request| {
            let (writer, body) = Body::channel();
            std::thread::spawn(move || {
                future::block_on(async {
                    writer.write("before").await.unwrap();
                    let stopping = writer.stopping();
                    stopping.await;
                    writer.stopping().await;
                    writer.write("after").await.unwrap();
                    writer.finish().unwrap();
                });
            });
            Response::new(StatusCode::OK).body(body)
        });
        let server = serve(model, app);
        let mut client = Client::connect(&server);
        client.request("/");
        assert_eq!(client.head().status, 200);
        assert_eq!(client.try_chunk().unwrap().unwrap(), b"before");
        server.stopper().stop(PATIENCE);
        assert_eq!(client.try_chunk().unwrap().unwrap(), b"after", "{model}");
        assert_eq!(client.try_chunk().unwrap(), None, "{model}");
        drop(client);
        stop_in_order(&server);
    }
}

#[test]
fn an_upgraded_connection_is_told_of_a_stop_and_says_goodbye() {
    for model in MODELS {
        let app = Router::new().get("/", async |_: Request| {
            Response::upgrade("chat", async |mut stream: Upgraded| {
                let stopping = stream.stopping();
                stream.write_all(b"hello").await.unwrap();
                stopping.await;
                assert!(stream.stopping().has_begun());
                stream.write_all(b"goodbye").await.unwrap();
                stream.close().await.unwrap();
            })
        });
        let server = serve(model, app);
        let mut client = Client::connect(&server);
        client.send("GET / HTTP/1.1\r\nHost: h\r\nConnection: upgrade\r\nUpgrade: chat\r\n\r\n");
        assert_eq!(client.head().status, 101);
        assert_eq!(client.take(5).unwrap(), b"hello");
        server.stopper().stop(PATIENCE);
        assert_eq!(client.take(7).unwrap(), b"goodbye", "{model}");
        client.expect_closed();
        stop_in_order(&server);
    }
}

#[test]
fn many_that_wait_are_all_woken_and_none_that_gave_up_is() {
    let app = Router::new().get("/events", events).get("/once", async |req: Request| {
        // It is polled, and dropped before a stop.
        future::or(async { req.stopping().await }, future::yield_now()).await;
        "once"
    });
    let server = serve(Model::EventDriven, app);
    let mut clients: Vec<_> = (0..50).map(|_| Client::connect(&server)).collect();
    for client in &mut clients {
        client.get("/once").expect(200, "once");
        client.request("/events");
        assert_eq!(client.head().status, 200);
        assert!(client.try_chunk().unwrap().is_some());
    }
    stop_in_order(&server);
    for client in &mut clients {
        assert_eq!(client.try_chunk().unwrap(), None);
    }
    assert_eq!(server.report().finished, 50);
}

#[test]
fn on_an_executor_of_the_host_a_stop_is_told_too() {
    let stopper = Stopper::new();
    let app = Router::new().get("/events", events);
    let listener = Listener::bind(&own_address()).unwrap();
    let listening = listener.local_addr().clone();
    let server = configured(app, |_, _| ()).stopper(&stopper).listen(listener);
    let serving = std::thread::spawn(move || smol::block_on(server.serve()).unwrap());
    let mut client = Client::connect_to(&listening);
    client.request("/events");
    assert_eq!(client.head().status, 200);
    assert!(client.try_chunk().unwrap().is_some());
    stopper.stop(PATIENCE);
    assert_eq!(client.try_chunk().unwrap(), None);
    assert_eq!(serving.join().unwrap().cut, 0);
}

#[test]
fn a_connection_that_the_host_accepted_is_told_of_a_stop_of_its_service() {
    let service = configured(Router::new().get("/events", events), |_, _| ()).service().unwrap();
    let (client, stream) = std::os::unix::net::UnixStream::pair().unwrap();
    let (mut client, stream) = (smol::Async::new(client).unwrap(), smol::Async::new(stream).unwrap());
    let talk = async {
        client.write_all(b"GET /events HTTP/1.1\r\nHost: h\r\n\r\n").await.unwrap();
        let mut response = Vec::new();
        while !response.ends_with(b"hello\n\n\r\n") {
            let mut byte = [0];
            client.read_exact(&mut byte).await.unwrap();
            response.push(byte[0]);
        }
        let mut rest = Vec::new();
        let (report, read) = future::zip(service.stop(PATIENCE), client.read_to_end(&mut rest)).await;
        read.unwrap();
        assert_eq!(rest, b"0\r\n\r\n");
        report
    };
    let serving = pin!(service.serve_connection(stream, Peer::Unknown));
    let (report, ()) = smol::block_on(future::zip(talk, serving));
    assert_eq!((report.finished, report.cut), (1, 0));
}

#[test]
fn a_request_made_by_hand_has_no_server_that_could_stop() {
    let stopping = Request::new(transom::Method::GET, "/").unwrap().stopping();
    assert!(!stopping.has_begun());
    let soon = async {
        transom::sleep(Duration::from_millis(1)).await;
        true
    };
    assert!(future::block_on(future::or(
        async {
            stopping.await;
            false
        },
        soon
    )));
}
