//! A server's end: exchanges are finished until the deadline of the stop, and
//! what is left is cut.

use std::future::poll_fn;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use super::shared::Shared;
use crate::conn::Stage;

/// How long connections have to end once they are cut. They need no more than a
/// turn, unless a handler holds the worker.
const CUT_GRACE: Duration = Duration::from_millis(100);

/// Waits until it is asked to stop.
pub(super) async fn stop_asked(shared: &Shared) {
    poll_fn(|cx| shared.stopper.poll_stop(cx).map(drop)).await;
}

/// Lets exchanges finish until the deadline of the stop, then cuts. `poll_at` is
/// ready at a time, and wakes the task by then.
pub(super) async fn drain(
    shared: &Shared,
    mut poll_at: impl FnMut(&mut Context<'_>, Instant) -> Poll<()> + Send,
) {
    shared.gate.advance(Stage::Draining);
    let is_empty = poll_fn(|cx| match shared.stopper.poll_stop(cx) {
        _ if shared.gate.poll_empty(cx).is_ready() => Poll::Ready(true),
        // The deadline may have moved closer meanwhile.
        Poll::Ready(deadline) => poll_at(cx, deadline).map(|()| false),
        Poll::Pending => Poll::Pending,
    });
    // Nothing is cut before its time: another thread may just have accepted one.
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

/// Serves nobody any more. The last thread that drained says so.
pub(super) fn end(shared: &Shared) {
    shared.gate.advance(Stage::Cut);
    shared.app.pool.close();
}
