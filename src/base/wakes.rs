//! Wakes of other threads that this thread puts off, so that one wake serves several requests.
//!
//! A thread that is woken may take the core at once from the thread that wakes it, and then finds the
//! work of one request. With all threads on one core and 64 connections, a small request to Python takes
//! 10.2 us instead of 11.1 when wakes are put off (2026-11).

use std::cell::{Cell, RefCell};
use std::mem::{self, ManuallyDrop};
use std::task::Waker;

use super::driving;

/// Wakers without duplicates; `None` while nothing is put off. Without a destructor, which a thread
/// would have to register: that aborts the process if there is no memory. The guards empty it.
type PutOff = RefCell<ManuallyDrop<Option<Vec<Waker>>>>;

thread_local! {
    /// Wakes that wait for the end of a batch of responses.
    static BATCH: PutOff = const { RefCell::new(ManuallyDrop::new(None)) };
    /// Wakes that wait for the end of the thread's turn.
    static TURN: PutOff = const { RefCell::new(ManuallyDrop::new(None)) };
    /// True if a wake waits for the end of the turn.
    static IS_DUE: Cell<bool> = const { Cell::new(false) };
}

/// Adds a waker. Returns `false` if nothing is put off.
fn add(list: &PutOff, waker: &Waker) -> bool {
    let Some(wakers) = &mut **list.borrow_mut() else { return false };
    if !wakers.iter().any(|other| other.will_wake(waker)) {
        wakers.push(waker.clone());
    }
    true
}

/// Replaces the list of wakers, and wakes those that were in it.
fn replace(list: &PutOff, new: Option<Vec<Waker>>) {
    let wakers = mem::replace(&mut **list.borrow_mut(), new);
    wakers.into_iter().flatten().for_each(Waker::wake);
}

/// Runs `work`. Wakes of threads by [`in_batch`] are put off until it has returned.
pub(crate) fn batch<R>(work: impl FnOnce() -> R) -> R {
    struct Guard;

    impl Drop for Guard {
        fn drop(&mut self) {
            BATCH.with(|list| replace(list, None));
        }
    }

    if BATCH.with_borrow(|wakers| wakers.is_some()) {
        return work();
    }
    BATCH.with(|list| replace(list, Some(Vec::new())));
    let _guard = Guard;
    work()
}

/// Puts a wake off until the end of the batch. Returns `false` if there is no batch.
pub(crate) fn in_batch(waker: impl FnOnce() -> Waker) -> bool {
    BATCH.with(|list| list.borrow().is_some() && add(list, &waker()))
}

/// Wakes `waker` when this thread has served the connections that are ready now; at once if the thread
/// serves none, or runs a handler that may block. A callback that queues something for another thread
/// wakes it in this way once for several connections: a thread that is woken at the first may take the
/// core, and find no other.
///
/// ```
/// use std::sync::Arc;
/// use std::sync::atomic::{AtomicBool, Ordering};
/// use std::task::{Wake, Waker};
///
/// #[derive(Default)]
/// struct Bell(AtomicBool);
/// impl Wake for Bell {
///     fn wake(self: Arc<Self>) {
///         self.0.store(true, Ordering::SeqCst);
///     }
/// }
///
/// let bell = Arc::<Bell>::default();
/// transom::wake_after_turn(&Waker::from(Arc::clone(&bell)));
/// assert!(bell.0.load(Ordering::SeqCst));
/// ```
pub fn wake_after_turn(waker: &Waker) {
    // A job may wait for the thread that it wakes, and its turn ends only after it.
    if !driving::is_held() && TURN.with(|list| add(list, waker)) {
        IS_DUE.set(true);
    } else {
        waker.wake_by_ref();
    }
}

/// Marks this thread as one that has turns, until dropped.
pub(crate) struct Turns(Option<Vec<Waker>>);

impl Turns {
    pub fn begin() -> Self {
        Self(TURN.with_borrow_mut(|wakers| wakers.replace(Vec::new())))
    }

    /// Wakes the wakers that were put off during the turn.
    #[inline]
    pub fn end_turn() {
        if IS_DUE.replace(false) {
            TURN.with(|list| replace(list, Some(Vec::new())));
        }
    }
}

impl Drop for Turns {
    fn drop(&mut self) {
        TURN.with(|list| replace(list, self.0.take()));
        // A wake may have been put off before these turns began.
        IS_DUE.set(true);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    use super::*;

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Count {
        fn get(&self) -> usize {
            self.0.load(Ordering::Relaxed)
        }
    }

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn a_batch_wakes_once_at_its_end() {
        let count = Arc::new(Count::default());
        let waker = || Waker::from(Arc::clone(&count));
        assert!(!in_batch(waker), "there is no batch");
        batch(|| {
            assert!(in_batch(waker));
            batch(|| assert!(in_batch(waker)));
            assert_eq!(count.get(), 0);
        });
        assert_eq!(count.get(), 1);
        assert!(!in_batch(waker));
    }

    #[test]
    fn a_batch_that_panics_wakes_too() {
        let count = Arc::new(Count::default());
        let broken = std::panic::catch_unwind(|| {
            batch(|| {
                in_batch(|| Waker::from(Arc::clone(&count)));
                panic!("a fault");
            })
        });
        assert!(broken.is_err());
        assert_eq!(count.get(), 1);
    }

    #[test]
    fn a_job_that_may_block_wakes_at_once() {
        let count = Arc::new(Count::default());
        let waker = Waker::from(Arc::clone(&count));
        let _turns = Turns::begin();
        driving::driving(|| {
            driving::blocking(|| wake_after_turn(&waker));
            assert_eq!(count.get(), 1);
            wake_after_turn(&waker);
            assert_eq!(count.get(), 1);
        });
        Turns::end_turn();
        assert_eq!(count.get(), 2);
    }

    #[test]
    fn a_turn_wakes_once_at_its_end() {
        let count = Arc::new(Count::default());
        let waker = Waker::from(Arc::clone(&count));
        wake_after_turn(&waker);
        assert_eq!(count.get(), 1, "the thread has no turns");
        let turns = Turns::begin();
        wake_after_turn(&waker);
        wake_after_turn(&waker);
        assert_eq!(count.get(), 1);
        Turns::end_turn();
        assert_eq!(count.get(), 2);
        Turns::end_turn();
        assert_eq!(count.get(), 2);
        wake_after_turn(&waker);
        let inner = Turns::begin();
        Turns::end_turn();
        drop(inner);
        assert_eq!(count.get(), 2, "the turn goes on");
        Turns::end_turn();
        assert_eq!(count.get(), 3);
        wake_after_turn(&waker);
        drop(turns);
        assert_eq!(count.get(), 4, "the last turn ends too");
        wake_after_turn(&waker);
        assert_eq!(count.get(), 5);
    }
}
