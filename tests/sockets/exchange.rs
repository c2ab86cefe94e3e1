//! What an exchange may hold besides a request and an answer: early hints,
//! trailer fields, leaving HTTP; and refusals that the host is told of.

use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::common::{Client, Later, Logs, Signal, configured, eventually, final_report, start};
use futures_lite::{AsyncReadExt, AsyncWriteExt, stream};
use transom::{Body, Headers, Method, Reject, Request, Response, Route, Router, StatusCode, Upgraded};

const HINT: &[u8] = b"link: </a.css>; rel=preload\n";

fn hints() -> Headers {
    Headers::parse(HINT).unwrap()
}

#[test]
fn rfc8297_early_hints_go_out_while_the_handler_works() {
    let (proceed, gate) = smol::channel::bounded::<()>(1);
    let app = Router::new().get("/", move |req: Request| {
        let gate = gate.clone();
        async move {
            req.early_hints(hints()).unwrap();
            gate.recv().await.ok();
            req.early_hints(hints()).unwrap();
            "done"
        }
    });
    let server = start(app);
    let mut client = Client::connect(&server);
    client.request("/");
    let first = client.head();
    assert_eq!((first.status, first.header("link")), (103, Some("</a.css>; rel=preload")));
    proceed.try_send(()).unwrap();
    assert_eq!(client.head().status, 103);
    client.answer().expect(200, "done");
    client.request("/");
    assert_eq!(client.head().status, 103);
}

#[test]
fn rfc9110_15_2_http10_gets_no_interim_answer() {
    let app = Router::new().get("/", async |req: Request| {
        req.early_hints(hints()).unwrap();
        "done"
    });
    let server = start(app);
    let mut client = Client::connect(&server);
    client.send("GET / HTTP/1.0\r\n\r\n");
    client.answer().expect(200, "done");
}

#[test]
fn a_hint_after_the_answer_is_not_said_in_the_next_exchange() {
    let kept = Arc::new(Mutex::new(Vec::new()));
    let keep = Arc::clone(&kept);
    let app = Router::new().get("/keep", async |_: Request| "kept").get(
        "/",
        Later(move |req: Request, responder: transom::Responder| {
            responder.early_hints(hints()).unwrap();
            responder.send(Response::text("first")).unwrap();
            keep.lock().unwrap().push(req);
        }),
    );
    let server = start(app);
    let mut client = Client::connect(&server);
    client.request("/");
    assert_eq!(client.head().status, 103);
    client.answer().expect(200, "first");
    let late = kept.lock().unwrap().pop().unwrap();
    eventually("the exchange is over", || late.early_hints(hints()).is_err());
    client.get("/keep").expect(200, "kept");
}

async fn shown(req: Request) -> String {
    let mut body = req.into_body();
    let mut length = 0;
    while let Some(chunk) = body.chunk().await {
        length += chunk.unwrap().len();
    }
    let trailers = body.take_trailers();
    format!("{length} {:?} {}", trailers.get("x-sum"), trailers.len())
}

#[test]
fn rfc9112_7_1_2_received_trailers_are_at_the_end_of_the_body() {
    let app =
        Router::new().post("/whole", shown).route(Route::new(Method::POST, "/stream", shown).streaming());
    let echo = Route::new(Method::POST, "/echo", async |req: Request| {
        Response::bytes("text/plain", Body::stream(req.into_body()))
    });
    let server = start(
        app.route(echo.streaming())
            .post("/back", async |req: Request| Response::bytes("text/plain", req.into_body())),
    );
    let mut client = Client::connect(&server);
    // They are the client's claims: a body that is handed back does not take them along.
    for path in ["/echo", "/back"] {
        client.send(format!("POST {path} HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"));
        client.send("5\r\nhello\r\n0\r\nX-Sum: 532\r\n\r\n");
        client.answer().expect(200, "hello");
    }
    for path in ["/whole", "/stream"] {
        client.send(format!("POST {path} HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"));
        client.send("5\r\nhello\r\n0\r\nX-Sum: 532\r\nContent-Length: 9\r\n\r\n");
        client.answer().expect(200, "5 Some(\"532\") 1");
    }
}

