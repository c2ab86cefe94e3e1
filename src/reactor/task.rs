//! What a thread runs besides its main future: tasks that stay on it.
//!
//! The thread has them to itself while it runs them, so what it does to them takes
//! no lock. Other threads leave notes.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::pin::Pin;
use std::ptr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Wake, Waker};

use slab::Slab;

use super::bell::Bell;
use crate::base::guard::guarded;

type Future = Pin<Box<dyn std::future::Future<Output = ()> + Send>>;

thread_local! {
    /// Whose tasks this thread runs now. It is compared and nothing else.
    static OWNER: Cell<*const Tasks> = const { Cell::new(ptr::null()) };
    static OWN: RefCell<Own> = const { RefCell::new(Own::new()) };
}

/// The tasks of a reactor.
pub(super) struct Tasks {
    bell: Arc<Bell>,
    /// What they are while no thread runs them.
    resting: Mutex<Own>,
    /// `None` once nothing will be run any more.
    notes: Mutex<Option<Notes>>,
    are_there_notes: AtomicBool,
}

/// What other threads ask of the one that runs the tasks.
#[derive(Default)]
struct Notes {
    spawned: Vec<Future>,
    woken: Vec<Arc<Handle>>,
}

/// The tasks, as the thread has them that runs them.
struct Own {
    /// `None` is one that is being polled.
    all: Slab<Option<Task>>,
    /// The keys of those that want to be polled.
    ready: VecDeque<usize>,
}

struct Task {
    future: Future,
    handle: Arc<Handle>,
    waker: Waker,
}

/// What wakes a task. When that has ended, another may have its key: it is polled
/// once for nothing.
struct Handle {
    tasks: Arc<Tasks>,
    key: usize,
    /// It is among those that are ready. Touched by the thread that runs it only.
    ready: AtomicBool,
    /// It is among the notes.
    noted: AtomicBool,
}

/// This thread runs the tasks, until dropped.
pub(super) struct Running<'a> {
    tasks: &'a Arc<Tasks>,
    /// What it ran before, and whose that is.
    before: (*const Tasks, Own),
}

impl Own {
    const fn new() -> Self {
        Self { all: Slab::new(), ready: VecDeque::new() }
    }

    fn insert(&mut self, tasks: &Arc<Tasks>, future: Future) {
        let entry = self.all.vacant_entry();
        let (ready, noted) = (AtomicBool::new(true), AtomicBool::new(false));
        let handle = Arc::new(Handle { tasks: Arc::clone(tasks), key: entry.key(), ready, noted });
        self.ready.push_back(entry.key());
        let waker = Waker::from(Arc::clone(&handle));
        entry.insert(Some(Task { future, handle, waker }));
    }

    /// The next that is ready, to be polled.
    fn next(&mut self) -> Option<Task> {
        let key = self.ready.pop_front()?;
        self.all.get_mut(key)?.take()
    }
}

impl Tasks {
    pub fn new(bell: &Arc<Bell>) -> Arc<Self> {
        Arc::new(Self {
            bell: Arc::clone(bell),
            resting: Mutex::new(Own::new()),
            notes: Mutex::new(Some(Notes::default())),
            are_there_notes: AtomicBool::new(false),
        })
    }

    fn are_run_here(&self) -> bool {
        OWNER.try_with(|owner| ptr::eq(owner.get(), self)).unwrap_or(false)
    }

    /// Runs a future on the reactor's thread; drops it if nothing is run any more.
    pub fn spawn(self: &Arc<Self>, future: impl std::future::Future<Output = ()> + Send + 'static) {
        let future = Box::pin(future);
        if self.are_run_here() {
            OWN.with_borrow_mut(|own| own.insert(self, future));
        } else {
            self.note(|notes| notes.spawned.push(future));
        }
    }

    /// Leaves a note, if the tasks are run at all.
    fn note(&self, write: impl FnOnce(&mut Notes)) {
        if let Some(notes) = &mut *lock(&self.notes) {
            write(notes);
            self.are_there_notes.store(true, Ordering::SeqCst);
        }
        self.bell.ring();
    }

    /// From now on this thread runs them.
    pub fn enter(self: &Arc<Self>) -> Running<'_> {
        let own = std::mem::replace(&mut *lock(&self.resting), Own::new());
        let before = (OWNER.replace(Arc::as_ptr(self)), OWN.replace(own));
        Running { tasks: self, before }
    }

    /// Drops what has not ended. Nothing is run any more.
    pub fn close(&self) {
        let notes = lock(&self.notes).take();
        drop(notes);
        let resting = std::mem::replace(&mut *lock(&self.resting), Own::new());
        drop(resting);
    }
}

impl Running<'_> {
    pub fn has_work(&self) -> bool {
        OWN.with_borrow(|own| !own.ready.is_empty()) || self.tasks.are_there_notes.load(Ordering::SeqCst)
    }

    /// Polls each task that is ready, once.
    pub fn run(&self) {
        if self.tasks.are_there_notes.load(Ordering::SeqCst) {
            self.read_notes();
        }
        let mut left = OWN.with_borrow(|own| own.ready.len());
        while left > 0 {
            left -= 1;
            let Some(mut task) = OWN.with_borrow_mut(Own::next) else { continue };
            let key = task.handle.key;
            task.handle.ready.store(false, Ordering::Relaxed);
            if task.poll() {
                let place = OWN.with_borrow_mut(|own| own.all.try_remove(key));
                drop((place, task));
            } else {
                OWN.with_borrow_mut(|own| {
                    if let Some(place) = own.all.get_mut(key) {
                        *place = Some(task);
                    }
                });
            }
        }
    }

    fn read_notes(&self) {
        let notes = lock(&self.tasks.notes).as_mut().map(|notes| {
            self.tasks.are_there_notes.store(false, Ordering::SeqCst);
            std::mem::take(notes)
        });
        let Notes { spawned, woken } = notes.unwrap_or_default();
        OWN.with_borrow_mut(|own| spawned.into_iter().for_each(|future| own.insert(self.tasks, future)));
        for handle in woken {
            // What was done before it was woken is seen by its next poll.
            handle.noted.swap(false, Ordering::AcqRel);
            handle.wake();
        }
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        let (owner, own) = std::mem::replace(&mut self.before, (ptr::null(), Own::new()));
        OWNER.set(owner);
        *lock(&self.tasks.resting) = OWN.replace(own);
    }
}

impl Task {
    /// Polls it; says whether it has ended. A panic ends it.
    fn poll(&mut self) -> bool {
        let (future, mut cx) = (self.future.as_mut(), Context::from_waker(&self.waker));
        guarded("a task", || future.poll(&mut cx).is_ready()).unwrap_or(true)
    }
}

impl Wake for Handle {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if self.tasks.are_run_here() {
            if !self.ready.load(Ordering::Relaxed) {
                self.ready.store(true, Ordering::Relaxed);
                OWN.with_borrow_mut(|own| own.ready.push_back(self.key));
            }
        } else if !self.noted.swap(true, Ordering::AcqRel) {
            self.tasks.note(|notes| notes.woken.push(Arc::clone(self)));
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
