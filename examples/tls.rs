//! HTTPS, a listener that redirects to it, and certificates that are renewed: SIGHUP reads the files again.
//!
//! `openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=localhost -keyout site.key
//! -out site.pem` makes a certificate to try this with. Then
//! `cargo run --example tls --features tls`, and `curl --insecure --location http://127.0.0.1:8080/`.

use std::time::Duration;

use async_signal::{Signal, Signals};
use smol::stream::StreamExt as _;
use transom::{Listener, Request, Router, Server, Tls};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let mut argument = |default: &str| arguments.next().unwrap_or_else(|| default.into());
    let address = argument("127.0.0.1:8443");
    let (certificate, key) = (argument("site.pem"), argument("site.key"));
    let plain = argument("127.0.0.1:8080");

    let app = Router::new().get("/", async |req: Request| match req.tls() {
        Some(tls) => format!("hello by {}\n", tls.version()),
        None => "never: the other listener redirects\n".to_owned(),
    });
    let tls = Tls::from_files(certificate, key)?;
    let https = Listener::bind(&address)?.tls(&tls);
    let port = https.local_addr().port().ok_or("HTTPS needs a port")?;
    // A signal that comes before the server has started waits.
    let mut signals = Signals::new([Signal::Int])?;
    #[cfg(unix)]
    signals.add_signals([Signal::Hup, Signal::Term])?;
    let server = Server::new(app).listen(https).listen(Listener::bind(&plain)?.redirect_to_https(port));
    let server = server.start()?;
    let addresses = server.local_addrs();
    println!("listening on https://{}, redirects on http://{}", addresses[0], addresses[1]);
    while let Some(signal) = smol::block_on(signals.next()) {
        if signal? != Signal::Hup {
            break;
        }
        // Connections go on, and new ones get the new certificate.
        match tls.reload() {
            Ok(()) => println!("read the files again"),
            Err(error) => eprintln!("{error}; the old certificate stays in use"),
        }
    }
    let report = server.stop(Duration::from_secs(10));
    println!("finished {}, cut {}", report.finished, report.cut);
    Ok(())
}
