//! A server's own threads: starts them, counts them, and waits for their end.

use std::any::Any;
use std::cell::Cell;
use std::hint::black_box;
use std::io;
use std::sync::{Arc, Barrier, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{Builder, JoinHandle};
use std::time::Instant;

use crate::base::memory::{ARENA, Growth, is_limited};

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

    /// Starts a thread that the server needs. Without a `stack_size`, the stack has the standard library's size.
    pub fn spawn(
        self: &Arc<Self>,
        name: &str,
        stack_size: Option<usize>,
        body: impl FnOnce() + Send + 'static,
    ) -> io::Result<()> {
        self.start(name, stack_size, false, body)
    }

    /// Starts a thread that the server can do without, if the process has room for all that the thread may take.
    pub fn spawn_another(
        self: &Arc<Self>,
        name: &str,
        stack_size: Option<usize>,
        body: impl FnOnce() + Send + 'static,
    ) -> io::Result<()> {
        // A thread without an arena would set one aside as soon as others free memory, and asks the system for
        // memory at each allocation until then.
        self.start(name, stack_size, true, body)
    }

    fn start(
        self: &Arc<Self>,
        name: &str,
        stack_size: Option<usize>,
        has_arena: bool,
        body: impl FnOnce() + Send + 'static,
    ) -> io::Result<()> {
        // A failed allocation between the start of the thread and its first line would end the
        // process.
        let (stack, is_limited) = (stack_size.unwrap_or(DEFAULT_STACK), is_limited());
        let arena = if has_arena && is_limited { ARENA } else { 0 };
        let mut growth = Growth::of(stack.saturating_add(arena)).ok_or(io::ErrorKind::OutOfMemory)?;
        let stopgap = growth.take_stopgap();
        // The first allocation of a thread may take far more than its stack: nobody counts on that until then.
        let begun = is_limited.then(|| Arc::new(Barrier::new(2)));
        let allocates = begun.clone();
        self.lock().alive += 1;
        let alive = Alive(Arc::clone(self));
        let builder = Builder::new().name(name.to_owned());
        let builder = match stack_size {
            Some(bytes) => builder.stack_size(bytes),
            None => builder,
        };
        let thread = builder.spawn(move || {
            // Dropped when the thread ends, and also if the spawn fails.
            let (alive, _stopgap) = (alive, stopgap);
            if let Some(begun) = allocates {
                black_box(Box::new(0_u8));
                begun.wait();
            }
            OWNER.set(alive.0.address());
            let guard = (alive.0.hook)();
            body();
            drop(guard);
        })?;
        if let Some(begun) = begun {
            begun.wait();
        }
        drop(growth);
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

#[cfg(all(test, target_os = "linux", not(miri)))]
mod tests {
    use std::sync::mpsc;

    use super::*;
    use crate::base::memory::{little, make_room};

    /// Threads that begin, and that go on when others have given memory back, which glibc then sets aside.
    #[test]
    fn threads_leave_the_headroom() {
        let spaces = (50..240).step_by(5);
        little::each("base::threads::tests::threads_leave_the_headroom", spaces, || {
            let threads = Threads::new(Box::new(|| Box::new(())));
            let (sender, said) = mpsc::channel();
            let mut workers = Vec::new();
            // Starts a thread that allocates each time that it is told to, and says so.
            let mut start = |is_first| {
                let (tell, told) = mpsc::channel();
                let sender = sender.clone();
                let body = move || told.into_iter().try_for_each(|()| sender.send(vec![0; 100])).unwrap();
                if is_first {
                    threads.spawn("first", None, body)?;
                } else {
                    threads.spawn_another("another", None, body)?;
                }
                workers.push(tell);
                Ok::<_, io::Error>(())
            };
            start(true).unwrap();
            let mut held = Vec::new();
            let _ = make_room(&mut held, 62 << 20, 0);
            let error = loop {
                if let Err(error) = start(false) {
                    break error;
                }
            };
            assert_eq!(error.kind(), io::ErrorKind::OutOfMemory);
            let all_allocate = || {
                for worker in &workers {
                    worker.send(()).unwrap();
                }
                let _kept: Vec<Vec<u8>> = said.iter().take(workers.len()).collect();
                // Small allocations may take a little of it.
                assert!(little::left() > 7 << 20, "{} threads: {}", workers.len(), little::left());
            };
            all_allocate();
            drop(black_box(held));
            all_allocate();
            all_allocate();
            drop(workers);
            assert!(threads.wait(None));
        });
    }
}
