//! What a thread runs besides its main future: tasks that stay on it.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Wake, Waker};

use slab::Slab;

use super::bell::Bell;

type Future = Pin<Box<dyn std::future::Future<Output = ()> + Send>>;

/// The tasks of a reactor, and which of them want to be polled.
pub(super) struct Tasks {
    bell: Arc<Bell>,
    /// `None` once nothing will be run any more.
    queue: Mutex<Option<VecDeque<Arc<Task>>>>,
    all: Mutex<Slab<Arc<Task>>>,
}

pub(super) struct Task {
    tasks: Arc<Tasks>,
    /// `None` once it has ended.
    future: Mutex<Option<Future>>,
    queued: AtomicBool,
    key: usize,
}

impl Tasks {
    pub fn new(bell: &Arc<Bell>) -> Arc<Self> {
        let queue = Mutex::new(Some(VecDeque::new()));
        Arc::new(Self { bell: Arc::clone(bell), queue, all: Mutex::default() })
    }

    /// Runs a future on the reactor's thread; drops it if nothing is run any more.
    pub fn spawn(self: &Arc<Self>, future: impl std::future::Future<Output = ()> + Send + 'static) {
        let mut all = lock(&self.all);
        let entry = all.vacant_entry();
        let task = Arc::new(Task {
            tasks: Arc::clone(self),
            future: Mutex::new(Some(Box::pin(future))),
            queued: AtomicBool::new(false),
            key: entry.key(),
        });
        entry.insert(Arc::clone(&task));
        drop(all);
        let key = task.key;
        task.wake();
        if lock(&self.queue).is_none() {
            // Closed meanwhile, or before.
            let task = lock(&self.all).try_remove(key);
            let future = task.and_then(|task| lock(&task.future).take());
            drop(future);
        }
    }

    pub fn has_work(&self) -> bool {
        lock(&self.queue).as_ref().is_some_and(|queue| !queue.is_empty())
    }

    /// Polls each task that is queued, once. `turn` is room for them, empty
    /// before and after.
    pub fn run(&self, turn: &mut VecDeque<Arc<Task>>) {
        if let Some(queue) = &mut *lock(&self.queue) {
            std::mem::swap(turn, queue);
        }
        while let Some(task) = turn.pop_front() {
            task.queued.store(false, Ordering::SeqCst);
            let waker = Waker::from(Arc::clone(&task));
            if task.poll(&mut Context::from_waker(&waker)) {
                lock(&self.all).try_remove(task.key);
            }
        }
    }

    /// Drops what has not ended. Nothing is run any more.
    pub fn close(&self) {
        let queue = lock(&self.queue).take();
        drop(queue);
        let all = std::mem::take(&mut *lock(&self.all));
        for (_, task) in all {
            let future = lock(&task.future).take();
            drop(future);
        }
    }
}

impl Task {
    /// Polls it; says whether it has ended. A panic ends it.
    fn poll(&self, cx: &mut Context<'_>) -> bool {
        let mut slot = lock(&self.future);
        let Some(future) = slot.as_mut() else { return true };
        let polled = catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx).is_ready()));
        let has_ended = polled.unwrap_or_else(|_| {
            log::error!(target: "transom", "a task panicked");
            true
        });
        let ended = if has_ended { slot.take() } else { None };
        drop(slot);
        drop(ended);
        has_ended
    }
}

impl Wake for Task {
    fn wake(self: Arc<Self>) {
        if self.queued.swap(true, Ordering::SeqCst) {
            return;
        }
        let tasks = Arc::clone(&self.tasks);
        if let Some(queue) = &mut *lock(&tasks.queue) {
            queue.push_back(self);
        }
        tasks.bell.ring();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.queued.load(Ordering::SeqCst) {
            Arc::clone(self).wake();
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
