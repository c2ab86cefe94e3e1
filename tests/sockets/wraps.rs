//! What runs around handlers, and what it covers.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_lite::AsyncWriteExt as _;
use transom::{
    Body, Headers, HttpError, Method, Next, Request, Responder, Response, Route, Router, StatusCode,
    Upgraded, Wrap, blocking,
};

use crate::common::{Answer, Client, Later, Logs, OnDrop, SHORT, Signal, start, start_with};

/// A wrap that adds its name to a field of the response, after those inside.
fn named(name: &'static str) -> impl Wrap {
    async move |req: Request, next: Next| next.run(req).await.append_header("x-wrap", name)
}

/// A wrap that says which route it is around.
async fn routed(req: Request, next: Next) -> Response {
    let route = next.route().unwrap_or("none").to_owned();
    next.run(req).await.header("x-route", route)
}

/// The names that wraps added, the innermost first.
fn names(answer: &Answer) -> Vec<&str> {
    answer.head.lines().filter_map(|line| line.strip_prefix("x-wrap: ")).collect()
}

#[test]
fn a_wrap_covers_the_whole_router_wherever_it_is_written() {
    let app = Router::new()
        .get("/before", async |_: Request| "before")
        .wrap(named("outer"))
        .wrap(named("inner"))
        .wrap(routed)
        .route(Route::new(Method::GET, "/after/{id}", async |_: Request| "after").wrap(named("own")));
    let server = start(app);
    let mut client = Client::connect(&server);
    let before = client.get("/before");
    before.expect(200, "before");
    assert_eq!((names(&before), before.header("x-route")), (vec!["inner", "outer"], Some("/before")));
    let after = client.get("/after/7");
    assert_eq!(
        (names(&after), after.header("x-route")),
        (vec!["own", "inner", "outer"], Some("/after/{id}"))
    );
    for (answer, status) in [(client.get("/nowhere"), 404), (client.post("/after/7", "body"), 405)] {
        assert_eq!(answer.status, status);
        assert_eq!((names(&answer), answer.header("x-route")), (vec!["inner", "outer"], Some("none")));
        assert_eq!(answer.header("allow"), (status == 405).then_some("GET, HEAD"));
    }
    client.send("OPTIONS * HTTP/1.1\r\nhost: h\r\n\r\n");
    let options = client.answer();
    assert_eq!((options.status, names(&options)), (204, vec!["inner", "outer"]));
}

#[test]
fn a_wrap_covers_the_fallback() {
    let app = Router::new()
        .fallback(async |_: Request| (StatusCode::NOT_FOUND, "the fallback"))
        .wrap(named("a"))
        .wrap(routed);
    let server = start(app);
    let answer = Client::connect(&server).get("/any");
    answer.expect(404, "the fallback");
    assert_eq!((names(&answer), answer.header("x-route")), (vec!["a"], Some("none")));
}

#[test]
fn what_the_router_answers_under_a_wrap_takes_a_body_of_any_length() {
    let app = Router::new().get("/", async |_: Request| "").wrap(named("a"));
    let server = start_with(app, |limits, _| limits.body = 10);
    for path in ["/nowhere", "/"] {
        let mut client = Client::connect(&server);
        let answer = client.post(path, "x".repeat(1000));
        assert_eq!(answer.status, if path == "/" { 405 } else { 404 });
        client.get("/").expect(200, "");
    }
}

#[test]
fn a_wrap_may_answer_by_itself() {
    let reached = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&reached);
    let guard = async |req: Request, next: Next| {
        if next.route().is_some() && req.header("authorization").is_none() {
            return Err(HttpError::unauthorized("who are you?"));
        }
        Ok(next.run(req).await)
    };
    let app = Router::new()
        .wrap(guard)
        .get("/", async move |_: Request| count.fetch_add(1, Ordering::Relaxed).to_string());
    let server = start(app);
    let mut client = Client::connect(&server);
    client.get("/").expect(401, "who are you?\n");
    assert_eq!(client.get("/nowhere").status, 404, "a 404 is not turned into a 401");
    client.send("GET / HTTP/1.1\r\nhost: h\r\nauthorization: me\r\n\r\n");
    client.answer().expect(200, "0");
    assert_eq!(reached.load(Ordering::Relaxed), 1);
}

#[test]
fn a_wrap_hands_values_to_the_handler() {
    struct User(String);
    let identify = async |mut req: Request, next: Next| {
        assert!(req.set(User("nobody".into())).is_none());
        let old = req.set(User(req.param("name").to_owned()));
        assert_eq!(old.map(|user| user.0).as_deref(), Some("nobody"));
        next.run(req).await
    };
    let app = Router::new()
        .route(
            Route::new(Method::GET, "/values/{name}", async |req: Request| {
                req.get::<User>().map_or_else(String::new, |user| user.0.clone())
            })
            .wrap(identify),
        )
        .get("/none", async |req: Request| req.get::<User>().is_none().to_string());
    let server = start(app);
    let mut client = Client::connect(&server);
    client.get("/values/ada").expect(200, "ada");
    client.get("/none").expect(200, "true");
}

#[test]
fn a_panic_in_a_wrap_is_a_500_and_a_log_line_like_a_handler_s() {
    let app = Router::new()
        .wrap(named("outer"))
        .wrap(async |req: Request, next: Next| -> Response {
            assert!(req.query().is_none(), "a wrap fell over");
            let response = next.run(req).await;
            assert!(response.status_code() != 201, "a wrap fell over afterwards");
            response
        })
        .get("/wrap-panic", async |_: Request| StatusCode::CREATED)
        .get("/handler-panic", async |_: Request| -> &str { panic!("inside two wraps") });
    let server = start(app);
    let mut client = Client::connect(&server);
    for (path, line) in [
        ("/wrap-panic?now", "a wrap fell over (GET /wrap-panic, route /wrap-panic)"),
        ("/wrap-panic", "a wrap fell over afterwards"),
        ("/handler-panic", "inside two wraps (GET /handler-panic, route /handler-panic)"),
    ] {
        let answer = client.get(path);
        answer.expect(500, "500 Internal Server Error\n");
        assert_eq!(names(&answer), ["outer"], "{path}");
        Logs::expect(line);
    }
}

