//! A connection from its start to its end: served until it closes or is cut, or
//! told that there is no room.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;

use http::Version;

use super::connection::Connection;
use super::exchange::write_head;
use super::wire::Wire;
use super::{App, Session, Stage, Transport};
use crate::base::driving::driving;
use crate::base::guard::guarded;
use crate::config::Config;
use crate::error::Reject;
use crate::http1::plan;
use crate::message::IntoResponse as _;

/// Serves a connection until it ends, or the server cuts it.
///
/// What the host brought may panic where no handler is being called: a future
/// that is dropped, a callback. That costs the connection, never the thread.
pub(crate) fn serve<'a, T: Transport>(
    transport: T,
    app: &'a App,
    session: &'a Session,
) -> impl Future<Output = ()> + Send + use<'a, T> {
    if let Some(facts) = transport.facts() {
        session.client.set_facts(facts);
    }
    // On the heap, and before anything is awaited: futures keep their arguments
    // for as long as they live.
    drive(Box::pin(Connection::new(Wire::new(transport, &app.config), app, session).run()), session)
}

async fn drive<R: Future<Output = ()>>(run: Pin<Box<R>>, session: &Session) {
    let mut run = Some(run);
    let mut line = session.line();
    poll_fn(|cx| {
        line.hold(cx.waker());
        if session.has_reached(Stage::Cut) {
            return Poll::Ready(());
        }
        let Some(running) = &mut run else { return Poll::Ready(()) };
        run_host(|| running.as_mut().poll(cx)).unwrap_or(Poll::Ready(()))
    })
    .await;
    run_host(|| run = None);
    run_host(|| session.client.mark_lost());
}

/// Runs what may run the host's code; `None` if it panicked.
fn run_host<R>(run: impl FnOnce() -> R) -> Option<R> {
    guarded("what the host gave a connection", || driving(run))
}

/// Tells a client that there is no room for it, and closes.
pub(crate) async fn refuse_busy<T: Transport>(transport: T, reject: Reject, config: &Config) {
    let mut wire = Wire::new(transport, config);
    let response = reject.into_response();
    let facts = plan(false, Version::HTTP_11, false, &response);
    let now = wire.now();
    write_head(wire.output.buffer(), &response, &facts, now);
    let body = response.into_body().take_whole().unwrap_or_default();
    wire.output.push(body);
    wire.linger(&config.timeouts, None).await;
}