#[test]
fn rfc9110_6_5_trailers_go_out_behind_a_chunked_body_only() {
    let app = Router::new()
        .get("/stream", async |_: Request| {
            let chunks = stream::once(Ok("hello".into()));
            let trailers = || Headers::parse(b"x-sum: 532\nset-cookie: no=1\n").unwrap();
            Response::bytes("text/plain", Body::stream(chunks).with_trailers(trailers))
        })
        .get("/writer", async |_: Request| {
            let (writer, body) = Body::channel();
            writer.try_write("hello").unwrap();
            writer.finish_with(Headers::parse(b"x-sum: 532\n").unwrap()).unwrap();
            Response::bytes("text/plain", body)
        })
        .get("/sized", async |_: Request| {
            Body::from("hello").with_trailers(hints).len().unwrap().to_string()
        });
    let server = start(app);
    for path in ["/stream", "/writer"] {
        let mut client = Client::connect(&server);
        client.send(format!("GET {path} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"));
        assert_eq!(client.head().header("transfer-encoding"), Some("chunked"));
        let rest = client.take(b"5\r\nhello\r\n0\r\nx-sum: 532\r\n\r\n".len()).unwrap();
        assert_eq!(String::from_utf8_lossy(&rest), "5\r\nhello\r\n0\r\nx-sum: 532\r\n\r\n");
        client.expect_closed();
        // HTTP/1.0 knows neither chunks nor trailers.
        let mut old = Client::connect(&server);
        old.send(format!("GET {path} HTTP/1.0\r\n\r\n"));
        assert_eq!(old.head().header("transfer-encoding"), None);
        assert_eq!(old.take(5).unwrap(), b"hello");
        old.expect_closed();
    }
    Client::connect(&server).get("/sized").expect(200, "5");
}

#[test]
fn a_body_whose_client_broke_off_before_it_was_read_ends_in_an_error() {
    let (started, (ended, end)) = (Signal::new(), std::sync::mpsc::channel());
    let in_handler = started.clone();
    let upload = Route::new(Method::POST, "/", move |mut req: Request| {
        let ended = ended.clone();
        in_handler.set();
        async move {
            // The client is gone when the body is first asked for.
            while !req.is_client_gone() {
                smol::Timer::after(Duration::from_millis(2)).await;
            }
            while let Some(Ok(_)) = req.body_mut().chunk().await {}
            ended.send(req.is_client_gone()).ok();
        }
    });
    let server = start(Router::new().route(upload.streaming()));
    let mut client = Client::connect(&server);
    client.send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 100\r\n\r\nhello");
    started.wait();
    client.reset();
    assert_eq!(end.recv_timeout(crate::common::PATIENCE), Ok(true));
}

fn shouting() -> Router {
    Router::new().get("/shout", async |_: Request| {
        Response::upgrade("shout", async |mut stream: Upgraded| {
            let mut buffer = [0; 64];
            while let Ok(length @ 1..) = stream.read(&mut buffer).await {
                if stream.write_all(&buffer[..length].to_ascii_uppercase()).await.is_err() {
                    return;
                }
            }
        })
        .header("x-a", "1")
    })
}

#[test]
fn rfc9110_7_8_an_upgrade_hands_over_the_connection_with_what_was_sent_early() {
    let server = start(shouting());
    let mut client = Client::connect(&server);
    client.send(
        "GET /shout HTTP/1.1\r\nHost: h\r\nConnection: keep-alive, Upgrade\r\nUpgrade: chat/2, Shout\r\n\r\nGET / early",
    );
    let head = client.head();
    assert_eq!(
        (head.status, head.header("connection"), head.header("upgrade")),
        (101, Some("upgrade"), Some("shout"))
    );
    assert_eq!((head.header("x-a"), head.header("content-length")), (Some("1"), None));
    assert_eq!(client.take(11).unwrap(), b"GET / EARLY");
    client.send("more");
    assert_eq!(client.take(4).unwrap(), b"MORE");
    client.half_close();
    client.expect_closed();
}

#[test]
fn rfc9110_7_8_nobody_is_upgraded_who_did_not_ask() {
    let server = start(shouting());
    for fields in
        ["", "Upgrade: shout\r\n", "Connection: upgrade\r\n", "Connection: upgrade\r\nUpgrade: h2c\r\n"]
    {
        let mut client = Client::connect(&server);
        client.send(format!("GET /shout HTTP/1.1\r\nHost: h\r\n{fields}\r\n"));
        assert_eq!(client.answer().status, 500, "{fields:?}");
        // It is still HTTP.
        assert_eq!(client.get("/nowhere").status, 404);
    }
    let mut old = Client::connect(&server);
    old.send("GET /shout HTTP/1.0\r\nConnection: upgrade\r\nUpgrade: shout\r\n\r\n");
    assert_eq!(old.answer().status, 500);
    Logs::expect("a handler's upgrade was not sent");
}

