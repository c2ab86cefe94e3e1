//! The signal that a server begins to stop, and the future that waits for it.

use std::fmt;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use slab::Slab;

use super::guard::guarded;

/// A signal that is given once, and the tasks that wait for it.
#[derive(Default)]
pub(crate) struct StopSignal {
    /// True after the signal was given. Connections read this on each exchange, without a lock.
    given: AtomicBool,
    /// True if connections may still begin exchanges for a time after the signal.
    is_delayed: AtomicBool,
    /// True if a successor serves, so that no client need go elsewhere.
    is_succeeded: AtomicBool,
    /// The tasks of the [`Stopping`] futures that were polled and still wait.
    waiting: Mutex<Slab<Waker>>,
}

impl StopSignal {
    /// Returns `true` once the signal was given.
    pub fn is_given(&self) -> bool {
        self.given.load(Ordering::Acquire)
    }

    /// Notes that a stop begins with a time in which clients are still served.
    pub fn delay(&self) {
        self.is_delayed.store(true, Ordering::Release);
    }

    /// Returns `true` if a stop begins with a time in which clients are still served.
    pub fn is_delayed(&self) -> bool {
        self.is_delayed.load(Ordering::Acquire)
    }

    /// Notes that a successor serves.
    pub fn succeed(&self) {
        self.is_succeeded.store(true, Ordering::Release);
    }

    /// Returns `true` if a successor serves.
    pub fn is_succeeded(&self) -> bool {
        self.is_succeeded.load(Ordering::Acquire)
    }

    /// Gives the signal, and wakes all tasks that wait for it.
    pub fn give(&self) {
        // Set before the lock is taken: a future that is polled meanwhile either sees the
        // flag, or has registered before the wakers are taken.
        self.given.store(true, Ordering::SeqCst);
        let waiting = std::mem::take(&mut *self.waiting());
        for (_, waker) in waiting {
            // A waker may be the embedding program's own. If it panics, the others must still wake.
            let _ = guarded("a task that waits for a stop", || waker.wake());
        }
    }

    fn waiting(&self) -> MutexGuard<'_, Slab<Waker>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A future that is ready when the server begins to stop.
///
/// A handler, a response body or an upgraded connection that waits for events should wait for
/// this future too, and then end in order before the deadline of the stop. The future is ready at
/// once if the stop has begun. It does not borrow from the request and can be moved to another
/// task or thread. Outside of async code, any `block_on` can wait for it.
///
/// ```
/// use futures_lite::{StreamExt as _, stream};
/// use std::time::Duration;
/// use transom::{Body, Request, Response, Router, StatusCode};
///
/// // One event each second, until the client leaves or the server stops.
/// let events = async |req: Request| {
///     let ticks = stream::repeat(()).then(async |()| {
///         transom::sleep(Duration::from_secs(1)).await;
///         Ok("data: tick\n\n".into())
///     });
///     let body = Body::stream(stream::stop_after_future(ticks, req.stopping()));
///     Response::new(StatusCode::OK).header("content-type", "text/event-stream").body(body)
/// };
/// Router::new().get("/events", events);
/// ```
#[must_use = "a future does nothing unless it is polled"]
pub struct Stopping {
    /// `None` if there is no server to stop.
    signal: Option<Arc<StopSignal>>,
    /// The key of this future's waker in [`StopSignal::waiting`].
    key: Option<usize>,
}

impl Stopping {
    pub(crate) fn new(signal: Option<Arc<StopSignal>>) -> Self {
        Self { signal, key: None }
    }

    /// Returns another future for the same stop.
    pub(crate) fn again(&self) -> Self {
        Self::new(self.signal.clone())
    }

    /// Returns `true` if the stop has begun.
    pub fn has_begun(&self) -> bool {
        self.signal.as_ref().is_some_and(|signal| signal.is_given())
    }

    /// Returns `true` if a successor serves.
    pub(crate) fn is_succeeded(&self) -> bool {
        self.signal.as_ref().is_some_and(|signal| signal.is_succeeded())
    }
}

impl Clone for Stopping {
    /// Returns another future for the same stop.
    fn clone(&self) -> Self {
        Self::new(self.signal.clone())
    }
}

impl Future for Stopping {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        let Some(signal) = &this.signal else { return Poll::Pending };
        if signal.is_given() {
            return Poll::Ready(());
        }
        let mut waiting = signal.waiting();
        // The signal may have been given before the lock was taken.
        if signal.is_given() {
            return Poll::Ready(());
        }
        match this.key {
            Some(key) => waiting[key].clone_from(cx.waker()),
            None => this.key = Some(waiting.insert(cx.waker().clone())),
        }
        Poll::Pending
    }
}

