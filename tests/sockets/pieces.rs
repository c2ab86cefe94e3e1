//! Bodies that a handler reads and writes piece by piece, in a job of its own connection and on
//! another thread after it has returned: each wait ends, and tells why.

use std::future::pending;
use std::io::ErrorKind;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use transom::{
    Body, Handle, Limits, Method, Reject, Request, Responder, Response, Route, Router, StatusCode, Timeouts,
    WaitError, WriteError, wait,
};

use crate::common::{Client, PATIENCE, Place, SHORT, Signal, Work, start_with};

const PLACES: [Place; 2] = [Place::Job, Place::Elsewhere];

/// A timeout that passes while nothing happens.
const MOMENT: Option<Duration> = Some(Duration::from_millis(20));

/// More than all buffers between a server and a client that reads nothing.
const LARGE: usize = 16 << 20;

/// Starts a server whose one route, a streaming one, does its work in that place.
fn start_work<F>(place: Place, set: impl FnOnce(&mut Limits, &mut Timeouts), work: F) -> Handle
where
    F: Fn(Request, Responder) + Clone + Send + Sync + 'static,
{
    let route = Route::new(Method::POST, "/", Work(place, work)).streaming().body_limit(u64::MAX);
    start_with(Router::new().route(route), set)
}

/// The length of a body, or why it has no end.
type Outcome = Result<usize, (ErrorKind, Option<Reject>)>;

/// Reads all of a body.
fn read(body: &mut Body) -> Outcome {
    let mut length = 0;
    while let Some(chunk) = wait(body.chunk(), None).unwrap() {
        let chunk = chunk.map_err(|error| {
            (error.kind(), error.get_ref().and_then(|inner| inner.downcast_ref().copied()))
        })?;
        length += chunk.len();
    }
    Ok(length)
}

/// Starts a server that tells when it reads a body and how that ended.
fn start_reading(
    place: Place,
    set: impl FnOnce(&mut Limits, &mut Timeouts),
) -> (Handle, Signal, Receiver<Outcome>) {
    let ((told, outcome), begun) = (sync_channel(1), Signal::new());
    let server = {
        let begun = begun.clone();
        start_work(place, set, move |mut request, responder| {
            begun.set();
            told.send(read(request.body_mut())).unwrap();
            // The client may be gone.
            let _ = responder.send(Response::text("read"));
        })
    };
    (server, begun, outcome)
}

const HALF: &str = "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\nsome";

#[test]
fn a_client_that_stops_sending_is_noticed_by_its_deadline() {
    for place in PLACES {
        let (server, _, outcome) = start_reading(place, |_, timeouts| timeouts.body = Some(SHORT));
        let mut client = Client::connect(&server);
        client.send(HALF);
        let told = outcome.recv_timeout(PATIENCE).unwrap();
        assert_eq!(told, Err((ErrorKind::TimedOut, Some(Reject::BodyTimeout))), "{place:?}");
    }
}

#[test]
fn a_short_body_that_has_come_is_there_when_the_handler_begins() {
    const WHOLE: &str = "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello";
    for place in PLACES {
        let begun = Signal::new();
        let server = {
            let begun = begun.clone();
            start_work(
                place,
                |_, _| (),
                move |mut request, responder| {
                    assert_eq!(request.bytes(), b"", "the handler reads the body");
                    let at_once = request.body_ref().at_hand().map_or(0, <[u8]>::len);
                    begun.set();
                    let all = read(request.body_mut()).unwrap();
                    responder.send(Response::text(format!("{at_once} {all}"))).unwrap();
                },
            )
        };
        let mut client = Client::connect(&server);
        client.send(format!("{WHOLE}{WHOLE}"));
        for _ in 0..2 {
            client.answer().expect(200, "5 5");
        }
        client.send(HALF);
        while begun.count() < 3 {
            thread::yield_now();
        }
        client.send("-rest");
        client.answer().expect(200, "0 9");
        // More than one read takes. It may also come in two parts.
        let body = "x".repeat(10_000);
        let is_there = (0..100).any(|_| {
            client.send(format!("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 10000\r\n\r\n{body}"));
            let answer = client.answer();
            assert!(answer.text().ends_with(" 10000"), "{place:?}");
            answer.text().starts_with("10000 ")
        });
        assert!(is_there, "{place:?}");
    }
}

