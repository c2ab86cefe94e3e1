//! Tower services as handlers, and routers as tower services, without a tokio runtime.
#![cfg(feature = "tower")]

mod common;

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;

use axum::Json;
use axum::body::{Body as AxumBody, Bytes};
use axum::extract::{Path, Query, State};
use axum::response::IntoResponse;
use axum::routing::{get, post};
use futures_lite::{StreamExt as _, future, stream};
use tower_http::compression::CompressionLayer;
use tower_http::cors::CorsLayer;
use tower_service::Service;
use transom::{
    Body, Headers, Method, Model, Next, Peer, Request, Response, Route, Router, blocking, tower_service,
};

use common::{Client, Logs, SHORT, start, start_with};

const MODEL: Model = Model::EventDriven;

/// An axum application as anybody would write it.
fn axum_app(hits: Arc<AtomicUsize>) -> axum::Router {
    axum::Router::new()
        .route("/users/{id}", get(async |Path(id): Path<u32>| format!("user {id}")))
        .route("/search", get(async |Query(query): Query<HashMap<String, String>>| Json(query)))
        .route(
            "/hits",
            get(async |State(hits): State<Arc<AtomicUsize>>| {
                hits.fetch_add(1, Ordering::Relaxed).to_string()
            }),
        )
        .route("/upload", post(async |body: Bytes| body.len().to_string()))
        .route("/echo", post(async |body: AxumBody| body))
        .route("/large", get(async || "transom ".repeat(2000)))
        .route(
            "/stream",
            get(async || {
                let chunks = stream::iter(["one ", "two"]).map(Ok::<_, io::Error>);
                AxumBody::from_stream(chunks)
            }),
        )
        .route(
            "/peer",
            get(async |request: axum::extract::Request| {
                let is_tcp = matches!(request.extensions().get(), Some(Peer::Tcp(_)));
                is_tcp.to_string().into_response()
            }),
        )
        .layer(CompressionLayer::new())
        .layer(CorsLayer::permissive())
        .with_state(hits)
}

fn served() -> transom::Handle {
    let app = axum_app(Arc::default());
    start(
        Router::new()
            .get("/own", async |_: Request| "own")
            .group(Router::new().streaming().any("/{*path}", tower_service(app))),
    )
}

