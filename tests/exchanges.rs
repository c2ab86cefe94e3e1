//! What the embedding program is told of each answer, and how it words the server's own, in each
//! model.

mod common;

const MODEL: Model = Model::EventDriven;

use std::fmt::Write as _;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use transom::{
    Body, Exchange, Handle, HttpError, Limits, Model, OwnAnswer, Reject, Request, Response, Router, Server,
    StatusCode, Timeouts, blocking,
};

use common::{Client, PATIENCE, SHORT, Signal, configured, eventually, final_report, own_address};

const MODELS: [Model; 3] = [Model::Sequential, Model::ThreadPerConnection, Model::EventDriven];

/// The lines of an access log.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    /// Method, target, route, status, reason, end.
    fn line(&self, exchange: &Exchange<'_>) {
        let mut line = String::new();
        let method = exchange.method().map_or("-", |method| method.as_str());
        write!(line, "{method} {} ", exchange.target().unwrap_or("-")).unwrap();
        write!(line, "{} ", exchange.route().unwrap_or("-")).unwrap();
        write!(line, "{} ", exchange.status().map_or(0, |status| status.as_u16())).unwrap();
        write!(line, "{} {:?}", exchange.reject().map_or("-", Reject::reason), exchange.ended()).unwrap();
        self.0.lock().unwrap().push(line);
    }

    fn lines(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }

    /// Waits for so many lines, and returns them.
    #[track_caller]
    fn wait_for(&self, count: usize) -> Vec<String> {
        eventually("the lines are told", || self.lines().len() >= count);
        self.lines()
    }
}

fn logged(log: &Log, app: Router, set: impl FnOnce(&mut Limits, &mut Timeouts)) -> Server {
    let log = log.clone();
    configured(app, set).on_exchange(move |exchange| log.line(exchange))
}

fn start(model: Model, server: Server) -> Handle {
    server.model(model).workers(1).bind(&own_address()).unwrap().start().unwrap()
}

#[test]
fn several_hooks_are_called_in_order_though_one_panics() {
    for model in MODELS {
        let (first, last) = (Log::default(), Log::default());
        let told = first.clone();
        let app = Router::new().get("/", async |_: Request| "hello");
        let server = logged(&first, app, |_, _| {}).on_exchange(|_| panic!("a hook of the test"));
        let after = last.clone();
        let server = start(
            model,
            server.on_exchange(move |exchange| {
                assert_eq!(told.lines().len(), after.lines().len() + 1);
                after.line(exchange);
            }),
        );
        Client::connect(&server).get("/").expect(200, "hello");
        let lines = last.wait_for(1);
        assert_eq!(lines, ["GET / / 200 - Answered"], "{model}");
        assert_eq!(first.lines(), lines, "{model}");
    }
}

#[test]
fn each_answer_is_told_of_once_with_its_route_and_status() {
    for model in MODELS {
        let log = Log::default();
        let app = Router::new()
            .get("/users/{id}", async |req: Request| Response::text(req.param("id")))
            .get("/panics", async |_: Request| -> &'static str { panic!("on purpose") })
            .get("/refuses", async |_: Request| -> Result<&'static str, HttpError> {
                Err(HttpError::respond(StatusCode::IM_A_TEAPOT))
            })
            .get("/stream", async |_: Request| {
                let (writer, body) = Body::channel();
                std::thread::spawn(move || {
                    let _ = writer.write_blocking("streamed", Some(PATIENCE));
                    let _ = writer.finish();
                });
                Response::new(StatusCode::OK).body(body)
            })
            .post("/upload", async |_: Request| "taken");
        let server = start(model, logged(&log, app, |limits, _| limits.body = 10));
        let mut client = Client::connect(&server);
        client.get("/users/7?x=1").expect(200, "7");
        assert_eq!(client.get("/stream").status, 200);
        assert_eq!(client.get("/nowhere").status, 404);
        assert_eq!(client.post("/users/7", "").status, 405);
        assert_eq!(client.get("/panics").status, 500);
        assert_eq!(client.get("/refuses").status, 418);
        // Told together, when the last of them is written.
        client.send("GET /users/1 HTTP/1.1\r\nHost: h\r\n\r\nHEAD /users/2 HTTP/1.1\r\nHost: h\r\n\r\n");
        assert_eq!(client.answer().status, 200);
        assert_eq!(client.head().status, 200);
        assert_eq!(client.post("/upload", "more than ten bytes").status, 413);
        drop(client);
        log.wait_for(9);
        for (bad, status) in [("GET / HTTP/1.1\r\n\r\n", 400), ("GET nothing-else\r\n\r\n", 400)] {
            let mut client = Client::connect(&server);
            let told = log.lines().len();
            client.send(bad);
            assert_eq!(client.answer().status, status);
            log.wait_for(told + 1);
        }
        assert_eq!(
            log.wait_for(11),
            [
                "GET /users/7?x=1 /users/{id} 200 - Answered",
                "GET /stream /stream 200 - Answered",
                "GET /nowhere - 404 - Answered",
                "POST /users/7 - 405 - Answered",
                "GET /panics /panics 500 - Answered",
                "GET /refuses /refuses 418 - Answered",
                "GET /users/1 /users/{id} 200 - Answered",
                "HEAD /users/2 /users/{id} 200 - Answered",
                "POST /upload /upload 413 body-too-large Answered",
                "- - - 400 missing-host Answered",
                "- - - 400 bad-request-line Answered",
            ],
            "{model}"
        );
        server.stop(PATIENCE);
        assert_eq!(log.lines().len(), 11, "{model}");
    }
}

