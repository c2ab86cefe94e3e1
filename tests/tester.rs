//! A router that answers without a socket, as a server of it would.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_lite::{FutureExt as _, stream};
use smol::block_on;
use transom::{
    Body, Error, Headers, Method, Next, Reject, Reply, Request, Response, Route, Router, StatusCode, Tester,
    blocking,
};

fn request(method: Method, target: &str) -> Request {
    Request::new(method, target).unwrap()
}

fn with_body(method: Method, target: &str, body: impl Into<Body>) -> Request {
    let mut request = request(method, target);
    *request.body_mut() = body.into();
    request
}

/// The status and the text of the answer.
fn answer(tester: &Tester, request: Request) -> (u16, String) {
    block_on(async {
        let response = tester.answer(request).await;
        let status = response.status_code().as_u16();
        let body = response.into_body().collect(1 << 20).await.unwrap();
        (status, String::from_utf8(body.to_vec()).unwrap())
    })
}

#[test]
fn a_tester_routes_as_a_server_does() {
    struct Greeting(&'static str);
    let tester = Router::new()
        .state(Greeting("hello"))
        .wrap(async |req: Request, next: Next| next.run(req).await.header("x-wrap", "1"))
        .get("/{name}", async |req: Request| format!("{} {}", req.state::<Greeting>().0, req.param("name")))
        .tester()
        .unwrap();
    assert_eq!(answer(&tester, request(Method::GET, "/you?x=1")), (200, "hello you".into()));
    assert_eq!(answer(&tester, request(Method::HEAD, "/you")), (200, String::new()));
    assert_eq!(answer(&tester, request(Method::GET, "/")), (404, "404 Not Found\n".into()));
    let refused = block_on(tester.answer(request(Method::POST, "/you")));
    assert_eq!(refused.status_code(), 405);
    assert_eq!(
        (refused.headers().get("allow"), refused.headers().get("x-wrap")),
        (Some("GET, HEAD"), Some("1"))
    );
    assert_eq!(answer(&tester, request(Method::OPTIONS, "*")).0, 204);
}

#[test]
fn a_tester_says_what_is_wrong_with_a_router() {
    let error = Router::new().get("no-slash", async |_: Request| "").tester().unwrap_err();
    assert!(matches!(error, Error::BadRoute { .. }), "{error}");
    let error = Router::new().state(1_u8).state(2_u8).tester().unwrap_err();
    assert_eq!(error.to_string(), "there is a state of type u8 already");
}

#[test]
fn a_tester_holds_bodies_to_their_limits() {
    let size = async |req: Request| req.bytes().len().to_string();
    let count = async |mut req: Request| {
        let mut total = 0;
        while let Some(chunk) = req.body_mut().chunk().await {
            total += chunk?.len();
        }
        Ok(total.to_string())
    };
    let whole = async |req: Request| req.bytes().len().to_string();
    let tester = Router::new()
        .body_limit(10)
        .post("/whole", size)
        .route(Route::new(Method::POST, "/stream", count).streaming())
        .route(Route::new(Method::POST, "/bytes", whole).streaming())
        .tester()
        .unwrap();
    let chunks = |count: usize| Body::stream(stream::iter((0..count).map(|_| Ok("12345".into()))));
    let too_large = Reject::BodyTooLarge.status().as_u16();
    for path in ["/whole", "/stream"] {
        assert_eq!(
            answer(&tester, with_body(Method::POST, path, "ten bytes.")),
            (200, "10".into()),
            "{path}"
        );
        assert_eq!(answer(&tester, with_body(Method::POST, path, chunks(2))), (200, "10".into()), "{path}");
        assert_eq!(answer(&tester, with_body(Method::POST, path, chunks(3))).0, too_large, "{path}");
        assert_eq!(answer(&tester, with_body(Method::POST, path, "eleven bytes")).0, too_large, "{path}");
        assert_eq!(answer(&tester, request(Method::POST, path)), (200, "0".into()), "{path}");
    }
    // A streamed body is not there whole, in a server either.
    assert_eq!(answer(&tester, with_body(Method::POST, "/bytes", "body")), (200, "0".into()));
}

#[test]
fn a_tester_answers_what_cannot_be_sent_with_a_500() {
    let tester = Router::new()
        .get("/panic", async |_: Request| -> &str { panic!("on purpose") })
        .get("/field", async |_: Request| Response::text("secret").header("x", "1\r\ny: 2"))
        .get("/status", async |_: Request| StatusCode::CONTINUE)
        .get("/upgrade", async |_: Request| Response::upgrade("echo", async |_| ()))
        .tester()
        .unwrap();
    for path in ["/panic", "/field", "/status", "/upgrade"] {
        let expected = (500, "500 Internal Server Error\n".to_owned());
        assert_eq!(answer(&tester, request(Method::GET, path)), expected, "{path}");
    }
    let mut upgrade = request(Method::GET, "/upgrade");
    upgrade.headers_mut().append("connection", "upgrade").unwrap();
    upgrade.headers_mut().append("upgrade", "echo").unwrap();
    assert_eq!(answer(&tester, upgrade).0, 101);
}

#[test]
fn a_tester_runs_handlers_that_block_or_wait() {
    let tester = Router::new()
        .get(
            "/blocking",
            blocking(|req: Request| {
                std::thread::sleep(Duration::from_millis(5));
                format!("blocked {}", req.path())
            }),
        )
        .get("/hints", async |req: Request| {
            req.early_hints(Headers::parse(b"link: </a>\n").unwrap())?;
            Ok("hinted")
        })
        .tester()
        .unwrap();
    assert_eq!(answer(&tester, request(Method::GET, "/blocking")), (200, "blocked /blocking".into()));
    assert_eq!(answer(&tester, request(Method::GET, "/hints")), (200, "hinted".into()));
}

#[test]
fn a_tester_answers_many_requests_at_once_on_any_thread() {
    let hits = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&hits);
    let tester = Router::new()
        .get("/", async move |_: Request| {
            smol::future::yield_now().await;
            count.fetch_add(1, Ordering::Relaxed).to_string()
        })
        .tester()
        .unwrap();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let both = async {
                    let one = tester.answer(request(Method::GET, "/")).boxed();
                    let two = tester.answer(request(Method::GET, "/")).boxed();
                    smol::future::zip(one, two).await
                };
                let (one, two) = block_on(both);
                assert_eq!((one.status_code().as_u16(), two.status_code().as_u16()), (200, 200));
            });
        }
    });
    assert_eq!(hits.load(Ordering::Relaxed), 8);
}

#[test]
fn a_reply_is_a_future_of_the_response() {
    let response = block_on(Reply::now("hello"));
    assert_eq!(response.body_ref().as_bytes(), Some(&b"hello"[..]));
    let response = block_on(Reply::future(async { Response::text("later") }));
    assert_eq!(response.body_ref().as_bytes(), Some(&b"later"[..]));
}