#[test]
fn an_upgrade_that_is_ignored_stays_http() {
    let server = start(Router::new().get("/", async |_: Request| "http"));
    let mut client = Client::connect(&server);
    client.send("GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n\r\n");
    client.answer().expect(200, "http");
    client.get("/").expect(200, "http");
}

#[test]
fn a_stop_cuts_an_upgraded_connection_at_the_deadline() {
    let server = start(shouting());
    let mut client = Client::connect(&server);
    client.send("GET /shout HTTP/1.1\r\nHost: h\r\nConnection: upgrade\r\nUpgrade: shout\r\n\r\n");
    assert_eq!(client.head().status, 101);
    server.stop(Duration::from_millis(100));
    let report = final_report(&server);
    assert_eq!((report.cut, report.pending), (1, 0));
    client.expect_closed();
}

#[test]
fn the_host_is_told_which_rule_refused_a_request() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let see = Arc::clone(&seen);
    let server =
        configured(Router::new().post("/", async |_: Request| StatusCode::NO_CONTENT), |limits, _| {
            limits.body = 4;
        })
        .on_exchange(move |exchange| see.lock().unwrap().push(exchange.reject()))
        .bind("127.0.0.1:0")
        .unwrap()
        .start()
        .unwrap();
    for (request, status) in [
        ("GET / HTTP/1.1\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello", 413),
        ("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
    ] {
        let mut client = Client::connect(&server);
        let told = seen.lock().unwrap().len();
        client.send(request);
        assert_eq!(client.answer().status, status);
        eventually("it is told", || seen.lock().unwrap().len() > told);
    }
    let expected = [Reject::MissingHost, Reject::BodyTooLarge, Reject::BothFramings].map(Some);
    assert_eq!(*seen.lock().unwrap(), expected);
}

#[test]
fn a_cap_on_connections_of_one_address_spares_the_others() {
    not_in!(Sequential: "holds two connections at once");
    let server = configured(Router::new().get("/", async |_: Request| "in"), |limits, _| {
        limits.connections_per_address = Some(2);
    })
    .bind("0.0.0.0:0")
    .unwrap()
    .start()
    .unwrap();
    let port = server.local_addr().port().unwrap();
    let from = |host: &str| Client::tcp(format!("{host}:{port}").parse().unwrap());
    let (mut first, mut second) = (from("127.0.0.1"), from("127.0.0.1"));
    first.get("/").expect(200, "in");
    second.get("/").expect(200, "in");
    let refused = from("127.0.0.1").answer();
    assert_eq!((refused.status, refused.header("retry-after")), (503, Some("1")));
    drop(first);
    eventually("there is room again", || {
        let mut client = from("127.0.0.1");
        let asked = client.try_send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
        asked.and_then(|()| client.try_answer()).is_ok_and(|answer| answer.status == 200)
    });
}

#[test]
fn a_head_that_comes_too_slowly_is_given_up_before_its_deadline() {
    let server = configured(Router::new(), |limits, timeouts| {
        limits.head_rate = 1_000_000;
        timeouts.head = Some(Duration::from_secs(60));
    })
    .bind("127.0.0.1:0")
    .unwrap()
    .start()
    .unwrap();
    let mut client = Client::connect(&server);
    client.send("GET / HTTP/1.1\r\nHost: h\r\n");
    assert_eq!(client.answer().status, 408);
}

