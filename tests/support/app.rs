//! The application that the corpus is played against, in a few configurations.

use std::io;
use std::time::Duration;

use smol::future::yield_now;
use smol::io::{AsyncReadExt, AsyncWriteExt};
use smol::stream::{self, StreamExt};
use transom::{
    Body, Bytes, Context, Handler, Headers, IntoResponse, Limits, Method, Reply, Request, Response, Route,
    Router, Server, Service, StatusCode, Timeouts, Upgraded, Version,
};

/// Returns a service in a named configuration.
pub fn service(config: &str) -> Option<Service> {
    server(config)?.service().ok()
}

/// Returns a server in a named configuration, without a listener.
pub fn server(config: &str) -> Option<Server> {
    let mut limits = Limits::default();
    match config {
        "default" => {}
        // Every limit is so low that a short case reaches it.
        "tight" => {
            limits.target = 64;
            limits.head = 512;
            limits.headers = 8;
            limits.body = 64;
            limits.chunk_extensions = 16;
            limits.trailers = 32;
            limits.drain = 32;
        }
        // The output waits for the client at every step.
        "trickle" => limits.output = 1,
        _ => return None,
    }
    // No case of the corpus depends on time.
    let mut timeouts = Timeouts::default();
    (timeouts.head, timeouts.idle, timeouts.body) = (None, None, None);
    (timeouts.write, timeouts.handler) = (None, None);
    timeouts.drain = Some(Duration::from_secs(600));
    limits.head_rate = 0;
    Some(Server::new(app()).limits(limits).timeouts(timeouts))
}

fn app() -> Router {
    [requests, bodies, answers, own_fields, more_than_answers, faults]
        .into_iter()
        .fold(Router::new(), |app, add| add(app))
}

/// Routes that return the request.
fn requests(app: Router) -> Router {
    app.any("/headers", async |req: Request| plain(fields(req.headers())))
        .any("/request", async |req: Request| {
            let host = req.host().unwrap_or("none");
            let query = req.query().unwrap_or("none");
            let version = if req.version() == Version::HTTP_10 { "1.0" } else { "1.1" };
            plain(format!("{} {} ? {query} of {host} in {version}", req.method(), req.path()))
        })
        .get("/items/{name}", async |req: Request| plain(req.param("name").to_owned()))
        .get("/files/{*path}", async |req: Request| plain(req.param("path").to_owned()))
}

/// Routes that read the body, or do not.
fn bodies(app: Router) -> Router {
    let echo = async |req: Request| plain(req.into_body());
    let count = async |mut req: Request| {
        let mut total = 0;
        while let Some(chunk) = req.body_mut().chunk().await {
            match chunk {
                Ok(chunk) => total += chunk.len(),
                Err(_) => return plain("cut short"),
            }
        }
        plain(total.to_string())
    };
    let some = async |mut req: Request| {
        let _ = req.body_mut().chunk().await;
        plain("some")
    };
    let trailers = async |mut req: Request| {
        while let Some(Ok(_)) = req.body_mut().chunk().await {}
        plain(fields(&req.body_mut().take_trailers()))
    };
    app.post("/echo", echo)
        .put("/echo", echo)
        .route(Route::new(Method::POST, "/echo/small", echo).body_limit(8))
        .route(Route::new(Method::POST, "/stream", echo).streaming())
        .route(Route::new(Method::POST, "/count", count).streaming())
        .route(Route::new(Method::POST, "/count/small", count).streaming().body_limit(8))
        .post("/trailers", trailers)
        .route(Route::new(Method::POST, "/trailers/streamed", trailers).streaming())
        .route(Route::new(Method::POST, "/some", some).streaming())
        .route(Route::any("/through", echo).streaming())
        .route(Route::new(Method::POST, "/unread", async |_: Request| plain("unread")).streaming())
}

