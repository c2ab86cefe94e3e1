//! Server-sent events over sockets: what a client gets, when a response ends, and what a reader that is
//! too slow costs.

mod common;

const MODEL: Model = Model::EventDriven;

use std::sync::mpsc;
use std::time::Duration;

use futures_lite::{StreamExt as _, stream};
use transom::{
    EventBroadcast, EventSendError, EventSender, Handle, InvalidEvent, Model, Request, Response, Router,
    ServerSentEvent, ServerSentEvents, SlowReader, wait,
};

use common::{Client, Logs, OnDrop, PATIENCE, SHORT, Signal, configured, eventually, forever};

const MODELS: [Model; 3] = [Model::EventDriven, Model::ThreadPerConnection, Model::Sequential];

fn start(app: Router) -> Handle {
    start_model(app, Model::EventDriven)
}

fn start_model(app: Router, model: Model) -> Handle {
    configured(app, |_, _| ()).model(model).workers(1).bind("127.0.0.1:0").unwrap().start().unwrap()
}

/// A route that answers with what `respond` makes of each request.
fn route(respond: impl Fn(&Request) -> Response + Clone + Send + Sync + 'static) -> Router {
    Router::new().get("/", move |request: Request| {
        let response = respond(&request);
        async { response }
    })
}

/// A route that hands the senders of its responses over.
fn handing_over(set: fn(ServerSentEvents) -> ServerSentEvents) -> (Router, mpsc::Receiver<EventSender>) {
    let (senders, receiver) = mpsc::channel();
    let app = route(move |request| {
        let (sender, response) = set(ServerSentEvents::new(request)).channel();
        senders.send(sender).unwrap();
        response
    });
    (app, receiver)
}

/// Asks for the events, and reads the head of the response.
#[track_caller]
fn subscribe(server: &Handle) -> Client {
    asking(server, "")
}

#[track_caller]
fn asking(server: &Handle, fields: &str) -> Client {
    let mut client = Client::connect(server);
    client.send(format!("GET / HTTP/1.1\r\nHost: h\r\n{fields}\r\n"));
    assert_eq!(client.head().status, 200);
    client
}

/// Returns the next bytes of the body, which are as long as `expected`.
#[track_caller]
fn expect(client: &mut Client, expected: &str) {
    let mut got = Vec::new();
    while got.len() < expected.len() {
        got.extend(client.try_chunk().unwrap().expect("the response goes on"));
    }
    assert_eq!(String::from_utf8(got).unwrap(), expected);
}

#[track_caller]
fn expect_end(client: &mut Client) {
    assert_eq!(client.try_chunk().unwrap(), None, "the response ends in order");
}

fn send(sender: &EventSender, event: impl Into<ServerSentEvent>) -> Result<(), EventSendError> {
    wait(sender.send(event), Some(PATIENCE)).expect("there is room in time")
}

#[test]
fn a_stream_of_events_is_sent_in_every_model() {
    for model in MODELS {
        let app = route(|request| {
            let events = [ServerSentEvent::new("a\nb").id("1"), "c".into()];
            ServerSentEvents::new(request).stream(stream::iter(events))
        });
        let server = start_model(app, model);
        let answer = Client::connect(&server).get("/");
        assert_eq!(answer.header("content-type"), Some("text/event-stream"), "{model}");
        assert_eq!(answer.header("cache-control"), Some("no-store"), "{model}");
        assert_eq!(answer.body, b"id: 1\ndata: a\ndata: b\n\ndata: c\n\n", "{model}");
    }
}

#[test]
fn another_thread_sends_events_in_every_model() {
    for model in MODELS {
        let (app, senders) = handing_over(|events| events);
        let server = start_model(app, model);
        let mut client = subscribe(&server);
        let sender = senders.recv_timeout(PATIENCE).unwrap();
        for number in 0..100 {
            send(&sender, number.to_string()).unwrap();
            expect(&mut client, &format!("data: {number}\n\n"));
        }
        drop(sender);
        expect_end(&mut client);
    }
}

#[test]
fn comments_are_sent_while_there_are_no_events_in_every_model() {
    for model in MODELS {
        let (app, senders) = handing_over(|events| events.keep_alive(Some(Duration::from_millis(20))));
        let server = start_model(app, model);
        let mut client = subscribe(&server);
        let sender = senders.recv_timeout(PATIENCE).unwrap();
        expect(&mut client, ": keep-alive\n\n: keep-alive\n\n");
        send(&sender, "a").unwrap();
        let mut got = Vec::new();
        while !got.ends_with(b"data: a\n\n") {
            got.extend(client.try_chunk().unwrap().unwrap());
        }
    }
}

