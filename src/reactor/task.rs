//! The tasks that a thread runs besides its main future. A task stays on its thread.
//!
//! While a thread runs the tasks, no other thread touches them, so they need no lock. Other threads
//! leave mail: futures to spawn, and tasks to wake.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::pin::Pin;
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Wake, Waker};

use slab::Slab;

use super::bell::Bell;
use crate::base::guard::guarded;

type Future = Pin<Box<dyn std::future::Future<Output = ()> + Send>>;

thread_local! {
    /// The owner of the tasks that this thread runs now. The pointer is only compared.
    static OWNER: Cell<*const Tasks> = const { Cell::new(ptr::null()) };
    static TASKS: RefCell<TaskSet> = const { RefCell::new(TaskSet::new()) };
}

/// The tasks of a reactor.
pub(super) struct Tasks {
    bell: Arc<Bell>,
    /// The tasks while no thread runs them.
    at_rest: Mutex<TaskSet>,
    /// `None` once the tasks are closed.
    mail: Mutex<Option<Mail>>,
    has_mail: AtomicBool,
    /// The waker of the task that is polled, as the address of its data. Between tasks it is that of the
    /// thread's main future.
    polled: AtomicUsize,
    main: AtomicUsize,
}

/// Requests from other threads to the thread that runs the tasks.
#[derive(Default)]
struct Mail {
    spawned: Vec<Future>,
    woken: Vec<Arc<Handle>>,
}

/// The tasks themselves, held by the thread that runs them.
struct TaskSet {
    /// `None` stands for the task that is being polled.
    all: Slab<Option<Task>>,
    /// The keys of the tasks to poll next.
    ready: VecDeque<usize>,
}

struct Task {
    future: Future,
    handle: Arc<Handle>,
    waker: Waker,
}

/// The waker of a task. Its key may belong to another task once this one has ended; that task is
/// then polled once in vain.
struct Handle {
    tasks: Arc<Tasks>,
    key: usize,
    /// True while the task is in the ready queue. Only the thread that runs the task touches it.
    ready: AtomicBool,
    /// True while the task is in the mail.
    mailed: AtomicBool,
}

/// Makes this thread run the tasks, until dropped.
pub(super) struct Running<'a> {
    tasks: &'a Arc<Tasks>,
    /// The tasks that the thread ran before, and their owner.
    before: (*const Tasks, TaskSet),
}

impl TaskSet {
    const fn new() -> Self {
        Self { all: Slab::new(), ready: VecDeque::new() }
    }

    fn insert(&mut self, tasks: &Arc<Tasks>, future: Future) {
        let entry = self.all.vacant_entry();
        let (ready, mailed) = (AtomicBool::new(true), AtomicBool::new(false));
        let handle = Arc::new(Handle { tasks: Arc::clone(tasks), key: entry.key(), ready, mailed });
        self.ready.push_back(entry.key());
        let waker = Waker::from(Arc::clone(&handle));
        entry.insert(Some(Task { future, handle, waker }));
    }

    /// Takes the next ready task out, to poll it.
    fn next(&mut self) -> Option<Task> {
        let key = self.ready.pop_front()?;
        self.all.get_mut(key)?.take()
    }
}

impl Tasks {
    pub fn new(bell: &Arc<Bell>) -> Arc<Self> {
        Arc::new(Self {
            bell: Arc::clone(bell),
            at_rest: Mutex::new(TaskSet::new()),
            mail: Mutex::new(Some(Mail::default())),
            has_mail: AtomicBool::new(false),
            polled: AtomicUsize::new(0),
            main: AtomicUsize::new(0),
        })
    }

    /// Sets the waker of the thread's main future.
    pub fn set_main(&self, waker: &Waker) {
        // Relaxed: only the addresses are compared, by threads that expect an old answer (`polls`).
        self.main.store(waker.data() as usize, Ordering::Relaxed);
        self.polled.store(waker.data() as usize, Ordering::Relaxed);
    }

    /// Returns `true` if the thread polls the task or the main future that a waker belongs to. Any thread
    /// may ask. The answer may be old, unless the thread is stuck.
    pub fn polls(&self, waker: &Waker) -> bool {
        // Relaxed: the address is compared and never followed. A thread that is stuck stored it long ago.
        waker.data() as usize == self.polled.load(Ordering::Relaxed)
    }