#[test]
fn a_client_that_leaves_ends_the_wait_for_its_body() {
    for place in PLACES {
        for resets in [false, true] {
            let (server, begun, outcome) = start_reading(place, |_, _| ());
            let mut client = Client::connect(&server);
            client.send(HALF);
            begun.wait();
            if resets {
                client.reset();
            } else {
                drop(client);
            }
            let told = outcome.recv_timeout(PATIENCE).unwrap();
            assert_eq!(told, Err((ErrorKind::UnexpectedEof, Some(Reject::BodyCutShort))), "{place:?}");
        }
    }
}

#[test]
fn a_body_that_breaks_a_rule_ends_the_wait_and_says_which() {
    for place in PLACES {
        let (server, _, outcome) = start_reading(place, |_, _| ());
        let mut client = Client::connect(&server);
        client
            .send("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nsome\r\nno size\r\n");
        let (kind, reject) = outcome.recv_timeout(PATIENCE).unwrap().unwrap_err();
        assert_eq!(kind, ErrorKind::InvalidData, "{place:?}");
        assert_eq!(reject.unwrap().status(), 400, "{place:?}");
    }
}

#[test]
fn the_deadline_of_a_handler_ends_its_wait_for_a_body() {
    for place in PLACES {
        // A job that gets no thread in time never begins: on a busy machine it needs a later deadline.
        let begins = (0..8).any(|round| {
            let deadline = Some(SHORT * (1 << round));
            let (server, begun, outcome) = start_reading(place, |_, timeouts| timeouts.handler = deadline);
            let mut client = Client::connect(&server);
            client.send(HALF);
            assert_eq!(client.answer().status, 503, "{place:?}");
            let has_begun = begun.count() > 0;
            assert!(!has_begun || outcome.recv_timeout(PATIENCE).unwrap().is_err(), "{place:?}");
            has_begun
        });
        assert!(begins, "{place:?}");
    }
}

#[test]
fn a_stop_ends_a_wait_for_a_body() {
    for place in PLACES {
        let (server, begun, outcome) = start_reading(place, |_, _| ());
        let mut client = Client::connect(&server);
        client.send(HALF);
        begun.wait();
        let stopping = Instant::now();
        let report = server.stop(SHORT);
        assert_eq!(report.finished, 0, "{place:?}");
        assert!(outcome.recv_timeout(PATIENCE).unwrap().is_err(), "{place:?}");
        assert!(stopping.elapsed() < PATIENCE);
        server.wait().unwrap();
    }
}

#[test]
fn a_chunk_that_did_not_come_in_time_comes_later() {
    for place in PLACES {
        let looked = Signal::new();
        let server = {
            let looked = looked.clone();
            start_work(
                place,
                |_, _| (),
                move |mut request, responder| {
                    let body = request.body_mut();
                    for timeout in [Some(Duration::ZERO), MOMENT] {
                        assert_eq!(wait(body.chunk(), timeout).unwrap_err(), WaitError::TimedOut);
                    }
                    looked.set();
                    let length = read(body).unwrap();
                    responder.send(Response::text(length.to_string())).unwrap();
                },
            )
        };
        let mut client = Client::connect(&server);
        client.send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\n");
        looked.wait();
        client.send("hello");
        client.answer().expect(200, "5");
    }
}

#[test]
fn rfc9110_10_1_1_continue_is_sent_when_a_thread_begins_to_wait_for_the_body() {
    for place in PLACES {
        let (started, release) = (Signal::new(), Signal::new());
        let server = {
            let (started, release) = (started.clone(), release.clone());
            start_work(
                place,
                |_, _| (),
                move |mut request, responder| {
                    started.set();
                    release.wait();
                    let length = read(request.body_mut()).unwrap();
                    responder.send(Response::text(length.to_string())).unwrap();
                },
            )
        };
        let mut client = Client::connect(&server);
        client.send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n");
        started.wait();
        client.expect_silence(Duration::from_millis(50));
        release.set();
        assert_eq!(client.answer().status, 100, "{place:?}");
        client.send("hello");
        client.answer().expect(200, "5");
    }
}

#[test]
fn trailers_are_there_after_the_end_of_a_body_that_was_waited_for() {
    for place in PLACES {
        let server = start_work(
            place,
            |_, _| (),
            |mut request, responder| {
                let length = read(request.body_mut()).unwrap();
                let trailers = request.body_mut().take_trailers();
                let sum = trailers.get("x-sum").unwrap_or("none").to_owned();
                responder.send(Response::text(format!("{length} {sum}"))).unwrap();
            },
        );
        let mut client = Client::connect(&server);
        client.send("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nTrailer: x-sum\r\n\r\n");
        client.send("4\r\nsome\r\n0\r\nx-sum: 7\r\n\r\n");
        client.answer().expect(200, "4 7");
    }
}