#[test]
fn no_comment_is_sent_if_comments_are_off() {
    let (app, senders) = handing_over(|events| events.keep_alive(None));
    let server = start(app);
    let mut client = subscribe(&server);
    let sender = senders.recv_timeout(PATIENCE).unwrap();
    std::thread::sleep(SHORT);
    send(&sender, "a").unwrap();
    expect(&mut client, "data: a\n\n");
}

#[test]
fn a_stop_ends_each_kind_of_response_in_every_model() {
    fn events(request: &Request) -> ServerSentEvents {
        ServerSentEvents::new(request).at_stop(ServerSentEvent::new("bye").event("end"))
    }
    for model in MODELS {
        for kind in ["stream", "broadcast", "channel"] {
            let news = EventBroadcast::new();
            let (senders, sender) = mpsc::channel();
            let feed = news.clone();
            let app = route(move |request| match kind {
                "stream" => events(request).stream(stream::once("first").chain(stream::pending())),
                "broadcast" => events(request).subscribe(&feed),
                _ => {
                    let (sender, response) = events(request).channel();
                    senders.send(sender).unwrap();
                    response
                }
            });
            let server = start_model(app, model);
            let mut client = subscribe(&server);
            let mut sender = (kind == "channel").then(|| sender.recv_timeout(PATIENCE).unwrap());
            match &mut sender {
                Some(sender) => send(sender, "first").unwrap(),
                None if kind == "broadcast" => assert_eq!(news.send("first"), Ok(1)),
                None => {}
            }
            expect(&mut client, "data: first\n\n");
            let stopping = std::thread::spawn(move || server.stop(PATIENCE));
            expect(&mut client, "event: end\ndata: bye\n\n");
            expect_end(&mut client);
            assert_eq!(stopping.join().unwrap().cut, 0, "{model} {kind}");
        }
    }
}

#[test]
fn what_waits_is_sent_before_a_stop_ends_the_response() {
    let (app, senders) = handing_over(|events| events.at_stop("bye"));
    let server = start(app);
    let mut client = subscribe(&server);
    let sender = senders.recv_timeout(PATIENCE).unwrap();
    for _ in 0..100 {
        send(&sender, "news").unwrap();
    }
    let stopping = std::thread::spawn(move || server.stop(PATIENCE));
    expect(&mut client, &("data: news\n\n".repeat(100) + "data: bye\n\n"));
    expect_end(&mut client);
    assert_eq!(stopping.join().unwrap().cut, 0);
    assert_eq!(send(&sender, "late"), Err(EventSendError::Gone));
}

#[test]
fn a_sender_and_a_stream_learn_that_the_client_left() {
    for model in MODELS {
        let dropped = Signal::new();
        let (senders, sender) = mpsc::channel();
        let held = dropped.clone();
        let app = route(move |request| {
            if request.query() == Some("stream") {
                let held = OnDrop(held.clone());
                let events = stream::once("first").chain(stream::once(held).then(async |_held| {
                    forever().await;
                    "never"
                }));
                return ServerSentEvents::new(request).stream(events);
            }
            let (sender, response) = ServerSentEvents::new(request).channel();
            senders.send(sender).unwrap();
            response
        });
        let server = start_model(app, model);
        let client = subscribe(&server);
        let sender = sender.recv_timeout(PATIENCE).unwrap();
        assert!(!sender.is_gone());
        drop(client);
        wait(sender.gone(), Some(PATIENCE)).unwrap();
        assert_eq!(sender.try_send("a"), Err(EventSendError::Gone));

        let mut client = Client::connect(&server);
        client.request("/?stream");
        client.head();
        expect(&mut client, "data: first\n\n");
        drop(client);
        dropped.wait();
    }
}

