//! Values that are used again: each thread keeps a few values of a kind, so that it need not
//! allocate one for each request.

use std::cell::RefCell;
use std::sync::Mutex;

/// The number of values of one kind that a thread keeps.
const SPARES_PER_KIND: usize = 32;
/// The number of values that a thread hands over or takes at once.
const HANDED_OVER: usize = SPARES_PER_KIND / 2;
/// The most values of one kind that threads may ask for, beyond those that they have.
const MOST_WANTED: usize = 2 * SPARES_PER_KIND;
/// The largest buffer that is kept, in bytes.
pub(crate) const LARGEST_SPARE: usize = 64 * 1024;

/// A thread's spare values of one kind.
pub(crate) struct Spares<T: 'static> {
    kept: RefCell<Vec<T>>,
    /// Where the thread hands over what it has too much of.
    returned: Option<&'static Returned<T>>,
}

/// Values on their way from a thread that drops more than it makes to one that makes more than it drops. If
/// another thread than that of the connection answers, it drops the heads of requests and makes those of
/// responses. Since they come back, a small request to Python took 25,700 instructions in place of 28,400
/// (callgrind, 64 connections, 2026-11).
pub(crate) struct Returned<T>(Mutex<Stock<T>>);

struct Stock<T> {
    values: Vec<T>,
    /// How many values threads have taken or missed since they were last handed over. Without a taker, the
    /// values would only take memory.
    wanted: usize,
}

impl<T> Returned<T> {
    /// Returns an empty set of values.
    pub const fn new() -> Self {
        Self(Mutex::new(Stock { values: Vec::new(), wanted: 0 }))
    }
}

impl<T> Spares<T> {
    /// Returns an empty set of spare values.
    pub const fn new() -> Self {
        Self { kept: RefCell::new(Vec::new()), returned: None }
    }

    /// Returns an empty set of spare values, for a kind that one thread makes and another drops.
    pub const fn shared(returned: &'static Returned<T>) -> Self {
        Self { kept: RefCell::new(Vec::new()), returned: Some(returned) }
    }

    /// Takes the value that was given last, in the state in which it was given.
    #[inline]
    pub fn take(&self) -> Option<T> {
        let mut kept = self.kept.borrow_mut();
        if kept.is_empty() {
            self.take_returned(&mut kept);
        }
        kept.pop()
    }

    /// Takes the value that was given last among those for which `will_do` is true.
    pub fn find(&self, will_do: impl FnMut(&mut T) -> bool) -> Option<T> {
        let mut kept = self.kept.borrow_mut();
        let place = kept.iter_mut().rev().position(will_do)?;
        let place = kept.len() - 1 - place;
        Some(kept.swap_remove(place))
    }

    /// Gives a value back for later use. If the thread has enough, it hands the oldest over to threads that
    /// want some, or else drops the oldest one.
    #[inline]
    pub fn give(&self, value: T) {
        let mut kept = self.kept.borrow_mut();
        if kept.len() == SPARES_PER_KIND {
            self.hand_over(&mut kept);
        }
        kept.push(value);
    }

    /// Takes some of what other threads have handed over, if there is any.
    #[cold]
    fn take_returned(&self, kept: &mut Vec<T>) {
        // Without waiting: a forked child may find a lock that nobody releases.
        let Some(mut stock) = self.returned.and_then(|returned| returned.0.try_lock().ok()) else {
            return;
        };
        let rest = stock.values.len().saturating_sub(HANDED_OVER);
        kept.extend(stock.values.drain(rest..));
        stock.wanted = (stock.wanted + kept.len().max(1)).min(MOST_WANTED);
    }

    /// Makes room for one value.
    #[cold]
    fn hand_over(&self, kept: &mut Vec<T>) {
        if let Some(mut stock) = self.returned.and_then(|returned| returned.0.try_lock().ok())
            && stock.wanted > 0
            && stock.values.try_reserve(HANDED_OVER).is_ok()
        {
            stock.values.extend(kept.drain(..HANDED_OVER));
            stock.wanted = stock.wanted.saturating_sub(HANDED_OVER);
        } else {
            kept.remove(0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_are_kept() {
        let spares = Spares::new();
        assert_eq!(spares.take(), None);
        (0..SPARES_PER_KIND + 5).for_each(|number| spares.give(number));
        assert_eq!(std::iter::from_fn(|| spares.take()).count(), SPARES_PER_KIND);
        spares.give(7);
        assert_eq!((spares.take(), spares.take()), (Some(7), None));
    }

    #[test]
    fn the_newest_that_will_do_is_found() {
        let spares = Spares::new();
        (0..40).for_each(|number| spares.give(number));
        assert_eq!(spares.find(|number| *number < 8), None, "the oldest are gone");
        assert_eq!(spares.find(|number| *number % 10 == 5), Some(35));
        assert_eq!(spares.find(|number| *number % 10 == 5), Some(25));
        assert!(spares.take().is_some());
    }

    #[test]
    #[cfg_attr(miri, ignore = "twelve thousand values take Miri minutes, and one thread plays both")]
    fn what_one_thread_drops_another_takes() {
        static RETURNED: Returned<usize> = Returned::new();
        let (makes, drops) = (Spares::shared(&RETURNED), Spares::shared(&RETURNED));
        (0..1000).for_each(|number| drops.give(number));
        let stocked = || RETURNED.0.lock().unwrap().values.len();
        assert_eq!(stocked(), 0, "nobody wants them");
        assert_eq!(makes.take(), None);
        (1000..2000).for_each(|number| drops.give(number));
        assert_eq!((stocked(), makes.take()), (HANDED_OVER, Some(983)));
        for _ in 0..10 {
            assert_eq!(std::iter::from_fn(|| makes.take()).count() % HANDED_OVER, HANDED_OVER - 1);
            (0..1000).for_each(|number| drops.give(number));
            assert!(stocked() <= MOST_WANTED + HANDED_OVER, "there is a bound");
            assert!(makes.take().is_some());
        }
    }
}
