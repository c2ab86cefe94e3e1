//! The server that the scripts beside it talk to: `websocket-server --model event`, with `--tls` for TLS
//! with the certificate of the tests. It prints its address.
//!
//! `/echo` sends each message back, `/keeping` with a window that is kept, `/plain` without compression,
//! `/chat` to all that are there; `/small` takes messages of 1,000 bytes and frames of 2,000.
//! `/brief` gives up a client that is silent for two seconds.
//! `/events` sends three server-sent events after the last one that the client got, and then comments.

use std::error::Error;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_lite::{StreamExt as _, stream};
use signal_hook::consts::{SIGINT, SIGTERM};
use transom::{
    Limits, Listener, Model, Request, Response, Router, Server, ServerSentEvent, ServerSentEvents, Tls,
    WebSocket, WebSocketSender, WebSocketUpgrade,
};

/// Larger than any message of Autobahn's cases.
const LIMIT: usize = 32 << 20;

fn echo(settings: &WebSocketUpgrade, request: &Request) -> Response {
    settings.accept(request, async |mut socket: WebSocket| {
        while let Some(message) = socket.recv().await {
            socket.send(message).await?;
        }
        Ok(())
    })
}

fn events(request: &Request) -> Response {
    let last = request.header("last-event-id").and_then(|id| id.parse::<u64>().ok()).unwrap_or(0);
    let ticks = (last + 1..last + 4).map(|id| ServerSentEvent::new("tick").id(id.to_string()));
    let response = ServerSentEvents::new(request).keep_alive(Some(Duration::from_millis(500)));
    // nginx buffers a response unless it is told not to.
    response.stream(stream::iter(ticks).chain(stream::pending())).header("x-accel-buffering", "no")
}

type Members = Arc<Mutex<Vec<WebSocketSender>>>;

/// Sends each message to all members.
async fn talk(members: Members, mut socket: WebSocket) {
    members.lock().unwrap().push(socket.sender());
    while let Some(message) = socket.recv().await {
        let mut members = members.lock().unwrap();
        members.retain(|member| !member.is_closed());
        for member in &*members {
            member.try_send(message.clone()).ok();
        }
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let words: Vec<_> = std::env::args().skip(1).collect();
    let has = |word: &str| words.iter().any(|it| it == word);
    let model = match () {
        () if has("threads") => Model::ThreadPerConnection,
        () if has("sequential") => Model::Sequential,
        () => Model::EventDriven,
    };
    // Autobahn's cases expect that each message is compressed.
    let base = WebSocketUpgrade::new().message_limit(LIMIT).compress_from(0);
    let quick = WebSocketUpgrade::new()
        .ping_interval(Some(Duration::from_millis(200)))
        .ping_timeout(Duration::from_millis(200));
    let second = Duration::from_secs(1);
    let brief = base.clone().ping_interval(Some(second)).ping_timeout(second);
    let mut app = Router::new();
    for (path, settings) in [
        ("/echo", base.clone()),
        ("/keeping", base.clone().context_takeover()),
        ("/plain", base.clone().compression(false)),
        ("/pieces", base.in_pieces()),
        ("/small", WebSocketUpgrade::new().message_limit(1000).frame_limit(2000)),
        ("/quick", quick),
        ("/brief", brief),
        ("/spoken", WebSocketUpgrade::new().subprotocols(["chat", "superchat"])),
    ] {
        app = app.get(path, async move |req: Request| echo(&settings, &req));
    }
    let members = Members::default();
    let app = app
        .get("/chat", async move |req: Request| WebSocket::upgrade(&req, |socket| talk(members, socket)))
        .get("/events", async |req: Request| events(&req))
        .get("/", async |_: Request| Response::html(include_str!("chat.html")));
    let mut listener = Listener::bind("127.0.0.1:0")?;
    let scheme = if has("--tls") {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/certificates");
        let tls = Tls::from_files(format!("{folder}/localhost.pem"), format!("{folder}/localhost.key"))?;
        listener = listener.tls(&tls);
        "https"
    } else {
        "http"
    };
    let mut limits = Limits::default();
    limits.connections = 20_000;
    let server = Server::new(app).model(model).limits(limits).listen(listener).start()?;
    println!("{scheme}://{}", server.local_addr());
    signal_hook::iterator::Signals::new([SIGINT, SIGTERM])?.forever().next();
    let report = server.stop(Duration::from_secs(5));
    println!("{report:?}");
    Ok(())
}