#[test]
fn an_exchange_that_a_stop_cuts_is_told_of_as_cut() {
    for model in MODELS {
        let (log, waits) = (Log::default(), Signal::new());
        let waiting = waits.clone();
        let app = Router::new().get("/forever", move |_: Request| {
            waiting.set();
            async {
                common::forever().await;
                "never"
            }
        });
        let server = start(model, logged(&log, app, |_, _| ()));
        let mut client = Client::connect(&server);
        client.request("/forever");
        waits.wait();
        server.stop(Duration::ZERO);
        assert_eq!(final_report(&server).cut, 1, "{model}");
        assert_eq!(log.wait_for(1), ["GET /forever /forever 0 - Cut"], "{model}");
    }
}

#[test]
fn an_answer_that_the_client_never_takes_is_not_told_of_as_answered() {
    for model in MODELS {
        let log = Log::default();
        let app = Router::new().get("/big", async |_: Request| vec![b'x'; 50_000_000]);
        let server = start(model, logged(&log, app, |_, _| ()));
        let mut client = Client::narrow(&server);
        client.request("/big");
        client.take(100).unwrap();
        assert!(log.lines().is_empty(), "{model}");
        server.stop(Duration::ZERO);
        assert_eq!(final_report(&server).cut, 1, "{model}");
        assert_eq!(log.wait_for(1), ["GET /big /big 200 - Cut"], "{model}");
    }
}

#[test]
fn a_client_that_leaves_and_one_that_is_too_slow_are_told_apart() {
    for model in MODELS {
        let log = Log::default();
        let app = || Router::new().get("/big", async |_: Request| vec![b'x'; 50_000_000]);
        let server = start(model, logged(&log, app(), |_, _| ()));
        let mut client = Client::narrow(&server);
        client.request("/big");
        client.take(100).unwrap();
        client.reset();
        assert_eq!(log.wait_for(1), ["GET /big /big 200 - Left"], "{model}");
        let server = start(model, logged(&log, app(), |_, timeouts| timeouts.write = Some(SHORT)));
        let mut client = Client::narrow(&server);
        client.request("/big");
        assert_eq!(log.wait_for(2)[1], "GET /big /big 200 - TimedOut", "{model}");
        drop(client);
        server.stop(PATIENCE);
        assert_eq!(log.lines().len(), 2, "{model}");
    }
}

