//! Opening a connection: the steps between the accept and the first request.
//!
//! ```text
//! accept --> a place at the gate --> the steps, in order --> the real peer is admitted --> HTTP
//! ```
//!
//! A listener has its steps. A step reads the bytes before HTTP (a PROXY header, a TLS handshake). It
//! may replace the transport and the peer, and notes what it learned. The steps of one connection have
//! one deadline in all ([`Timeouts::handshake`](crate::Timeouts::handshake)), the number of connections
//! in their steps is limited ([`Limits::handshakes`](crate::Limits::handshakes)), and a stop ends the
//! steps. Without steps, a connection is admitted when it is accepted.

use std::fmt;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::Instant;

use futures_lite::FutureExt as _;
use log::Level;

use super::gate::{Admission, Reservation};
use crate::base::guard::log_event;
use crate::base::stopping::Stopping;
use crate::conn::{App, Deadline, Transport, close_busy, refuse_busy};
use crate::error::Reject;
use crate::message::{Arrival, Peer};

/// The steps that the connections of a listener go through.
#[derive(Default)]
pub(super) struct Steps {
    /// Reads the PROXY header.
    pub proxy: Option<Box<dyn Step>>,
    /// Does the TLS handshake.
    pub tls: Option<Box<dyn Step>>,
    /// The port to which requests are redirected, if they are.
    pub https_port: Option<u16>,
}

/// One step on the way from an accepted connection to HTTP.
pub(super) trait Step: Send + Sync {
    /// Takes a connection through this step.
    fn open(&self, connection: Opened) -> Opens;
}

/// The future of a step.
pub(super) type Opens = Pin<Box<dyn Future<Output = Result<Opened, NotOpened>> + Send>>;

/// A connection between two steps.
pub(super) struct Opened {
    pub transport: Box<dyn Transport>,
    pub peer: Peer,
    pub arrival: Arrival,
}

/// The end of a connection that a step does not let through.
pub(super) enum NotOpened {
    /// It is closed without an answer.
    Closed(io::Error),
    /// It is refused, counted, and then closed without an answer: the peer expects none yet.
    Dropped(Box<Opened>, Reject),
    /// It is answered with a refusal.
    #[cfg(any(feature = "tls", feature = "tls-ring"))]
    Refused(Box<Opened>, Reject),
}

impl fmt::Debug for Steps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (proxy, tls) = (self.proxy.is_some(), self.tls.is_some());
        f.debug_struct("Steps").field("proxy", &proxy).field("tls", &tls).finish_non_exhaustive()
    }
}

impl From<io::Error> for NotOpened {
    fn from(error: io::Error) -> Self {
        Self::Closed(error)
    }
}

/// A connection's right to go on, as the gate gave it.
pub(super) enum Entry {
    /// There are no steps: the connection is admitted.
    Admitted(Admission),
    /// The steps are to come.
    Opening(Opening),
}

/// A connection whose steps are to come.
pub(super) struct Opening {
    pub reservation: Reservation,
    pub steps: Arc<Steps>,
}

