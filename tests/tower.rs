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
use transom::{Body, Headers, Method, Model, Next, Peer, Request, Response, Router, blocking, tower_service};

use common::{Client, Logs, start};

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