#[test]
fn a_body_that_fails_and_a_handler_that_is_late_are_told_of() {
    for model in MODELS {
        let log = Log::default();
        let app = Router::new()
            .get("/fails", async |_: Request| {
                let (writer, body) = Body::channel();
                drop(writer);
                Response::new(StatusCode::OK).body(body)
            })
            .get("/late", async |_: Request| {
                common::forever().await;
                "never"
            });
        let server = start(model, logged(&log, app, |_, timeouts| timeouts.handler = Some(SHORT)));
        let mut client = Client::connect(&server);
        client.request("/fails");
        assert_eq!(client.head().status, 200);
        assert!(client.try_chunk().is_err());
        let mut client = Client::connect(&server);
        assert_eq!(client.get("/late").status, 503);
        let expected = ["GET /fails /fails 200 - Failed", "GET /late /late 503 handler-timeout Answered"];
        assert_eq!(log.wait_for(2), expected, "{model}");
    }
}

#[test]
fn an_upgrade_is_told_of_when_the_connection_leaves_http() {
    for model in MODELS {
        let log = Log::default();
        let app = Router::new()
            .get("/", async |_: Request| Response::upgrade("chat", async |_| common::forever().await));
        let server = start(model, logged(&log, app, |_, _| ()));
        let mut client = Client::connect(&server);
        client.send("GET / HTTP/1.1\r\nHost: h\r\nConnection: upgrade\r\nUpgrade: chat\r\n\r\n");
        assert_eq!(client.head().status, 101);
        assert_eq!(log.wait_for(1), ["GET / / 101 - Upgraded"], "{model}");
        server.stop(Duration::ZERO);
        final_report(&server);
        assert_eq!(log.lines().len(), 1, "{model}");
    }
}

#[test]
fn each_of_several_answers_is_told_of_as_it_ended_itself() {
    for model in MODELS {
        let log = Log::default();
        let app = Router::new()
            .get("/", async |_: Request| "whole")
            .get("/chat", async |_: Request| Response::upgrade("chat", async |_| ()))
            .get("/fails", async |_: Request| {
                let (writer, body) = Body::channel();
                drop(writer);
                Response::new(StatusCode::OK).body(body)
            });
        let server = start(model, logged(&log, app, |_, _| ()));
        for last in ["/fails", "/chat"] {
            let told = log.lines().len();
            let mut client = Client::connect(&server);
            let fields = "Host: h\r\nConnection: upgrade\r\nUpgrade: chat\r\n\r\n";
            client.send(format!("GET / HTTP/1.1\r\nHost: h\r\n\r\nGET {last} HTTP/1.1\r\n{fields}"));
            client.answer().expect(200, "whole");
            assert_eq!(log.wait_for(told + 2)[told], "GET / / 200 - Answered", "{model}, before {last}");
        }
        assert_eq!(log.lines()[1], "GET /fails /fails 200 - Failed", "{model}");
        assert_eq!(log.lines()[3], "GET /chat /chat 101 - Upgraded", "{model}");
        server.stop(PATIENCE);
        assert_eq!(log.lines().len(), 4, "{model}");
    }
}

#[test]
fn connections_and_jobs_for_which_there_is_no_room_are_told_of_with_the_reason() {
    let (log, go, busy) = (Log::default(), Signal::new(), Signal::new());
    let (may_go, is_busy) = (go.clone(), busy.clone());
    let app = Router::new().get(
        "/",
        blocking(move |_: Request| {
            is_busy.set();
            may_go.wait();
            "done"
        }),
    );
    let server = start(
        Model::EventDriven,
        logged(&log, app, |limits, _| {
            (limits.connections, limits.pool_threads, limits.pool_queue) = (2, 1, 0);
        }),
    );
    let (mut first, mut second) = (Client::connect(&server), Client::connect(&server));
    first.request("/");
    busy.wait();
    assert_eq!(second.get("/").status, 503);
    let mut third = Client::connect(&server);
    assert_eq!(third.answer().status, 503);
    assert_eq!(
        log.wait_for(2),
        ["GET / / 503 pool-full Answered", "- - - 503 too-many-connections Answered"]
    );
    go.set();
    first.answer().expect(200, "done");
    assert_eq!(log.wait_for(3)[2], "GET / / 200 - Answered");
}