#[test]
fn a_sender_waits_while_the_client_does_not_read() {
    let (app, senders) = handing_over(|events| events.queue_limit(1000));
    let server = start(app);
    let mut client = Client::narrow(&server);
    client.request("/");
    let sender = senders.recv_timeout(PATIENCE).unwrap();
    let event = "x".repeat(10_000);
    let mut sent = 0;
    // Fills the buffers of the sockets and of the connection, and then the queue.
    eventually("the queue stays full", || {
        while sender.try_send(event.as_str()).is_ok() {
            sent += 1;
        }
        wait(sender.send(event.as_str()), Some(SHORT)).is_err()
    });
    assert_eq!(sender.try_send("a"), Err(EventSendError::Full));
    assert!(sender.queued() >= 1000 && sender.queued() < 12_000, "{}", sender.queued());
    client.head();
    for _ in 0..sent {
        expect(&mut client, &format!("data: {event}\n\n"));
    }
    send(&sender, "a").unwrap();
    drop(sender);
    while client.try_chunk().unwrap().is_some() {}
}

#[test]
fn an_event_that_cannot_be_sent_is_an_error() {
    let (app, senders) = handing_over(|events| events);
    let server = start(app);
    let mut client = subscribe(&server);
    let sender = senders.recv_timeout(PATIENCE).unwrap();
    let bad = ServerSentEvent::new("a").id("1\ndata: forged");
    assert_eq!(send(&sender, bad.clone()), Err(EventSendError::Invalid(InvalidEvent::Id)));
    assert_eq!(sender.try_send(bad.clone()), Err(EventSendError::Invalid(InvalidEvent::Id)));
    assert_eq!(EventBroadcast::new().send(bad), Err(InvalidEvent::Id));
    send(&sender, "good").unwrap();
    expect(&mut client, "data: good\n\n");
}

#[test]
fn an_event_of_a_stream_that_cannot_be_sent_breaks_the_response_off() {
    let app = route(|request| {
        let events = [ServerSentEvent::new("a"), ServerSentEvent::new("b").event("x\ny")];
        ServerSentEvents::new(request).stream(stream::iter(events))
    });
    let server = start(app);
    let mut client = subscribe(&server);
    expect(&mut client, "data: a\n\n");
    assert!(client.try_chunk().is_err(), "the response has no proper end");
    Logs::expect("a response body broke off: the name of an event is one line without NUL");
}

#[test]
fn an_event_for_the_stop_that_cannot_be_sent_is_a_500() {
    let app = route(|request| {
        let bad = ServerSentEvent::without_data().retry(Duration::MAX);
        ServerSentEvents::new(request).at_stop(bad).stream(stream::pending::<&str>())
    });
    assert_eq!(Client::connect(&start(app)).get("/").status, 500);
}

/// A route that subscribes to `news`.
fn subscribing(news: &EventBroadcast, set: fn(ServerSentEvents) -> ServerSentEvents) -> Router {
    let news = news.clone();
    route(move |request| set(ServerSentEvents::new(request)).subscribe(&news))
}

#[test]
fn a_broadcast_reaches_every_response() {
    let news = EventBroadcast::new();
    let server = start(subscribing(&news, |events| events));
    assert_eq!(news.send("nobody"), Ok(0));
    let mut clients: Vec<_> = (0..50).map(|_| subscribe(&server)).collect();
    assert_eq!(news.len(), 50);
    for number in 0..10 {
        assert_eq!(news.send(ServerSentEvent::new("a").id(number.to_string())), Ok(50));
    }
    for client in &mut clients {
        for number in 0..10 {
            expect(client, &format!("id: {number}\ndata: a\n\n"));
        }
    }
    clients.truncate(20);
    eventually("the responses of the clients that left are removed", || news.len() == 20);
    assert_eq!(news.send("b"), Ok(20));
    news.close();
    for client in &mut clients {
        expect(client, "data: b\n\n");
        expect_end(client);
    }
    assert!(news.is_empty());
}

#[test]
fn the_responses_of_a_broadcast_end_with_its_last_clone() {
    let news = EventBroadcast::new();
    let (sender, receiver) = mpsc::channel();
    let app = route(move |request| {
        let news = EventBroadcast::new();
        let response = ServerSentEvents::new(request).subscribe(&news);
        sender.send(news).unwrap();
        response
    });
    let server = start(app);
    let mut client = subscribe(&server);
    let own = receiver.recv_timeout(PATIENCE).unwrap();
    drop((news, own.clone()));
    assert_eq!(own.send("a"), Ok(1));
    drop(own);
    expect(&mut client, "data: a\n\n");
    expect_end(&mut client);
}

