//! The end of a server: exchanges finish until the deadline of the stop, and the rest are cut.

use std::future::poll_fn;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use super::shared::Shared;
use crate::conn::Stage;

/// The time to wait for connections that were cut. Each needs one poll, and gets it unless a
/// handler blocks the worker.
const CUT_GRACE: Duration = Duration::from_millis(100);

/// Waits until the server accepts no more: until `timeouts.stop_delay` has passed since it was asked to
/// stop, or the deadline of the stop. If a successor serves, it accepts from the beginning of the stop on.
///
/// `poll_at` is ready once a time has passed, and wakes the task by then.
pub(super) async fn accepting_over(
    shared: &Shared,
    mut poll_at: impl FnMut(&mut Context<'_>, Instant) -> Poll<()> + Send,
) {
    poll_fn(|cx| match ready!(shared.stopper.poll_close(cx, shared.app.config.timeouts.stop_delay)) {
        at if at <= Instant::now() || shared.stopper.signal().is_succeeded() => Poll::Ready(()),
        at => poll_at(cx, at),
    })
    .await;
    shared.closing.give();
}

/// Waits until the server accepts no more, on a thread where something else waits for that time.
pub(super) async fn closed(shared: &Shared) {
    shared.closing().await;
}

/// Lets exchanges finish until the deadline of the stop, then cuts the rest. Connections that wait for
/// requests close once `timeouts.stop_delay` has passed: in the meantime each closes after an answer, so that no
/// request meets a close.
///
/// `poll_at` is ready once a time has passed, and wakes the task by then.
pub(super) async fn drain(
    shared: &Shared,
    mut poll_at: impl FnMut(&mut Context<'_>, Instant) -> Poll<()> + Send,
) {
    shared.closing.give();
    // The delay has passed, unless a successor accepts.
    poll_fn(|cx| match ready!(shared.stopper.poll_close(cx, shared.app.config.timeouts.stop_delay)) {
        at if at <= Instant::now() || shared.gate.poll_empty(cx).is_ready() => Poll::Ready(()),
        at => poll_at(cx, at),
    })
    .await;
    shared.gate.advance(Stage::Draining);
    let is_empty = poll_fn(|cx| match shared.stopper.poll_stop(cx) {
        _ if shared.gate.poll_empty(cx).is_ready() => Poll::Ready(true),
        // The deadline may have moved closer meanwhile.
        Poll::Ready(deadline) => poll_at(cx, deadline).map(|()| false),
        Poll::Pending => Poll::Pending,
    });
    // An empty server is not advanced to `Cut`: another thread may have accepted a connection
    // just now, and that one may finish until the deadline.
    if is_empty.await {
        return;
    }
    shared.gate.advance(Stage::Cut);
    let until = Instant::now() + CUT_GRACE;
    poll_fn(|cx| match shared.gate.poll_empty(cx) {
        Poll::Pending => poll_at(cx, until),
        empty @ Poll::Ready(()) => empty,
    })
    .await;
}

/// Cuts the connections that are left, and closes the pool. Called by the last thread that drained.
pub(super) fn end(shared: &Shared) {
    shared.gate.advance(Stage::Cut);
    shared.app.pool.close();
    if let Some(keeper) = &shared.keeper {
        keeper.end();
    }
}