#[test]
fn the_bytes_of_an_exchange_are_those_that_went_over_the_wire() {
    for model in MODELS {
        let told = Arc::new(Mutex::new(Vec::new()));
        let heard = Arc::clone(&told);
        let app =
            Router::new().post("/", async |req: Request| Response::bytes("text/plain", req.into_body()));
        let server = configured(app, |_, _| ()).on_exchange(move |exchange| {
            let local = exchange.local_addr().unwrap().to_string();
            heard.lock().unwrap().push((exchange.bytes_in(), exchange.bytes_out(), local, exchange.took()));
        });
        let server = start(model, server);
        let mut client = Client::connect(&server);
        let request =
            "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n";
        // Two at once: each has its own bytes.
        client.send(request.repeat(2));
        let answer = client.answer();
        answer.expect(200, "hello");
        client.answer().expect(200, "hello");
        let length = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 5\r\ndate: {}\r\n\r\nhello",
            answer.header("date").unwrap()
        );
        eventually("both are told of", || told.lock().unwrap().len() == 2);
        for (bytes_in, bytes_out, local, took) in &*told.lock().unwrap() {
            assert_eq!((*bytes_in, *bytes_out), (request.len() as u64, length.len() as u64), "{model}");
            assert_eq!(*local, server.local_addr().to_string());
            assert!(*took < PATIENCE);
        }
    }
}

#[test]
fn the_bytes_of_a_refused_head_were_read() {
    let told = Arc::new(Mutex::new(Vec::new()));
    let heard = Arc::clone(&told);
    let server = Server::new(Router::new())
        .on_exchange(move |exchange| heard.lock().unwrap().push((exchange.reject(), exchange.bytes_in())))
        .bind("127.0.0.1:0")
        .unwrap()
        .start()
        .unwrap();
    let request = "GET / HTTP/1.1\r\nno field\r\n\r\n";
    let mut client = Client::connect(&server);
    client.send(request);
    assert_eq!(client.answer().status, 400);
    client.until_closed();
    eventually("the hook is called", || !told.lock().unwrap().is_empty());
    assert_eq!(*told.lock().unwrap(), [(Some(Reject::BadHeader), request.len() as u64)]);
}

#[test]
fn only_the_fields_that_are_asked_for_are_recorded() {
    for model in MODELS {
        let told = Arc::new(Mutex::new(Vec::new()));
        let heard = Arc::clone(&told);
        let app = Router::new().get("/", async |_: Request| "hello");
        let server = configured(app, |_, _| ())
            .record_fields(["User-Agent"])
            .record_fields(["x-a", "user-agent"])
            .on_exchange(move |exchange| {
                let fields = ["USER-AGENT", "x-a", "host"];
                let fields = fields.map(|name| {
                    exchange.field(name).map_or("-".to_owned(), |value| value.escape_ascii().to_string())
                });
                heard.lock().unwrap().push(fields.join(" "));
            });
        let server = start(model, server);
        let mut client = Client::connect(&server);
        // Each of two that are in progress at once has its own.
        client.send("GET / HTTP/1.1\r\nHost: h\r\nUser-Agent: one\r\nX-A: 1\r\n\r\n");
        client.send("GET /nowhere HTTP/1.1\r\nHost: h\r\nx-a: \u{ff}2\r\n\r\n");
        client.answer().expect(200, "hello");
        assert_eq!(client.answer().status, 404);
        client.get("/").expect(200, "hello");
        client.send("GET / HTTP/1.1\r\nUser-Agent: none\r\n\r\n");
        assert_eq!(client.answer().status, 400);
        client.until_closed();
        eventually("all are told of", || told.lock().unwrap().len() == 4);
        assert_eq!(*told.lock().unwrap(), ["one 1 -", "- \\xc3\\xbf2 -", "- - -", "- - -"], "{model}");
    }
}