#[test]
fn a_service_is_stopped_by_its_host() {
    let service = transom::Server::new(Router::new().get("/", async |_: Request| "hello")).service().unwrap();
    let (mut client, server) = {
        let (client, server) = std::os::unix::net::UnixStream::pair().unwrap();
        (smol::Async::new(client).unwrap(), smol::Async::new(server).unwrap())
    };
    smol::block_on(async {
        let serving = service.serve_connection(server, transom::Peer::Unknown);
        let talking = async {
            client.write_all(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n").await.unwrap();
            let mut answer = [0; 15];
            client.read_exact(&mut answer).await.unwrap();
            assert_eq!(&answer, b"HTTP/1.1 200 OK");
            // It idles now: stopping ends it at once.
            service.stop(Duration::from_secs(20)).await
        };
        let ((), report) = futures_lite::future::zip(serving, talking).await;
        assert_eq!((report.cut, report.pending), (0, 0));
    });
}

#[test]
fn half_a_head_does_not_hold_a_stop_until_its_deadline() {
    let server = configured(Router::new(), |_, timeouts| timeouts.drain = Some(crate::common::SHORT))
        .bind("127.0.0.1:0")
        .unwrap()
        .start()
        .unwrap();
    let mut client = Client::connect(&server);
    client.send("GET / HTTP/1.1\r\nHo");
    std::thread::sleep(Duration::from_millis(50));
    let begun = std::time::Instant::now();
    server.stop(Duration::from_secs(60));
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
}

#[test]
fn a_client_that_takes_nothing_is_reset_when_the_write_deadline_has_passed() {
    let called = Signal::new();
    let in_handler = called.clone();
    let app = Router::new().get("/", move |_: Request| {
        in_handler.set();
        async { vec![b'x'; 16 << 20] }
    });
    let server = configured(app, |_, timeouts| timeouts.write = Some(crate::common::SHORT))
        .bind("127.0.0.1:0")
        .unwrap()
        .start()
        .unwrap();
    let mut client = Client::connect(&server);
    client.request("/");
    called.wait();
    eventually("its end", || server.report().pending == 0);
    // What had been sent by then may be read or lost; then the connection is broken, not ended.
    let mut last = Ok(vec![]);
    for _ in 0..16 << 10 {
        last = client.take(1024);
        if last.is_err() {
            break;
        }
    }
    assert_eq!(last.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
}

#[test]
fn a_loopback_server_can_refuse_names_that_were_made_to_resolve_to_it() {
    let server = configured(Router::new().get("/", async |_: Request| "local"), |_, _| ())
        .allow_hosts(transom::LOOPBACK_HOSTS)
        .bind("127.0.0.1:0")
        .unwrap()
        .start()
        .unwrap();
    for (target, host, status) in [
        ("/", "localhost:8080", 200),
        ("/", "[::1]", 200),
        ("/", "rebound.example", 421),
        ("/", "", 421),
        ("http://rebound.example/", "localhost", 421),
    ] {
        let mut client = Client::connect(&server);
        client.send(format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n"));
        assert_eq!(client.answer().status, status, "{target} {host:?}");
    }
    let mut old = Client::connect(&server);
    old.send("GET / HTTP/1.0\r\n\r\n");
    assert_eq!(old.answer().status, 421);
}

#[test]
fn rfc9112_7_1_a_malformed_body_whose_fault_the_handler_ignores_is_the_last() {
    // Answers with what could be read, as if that were all.
    let lenient = async |req: Request| {
        let chunks = stream::unfold(req.into_body(), async |mut body| match body.chunk().await {
            Some(Ok(chunk)) => Some((Ok(chunk), body)),
            _ => None,
        });
        Response::stream("text/plain", chunks)
    };
    let app = Router::new()
        .route(Route::new(Method::POST, "/", lenient).streaming())
        .get("/smuggled", async |_: Request| "smuggled");
    let server = start(app);
    let mut client = Client::connect(&server);
    client.send("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n1\r\n");
    assert_eq!(client.head().status, 200);
    assert_eq!(client.try_chunk().unwrap().unwrap(), b"hello");
    // Malformed behind the one octet; but read again from its start it is a
    // last chunk with a request behind it.
    client.send("0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n");
    while client.try_chunk().unwrap().is_some() {}
    client.expect_closed();
}

#[test]
fn rfc9112_6_3_half_a_body_without_a_length_does_not_end_like_a_whole_one() {
    let app = Router::new().get("/", async |req: Request| {
        let end = if req.query() == Some("whole") { None } else { Some(Err(io::Error::other("on purpose"))) };
        let chunks = [Ok("begun".into())].into_iter().chain(end);
        Response::bytes("text/plain", Body::stream(stream::iter(chunks)))
    });
    let server = start(app);
    let get = |target: &str| {
        let mut client = Client::connect(&server);
        client.send(format!("GET {target} HTTP/1.0\r\n\r\n"));
        client.try_answer()
    };
    assert_eq!(get("/?whole").unwrap().text(), "begun");
    assert_eq!(get("/").unwrap_err().kind(), io::ErrorKind::ConnectionReset);
}