    /// Returns `true` if this thread runs the tasks now.
    fn are_run_here(&self) -> bool {
        OWNER.try_with(|owner| ptr::eq(owner.get(), self)).unwrap_or(false)
    }

    /// Runs a future on the reactor's thread. Drops it if the tasks are closed.
    pub fn spawn(self: &Arc<Self>, future: impl std::future::Future<Output = ()> + Send + 'static) {
        let future = Box::pin(future);
        if self.are_run_here() {
            TASKS.with_borrow_mut(|set| set.insert(self, future));
        } else {
            self.send(|mail| mail.spawned.push(future));
        }
    }

    /// Leaves mail, unless the tasks are closed, and rings the bell.
    fn send(&self, write: impl FnOnce(&mut Mail)) {
        if let Some(mail) = &mut *lock(&self.mail) {
            write(mail);
            self.has_mail.store(true, Ordering::SeqCst);
        }
        self.bell.ring();
    }

    /// Makes this thread run the tasks.
    pub fn enter(self: &Arc<Self>) -> Running<'_> {
        let set = std::mem::replace(&mut *lock(&self.at_rest), TaskSet::new());
        let before = (OWNER.replace(Arc::as_ptr(self)), TASKS.replace(set));
        Running { tasks: self, before }
    }

    /// Drops the tasks that have not ended, and every later one.
    pub fn close(&self) {
        let mail = lock(&self.mail).take();
        drop(mail);
        let at_rest = std::mem::replace(&mut *lock(&self.at_rest), TaskSet::new());
        drop(at_rest);
    }
}

impl Tasks {
    /// Returns `true` if a task is ready or mail has arrived, on the thread that runs the tasks.
    pub fn has_work(&self) -> bool {
        TASKS.with_borrow(|set| !set.ready.is_empty()) || self.has_mail.load(Ordering::SeqCst)
    }

    /// Polls each ready task once, on the thread that runs the tasks.
    pub fn run(self: &Arc<Self>) {
        if self.has_mail.load(Ordering::SeqCst) {
            self.read_mail();
        }
        let mut left = TASKS.with_borrow(|set| set.ready.len());
        if left == 0 {
            return;
        }
        while left > 0 {
            left -= 1;
            let Some(mut task) = TASKS.with_borrow_mut(TaskSet::next) else { continue };
            let key = task.handle.key;
            // Relaxed: only the thread that runs the tasks uses `ready`. A thread that takes the tasks over gets them
            // from the lock of `at_rest`. `polled` is only compared.
            task.handle.ready.store(false, Ordering::Relaxed);
            self.polled.store(task.waker.data() as usize, Ordering::Relaxed);
            if task.poll() {
                let place = TASKS.with_borrow_mut(|set| set.all.try_remove(key));
                drop((place, task));
            } else {
                TASKS.with_borrow_mut(|set| {
                    if let Some(place) = set.all.get_mut(key) {
                        *place = Some(task);
                    }
                });
            }
        }
        // Relaxed: as above. This thread stored `main`.
        self.polled.store(self.main.load(Ordering::Relaxed), Ordering::Relaxed);
    }

    fn read_mail(self: &Arc<Self>) {
        let mail = lock(&self.mail).as_mut().map(|mail| {
            self.has_mail.store(false, Ordering::SeqCst);
            std::mem::take(mail)
        });
        let Mail { spawned, woken } = mail.unwrap_or_default();
        TASKS.with_borrow_mut(|set| spawned.into_iter().for_each(|future| set.insert(self, future)));
        for handle in woken {
            // Acquires what the waking thread stored before it woke the task.
            handle.mailed.swap(false, Ordering::AcqRel);
            handle.wake();
        }
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        let (owner, set) = std::mem::replace(&mut self.before, (ptr::null(), TaskSet::new()));
        OWNER.set(owner);
        *lock(&self.tasks.at_rest) = TASKS.replace(set);
    }
}