#[test]
fn a_failure_whose_response_a_wrap_replaces_is_logged_all_the_same() {
    let app = Router::new()
        .wrap(async |req: Request, next: Next| {
            next.run(req).await;
            "all is well"
        })
        .get("/", async |_: Request| -> &str { panic!("hidden by a wrap") });
    let server = start(app);
    Client::connect(&server).get("/").expect(200, "all is well");
    Logs::expect("ERROR a handler panicked: hidden by a wrap");
}

#[test]
fn a_wrap_works_over_handlers_that_block_or_answer_later() {
    let later = Later(|_: Request, responder: Responder| {
        std::thread::spawn(move || responder.send(Response::text("at last")));
    });
    let app = Router::new()
        .wrap(named("a"))
        .wrap(named("b"))
        .get(
            "/blocking",
            blocking(|_: Request| {
                std::thread::sleep(Duration::from_millis(5));
                "blocked"
            }),
        )
        .get("/later", later);
    let server = start(app);
    let mut client = Client::connect(&server);
    let answer = client.get("/blocking");
    answer.expect(200, "blocked");
    assert_eq!(names(&answer), ["b", "a"]);
    let answer = client.get("/later");
    answer.expect(200, "at last");
    assert_eq!(names(&answer), ["b", "a"]);
}

#[test]
fn a_wrap_works_over_bodies_that_stream_both_ways() {
    let upload = async |mut req: Request| {
        let mut total = 0;
        while let Some(chunk) = req.body_mut().chunk().await {
            total += chunk?.len();
        }
        Ok(total.to_string())
    };
    let app = Router::new().wrap(named("a")).route(Route::new(Method::POST, "/up", upload).streaming()).get(
        "/down",
        async |_: Request| {
            let pieces = futures_lite::stream::iter(["one ", "two"].map(|piece| Ok(piece.into())));
            Response::bytes("text/plain", Body::stream(pieces))
        },
    );
    let server = start(app);
    let mut client = Client::connect(&server);
    let answer = client.post("/up", vec![b'x'; 300_000]);
    answer.expect(200, "300000");
    assert_eq!(names(&answer), ["a"]);
    let answer = client.get("/down");
    answer.expect(200, "one two");
    assert_eq!(names(&answer), ["a"]);
}

#[test]
fn a_wrap_works_over_head_and_early_hints() {
    let app = Router::new()
        .wrap(async |req: Request, next: Next| {
            req.early_hints(Headers::parse(b"x-of: wrap\n").unwrap()).unwrap();
            next.run(req).await.header("x-wrap", "a")
        })
        .get("/", async |req: Request| {
            req.early_hints(Headers::parse(b"x-of: handler\n").unwrap()).unwrap();
            "body"
        });
    let server = start(app);
    let mut client = Client::connect(&server);
    client.send("HEAD / HTTP/1.1\r\nhost: h\r\n\r\n");
    for of in ["wrap", "handler"] {
        let hint = client.head();
        assert_eq!((hint.status, hint.header("x-of")), (103, Some(of)));
    }
    let answer = client.head();
    assert_eq!((answer.status, answer.header("content-length"), names(&answer)), (200, Some("4"), vec!["a"]));
    client.get("/nowhere");
}

#[test]
fn a_wrap_works_over_an_upgrade() {
    let app = Router::new().wrap(named("a")).get("/", async |_: Request| {
        Response::upgrade("echo", async |mut stream: Upgraded| {
            stream.write_all(b"welcome").await.ok();
            stream.close().await.ok();
        })
    });
    let server = start(app);
    let mut client = Client::connect(&server);
    client.send("GET / HTTP/1.1\r\nhost: h\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\n");
    let answer = client.head();
    assert_eq!((answer.status, names(&answer)), (101, vec!["a"]));
    assert_eq!(client.take(7).unwrap(), b"welcome");
}

#[test]
fn a_wrap_learns_that_the_client_has_left() {
    not_in!(Sequential: "a client that left is noticed when its answer is written");
    let (started, left) = (Signal::new(), Signal::new());
    let (inside, seen) = (started.clone(), left.clone());
    let app = Router::new().wrap(named("a")).get("/", async move |req: Request| {
        inside.set();
        while !req.is_client_gone() {
            transom::sleep(Duration::from_millis(1)).await;
        }
        seen.set();
        "in vain"
    });
    let server = start(app);
    let mut client = Client::connect(&server);
    client.request("/");
    started.wait();
    drop(client);
    left.wait();
}

#[test]
fn a_deadline_that_passes_drops_the_wrap_and_the_handler_in_it() {
    let (outer, inner) = (Signal::new(), Signal::new());
    let (outer_dropped, inner_dropped) = (outer.clone(), inner.clone());
    let app = Router::new()
        .wrap(async move |req: Request, next: Next| {
            let _dropped = OnDrop(outer_dropped);
            next.run(req).await
        })
        .get("/", async move |_: Request| -> &str {
            let _dropped = OnDrop(inner_dropped);
            std::future::pending().await
        });
    let server = start_with(app, |_, timeouts| timeouts.handler = Some(SHORT));
    assert_eq!(Client::connect(&server).get("/").status, 503);
    outer.wait();
    inner.wait();
}