impl Drop for Stopping {
    fn drop(&mut self) {
        if let (Some(signal), Some(key)) = (&self.signal, self.key) {
            // If the signal was given, the wakers have been taken already.
            let waker = signal.waiting().try_remove(key);
            drop(waker);
        }
    }
}

impl fmt::Debug for Stopping {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stopping").field("has_begun", &self.has_begun()).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;
    use std::task::Wake;
    use std::thread;

    use super::*;
    use crate::base::threads::races;

    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    #[test]
    fn a_stop_wakes_all_that_wait_and_those_that_come_later_are_ready_at_once() {
        let signal = Arc::new(StopSignal::default());
        let count = Arc::new(Count(AtomicUsize::new(0)));
        let waker = Waker::from(Arc::clone(&count));
        let mut cx = Context::from_waker(&waker);
        let mut waiting: Vec<_> = (0..3).map(|_| Stopping::new(Some(Arc::clone(&signal)))).collect();
        for stopping in &mut waiting {
            assert!(Pin::new(&mut *stopping).poll(&mut cx).is_pending());
            assert!(Pin::new(stopping).poll(&mut cx).is_pending(), "polled twice, it waits once");
        }
        drop(waiting.pop());
        signal.give();
        assert_eq!(count.0.load(Ordering::SeqCst), 2);
        let mut late = Stopping::new(Some(Arc::clone(&signal)));
        for stopping in waiting.iter_mut().chain([&mut late]) {
            assert!(stopping.has_begun());
            assert!(Pin::new(stopping).poll(&mut cx).is_ready());
        }
    }

    #[test]
    fn a_future_that_has_ended_leaves_nothing_behind() {
        let signal = Arc::new(StopSignal::default());
        for _ in 0..100 {
            let mut stopping = Stopping::new(Some(Arc::clone(&signal)));
            assert!(Pin::new(&mut stopping).poll(&mut Context::from_waker(Waker::noop())).is_pending());
        }
        assert!(signal.waiting().is_empty() && signal.waiting().capacity() < 100);
        assert_eq!(Arc::strong_count(&signal), 1);
    }

    #[test]
    fn a_clone_waits_on_its_own() {
        let signal = Arc::new(StopSignal::default());
        let count = Arc::new(Count(AtomicUsize::new(0)));
        let waker = Waker::from(Arc::clone(&count));
        let mut first = Stopping::new(Some(Arc::clone(&signal)));
        assert!(Pin::new(&mut first).poll(&mut Context::from_waker(&waker)).is_pending());
        let mut second = first.clone();
        assert!(Pin::new(&mut second).poll(&mut Context::from_waker(&waker)).is_pending());
        drop(first);
        signal.give();
        assert_eq!(count.0.load(Ordering::SeqCst), 1);
        assert!(Pin::new(&mut second).poll(&mut Context::from_waker(&waker)).is_ready());
    }

    #[test]
    fn a_future_that_is_polled_as_the_stop_begins_is_ready_or_woken() {
        for _ in races() {
            let (signal, count) = (Arc::new(StopSignal::default()), Arc::new(Count(AtomicUsize::new(0))));
            let giving = thread::spawn({
                let signal = Arc::clone(&signal);
                move || signal.give()
            });
            let mut stopping = Stopping::new(Some(signal));
            let waker = Waker::from(Arc::clone(&count));
            let is_ready = Pin::new(&mut stopping).poll(&mut Context::from_waker(&waker)).is_ready();
            giving.join().unwrap();
            assert!(is_ready || count.0.load(Ordering::SeqCst) == 1);
            assert!(stopping.has_begun());
        }
    }

    #[test]
    fn without_a_server_no_stop_begins() {
        let mut stopping = Stopping::new(None);
        assert!(Pin::new(&mut stopping).poll(&mut Context::from_waker(Waker::noop())).is_pending());
    }
}