#[test]
fn a_client_that_connects_again_gets_what_it_missed() {
    let news = EventBroadcast::new().history(5);
    for number in 0..10 {
        news.send(ServerSentEvent::new("a").id(number.to_string())).unwrap();
    }
    let server = start(subscribing(&news, |events| events));
    // The event with that id is kept; is not kept any more; is the last; the client names none.
    for (field, first) in
        [("last-event-id: 7\r\n", 8), ("last-event-id: 2\r\n", 5), ("last-event-id: 9\r\n", 10), ("", 10)]
    {
        let mut client = asking(&server, field);
        for number in first..10 {
            expect(&mut client, &format!("id: {number}\ndata: a\n\n"));
        }
        news.send("now").unwrap();
        expect(&mut client, "data: now\n\n");
        for number in 5..10 {
            // Puts the event without an id out of the history.
            news.send(ServerSentEvent::new("a").id(number.to_string())).unwrap();
        }
    }
}

/// Sends events to a client that does not read until its queue refused some. Returns how many were taken.
fn overfill(news: &EventBroadcast) -> usize {
    let event = "x".repeat(10_000);
    let mut taken = 0;
    let mut refused = 0;
    eventually("the reader has no room", || {
        if news.send(event.as_str()) == Ok(0) {
            refused += 1;
        } else {
            (taken, refused) = (taken + 1, 0);
        }
        refused > 20 || news.is_empty()
    });
    taken
}

#[test]
fn a_slow_reader_of_a_broadcast_misses_events() {
    let news = EventBroadcast::new();
    let server = start(subscribing(&news, |events| events.queue_limit(20_000)));
    let mut client = Client::narrow(&server);
    client.request("/");
    eventually("the client is there", || news.len() == 1);
    let taken = overfill(&news);
    client.head();
    for _ in 0..taken {
        expect(&mut client, &format!("data: {}\n\n", "x".repeat(10_000)));
    }
    assert_eq!(news.send("later"), Ok(1));
    expect(&mut client, "data: later\n\n");
}

#[test]
fn a_slow_reader_of_a_broadcast_gets_the_newest_event() {
    let news = EventBroadcast::new().slow(SlowReader::Coalesce);
    let server = start(subscribing(&news, |events| events.queue_limit(1)));
    let mut client = Client::narrow(&server);
    client.request("/");
    eventually("the client is there", || news.len() == 1);
    for number in 0..10_000 {
        assert_eq!(news.send(format!("{number:01000}")), Ok(1), "each event is taken");
    }
    client.head();
    let mut seen = 0;
    loop {
        let chunk = client.try_chunk().unwrap().unwrap();
        seen += 1;
        if chunk == format!("data: {:01000}\n\n", 9_999).as_bytes() {
            break;
        }
    }
    assert!(seen < 9_000, "{seen} of 10000 events were sent to a client that did not read");
}

#[test]
fn a_slow_reader_of_a_broadcast_is_closed() {
    let news = EventBroadcast::new().slow(SlowReader::Close);
    let server = start(subscribing(&news, |events| events.queue_limit(20_000)));
    let mut client = Client::narrow(&server);
    client.request("/");
    eventually("the client is there", || news.len() == 1);
    overfill(&news);
    assert!(news.is_empty());
    client.head();
    while client.try_chunk().unwrap().is_some() {}
}

#[test]
fn a_head_has_no_events() {
    let news = EventBroadcast::new();
    let server = start(subscribing(&news, |events| events));
    let mut client = Client::connect(&server);
    client.send("HEAD / HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_eq!(client.head().header("content-type"), Some("text/event-stream"));
    eventually("its response is removed", || news.is_empty());
}

#[test]
fn the_limits_of_the_documentation_are_those_of_the_code() {
    let (page, readme) = (include_str!("../docs/sse.md"), include_str!("../README.md"));
    let request = Request::new(transom::Method::GET, "/").unwrap();
    let code = format!("{:?}", ServerSentEvents::new(&request));
    for (setting, told, value) in
        [("queue_limit", "256 KiB", "queue_limit: 262144"), ("keep_alive", "15 s", "keep_alive: Some(15s)")]
    {
        assert!(page.contains(&format!("| `{setting}` | {told} |")), "{setting}");
        assert!(readme.contains(&format!("| `sse.{setting}` | {told} |")), "{setting}");
        assert!(code.contains(value), "{setting}: {code}");
    }
    assert!(readme.contains("| `sse.history` | 0 |") && page.contains("| `history` of a broadcast | 0 |"));
}