/// Routes that answer in each way that a handler may.
fn answers(app: Router) -> Router {
    app.get("/plain", async |_: Request| plain("hello"))
        .get("/next", async |_: Request| plain("next"))
        .get("/slow", async |_: Request| {
            for _ in 0..5 {
                yield_now().await;
            }
            plain("slow")
        })
        .get("/large", async |_: Request| plain(vec![b'x'; 40_000]))
        .get("/chunked", async |_: Request| chunks(["a", "bb", "ccc"]))
        .get("/chunked/slow", async |_: Request| {
            let slow = stream::iter(["a", "bb"]).then(async |chunk| {
                yield_now().await;
                Ok(Bytes::from(chunk))
            });
            Response::stream("text/plain", Box::pin(slow))
        })
        .get("/chunked/large", async |_: Request| chunks([vec![b'x'; 20_000], vec![b'y'; 300]]))
        .get("/chunked/blank", async |_: Request| chunks(["", "a", "", "b", ""]))
        .get("/chunked/empty", async |_: Request| chunks::<&str>([]))
        .get("/sized", async |_: Request| sized(5, "hello"))
        .get("/empty", async |_: Request| StatusCode::NO_CONTENT)
        .get("/empty/full", async |_: Request| {
            plain("hello").status(StatusCode::NO_CONTENT).header("content-length", "5")
        })
        .get("/reset", async |_: Request| plain("hello").status(StatusCode::RESET_CONTENT))
        .get("/same", async |_: Request| {
            plain("hello").status(StatusCode::NOT_MODIFIED).header("etag", "\"1\"")
        })
        .get("/same/all", async |_: Request| {
            plain("hello")
                .header("ETag", "\"1\"")
                .header("Last-Modified", "Sun, 06 Nov 1994 08:49:37 GMT")
                .header("Cache-Control", "no-cache")
                .header("Content-Location", "/other")
                .header("Expires", "0")
                .header("Vary", "accept")
                .header("Content-Encoding", "gzip")
                .header("Content-Language", "de")
                .header("Content-Range", "bytes 0-4/5")
                .header("X-A", "1")
                .status(StatusCode::NOT_MODIFIED)
        })
        .get("/same/type", async |_: Request| {
            plain("hello").status(StatusCode::NOT_MODIFIED).header("content-type", "text/html")
        })
        .get("/large/content", async |_: Request| StatusCode::PAYLOAD_TOO_LARGE)
        .get("/unprocessable", async |_: Request| StatusCode::UNPROCESSABLE_ENTITY)
        .get("/same/length", async |_: Request| {
            Response::new(StatusCode::NOT_MODIFIED).header("content-length", "5")
        })
        .get("/created", async |_: Request| {
            plain("made").status(StatusCode::CREATED).header("location", "/made")
        })
        .get("/unnamed", async |_: Request| plain("what").status(StatusCode::from_u16(299).unwrap()))
        .get("/cookies", async |_: Request| {
            plain("hello")
                .header("set-cookie", "a=1")
                .header("Set-Cookie", "b=2")
                .append_header("set-cookie", "c=3")
        })
        .get("/twice", async |_: Request| {
            plain("hello")
                .header("x-a", "1")
                .header("X-A", "2")
                .append_header("vary", "accept")
                .append_header("vary", "origin")
        })
        .head("/head/empty", async |_: Request| Response::new(StatusCode::OK))
        .head("/head/length", async |_: Request| Response::new(StatusCode::OK).header("content-length", "0"))
        .head("/head/text", async |_: Request| plain("hello"))
        .any("/any/empty", async |_: Request| Response::new(StatusCode::OK))
}

/// Routes that set fields which the server writes itself.
fn own_fields(app: Router) -> Router {
    app.get("/own/date", async |_: Request| plain("hello").header("Date", "Sun, 06 Nov 1994 08:49:37 GMT"))
        .get("/own/close", async |_: Request| plain("hello").header("Connection", "close"))
        .get("/own/connection", async |_: Request| {
            plain("hello")
                .header("Connection", "keep-alive, Upgrade")
                .header("Keep-Alive", "timeout=5")
                .header("Upgrade", "h2c")
                .header("Proxy-Connection", "keep-alive")
                .header("Trailer", "x")
                .header("TE", "trailers")
        })
        .get("/own/connection/close", async |_: Request| plain("hello").header("Connection", "x-a, close"))
        .get("/own/upgrade", async |_: Request| {
            plain("no")
                .status(StatusCode::UPGRADE_REQUIRED)
                .header("Upgrade", "repeat")
                .header("Connection", "Upgrade")
        })
        .get("/own/trailer", async |_: Request| trailing(stream::iter(["a"])).header("Trailer", "x-sum"))
        .get("/own/trailer/sized", async |_: Request| {
            trailing(stream::iter(["a"])).header("Trailer", "x-sum").header("content-length", "1")
        })
        .get("/own/length/none", async |_: Request| {
            Response::new(StatusCode::NO_CONTENT).header("content-length", "0")
        })
        .get("/own/coding", async |_: Request| plain("hello").header("Transfer-Encoding", "gzip, chunked"))
        .get("/own/head", async |req: Request| plain(req.method().to_string()))
        .head("/own/head", async |_: Request| {
            plain("").header("x-method", "HEAD").header("content-length", "7")
        })
}

/// Routes that do more than answer.
fn more_than_answers(app: Router) -> Router {
    app.get("/hints", async |req: Request| {
        req.early_hints(hint()).unwrap();
        yield_now().await;
        req.early_hints(hint()).unwrap();
        plain("hello")
    })
    .get("/hints/late", async |req: Request| {
        // After the head of the answer a hint is too late.
        let late = stream::iter(["a", "b"]).map(move |chunk| {
            let _ = req.early_hints(hint());
            Ok(chunk.into())
        });
        Response::stream("text/plain", late)
    })
    .get("/trailers/sent", async |_: Request| {
        let text = b"x-sum: 1\ncontent-length: 5\nhost: evil\netag: \"1\"\n";
        let chunks = stream::iter(["a", "bb"]).map(|chunk| Ok(chunk.into()));
        plain(Body::stream(chunks).with_trailers(|| Headers::parse(text).unwrap()))
    })
    .get("/upgrade", async |_: Request| Response::upgrade("repeat", repeat).header("x-a", "1"))
    .get("/upgrade/own", async |_: Request| {
        Response::upgrade("repeat", repeat)
            .header("Connection", "Upgrade")
            .header("Upgrade", "repeat")
            .header("Content-Length", "5")
    })
    .post("/upgrade", async |_: Request| Response::upgrade("repeat", repeat))
    .route(
        Route::new(Method::POST, "/upgrade/unread", async |_: Request| Response::upgrade("repeat", repeat))
            .streaming(),
    )
}

