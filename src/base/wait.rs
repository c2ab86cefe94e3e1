//! Waiting for a future in code that may block.

use std::fmt;
use std::pin::pin;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use super::driving::{self, Waited};

/// The error when [`wait`] has no result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum WaitError {
    /// The timeout has passed.
    TimedOut,
    /// The thread serves connections and may not block: the caller is no handler that may.
    WouldDeadlock,
}

impl fmt::Display for WaitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TimedOut => "timed out",
            Self::WouldDeadlock => "this thread serves connections and must not wait",
        })
    }
}

impl std::error::Error for WaitError {}

/// Blocks the thread until a future is done, for at most `timeout`; a timeout of zero only looks.
///
/// This is how a [`blocking`](crate::blocking) handler waits for what its connection brings, such as
/// the next chunk of a streamed body. In the models with a thread for each connection, the handler
/// runs on the thread that reads the connection, and that thread goes on to serve the connection
/// while it waits here. Only the next request stays unread until the handler has returned, so that no
/// other handler runs on the thread meanwhile. In the `block_on` of another crate the handler would
/// wait for ever; the body returns an error (`Deadlock`) there.
///
/// ```
/// use transom::{Method, Request, Route, blocking, wait};
///
/// let count = blocking(|mut request: Request| {
///     let mut length = 0;
///     while let Some(chunk) = wait(request.body_mut().chunk(), None)? {
///         length += chunk?.len();
///     }
///     Ok(length.to_string())
/// });
/// Route::new(Method::POST, "/count", count).streaming();
/// ```
///
/// # Errors
/// `TimedOut`; `WouldDeadlock` in an async handler or a callback, which must not block.
pub fn wait<F: Future>(future: F, timeout: Option<Duration>) -> Result<F::Output, WaitError> {
    let mut future = pin!(future);
    if timeout == Some(Duration::ZERO) && !driving::is_held() {
        // Nothing waits, so nothing is woken, and no clock is read.
        let polled = future.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        return if let Poll::Ready(output) = polled { Ok(output) } else { Err(WaitError::TimedOut) };
    }
    let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
    match driving::wait(deadline, |cx| future.as_mut().poll(cx)) {
        Waited::Ready(output) => return Ok(output),
        Waited::TimedOut => return Err(WaitError::TimedOut),
        Waited::NotHere => {}
    }
    let call = Arc::<Call>::default();
    let waker = Waker::from(Arc::clone(&call));
    let mut cx = Context::from_waker(&waker);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut cx) {
            return Ok(output);
        }
        let left = deadline.map(|at| at.saturating_duration_since(Instant::now()));
        match left {
            Some(Duration::ZERO) => return Err(WaitError::TimedOut),
            _ if driving::is_driving() => return Err(WaitError::WouldDeadlock),
            left => call.wait(left),
        }
    }
}

/// A call to a thread that waits. (To park the thread, std would keep a handle of it until the thread
/// ends. On the main thread of a program that is not Rust's, memory checkers take that for a leak.)
#[derive(Default)]
struct Call {
    came: Mutex<bool>,
    changed: Condvar,
}

impl Call {
    /// Waits until the call comes, for at most `timeout`.
    fn wait(&self, timeout: Option<Duration>) {
        let mut came = self.came.lock().unwrap_or_else(PoisonError::into_inner);
        if !*came {
            came = match timeout {
                Some(left) => self.changed.wait_timeout(came, left).unwrap_or_else(PoisonError::into_inner).0,
                None => self.changed.wait(came).unwrap_or_else(PoisonError::into_inner),
            };
        }
        *came = false;
    }
}

impl Wake for Call {
    fn wake(self: Arc<Self>) {
        *self.came.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.changed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::{pending, ready};
    use std::thread;

    const SOON: Option<Duration> = Some(Duration::from_millis(1));

    #[test]
    fn a_wait_ends_with_its_future_or_its_timeout() {
        assert_eq!(wait(ready(7), None), Ok(7));
        assert_eq!(wait(ready(7), Some(Duration::ZERO)), Ok(7));
        assert_eq!(wait(pending::<()>(), SOON), Err(WaitError::TimedOut));
        let (sender, receiver) = async_channel::bounded(1);
        thread::scope(|scope| {
            scope.spawn(move || sender.send_blocking("from another thread"));
            assert_eq!(wait(receiver.recv(), None).unwrap(), Ok("from another thread"));
        });
    }

    #[test]
    fn a_thread_that_drives_connections_only_looks() {
        driving::driving(|| {
            assert_eq!(wait(ready(7), None), Ok(7));
            assert_eq!(wait(pending::<()>(), Some(Duration::ZERO)), Err(WaitError::TimedOut));
            assert_eq!(wait(pending::<()>(), None), Err(WaitError::WouldDeadlock));
        });
    }
}