impl Task {
    /// Polls the task. Returns `true` if it has ended. A panic ends it.
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
            // Relaxed: only the thread that runs the tasks comes here.
            if !self.ready.load(Ordering::Relaxed) {
                self.ready.store(true, Ordering::Relaxed);
                TASKS.with_borrow_mut(|set| set.ready.push_back(self.key));
            }
        } else if !self.mailed.swap(true, Ordering::AcqRel) {
            self.tasks.send(|mail| mail.woken.push(Arc::clone(self)));
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::sync::mpsc;
    use std::task::Poll;
    use std::thread;

    use super::*;
    use crate::base::threads::races;

    #[test]
    fn a_task_that_another_thread_wakes_sees_what_that_thread_did_before() {
        for _ in races() {
            let tasks = Tasks::new(&Arc::new(Bell::new().unwrap()));
            let running = tasks.enter();
            // The value is stored and loaded without an order: only the wake orders it.
            let (value, seen) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
            let (sender, receiver) = mpsc::channel::<Waker>();
            let other = {
                let value = Arc::clone(&value);
                thread::spawn(move || {
                    let waker = receiver.recv().unwrap();
                    value.store(1, Ordering::Relaxed);
                    waker.wake();
                })
            };
            let (its_value, its_seen, mut sender) = (Arc::clone(&value), Arc::clone(&seen), Some(sender));
            tasks.spawn(poll_fn(move |cx| {
                sender.take().into_iter().for_each(|sender| sender.send(cx.waker().clone()).unwrap());
                if its_value.load(Ordering::Relaxed) == 0 {
                    return Poll::Pending;
                }
                its_seen.store(true, Ordering::Relaxed);
                Poll::Ready(())
            }));
            while !other.is_finished() {
                tasks.run();
                thread::yield_now();
            }
            // For the mail, and for the task.
            (0..2).for_each(|_| tasks.run());
            assert!(seen.load(Ordering::Relaxed), "the wake came, and the value did not");
            drop(running);
            other.join().unwrap();
        }
    }

    #[test]
    fn a_task_that_two_threads_wake_sees_what_both_did_before() {
        for _ in races() {
            let tasks = Tasks::new(&Arc::new(Bell::new().unwrap()));
            let running = tasks.enter();
            // The values are stored and loaded without an order: only the wakes order them. One of the wakes finds the
            // task in the mail already.
            let values = Arc::new([const { AtomicUsize::new(0) }; 2]);
            let seen = Arc::new(AtomicUsize::new(0));
            let (sender, receiver) = mpsc::channel::<Waker>();
            let (its_values, its_seen, mut sender) = (Arc::clone(&values), Arc::clone(&seen), Some(sender));
            tasks.spawn(poll_fn(move |cx| {
                sender.take().into_iter().for_each(|sender| sender.send(cx.waker().clone()).unwrap());
                let sum = its_values.iter().map(|value| value.load(Ordering::Relaxed)).sum();
                its_seen.store(sum, Ordering::Relaxed);
                Poll::Pending
            }));
            tasks.run();
            let waker = receiver.recv().unwrap();
            let others = [0, 1].map(|number| {
                let (values, waker) = (Arc::clone(&values), waker.clone());
                thread::spawn(move || {
                    values[number].store(1, Ordering::Relaxed);
                    waker.wake();
                })
            });
            while !others.iter().all(thread::JoinHandle::is_finished) {
                thread::yield_now();
            }
            tasks.run();
            assert_eq!(seen.load(Ordering::Relaxed), 2, "the wakes came, and a value did not");
            drop(running);
            for other in others {
                other.join().unwrap();
            }
            tasks.close();
        }
    }

    #[test]
    fn a_task_that_comes_while_its_thread_goes_to_sleep_is_seen_or_rings() {
        for round in races() {
            let bell = Arc::new(Bell::new().unwrap());
            let tasks = Tasks::new(&bell);
            let running = tasks.enter();
            bell.awake();
            let sleeps = thread::scope(|scope| {
                let sends = scope.spawn(|| tasks.spawn(async {}));
                // Sees that it has ended, without an order: a thread that is awake is not rung for.
                while round % 2 == 1 && !sends.is_finished() {
                    thread::yield_now();
                }
                bell.sleep(|| tasks.has_work(), || None).is_none()
            });
            let has_rung = rustix::io::read(&bell, &mut [0; 8]).is_ok();
            assert!(has_rung || !sleeps, "the thread sleeps for ever");
            drop(running);
            tasks.close();
        }
    }
}