fn hint() -> Headers {
    Headers::parse(b"link: </style.css>\ncontent-length: 5\nkeep-alive: timeout=5\n").unwrap()
}

/// Returns a body with a trailer field.
fn trailing(chunks: impl stream::Stream<Item = &'static str> + Send + 'static) -> Response {
    let chunks = chunks.map(|chunk| Ok(chunk.into()));
    plain(Body::stream(chunks).with_trailers(|| Headers::parse(b"x-sum: 1\n").unwrap()))
}

/// Speaks the protocol `repeat`: returns each byte until a full stop.
async fn repeat(mut stream: Upgraded) {
    let mut byte = [0];
    while stream.read_exact(&mut byte).await.is_ok() {
        if stream.write_all(&byte).await.is_err() || byte == *b"." {
            return;
        }
    }
}

/// Routes whose handlers do what they should not do.
fn faults(app: Router) -> Router {
    app.get("/length/long", async |_: Request| plain("hello").header("Content-Length", "10"))
        .get("/length/short", async |_: Request| plain("hello").header("Content-Length", "3"))
        .get("/length/none", async |_: Request| plain("hello").header("Content-Length", "0"))
        .get("/length/word", async |_: Request| plain("hello").header("Content-Length", "five"))
        .get("/length/stream/long", async |_: Request| sized(10, "hello"))
        .get("/length/stream/short", async |_: Request| sized(3, "hello"))
        .get("/length/stream/own", async |_: Request| chunks(["he", "llo"]).header("Content-Length", "5"))
        .get("/bad/value", async |_: Request| plain("hello").header("x-a", "1\r\nx-b: 2"))
        .get("/bad/name", async |_: Request| plain("hello").header("x a", "1"))
        .get("/bad/nul", async |_: Request| plain("hello").header("x-a", "1\0"))
        .get("/bad/type", async |_: Request| Response::bytes("text/plain\r\nx-b: 2", "hello"))
        .get("/bad/status", async |_: Request| StatusCode::PROCESSING)
        .get("/bad/status/high", async |_: Request| plain("hello").status(StatusCode::from_u16(600).unwrap()))
        .get("/bad/status/highest", async |_: Request| StatusCode::from_u16(999).unwrap())
        .get("/bad/switch", async |_: Request| StatusCode::SWITCHING_PROTOCOLS)
        .get("/bad/stream", async |_: Request| failing(|| Err(io::Error::other("on purpose"))))
        .get("/bad/stream/panic", async |_: Request| failing(|| panic!("on purpose")))
        .get("/panic", async |_: Request| -> Response { panic!("on purpose") })
        .get("/panic/late", async |_: Request| -> Response {
            yield_now().await;
            panic!("on purpose")
        })
        .route(
            Route::new(Method::POST, "/panic/unread", async |_: Request| -> Response {
                panic!("on purpose")
            })
            .streaming(),
        )
        .get("/unanswered", Silent)
}

/// A handler that drops its responder.
struct Silent;

impl Handler for Silent {
    fn call(&self, request: Request, _: &Context<'_>) -> Reply {
        let (responder, reply) = Reply::later(&request);
        drop(responder);
        reply
    }
}

fn plain(body: impl Into<Body>) -> Response {
    Response::bytes("text/plain", body)
}

fn chunks<T: Into<Bytes> + Send + 'static>(
    all: impl IntoIterator<Item = T, IntoIter: Send + 'static>,
) -> Response {
    Response::stream("text/plain", stream::iter(all.into_iter().map(|chunk| Ok(chunk.into()))))
}

fn sized(length: u64, text: &'static str) -> Response {
    plain(Body::sized_stream(length, stream::once(Ok(text.into()))))
}

/// Returns a stream of a chunk and then `end`.
fn failing(end: impl Fn() -> io::Result<Bytes> + Send + 'static) -> Response {
    let mut first = true;
    let chunks =
        stream::repeat_with(move || if std::mem::take(&mut first) { Ok("abc".into()) } else { end() });
    Response::stream("text/plain", chunks).into_response()
}

/// Returns the fields as `name: value` lines, with names in lower case.
fn fields(headers: &Headers) -> Vec<u8> {
    let mut text = Vec::new();
    for (name, value) in headers.iter() {
        text.extend_from_slice(name.to_ascii_lowercase().as_bytes());
        text.extend_from_slice(b": ");
        text.extend_from_slice(value);
        text.push(b'\n');
    }
    text
}