#[test]
fn an_axum_router_is_a_handler() {
    let server = served();
    let mut client = Client::connect(&server);
    client.get("/own").expect(200, "own");
    client.get("/users/7").expect(200, "user 7");
    assert_eq!(client.get("/users/x").status, 400);
    client.get("/search?a=b").expect(200, r#"{"a":"b"}"#);
    client.get("/hits").expect(200, "0");
    client.get("/hits").expect(200, "1");
    client.get("/stream").expect(200, "one two");
    client.get("/peer").expect(200, "true");
    assert_eq!(client.get("/nowhere").status, 404);
    assert_eq!(client.post("/users/7", "").status, 405);
    client.post("/upload", vec![b'x'; 1_000_000]).expect(200, "1000000");
    client.post("/echo", "there and back").expect(200, "there and back");
    client.send("HEAD /users/7 HTTP/1.1\r\nhost: h\r\n\r\n");
    let head = client.head();
    assert_eq!((head.status, head.header("content-length")), (200, Some("6")));
    client.get("/hits").expect(200, "2");
}

#[test]
fn the_layers_of_tower_http_work() {
    let server = served();
    let mut client = Client::connect(&server);
    client.send("OPTIONS /users/7 HTTP/1.1\r\nhost: h\r\norigin: http://a\r\naccess-control-request-method: GET\r\n\r\n");
    let preflight = client.answer();
    assert_eq!((preflight.status, preflight.header("access-control-allow-origin")), (200, Some("*")));
    client.send("GET /large HTTP/1.1\r\nhost: h\r\naccept-encoding: gzip\r\n\r\n");
    let answer = client.answer();
    assert_eq!((answer.status, answer.header("content-encoding")), (200, Some("gzip")));
    assert!(answer.body.len() < 1000 && answer.body.starts_with(&[0x1f, 0x8b]));
    client.get("/large").expect(200, &"transom ".repeat(2000));
}

/// A service that fails, or is not ready at once.
#[derive(Clone)]
struct Moody {
    polls: usize,
}

impl Service<http::Request<Body>> for Moody {
    type Response = http::Response<Body>;
    type Error = io::Error;
    type Future = future::Boxed<io::Result<Self::Response>>;

    fn poll_ready(&mut self, cx: &mut std::task::Context<'_>) -> Poll<io::Result<()>> {
        self.polls += 1;
        if self.polls == 1 {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let polls = self.polls;
        Box::pin(async move {
            match request.uri().path() {
                "/moody/fails" => Err(io::Error::other("in a bad mood")),
                "/moody/trailers" => {
                    let chunks = stream::iter(["data"]).map(|chunk| Ok(chunk.into()));
                    let trailers = || Headers::parse(b"x-sum: 1\n").unwrap();
                    Ok(http::Response::new(Body::stream(chunks).with_trailers(trailers)))
                }
                _ => Ok(http::Response::new(format!("{polls} polls").into())),
            }
        })
    }
}

#[test]
fn a_service_is_waited_for_and_its_error_is_a_500() {
    let server = start(Router::new().any("/moody/{*path}", tower_service(Moody { polls: 0 })));
    let mut client = Client::connect(&server);
    client.get("/moody/ready").expect(200, "2 polls");
    client.get("/moody/fails").expect(500, "500 Internal Server Error\n");
    Logs::expect("ERROR a handler answered 500: in a bad mood (GET /moody/fails");
    client.send("GET /moody/trailers HTTP/1.1\r\nhost: h\r\nte: trailers\r\n\r\n");
    let head = client.head();
    assert_eq!((head.status, head.header("transfer-encoding")), (200, Some("chunked")));
    let rest = b"4\r\ndata\r\n0\r\nx-sum: 1\r\n\r\n";
    assert_eq!(client.take(rest.len()).unwrap(), rest);
}

#[test]
fn a_router_is_a_tower_service() {
    #[derive(Clone)]
    struct Tenant(&'static str);
    let inner = Router::new()
        .wrap(async |req: Request, next: Next| next.run(req).await.header("x-wrap", "1"))
        .get("/hello/{name}", async |req: Request| {
            let tenant = req.get::<http::Extensions>().and_then(|extensions| extensions.get::<Tenant>());
            format!("{} of {}", req.param("name"), tenant.map_or("nobody", |tenant| tenant.0))
        })
        .post("/count", blocking(|req: Request| req.bytes().len().to_string()))
        .get("/upgrade", async |_: Request| Response::upgrade("echo", async |_| ()))
        .into_tower_service()
        .unwrap();
    // In an axum router, as any other service.
    let mut service = axum::Router::new().fallback_service(inner).with_state(());
    let mut ask = |method: Method, path: &str, body: AxumBody| {
        let mut request = http::Request::builder().method(method).uri(path).body(body).unwrap();
        request.headers_mut().insert("upgrade", "echo".parse().unwrap());
        request.extensions_mut().insert(Tenant("acme"));
        smol::block_on(async {
            let response = service.call(request).await.unwrap();
            let (parts, body) = response.into_parts();
            let text = axum::body::to_bytes(body, 1 << 20).await.unwrap();
            assert_eq!(parts.headers.contains_key("x-wrap"), parts.status != 500);
            (parts.status.as_u16(), String::from_utf8(text.to_vec()).unwrap())
        })
    };
    assert_eq!(ask(Method::GET, "/hello/you?x", AxumBody::empty()), (200, "you of acme".into()));
    assert_eq!(ask(Method::POST, "/count", AxumBody::from("12345")), (200, "5".into()));
    let chunks = stream::iter(["123", "45"]).map(Ok::<_, io::Error>);
    assert_eq!(ask(Method::POST, "/count", AxumBody::from_stream(chunks)), (200, "5".into()));
    assert_eq!(ask(Method::GET, "/nowhere", AxumBody::empty()).0, 404);
    assert_eq!(ask(Method::GET, "/upgrade", AxumBody::empty()).0, 500);
}

#[test]
fn more_fields_than_a_header_map_holds_are_a_431() {
    let axum = axum::Router::new().route("/", get(async || "x")).with_state(());
    let server = start_with(Router::new().any("/{*path}", tower_service(axum)), |limits, _| {
        (limits.headers, limits.head) = (100_000, 4 << 20);
    });
    let fields = "x: 1\r\n".repeat(40_000);
    let mut client = Client::connect(&server);
    client.send(format!("GET / HTTP/1.1\r\nhost: h\r\n{fields}\r\n"));
    assert_eq!(client.answer().status, 431);
}

#[test]
fn a_service_that_is_never_ready_ends_at_the_deadline() {
    #[derive(Clone)]
    struct Busy;
    impl Service<http::Request<Body>> for Busy {
        type Response = http::Response<Body>;
        type Error = io::Error;
        type Future = future::Ready<io::Result<http::Response<Body>>>;

        fn poll_ready(&mut self, _: &mut std::task::Context<'_>) -> Poll<io::Result<()>> {
            Poll::Pending
        }

        fn call(&mut self, _: http::Request<Body>) -> Self::Future {
            future::ready(Err(io::Error::other("called before it was ready")))
        }
    }
    let server = start_with(Router::new().any("/{*path}", tower_service(Busy)), |_, times| {
        times.handler = Some(SHORT);
    });
    assert_eq!(Client::connect(&server).get("/").status, 503);
}

#[test]
fn a_router_as_a_service_keeps_trailers_and_tells_a_broken_body_from_a_long_one() {
    let mut service = Router::new()
        .post("/whole", async |mut req: Request| format!("{:?}", req.body_mut().take_trailers()))
        .route(
            Route::new(Method::POST, "/stream", async |mut req: Request| {
                while let Some(chunk) = req.body_mut().chunk().await {
                    chunk?;
                }
                Ok(format!("{:?}", req.body_mut().take_trailers()))
            })
            .streaming(),
        )
        .into_tower_service()
        .unwrap();
    let mut ask = |path: &str, body: Body| {
        let request = http::Request::builder().method(Method::POST).uri(path).body(body).unwrap();
        smol::block_on(service.call(request)).unwrap()
    };
    for path in ["/whole", "/stream"] {
        let trailers = || Headers::parse(b"x-sum: 1\n").unwrap();
        let body = Body::stream(stream::iter([Ok("a".into())])).with_trailers(trailers);
        let answer = ask(path, body).into_body();
        assert_eq!(answer.as_bytes(), Some(&br#"{"x-sum": "1"}"#[..]), "{path}");
    }
    for path in ["/whole", "/stream"] {
        let broken = Body::stream(stream::iter([Ok("a".into()), Err(io::Error::other("gone"))]));
        assert_eq!(ask(path, broken).status(), 400, "{path}");
    }
    let long = Body::stream(stream::repeat(Bytes::from(vec![0; 1 << 20])).map(Ok));
    assert_eq!(ask("/whole", long).status(), 413);
}

#[test]
fn rfc9110_7_6_1_a_router_as_a_service_sends_no_field_of_a_connection() {
    let mut service = Router::new()
        .get("/", async |_: Request| {
            Response::text("hello")
                .header("transfer-encoding", "gzip")
                .header("connection", "x-a")
                .header("x-a", "1")
        })
        .into_tower_service()
        .unwrap();
    let answer = smol::block_on(service.call(http::Request::new(Body::empty()))).unwrap();
    let names: Vec<_> = answer.headers().keys().map(http::HeaderName::as_str).collect();
    assert_eq!(names, ["content-type", "x-a"]);
}

#[test]
fn the_size_hint_of_a_body_is_what_is_left() {
    let mut body = Body::sized_stream(4, stream::iter([Ok("aaa".into()), Ok("b".into())]));
    smol::block_on(body.chunk()).unwrap().unwrap();
    assert_eq!(http_body::Body::size_hint(&body).exact(), Some(1));
}