#[test]
fn the_rest_of_a_body_that_is_dropped_while_it_comes_is_drained() {
    const SIZE: usize = 200_000;
    for place in PLACES {
        let server = start_work(
            place,
            |_, _| (),
            |mut request, responder| {
                let first = wait(request.body_mut().chunk(), None).unwrap().unwrap().unwrap();
                drop(request);
                let (writer, body) = Body::channel();
                responder.send(Response::new(StatusCode::OK).body(body)).unwrap();
                writer.write_blocking(first.slice(..1), None).unwrap();
                writer.finish().unwrap();
            },
        );
        let mut client = Client::connect(&server);
        for _ in 0..2 {
            client.post("/", vec![b'x'; SIZE]).expect(200, "x");
        }
    }
}

#[test]
fn a_client_that_reads_slowly_holds_up_a_writer_and_gets_all_in_the_end() {
    for place in PLACES {
        let full = Signal::new();
        let server = {
            let full = full.clone();
            start_work(
                place,
                |_, _| (),
                move |_, responder| {
                    let (writer, body) = Body::sized_channel(LARGE as u64);
                    responder.send(Response::new(StatusCode::OK).body(body)).unwrap();
                    let piece = vec![b'x'; 65536];
                    for _ in 0..LARGE / piece.len() {
                        match writer.write_blocking(piece.clone(), MOMENT) {
                            Err(WriteError::WouldBlock) => {
                                full.set();
                                writer.write_blocking(piece.clone(), None).unwrap();
                            }
                            written => written.unwrap(),
                        }
                    }
                    writer.finish().unwrap();
                },
            )
        };
        let mut client = Client::connect(&server);
        client.send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n");
        full.wait();
        let answer = client.answer();
        assert_eq!((answer.status, answer.body.len()), (200, LARGE), "{place:?}");
    }
}

#[test]
fn a_body_is_sent_back_while_it_comes_by_another_thread() {
    let server = start_work(
        Place::Elsewhere,
        |_, _| (),
        |mut request, responder| {
            let (writer, body) = Body::sized_channel(LARGE as u64);
            responder.send(Response::new(StatusCode::OK).body(body)).unwrap();
            while let Some(chunk) = wait(request.body_mut().chunk(), None).unwrap() {
                writer.write_blocking(chunk.unwrap(), None).unwrap();
            }
            writer.finish().unwrap();
        },
    );
    let mut client = Client::connect(&server);
    client.send(format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {LARGE}\r\n\r\n"));
    let mut sending = client.writer();
    thread::scope(|scope| {
        scope.spawn(move || {
            for _ in 0..LARGE / 65536 {
                std::io::Write::write_all(&mut sending, &vec![b'e'; 65536]).unwrap();
            }
        });
        let answer = client.answer();
        assert_eq!((answer.status, answer.body.len()), (200, LARGE));
    });
}

#[test]
fn no_other_handler_of_the_thread_runs_while_one_waits() {
    not_in!(EventDriven: "there handlers that block run on other threads");
    let (entered, others, release) = (Signal::new(), Signal::new(), Signal::new());
    let (told, meanwhile) = sync_channel(1);
    let writes = {
        let (entered, others, release) = (entered.clone(), others.clone(), release.clone());
        move |_: Request, responder: Responder| {
            let (writer, body) = Body::channel();
            responder.send(Response::new(StatusCode::OK).body(body)).unwrap();
            writer.write_blocking("first", None).unwrap();
            entered.set();
            release.wait();
            writer.finish().unwrap();
            // The answer is out, the next request is there, and the connection is driven.
            assert_eq!(wait(pending::<()>(), MOMENT), Err(WaitError::TimedOut));
            told.send(others.count()).unwrap();
        }
    };
    let other = {
        let others = others.clone();
        move |_: Request| {
            others.set();
            async { "other" }
        }
    };
    let app = Router::new().get("/writes", Work(Place::Job, writes)).get("/other", other);
    let server = start_with(app, |_, _| ());
    let mut client = Client::connect(&server);
    client.request("/writes");
    entered.wait();
    client.request("/other");
    release.set();
    assert_eq!(client.answer().text(), "first");
    client.answer().expect(200, "other");
    assert_eq!((meanwhile.recv_timeout(PATIENCE), others.count()), (Ok(0), 1));
}
