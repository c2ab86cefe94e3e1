//! Values that are used again: each thread keeps a few values of a kind, so that it need not
//! allocate one for each request.

use std::cell::RefCell;

/// The number of values of one kind that a thread keeps.
const SPARES_PER_KIND: usize = 32;
/// The largest buffer that is kept, in bytes.
pub(crate) const LARGEST_SPARE: usize = 64 * 1024;

/// A thread's spare values of one kind.
pub(crate) struct Spares<T>(RefCell<Vec<T>>);

impl<T> Spares<T> {
    /// Returns an empty set of spare values.
    pub const fn new() -> Self {
        Self(RefCell::new(Vec::new()))
    }

    /// Takes the value that was given last, in the state in which it was given.
    pub fn take(&self) -> Option<T> {
        self.0.borrow_mut().pop()
    }

    /// Takes the value that was given last among those for which `will_do` is true.
    pub fn find(&self, will_do: impl FnMut(&mut T) -> bool) -> Option<T> {
        let mut kept = self.0.borrow_mut();
        let place = kept.iter_mut().rev().position(will_do)?;
        let place = kept.len() - 1 - place;
        Some(kept.swap_remove(place))
    }

    /// Gives a value back for later use. If the thread has enough, the oldest is dropped.
    pub fn give(&self, value: T) {
        let mut kept = self.0.borrow_mut();
        if kept.len() == SPARES_PER_KIND {
            kept.remove(0);
        }
        kept.push(value);
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
}
