//! A connection from its start to its end: served until it closes or is cut, or refused
//! because there is no room.

use std::pin::Pin;
use std::sync::Weak;
use std::task::{Context, Poll};
use std::time::Instant;

use super::activity::Activity;
use super::connection::Connection;
use super::expired::Deadline;
use super::hook::Ended;
use super::http1::Part;
use super::own_answer::word;
use super::records::Records;
use super::session::StageWaker;
use super::site::note_refusal;
use super::wire::Wire;
use super::{App, Session, Stage, Transport, answer, http1};
use crate::base::driving::driving;
use crate::base::guard::guarded;
use crate::error::Reject;
use crate::message::{ConnectionFacts, IntoResponse as _, Peer};

/// Serves a connection until it ends, or the server cuts it.
///
/// Code of the host may panic outside a handler: in the drop of a future, in a callback. That
/// costs the connection, never the thread.
pub(crate) fn serve<'a, T: Transport>(
    transport: T,
    app: &'a App,
    session: &'a Session,
) -> impl Future<Output = ()> + Send + use<'a, T> {
    if let Some(facts) = transport.facts() {
        session.client.set_facts(facts);
    }
    // On the heap before anything is awaited: a future keeps its arguments for as long as it
    // lives.
    let mut connection = Connection {
        wire: Wire::new(transport, &app.config, &session.activity),
        app,
        session,
        forwarding: None,
    };
    if let Some(hook) = &app.on_exchange {
        let (peer, socket) = (session.client.peer, connection.wire.facts());
        let mut records = Records::new(hook, &app.recorded, &app.router, &session.activity, peer, socket);
        if let Some(arrival) = session.client.arrival() {
            records.set_arrival(arrival);
        }
        connection.wire.records = Some(Box::new(records));
    }
    Drive { stage_waker: session.stage_waker(), part: Some(http1::run(connection)) }
}

/// Drives a connection until it ends, or the server cuts it. An async function would keep its
/// arguments twice, and so make an idle connection 48 bytes larger (bench: idle, 2026-11).
struct Drive<'a> {
    stage_waker: StageWaker<'a>,
    /// `None` once the connection has ended.
    part: Option<Part<'a>>,
}

impl Future for Drive<'_> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let Self { stage_waker, part } = &mut *self;
        stage_waker.hold(cx.waker());
        let session = stage_waker.session;
        while let Some(current) = part
            && !session.has_reached(Stage::Cut)
        {
            match run_host(|| current.poll(cx)) {
                Some(Poll::Pending) => return Poll::Pending,
                Some(Poll::Ready(next)) => run_host(|| *part = next),
                None => break,
            };
        }
        run_host(|| *part = None);
        run_host(|| session.client.mark_lost());
        Poll::Ready(())
    }
}

/// Runs code that may call the host's. Returns `None` if it panicked.
fn run_host<R>(run: impl FnOnce() -> R) -> Option<R> {
    guarded("what the host gave a connection", || driving(run))
}

/// Answers a client that there is no room for, and closes.
pub(crate) async fn refuse_busy<T: Transport>(transport: T, reject: Reject, peer: Peer, app: &App) {
    note_refusal(reject, peer, app);
    let activity = Activity::default();
    let mut wire = Wire::new(transport, &app.config, &activity);
    wire.records = records(app, &activity, peer, reject, wire.facts());
    let mut response = reject.into_response();
    word(app.word_answer.as_ref(), &mut response, Some(reject), peer, None);
    let put = answer::put_refusal(&mut wire, false, response);
    if put.is_ok() && wire.flush_dropping().await.is_ok() {
        wire.tell_records(Ended::Answered);
        if !wire.linger(&app.config.timeouts, None).await {
            app.expired.add(Deadline::Linger);
        }
    }
}

/// Tells of a connection that is closed without an answer, since there is no room for one.
pub(crate) fn close_busy(reject: Reject, peer: Peer, app: &App) {
    note_refusal(reject, peer, app);
    drop(records(app, &Activity::default(), peer, reject, None));
}

/// Begins the record of a connection that is refused.
fn records<'a>(
    app: &'a App,
    activity: &'a Activity,
    peer: Peer,
    reject: Reject,
    socket: Option<Weak<dyn ConnectionFacts>>,
) -> Option<Box<Records<'a>>> {
    let hook = app.on_exchange.as_ref()?;
    let mut records = Records::new(hook, &app.recorded, &app.router, activity, peer, socket);
    records.begin(None, None, Instant::now(), 0, 0);
    records.note_reject(reject);
    Some(Box::new(records))
}
