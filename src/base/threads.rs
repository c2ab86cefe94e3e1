//! A server's own threads: starts them, counts them, and waits for their end.

use std::any::Any;
use std::cell::Cell;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{Builder, JoinHandle};
use std::time::Instant;

use crate::base::memory::has_headroom;

/// The stack that the standard library gives a thread, in bytes.
const DEFAULT_STACK: usize = 2 * 1024 * 1024;

/// A function that each thread calls first. Its result is dropped when the thread ends.
pub(crate) type ThreadHook = Box<dyn Fn() -> Box<dyn Any> + Send + Sync>;

thread_local! {
    /// The address of the `Threads` that this thread belongs to, or 0.
    static OWNER: Cell<usize> = const { Cell::new(0) };
}

/// A server's own threads.
pub(crate) struct Threads {
    hook: ThreadHook,
    state: Mutex<ThreadList>,
    ended: Condvar,
}

#[derive(Default)]
struct ThreadList {
    alive: usize,
    handles: Vec<JoinHandle<()>>,
}

impl Threads {
    pub fn new(hook: ThreadHook) -> Arc<Self> {
        Arc::new(Self { hook, state: Mutex::default(), ended: Condvar::new() })
    }

    /// Starts a thread. Without a `stack_size`, the stack has the standard library's size.
    pub fn spawn(
        self: &Arc<Self>,
        name: &str,
        stack_size: Option<usize>,
        body: impl FnOnce() + Send + 'static,
    ) -> io::Result<()> {
        // A failed allocation between the start of the thread and its first line would end the
        // process.
        if !has_headroom(stack_size.unwrap_or(DEFAULT_STACK)) {
            return Err(io::ErrorKind::OutOfMemory.into());
        }
        self.lock().alive += 1;
        let alive = Alive(Arc::clone(self));
        let builder = Builder::new().name(name.to_owned());
        let builder = match stack_size {
            Some(bytes) => builder.stack_size(bytes),
            None => builder,
        };
        let thread = builder.spawn(move || {
            // Dropped when the thread ends, and also if the spawn fails.
            let alive = alive;
            OWNER.set(alive.0.address());
            let guard = (alive.0.hook)();
            body();
            drop(guard);
        })?;
        self.lock().handles.push(thread);
        Ok(())
    }

    /// Returns `true` if the caller runs on one of these threads.
    pub fn is_current(&self) -> bool {
        OWNER.get() == self.address()
    }

    /// Waits until all threads have ended, or until the deadline. Returns `true` if all have ended.
    pub fn wait(&self, deadline: Option<Instant>) -> bool {
        let mut state = self.lock();
        while state.alive > 0 {
            state = match deadline.map(|at| at.saturating_duration_since(Instant::now())) {
                Some(left) if left.is_zero() => return false,
                Some(left) => self.ended.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0,
                None => self.ended.wait(state).unwrap_or_else(PoisonError::into_inner),
            };
        }
        let handles = std::mem::take(&mut state.handles);
        drop(state);
        for thread in handles {
            // The panic hook has reported a panic of the thread.
            let _ = thread.join();
        }
        true
    }

    fn address(&self) -> usize {
        std::ptr::from_ref(self) as usize
    }

    fn lock(&self) -> MutexGuard<'_, ThreadList> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Counts a thread as alive until it ends, also by a panic.
struct Alive(Arc<Threads>);

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.lock().alive -= 1;
        self.0.ended.notify_all();
    }
}
/// Returns the rounds of a test in which two threads meet. Miri tries other orders with each seed.
#[cfg(test)]
pub(crate) fn races() -> std::ops::Range<usize> {
    0..if cfg!(miri) { 2 } else { 500 }
}
