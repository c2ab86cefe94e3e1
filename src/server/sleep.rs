//! Waiting for a time, in a handler.

use std::future::poll_fn;
use std::time::{Duration, Instant};

use super::hosted;
#[cfg(target_os = "linux")]
use crate::reactor::{Alarm, Reactor};

/// Waits for that long, without holding a thread.
///
/// In a handler this is the least that waiting can cost: it is the worker itself
/// that keeps the time. Elsewhere it works too, like the timers of `async-io`. It
/// is exact to about a millisecond, and never early.
///
/// ```
/// use std::time::Duration;
/// use transom::{Request, Router};
///
/// Router::new().get("/soon", async |_: Request| {
///     transom::sleep(Duration::from_millis(10)).await;
///     "here you are"
/// });
/// # smol::block_on(transom::sleep(Duration::from_millis(1)));
/// ```
pub async fn sleep(duration: Duration) {
    let Some(until) = Instant::now().checked_add(duration) else { return std::future::pending().await };
    #[cfg(target_os = "linux")]
    if let Some(reactor) = Reactor::current() {
        let mut alarm = Alarm::exact(&reactor);
        return poll_fn(|cx| alarm.poll(cx, until)).await;
    }
    let mut alarm = hosted::Alarm::default();
    poll_fn(|cx| alarm.poll(cx, until)).await;
}
