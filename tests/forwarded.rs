//! Requests through trusted proxies: the client, the scheme and the host that the proxies tell.

mod common;

const MODEL: Model = Model::EventDriven;

use std::sync::{Arc, Mutex};

use transom::{
    Exchange, Forwarded, Handle, Model, Network, OwnAnswer, Reject, Request, Responder, Response, Router,
    Server,
};

use common::{Client, Later, Logs, PATIENCE, Signal, configured, eventually};

#[cfg(target_os = "linux")]
const MODELS: &[Model] = &[Model::Sequential, Model::ThreadPerConnection, Model::EventDriven];
#[cfg(not(target_os = "linux"))]
const MODELS: &[Model] = &[Model::EventDriven];

/// Answers with what the server believes of a request, and with a field as it was sent.
fn app() -> Router {
    let told = |req: &Request| {
        let proxy = req.connection_peer().ip().map_or("nobody".into(), |address| address.to_string());
        let sent = req.header("x-forwarded-for").unwrap_or("-").to_owned();
        format!("{} {}://{} by {proxy}, {sent}", req.peer(), req.scheme(), req.host().unwrap_or("-"))
    };
    Router::new()
        .get("/", async move |req: Request| told(&req))
        .get("/copy", async move |req: Request| told(&req.clone_head()))
}

fn serve(model: Model, fields: Forwarded, trusted: &[&str], set: impl FnOnce(Server) -> Server) -> Handle {
    let networks: Vec<Network> = trusted.iter().map(|text| text.parse().unwrap()).collect();
    let server = configured(app(), |_, _| ()).model(model).workers(1).trust_forwarded(fields, networks);
    set(server).bind("127.0.0.1:0").unwrap().start().unwrap()
}

fn ask(client: &mut Client, path: &str, fields: &str) -> String {
    client.send(format!("GET {path} HTTP/1.1\r\nHost: h\r\n{fields}\r\n"));
    client.answer().text().to_owned()
}

#[test]
fn each_request_has_the_client_that_its_own_fields_name() {
    for &model in MODELS {
        let server = serve(model, Forwarded::x_forwarded(), &["127.0.0.1", "10.0.0.0/8"], |server| server);
        let client = &mut Client::connect(&server);
        let fields = "X-Forwarded-For: 1.1.1.1, 192.0.2.7, 10.0.0.9\r\nX-Forwarded-Proto: https\r\n";
        let told = "192.0.2.7 https://h by 127.0.0.1, 1.1.1.1, 192.0.2.7, 10.0.0.9";
        assert_eq!(ask(client, "/", fields), told, "{model}");
        assert_eq!(ask(client, "/copy", fields), told, "{model}");
        let own = ask(client, "/", "");
        assert!(own.starts_with("127.0.0.1:") && own.ends_with("http://h by 127.0.0.1, -"), "{model}: {own}");
        let other = ask(client, "/", "X-Forwarded-For: 2001:db8::7\r\nX-Forwarded-Host: evil\r\n");
        assert_eq!(other, "2001:db8::7 http://h by 127.0.0.1, 2001:db8::7", "{model}");
        let garbage = ask(client, "/", "X-Forwarded-For: 192.0.2.7, <script>\r\n");
        assert!(garbage.starts_with("127.0.0.1:"), "{model}: {garbage}");
    }
}

#[test]
fn rfc7239_names_the_client_and_the_host_if_the_server_asks_for_it() {
    for &model in MODELS {
        let fields = Forwarded::rfc7239().with_host();
        let server = serve(model, fields, &["127.0.0.1"], |server| server.allow_hosts(["a.example"]));
        let client = &mut Client::connect(&server);
        let forwarded = "Forwarded: for=\"[2001:db8::7]:4711\";proto=https;host=a.example\r\nX-Forwarded-For: 1.1.1.1\r\n";
        let told = "[2001:db8::7]:4711 https://a.example by 127.0.0.1, 1.1.1.1";
        assert_eq!(ask(client, "/", forwarded), told, "{model}");
        client.send("GET / HTTP/1.1\r\nHost: a.example\r\nForwarded: for=192.0.2.7;host=evil\r\n\r\n");
        assert_eq!(client.answer().status, 421, "{model}: the host that is believed is checked");
    }
}

#[test]
fn fields_of_a_client_that_is_not_trusted_are_only_fields() {
    for &model in MODELS {
        let trusted = &["10.0.0.0/8", "::1", "unix"];
        let server = serve(model, Forwarded::x_forwarded().with_host(), trusted, |server| server);
        let spoofed = "X-Forwarded-For: 192.0.2.7\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: evil\r\n";
        let told = ask(&mut Client::connect(&server), "/", spoofed);
        assert!(told.starts_with("127.0.0.1:"), "{model}: {told}");
        assert!(told.ends_with("http://h by 127.0.0.1, 192.0.2.7"), "{model}: {told}");
    }
}