#[test]
fn a_hook_that_panics_costs_its_line_and_nothing_else() {
    for model in MODELS {
        let app = Router::new().get("/", async |_: Request| "hello");
        let server = configured(app, |_, _| ())
            .on_exchange(|_| panic!("on purpose"))
            .own_answers(|_| -> &'static str { panic!("on purpose") });
        let server = start(model, server);
        let mut client = Client::connect(&server);
        for _ in 0..3 {
            client.get("/").expect(200, "hello");
        }
        client.get("/nowhere").expect(404, "404 Not Found\n");
    }
}

/// Words an answer with all that is known of it.
fn in_json(answer: &OwnAnswer<'_>) -> Response {
    let reason = answer.reject().map_or("-", Reject::reason);
    let (method, target) = (answer.method().unwrap_or("-"), answer.target().unwrap_or("-"));
    let body = format!("[{} {reason} {method} {target}] {}", answer.status().as_u16(), answer.text());
    Response::bytes("application/json", body).header("x-worded", "yes")
}

#[test]
fn the_servers_own_answers_are_worded_once_and_keep_their_fields() {
    for model in MODELS {
        let app = Router::new()
            .get("/", async |_: Request| "hello")
            .get("/panics", async |_: Request| -> &'static str { panic!("on purpose") })
            .get("/own", async |_: Request| Response::text("my own").status(StatusCode::NOT_FOUND))
            .post("/upload", async |_: Request| "taken")
            .wrap(async |req: Request, next: transom::Next| next.run(req).await.header("x-wrapped", "yes"));
        let server = start(model, configured(app, |limits, _| limits.body = 10).own_answers(in_json));
        let mut client = Client::connect(&server);
        client.get("/").expect(200, "hello");
        client.get("/own").expect(404, "my own");
        let answer = client.get("/nowhere?a=b");
        answer.expect(404, "[404 - GET /nowhere?a=b] 404 Not Found\n");
        assert_eq!(answer.header("content-type"), Some("application/json"));
        assert_eq!((answer.header("x-worded"), answer.header("x-wrapped")), (Some("yes"), Some("yes")));
        let answer = client.post("/", "");
        answer.expect(405, "[405 - POST /] 405 Method Not Allowed\n");
        assert_eq!(answer.header("allow"), Some("GET, HEAD"), "{model}");
        client.get("/panics").expect(500, "[500 - GET /panics] 500 Internal Server Error\n");
        let answer = client.post("/upload", "more than ten bytes");
        assert_eq!(answer.status, 413);
        assert!(answer.text().starts_with("[413 body-too-large POST /upload] 413 "), "{}", answer.text());
        assert!(answer.closes());
        drop(client);
        let mut client = Client::connect(&server);
        client.send("GET / HTTP/1.1\r\n\r\n");
        let answer = client.answer();
        assert!(answer.text().starts_with("[400 missing-host - -] 400 "), "{}", answer.text());
    }
}

#[test]
fn a_refused_connection_is_answered_in_the_programs_words_and_keeps_retry_after() {
    let app = Router::new().get("/", async |_: Request| "hello");
    let server = configured(app, |limits, _| limits.connections = 1).own_answers(in_json);
    let server = start(Model::EventDriven, server);
    let mut inside = Client::connect(&server);
    inside.get("/").expect(200, "hello");
    let answer = Client::connect(&server).answer();
    answer.expect(503, "[503 too-many-connections - -] 503 Service Unavailable\n");
    assert_eq!((answer.header("retry-after"), answer.header("x-worded")), (Some("1"), Some("yes")));
}

#[test]
fn an_answer_of_the_servers_own_can_become_a_426_that_offers_a_protocol() {
    for model in MODELS {
        let app = Router::new().get("/chat", async |_: Request| {
            Response::text("speak chat").status(StatusCode::UPGRADE_REQUIRED).header("upgrade", "chat")
        });
        let server = configured(app, |_, _| ()).own_answers(|_: &OwnAnswer<'_>| {
            Response::text("all here is chat").status(StatusCode::UPGRADE_REQUIRED).header("upgrade", "chat")
        });
        let server = start(model, server);
        let mut client = Client::connect(&server);
        for (path, text) in [("/chat", "speak chat"), ("/nowhere", "all here is chat")] {
            let answer = client.get(path);
            answer.expect(426, text);
            let fields = (answer.header("upgrade"), answer.header("connection"));
            assert_eq!(fields, (Some("chat"), Some("upgrade")), "{model} {path}");
        }
    }
}

#[test]
fn a_wording_that_is_a_stream_is_not_sent() {
    let server = configured(Router::new(), |_, _| ())
        .own_answers(|_| Response::new(StatusCode::OK).body(Body::channel().1));
    let server = start(Model::EventDriven, server);
    Client::connect(&server).get("/").expect(404, "404 Not Found\n");
}
