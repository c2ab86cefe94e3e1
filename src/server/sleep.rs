//! Sleeping in a handler.

use std::future::poll_fn;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use super::models::hosted;
#[cfg(target_os = "linux")]
use crate::base::driving::is_held;
#[cfg(target_os = "linux")]
use crate::reactor::{self, Reactor};

/// Waits for a duration without blocking a thread.
///
/// In a handler, the thread that drives the connection keeps the time, which is cheaper than a
/// timer of another runtime. Outside of a handler, the timer is one of `async-io`. The wait is
/// exact to about a millisecond and never ends early.
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
    let mut timer = Timer::new();
    poll_fn(|cx| timer.poll(cx, until)).await;
}

/// The clock that a sleep waits on.
enum Timer {
    /// The reactor of the worker that runs the handler.
    #[cfg(target_os = "linux")]
    Own(reactor::Alarm),
    Hosted(hosted::Alarm),
}

impl Timer {
    fn new() -> Self {
        #[cfg(target_os = "linux")]
        if let Some(reactor) = Reactor::current() {
            return Self::Own(reactor::Alarm::exact(&reactor));
        }
        Self::Hosted(hosted::Alarm::default())
    }

    fn poll(&mut self, cx: &mut Context<'_>, until: Instant) -> Poll<()> {
        match self {
            #[cfg(target_os = "linux")]
            Self::Own(alarm) if alarm.is_here() && !is_held() => alarm.poll(cx, until),
            // The future moved to another thread, or a blocking handler holds the worker, so
            // that the worker does not look at its alarms.
            #[cfg(target_os = "linux")]
            Self::Own(_) => {
                *self = Self::Hosted(hosted::Alarm::default());
                self.poll(cx, until)
            }
            Self::Hosted(alarm) => alarm.poll(cx, until),
        }
    }
}
