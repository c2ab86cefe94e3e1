//! Named scripts: clients at the edge of what deadlines and least rates allow.

use std::time::Duration;

use super::moves::{Phase, Tail};
use super::requests::{self, Expected, Request};
use super::script::{Buffering, End, Piece, Script};
use super::{app, play};
use crate::conn::Stage;

/// The transports, for all of which progress must mean the same.
const TRANSPORTS: [Buffering; 3] = [Buffering::None, Buffering::Told, Buffering::Silent];

fn get(path: &str, number: usize) -> Request {
    let expected = match path {
        "/stream" => Expected::Answer(200, app::stream_text()),
        "/sleep" => Expected::Answer(200, format!("slept {number}").into()),
        "/plain" => Expected::Answer(200, format!("plain {number}").into()),
        "/panic" => Expected::plain(500, "Internal Server Error"),
        "/broken" => Expected::CutOff,
        _ => Expected::plain(404, "Not Found"),
    };
    Request::simple("GET", path, number, expected)
}

fn post(path: &str, number: usize, length: usize, expected: fn(Vec<u8>) -> Expected) -> Request {
    let body = requests::body(length, number);
    requests::sized(path, number, &body, expected(body.clone()))
}

fn echoed(body: Vec<u8>) -> Expected {
    Expected::Answer(200, body)
}

/// Returns the scripts of three seeds that failed: clients that take some hundred
/// bytes a second, a few at a time, of a transport that buffers.
fn slow_readers() -> [Script; 3] {
    let head = Request::simple("HEAD", "/plain", 3, Expected::Answer(200, Vec::new()));
    let version =
        Request { method: "GET", bytes: b"GET / HTTP/2.0\r\n\r\n".into(), expected: Expected::Refused };
    let mut first = Script::new(
        114_677,
        vec![
            get("/stream", 0),
            get("/nowhere", 1),
            post("/echo", 2, 100, echoed),
            get("/stream", 3),
            version,
        ],
    );
    (first.reads, first.read_wait) = (5, Duration::from_millis(43));
    let mut second = Script::new(138_374, vec![get("/plain", 0), get("/stream", 1), get("/broken", 2), head]);
    (second.reads, second.read_wait) = (3, Duration::from_millis(29));
    let last = get("/plain", 4).that_closes();
    let mut third = Script::new(
        205_936,
        vec![get("/stream", 0), post("/echo", 1, 1, echoed), get("/panic", 2), get("/sleep", 3), last],
    );
    (third.reads, third.read_wait, third.end) = (3, Duration::from_millis(27), End::HalfClose);
    [first, second, third]
}

#[test]
fn a_client_that_keeps_the_rate_gets_its_answers_over_any_transport() {
    for mut script in slow_readers() {
        script.write_rate = 50;
        for buffering in TRANSPORTS {
            script.buffering = buffering;
            play(&script).unwrap_or_else(|fault| panic!("{}, {buffering:?}: {fault}", script.seed));
        }
    }
}

#[test]
fn a_client_below_the_rate_is_given_up_in_time_over_any_transport() {
    for mut script in slow_readers() {
        for buffering in TRANSPORTS {
            script.buffering = buffering;
            let outcome =
                play(&script).unwrap_or_else(|fault| panic!("{}, {buffering:?}: {fault}", script.seed));
            // A transport that cannot tell may hold back all bytes that have not been flushed.
            let is_seen = buffering != Buffering::Silent;
            assert!(!is_seen || outcome.dropped < Duration::from_secs(60), "{:?}", outcome.dropped);
        }
    }
}

#[test]
fn an_answer_arrives_though_the_upload_never_stops() {
    let large = "Content-Length: 1000000000000";
    for (method, path, expected) in [
        ("POST", "/nowhere", Expected::plain(404, "Not Found").and_close()),
        ("PUT", "/plain", Expected::plain(405, "Method Not Allowed").and_close()),
        ("POST", "/echo", Expected::Refused),
        ("POST", "/unread", Expected::Answer(200, app::stream_text()).and_close()),
    ] {
        for is_stubborn in [false, true] {
            let mut script = Script::new(1, vec![Request::head(method, path, large, expected.clone())]);
            let tail =
                Tail { bytes: vec![b'x'; 5000], every: Duration::from_millis(50), phase: Phase::Linger };
            (script.tail, script.is_stubborn) = (Some(tail), is_stubborn);
            let outcome = play(&script).unwrap_or_else(|fault| panic!("{method} {path}: {fault}"));
            let lasts = Duration::from_secs(if is_stubborn { 30 } else { 0 });
            let dropped = outcome.dropped;
            assert!(dropped >= lasts && dropped < lasts + Duration::from_secs(1), "{path}: {dropped:?}");
        }
    }
}

#[test]
fn a_dribbled_body_is_given_up_in_time_in_each_part_of_its_framing() {
    let chunked = "Transfer-Encoding: chunked";
    for (framing, start, byte) in [
        ("Content-Length: 100000", "", b'd'),
        (chunked, "186a0\r\n", b'd'),
        (chunked, "", b'0'),
        (chunked, "5;", b'e'),
        (chunked, "0\r\nX-T: ", b't'),
    ] {
        for (path, expected) in [("/echo", Expected::Refused), ("/through", Expected::CutOff)] {
            let request = Request::head("POST", path, framing, expected).with(start.as_bytes());
            let mut script = Script::new(2, vec![request]);
            let every = Duration::from_secs(5);
            script.tail = Some(Tail { bytes: vec![byte], every, phase: Phase::Body });
            play(&script).unwrap_or_else(|fault| panic!("{path}, {framing}, {start}: {fault}"));
        }
    }
}

#[test]
fn a_head_that_dribbles_into_a_stop_has_the_time_of_a_drain_once() {
    let request = Request { method: "GET", bytes: b"GET /pl".into(), expected: Expected::Refused };
    let mut script = Script::new(3, vec![request]);
    let every = Duration::from_millis(100);
    script.tail = Some(Tail { bytes: b"a".into(), every, phase: Phase::Head });
    script.stop = Some((Duration::from_millis(500), Stage::Draining));
    let closed = play(&script).unwrap().closed.unwrap();
    assert!(closed >= Duration::from_millis(1500) && closed < Duration::from_millis(1600), "{closed:?}");
}

#[test]
fn empty_lines_do_not_keep_an_idle_connection_that_is_to_make_room() {
    let mut script = Script::new(4, Vec::new());
    let every = Duration::from_millis(500);
    script.tail = Some(Tail { bytes: b"\r\n".into(), every, phase: Phase::Head });
    script.stop = Some((Duration::from_millis(700), Stage::Leaving));
    let closed = play(&script).unwrap().closed.unwrap();
    assert!(closed >= Duration::from_millis(1700) && closed < Duration::from_millis(1800), "{closed:?}");
}

#[test]
fn an_answer_of_a_server_that_stops_arrives_though_the_next_request_is_under_way() {
    let requests = vec![get("/sleep", 0), get("/plain", 1)];
    let mut script = Script::new(5, requests.clone());
    let piece = |millis, request: &Request| Piece {
        wait: Duration::from_millis(millis),
        bytes: request.bytes.clone(),
    };
    // The second request comes just after the answer, which its client has not read.
    script.pieces = vec![piece(0, &requests[0]), piece(305, &requests[1])];
    script.read_wait = Duration::from_millis(20);
    script.stop = Some((Duration::from_millis(100), Stage::Draining));
    let outcome = play(&script).unwrap();
    assert!(outcome.lost.is_empty() && outcome.received.ends_with(b"slept 0"));
}