/// Returns what a hook is told of the client of an exchange, with the scheme.
fn told_of(exchange: &Exchange<'_>) -> String {
    format!("told {} {}", exchange.peer(), exchange.scheme())
}

#[test]
fn hooks_and_the_log_tell_of_the_client_behind_the_proxy() {
    for &model in MODELS {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (told, worded) = (Arc::clone(&seen), Arc::clone(&seen));
        let server = serve(model, Forwarded::x_forwarded(), &["127.0.0.1"], |server| {
            server
                .allow_hosts(["h"])
                .on_exchange(move |exchange| told.lock().unwrap().push(told_of(exchange)))
                .own_answers(move |answer: &OwnAnswer<'_>| {
                    worded.lock().unwrap().push(format!("worded {}", answer.peer()));
                    "no"
                })
        });
        let number = match model {
            Model::Sequential => 1,
            Model::ThreadPerConnection => 2,
            _ => 3,
        };
        let mut first = Client::connect(&server);
        let https = "X-Forwarded-Proto: https\r\n";
        ask(&mut first, "/", &format!("X-Forwarded-For: 192.0.2.{number}\r\n{https}"));
        ask(&mut first, "/missing", &format!("X-Forwarded-For: 192.0.2.1{number}\r\n"));
        first.send(format!("GET / HTTP/1.1\r\nHost: other\r\nX-Forwarded-For: 192.0.2.2{number}\r\n\r\n"));
        assert_eq!(first.answer().status, 421, "{model}");
        drop(first);
        Logs::expect(&format!("refused a request of 192.0.2.2{number}: foreign-host"));
        // A record comes after its answer, and the next connection may have another thread.
        eventually("the records of the first connection", || seen.lock().unwrap().len() == 5);
        let client = &mut Client::connect(&server);
        ask(client, "/", &format!("X-Forwarded-For: 192.0.2.3{number}\r\n"));
        client.send("no request\r\n\r\n");
        assert_eq!(client.answer().status, 400, "{model}");
        client.expect_closed();
        server.stop(PATIENCE);
        let seen = seen.lock().unwrap();
        let last = seen.last().unwrap();
        assert!(
            last.starts_with("told 127.0.0.1:") && last.ends_with(" http"),
            "{model}: a head that is malformed tells of no client: {last}"
        );
        let expected = [
            format!("told 192.0.2.{number} https"),
            format!("worded 192.0.2.1{number}"),
            format!("told 192.0.2.1{number} http"),
            format!("worded 192.0.2.2{number}"),
            format!("told 192.0.2.2{number} http"),
            format!("told 192.0.2.3{number} http"),
        ];
        assert_eq!(seen[..6], expected, "{model}");
    }
}

#[test]
fn the_limit_for_one_address_counts_the_exchanges_of_the_client_behind_the_proxy() {
    for &model in MODELS.iter().filter(|&&model| model != Model::Sequential) {
        let held = Arc::new(Mutex::new(Vec::new()));
        let (holding, called) = (Arc::clone(&held), Signal::new());
        let calls = called.clone();
        let keep = Later(move |_: Request, responder: Responder| {
            holding.lock().unwrap().push(responder);
            calls.set();
        });
        let app = app().get("/held", keep);
        let server = configured(app, |limits, _| limits.connections_per_address = Some(1))
            .model(model)
            .trust_forwarded(Forwarded::x_forwarded(), ["127.0.0.1".parse().unwrap()])
            .bind("127.0.0.1:0")
            .unwrap()
            .start()
            .unwrap();
        // The connections of the proxy do not count, though they come from one address.
        let (mut waiting, mut other) = (Client::connect(&server), Client::connect(&server));
        waiting.send("GET /held HTTP/1.1\r\nHost: h\r\nX-Forwarded-For: 192.0.2.7\r\n\r\n");
        called.wait();
        assert!(ask(&mut other, "/", "X-Forwarded-For: 192.0.2.8\r\n").starts_with("192.0.2.8 "), "{model}");
        assert!(ask(&mut other, "/", "").starts_with("127.0.0.1:"), "{model}");
        other.send("GET / HTTP/1.1\r\nHost: h\r\nX-Forwarded-For: 192.0.2.7\r\n\r\n");
        let refused = other.answer();
        assert_eq!(refused.status, 503, "{model}");
        assert!(refused.header("retry-after").is_some() && refused.closes(), "{model}: {}", refused.head);
        assert_eq!(server.stats().refused(Reject::TooManyFromAddress), 1, "{model}");
        // The place is free again once the exchange has its answer, though its connection is kept.
        held.lock()
            .unwrap()
            .drain(..)
            .for_each(|responder| responder.send(Response::text("at last")).unwrap());
        waiting.answer().expect(200, "at last");
        let again = &mut Client::connect(&server);
        for _ in 0..3 {
            assert!(ask(again, "/", "X-Forwarded-For: 192.0.2.7\r\n").starts_with("192.0.2.7 "), "{model}");
        }
    }
}
