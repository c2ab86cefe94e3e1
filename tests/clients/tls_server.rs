//! The server that `tests/clients/tls.py` talks to: one port for each way of TLS, and two without.
//!
//! `tls-server FOLDER MODEL HANDSHAKE`
//!
//! `FOLDER` is `tests/certificates` with `site.pem` and `site.key`, which are read again on SIGHUP.
//! `HANDSHAKE` is its deadline in milliseconds. It prints a line `NAME PORT` for each port.

use std::error::Error;
use std::path::Path;
use std::time::Duration;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use transom::{
    Address, HttpResult, Limits, Listener, Method, OrStatus, Request, Response, Route, Router, Server,
    Timeouts, Tls, TlsBuilder, TlsVersion,
};

/// A page that posts to the server and shows what it gets.
const PAGE: &str = "<!doctype html><title>TLS</title><p id=said></p><script>
const request = new XMLHttpRequest();
request.open('POST', '/echo', false);
request.send('x'.repeat(100000));
document.getElementById('said').textContent =
    'echo of ' + request.responseText.length + ' by ' + location.protocol;
</script>";

/// Tells what the handshake settled.
async fn facts(req: Request) -> String {
    let Some(tls) = req.tls() else { return req.scheme().to_owned() };
    let alpn = String::from_utf8_lossy(tls.alpn().unwrap_or(b"none")).into_owned();
    format!(
        "{} {} name={} alpn={alpn} resumed={} certificates={} {}",
        req.scheme(),
        tls.version(),
        tls.server_name().unwrap_or("none"),
        tls.is_resumed(),
        tls.peer_certificates().len(),
        tls.cipher()
    )
}

/// Counts the bytes of a body, holding none of them.
async fn count(mut req: Request) -> HttpResult<String> {
    let mut count = 0;
    while let Some(chunk) = req.body_mut().chunk().await {
        count += chunk?.len();
    }
    Ok(count.to_string())
}

async fn size(req: Request) -> HttpResult<Response> {
    let size = req.param("size").parse().or_not_found("no number")?;
    Ok(Response::bytes("application/octet-stream", vec![b'x'; size]))
}

fn app() -> Router {
    Router::new()
        .get("/", facts)
        .get("/page", async |_: Request| {
            Response::bytes("text/html", PAGE).header("strict-transport-security", "max-age=60")
        })
        .get("/size/{size}", size)
        .post("/echo", async |req: Request| Response::bytes("application/octet-stream", req.into_body()))
        .route(Route::new(Method::POST, "/count", count).streaming().body_limit(u64::MAX))
}

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<_> = std::env::args().skip(1).collect();
    let [folder, model, handshake] = &args[..] else {
        return Err("usage: tls-server FOLDER MODEL HANDSHAKE".into());
    };
    let folder = Path::new(folder);
    let (mut limits, mut timeouts) = (Limits::default(), Timeouts::default());
    limits.body = 10_000_000;
    timeouts.handshake = Some(Duration::from_millis(handshake.parse()?));
    let builder = || Tls::builder().files(folder.join("site.pem"), folder.join("site.key"));
    let asking = || builder().client_authorities_file(folder.join("authority.pem"));
    let with = |builder: TlsBuilder| -> Result<_, transom::Error> {
        Ok(Listener::bind("127.0.0.1:0")?.tls(&builder.build()?))
    };
    let names = builder()
        .files(folder.join("example.pem"), folder.join("example.key"))
        .files(folder.join("rsa.pem"), folder.join("rsa.key"))
        .build()?;
    let mut server = Server::new(app()).model(model.parse()?).workers(2).limits(limits).timeouts(timeouts);
    server = server
        .listen(Listener::bind("127.0.0.1:0")?.tls(&names))
        .listen(with(asking().client_revocations_file(folder.join("revoked.crl")))?)
        .listen(with(asking().client_certificates_optional())?)
        .listen(with(builder().least_version(TlsVersion::Tls13))?)
        .listen(Listener::bind("127.0.0.1:0")?)
        .listen(Listener::bind("127.0.0.1:0")?.redirect_to_https(443));
    let mut signals = signal_hook::iterator::Signals::new([SIGINT, SIGTERM, SIGHUP])?;
    let server = server.start()?;
    for (name, address) in
        ["main", "mutual", "optional", "newest", "plain", "redirect"].iter().zip(server.local_addrs())
    {
        let Address::Tcp(address) = address else { return Err("no port".into()) };
        println!("{name} {}", address.port());
    }
    while signals.forever().next() == Some(SIGHUP) {
        names.reload()?;
        println!("reloaded");
    }
    server.stop(Duration::from_secs(10));
    Ok(())
}
