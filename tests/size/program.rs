//! A small server that uses each feature that it is built with: `tests/crates.rs` holds the size of its
//! stripped program. Without a feature it is `examples/hello.rs`.

use transom::{Request, Response, Router, Server};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let app = Router::new()
        .get("/", async |_: Request| "hello\n")
        .get("/hello/{name}", async |req: Request| Response::text(format!("hello, {}\n", req.param("name"))));
    #[cfg(feature = "serde")]
    let app = app.post("/count", async |req: Request| {
        let numbers: Vec<u32> = req.json()?;
        Ok::<_, transom::HttpError>(transom::Json(numbers.len()))
    });
    #[cfg(feature = "tower")]
    let app = app.post("/tower", transom::tower_service(Router::new().into_tower_service()?));
    #[cfg(feature = "metrics")]
    let metrics = transom::Metrics::new();
    #[cfg(feature = "metrics")]
    let app = app.get("/metrics", metrics.handler());
    #[cfg(feature = "status")]
    let app = app.nest("/status", transom::StatusPage::new(&metrics).router());
    #[cfg(feature = "files")]
    let app = app.nest("/static", transom::Files::new(".")?.precompressed(true).listing(true).router());
    #[cfg(feature = "forms")]
    let app = app.post("/photo", async |mut req: Request| {
        let mut form = req.read_form(transom::FormLimits::default()).await?;
        for file in form.take_files() {
            file.save_to("photo.jpg").await?;
        }
        Ok::<_, transom::HttpError>(form.get("title").unwrap_or_default().to_owned())
    });
    #[cfg(feature = "cookies")]
    let app = app.get("/user", {
        let keys = transom::SigningKeys::new("a key of thirty-two bytes or more")?;
        async move |req: Request| {
            let user = req.cookies()?.signed("user", &keys).unwrap_or("nobody").to_owned();
            let cookie = transom::SetCookie::new("user", "ada").secure(true).signed(&keys);
            Ok::<_, transom::HttpError>(Response::text(user).set_cookie(&cookie)?)
        }
    });
    #[cfg(feature = "sse")]
    let news = transom::EventBroadcast::new();
    #[cfg(feature = "sse")]
    let app = app
        .get("/news", {
            let news = news.clone();
            async move |req: Request| transom::ServerSentEvents::new(&req).subscribe(&news)
        })
        .post("/news", async move |req: Request| {
            let event = transom::ServerSentEvent::new(String::from_utf8_lossy(req.bytes()));
            Ok::<_, transom::HttpError>(news.send(event).unwrap_or_default().to_string())
        });
    #[cfg(feature = "middleware")]
    let app = app
        .wrap(transom::Cors::new().origin("https://app.example"))
        .wrap(transom::RequestIds::new())
        .wrap(transom::SecurityHeaders::new())
        .wrap(transom::RateLimit::new(5, std::time::Duration::from_secs(60)));
    #[cfg(feature = "tracing")]
    let app = app.wrap(transom::Tracing::new());
    #[cfg(feature = "websocket")]
    let app = app.get("/echo", async |req: Request| {
        transom::WebSocket::upgrade(&req, async |mut socket: transom::WebSocket| {
            while let Some(message) = socket.recv().await {
                socket.send(message).await?;
            }
            Ok(())
        })
    });
    #[cfg(feature = "compression")]
    let app = app.wrap(transom::Compression::new()).wrap(transom::Decompression::new());
    let server = Server::new(app);
    #[cfg(feature = "tracing")]
    let server = server.trace_refusals();
    #[cfg(feature = "access-log")]
    let server = server.access_log(&transom::AccessLog::to_file("access.log")?);
    #[cfg(feature = "metrics")]
    let server = server.metrics(&metrics);
    #[cfg(any(feature = "tls", feature = "tls-ring"))]
    let server = server.listen(
        transom::Listener::bind("127.0.0.1:8443")?.tls(&transom::Tls::from_files("site.pem", "site.key")?),
    );
    let server = server.bind("127.0.0.1:8080")?.start()?;
    println!("listening on http://{}", server.local_addr());
    server.wait()?;
    Ok(())
}
