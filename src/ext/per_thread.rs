//! Values of which a thread uses one alone, without a lock.

use std::cell::RefCell;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::thread::{self, LocalKey};

/// A set of values. A thread claims one with its first call, and gives it back when it ends. The threads
/// for which none is left at their first call share another one, under a lock.
///
/// A lock for each call would take 15 to 40 ns: the processor waits until all writes before it are done
/// (perf, 2026-11).
pub(super) struct PerThread<T: Claimed>(Arc<Values<T>>);

struct Values<T> {
    /// The values that no thread has claimed.
    free: Mutex<Vec<Box<T>>>,
    shared: Mutex<T>,
}

/// A type of which threads claim values.
pub(super) trait Claimed: Sized + 'static {
    /// Returns the values of this type that the thread has claimed.
    fn claims() -> &'static LocalKey<Claims<Self>>;
}

/// The values of one type that a thread has claimed.
pub(super) struct Claims<T>(RefCell<Vec<Claim<T>>>);

struct Claim<T> {
    of: Weak<Values<T>>,
    /// The place of the same set, to compare. No other set has that place while the claim exists.
    place: *const Values<T>,
    /// `None` if the thread uses the value that is shared.
    value: Option<Box<T>>,
}

/// Returns the number of threads that are given a value of their own: at least as many as there are cores.
pub(super) fn threads() -> usize {
    thread::available_parallelism().map_or(4, |cores| 2 * cores.get().next_power_of_two()).min(128)
}

impl<T: Claimed> PerThread<T> {
    /// Returns a set of the values that threads may claim, and of the one that others share.
    pub fn new(values: impl Iterator<Item = T>, shared: T) -> Self {
        Self(Arc::new(Values {
            free: Mutex::new(values.map(Box::new).collect()),
            shared: Mutex::new(shared),
        }))
    }

    /// Calls `call` with the value of this thread. `call` must not use a value of the same type.
    #[inline]
    pub fn with<R>(&self, call: impl FnOnce(&mut T) -> R) -> R {
        let mut call = Some(call);
        let done = T::claims().try_with(|claims| {
            let mut claims = claims.0.try_borrow_mut().ok()?;
            let place = Arc::as_ptr(&self.0);
            let value = match claims.iter_mut().find(|claim| claim.place == place) {
                Some(claim) => claim.value.as_mut()?,
                None => self.claim(&mut claims)?,
            };
            call.take().map(|call| call(value))
        });
        // The claims are gone at the end of a thread.
        done.ok().flatten().unwrap_or_else(|| {
            let call = call.take().expect("a call that is not done");
            call(&mut locked(&self.0.shared))
        })
    }

    /// Claims a value for this thread, if one is left.
    #[cold]
    fn claim<'a>(&self, claims: &'a mut Vec<Claim<T>>) -> Option<&'a mut Box<T>> {
        claims.retain(|claim| claim.of.strong_count() > 0);
        let (of, place) = (Arc::downgrade(&self.0), Arc::as_ptr(&self.0));
        claims.push(Claim { of, place, value: locked(&self.0.free).pop() });
        claims.last_mut()?.value.as_mut()
    }
}

impl<T> Claims<T> {
    /// Returns no claims.
    pub const fn new() -> Self {
        Self(RefCell::new(Vec::new()))
    }
}

/// Gives the value back.
impl<T> Drop for Claim<T> {
    fn drop(&mut self) {
        if let (Some(values), Some(value)) = (self.of.upgrade(), self.value.take()) {
            locked(&values.free).push(value);
        }
    }
}

/// Locks what a panic cannot have left half done.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;

    use super::*;

    struct Count(usize);

    thread_local! {
        static COUNTS: Claims<Count> = const { Claims::new() };
    }

    impl Claimed for Count {
        fn claims() -> &'static LocalKey<Claims<Self>> {
            &COUNTS
        }
    }

    /// Counts calls, and returns how many the value of the thread has had.
    fn count(counts: &PerThread<Count>) -> usize {
        counts.with(|count| {
            count.0 += 1;
            count.0
        })
    }

    fn two() -> PerThread<Count> {
        PerThread::new([0, 0].into_iter().map(Count), Count(100))
    }

    #[test]
    fn a_thread_has_a_value_of_its_own_until_it_ends() {
        let (counts, others) = (two(), two());
        for _ in 0..3 {
            let of_thread = thread::scope(|scope| {
                scope.spawn(|| [count(&counts), count(&others), count(&counts)]).join().unwrap()
            });
            assert!(of_thread[2] == of_thread[0] + 1, "{of_thread:?}");
        }
        let free =
            |counts: &PerThread<Count>| locked(&counts.0.free).iter().map(|count| count.0).sum::<usize>();
        assert_eq!((free(&counts), free(&others)), (6, 3), "each is given back with what it counted");
    }

    #[test]
    fn threads_for_which_no_value_is_left_share_one() {
        let (counts, barrier) = (two(), Barrier::new(6));
        let mut counted: Vec<_> = thread::scope(|scope| {
            let run = || {
                let counted = count(&counts);
                // No thread ends before all have counted.
                barrier.wait();
                counted
            };
            let threads: Vec<_> = (0..6).map(|_| scope.spawn(run)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        counted.sort_unstable();
        assert_eq!(counted, [1, 1, 101, 102, 103, 104]);
        let last = thread::scope(|scope| scope.spawn(|| count(&counts)).join().unwrap());
        assert_eq!(last, 2, "a value that was given back is claimed again");
    }

    #[test]
    fn values_of_a_set_that_is_gone_are_not_kept() {
        for _ in 0..3 {
            assert_eq!(count(&two()), 1);
            COUNTS.with(|claims| assert_eq!(claims.0.borrow().len(), 1));
        }
    }
}