impl Opening {
    /// Takes a connection through the steps, and admits it. Returns `None` once it is closed.
    ///
    /// `poll_at` is ready once a time has passed, and wakes the task by then.
    pub async fn open(
        self,
        connection: Opened,
        app: &App,
        stopping: Stopping,
        mut poll_at: impl FnMut(&mut Context<'_>, Instant) -> Poll<()> + Send,
    ) -> Option<(Box<dyn Transport>, Admission)> {
        let Self { reservation, steps } = self;
        let peer = connection.peer;
        let opened = async {
            let mut connection = connection;
            connection.arrival.https_port = steps.https_port;
            for step in [&steps.proxy, &steps.tls].into_iter().flatten() {
                connection = step.open(connection).await?;
            }
            Ok(connection)
        };
        let stop_begins = stopping.again();
        let stopped = async {
            stopping.await;
            Err(io::Error::other("the server stops").into())
        };
        let until = app.config.timeouts.handshake.and_then(|timeout| Instant::now().checked_add(timeout));
        let late = poll_fn(|cx| match until {
            Some(until) => poll_at(cx, until).map(|()| {
                app.expired.add(Deadline::Handshake);
                Err(io::Error::from(io::ErrorKind::TimedOut).into())
            }),
            None => Poll::Pending,
        });
        let opened = opened.or(stopped).or(late).await;
        if steps.tls.is_some() {
            let count = if opened.is_ok() { &app.handshakes } else { &app.broken_handshakes };
            // Relaxed: a count that is only shown.
            count.fetch_add(1, Ordering::Relaxed);
        }
        // A stop leaves a client that is refused as much time as it leaves any connection.
        let cut = async {
            stop_begins.await;
            let drain = app.config.timeouts.drain.unwrap_or_default();
            let until = Instant::now() + drain;
            poll_fn(|cx| poll_at(cx, until)).await;
        };
        match opened {
            Ok(Opened { transport, peer, arrival }) => match reservation.admit(peer, arrival) {
                Ok(admission) => Some((transport, admission)),
                Err((_reservation, reject)) => {
                    refuse_busy(transport, reject, peer, app).or(cut).await;
                    None
                }
            },
            #[cfg(any(feature = "tls", feature = "tls-ring"))]
            Err(NotOpened::Refused(connection, reject)) => {
                let _reservation = reservation.refuse();
                refuse_busy(connection.transport, reject, connection.peer, app).or(cut).await;
                None
            }
            Err(NotOpened::Dropped(connection, reject)) => {
                close_busy(reject, connection.peer, app);
                None
            }
            Err(NotOpened::Closed(error)) => {
                log_event(Level::Debug, format_args!("a connection of {peer} was not opened: {error}"));
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{SocketAddr, TcpStream};
    use std::time::Duration;

    use futures_lite::AsyncReadExt as _;

    use super::*;
    use crate::config::{Limits, Timeouts};
    use crate::handler::Router;
    use crate::message::Request;
    use crate::server::{Handle, Listener, Model, Server};

    /// How long anything that must happen may take on a machine with other work to do.
    const PATIENCE: Duration = Duration::from_secs(60);
    const SHORT: Duration = Duration::from_millis(100);
    const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";

    #[cfg(target_os = "linux")]
    const MODELS: &[Model] = &[Model::Sequential, Model::ThreadPerConnection, Model::EventDriven];
    #[cfg(not(target_os = "linux"))]
    const MODELS: &[Model] = &[Model::EventDriven];

    /// Reads a line that names the real peer, as a PROXY header does.
    struct Line;

    impl Step for Line {
        fn open(&self, mut connection: Opened) -> Opens {
            Box::pin(async move {
                let mut line = Vec::new();
                while !line.ends_with(b"\n") {
                    let mut byte = [0];
                    connection.transport.read_exact(&mut byte).await?;
                    line.extend(byte);
                }
                let peer: Option<SocketAddr> =
                    std::str::from_utf8(&line).ok().and_then(|line| line.trim().parse().ok());
                connection.peer = Peer::Tcp(peer.ok_or(io::Error::from(io::ErrorKind::InvalidData))?);
                Ok(connection)
            })
        }
    }

    /// A server that answers with the peer, once each connection has named it.
    fn serve(model: Model, set: impl FnOnce(&mut Limits, &mut Timeouts)) -> Handle {
        let app = Router::new().get("/", async |req: Request| req.peer().to_string());
        let (mut limits, mut timeouts) = (Limits::default(), Timeouts::default());
        set(&mut limits, &mut timeouts);
        let server = Server::new(app).limits(limits).timeouts(timeouts).model(model).workers(1);
        let mut listener = Listener::bind("127.0.0.1:0").unwrap();
        listener.steps_mut().proxy = Some(Box::new(Line));
        server.listen(listener).start().unwrap()
    }

    fn connect(server: &Handle) -> TcpStream {
        let client = TcpStream::connect(server.local_addr().to_string()).unwrap();
        client.set_read_timeout(Some(PATIENCE)).unwrap();
        client
    }

    /// Reads until the server closes.
    fn rest(client: &mut TcpStream) -> String {
        let mut rest = String::new();
        // A reset is an end too.
        let _ = client.read_to_string(&mut rest);
        rest
    }

    fn ask(server: &Handle, peer: &str) -> String {
        let mut client = connect(server);
        client.write_all(&[peer.as_bytes(), b"\n", REQUEST].concat()).unwrap();
        rest(&mut client)
    }

    #[test]
    fn a_connection_is_served_as_that_of_the_peer_that_a_step_found() {
        for &model in MODELS {
            let server = serve(model, |_, _| ());
            let answer = ask(&server, "192.0.2.7:80");
            assert!(answer.ends_with("\r\n\r\n192.0.2.7:80"), "{model}: {answer}");
            assert_eq!(ask(&server, "nobody"), "", "{model}");
            assert_eq!(server.stop(PATIENCE).cut, 0, "{model}");
        }
    }

    #[test]
    fn the_limit_for_one_address_counts_the_real_peer() {
        for &model in MODELS.iter().filter(|&&model| model != Model::Sequential) {
            let server = serve(model, |limits, _| limits.connections_per_address = Some(1));
            let mut first = connect(&server);
            first.write_all(b"192.0.2.7:1\nGET / HTTP/1.1\r\nHost: h\r\n\r\n").unwrap();
            let mut byte = [0];
            first.read_exact(&mut byte).unwrap();
            let refused = ask(&server, "192.0.2.7:2");
            assert!(refused.starts_with("HTTP/1.1 503 "), "{model}: {refused}");
            assert!(ask(&server, "192.0.2.8:2").starts_with("HTTP/1.1 200 "), "{model}");
            drop(first);
            server.stop(Duration::ZERO);
        }
    }

    #[test]
    fn steps_that_take_too_long_end_whatever_the_client_sends() {
        for &model in MODELS {
            let server = serve(model, |_, timeouts| timeouts.handshake = Some(SHORT));
            let mut silent = connect(&server);
            assert_eq!(rest(&mut silent), "", "{model}");
            let mut slow = connect(&server);
            let mut writer = slow.try_clone().unwrap();
            let dribbling = std::thread::spawn(move || {
                let begun = Instant::now();
                while begun.elapsed() < PATIENCE && writer.write_all(b"1").is_ok() {
                    std::thread::sleep(SHORT / 20);
                }
                begun.elapsed()
            });
            assert_eq!(rest(&mut slow), "", "{model}");
            drop(slow);
            assert!(dribbling.join().unwrap() < PATIENCE, "{model}: bytes put the deadline off");
            assert_eq!(server.stop(PATIENCE).cut, 0, "{model}");
        }
    }

    #[test]
    fn only_so_many_connections_are_opened_at_once() {
        for &model in MODELS.iter().filter(|&&model| model != Model::Sequential) {
            let server = serve(model, |limits, _| limits.handshakes = 1);
            let mut first = connect(&server);
            // Its step is under way once the next connection is refused.
            let refused = rest(&mut connect(&server));
            assert!(refused.starts_with("HTTP/1.1 503 "), "{model}: {refused}");
            first.write_all(b"192.0.2.7:1\nGET / HTTP/1.1\r\nHost: h\r\n\r\n").unwrap();
            let mut byte = [0];
            first.read_exact(&mut byte).unwrap();
            // It is served now, and makes room for the next one's steps.
            assert!(ask(&server, "192.0.2.7:2").starts_with("HTTP/1.1 200 "), "{model}");
            server.stop(Duration::ZERO);
        }
    }

    #[test]
    fn a_stop_ends_the_steps_at_once() {
        for &model in MODELS {
            let server = serve(model, |_, _| ());
            let mut client = connect(&server);
            client.write_all(b"192").unwrap();
            if model != Model::Sequential {
                // Served after the first one: the steps of that one are under way.
                assert!(ask(&server, "192.0.2.7:2").starts_with("HTTP/1.1 200 "), "{model}");
            }
            let begun = Instant::now();
            let report = server.stop(PATIENCE);
            assert!(begun.elapsed() < PATIENCE / 2, "{model}: {:?}", begun.elapsed());
            assert_eq!((report.cut, report.pending), (0, 0), "{model}");
            assert_eq!(rest(&mut client), "", "{model}");
        }
    }

    #[test]
    fn a_stop_ends_the_refusal_of_a_client_that_stays() {
        for &model in MODELS.iter().filter(|&&model| model != Model::Sequential) {
            let server = serve(model, |limits, timeouts| {
                limits.connections_per_address = Some(1);
                (timeouts.linger, timeouts.linger_idle) = (Some(PATIENCE * 4), Some(PATIENCE * 4));
                timeouts.drain = Some(SHORT);
            });
            let mut first = connect(&server);
            first.write_all(b"192.0.2.7:1\nGET / HTTP/1.1\r\nHost: h\r\n\r\n").unwrap();
            first.read_exact(&mut [0]).unwrap();
            let mut refused = connect(&server);
            refused.write_all(&[b"192.0.2.7:2\n", REQUEST].concat()).unwrap();
            // The answer is there, and the server waits for the client to close.
            assert!(rest(&mut refused).starts_with("HTTP/1.1 503 "), "{model}");
            drop(first);
            let begun = Instant::now();
            server.stop(PATIENCE * 4);
            assert!(begun.elapsed() < PATIENCE, "{model}: {:?}", begun.elapsed());
        }
    }
}
