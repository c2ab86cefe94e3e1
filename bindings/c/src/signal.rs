//! A descriptor that tells whether something waits in a queue.

use std::io;
use std::sync::Arc;

use crate::system::{Bell, NO_DESCRIPTOR, transom_descriptor};

/// The state of the descriptor, under the lock of its queue. The descriptor is made readable without that lock: a
/// thread that is woken by it would only wait for the lock.
#[derive(Default)]
pub(crate) struct Signal {
    /// Made when the host first asks for the descriptor.
    bell: Option<Arc<Bell>>,
    is_on: bool,
    /// The number of threads that are about to make the descriptor readable.
    ringing: usize,
    /// True if it was turned off before one of them had come to it.
    is_late: bool,
}

impl Signal {
    /// Returns the descriptor. `turn_on` is to be called if something waits.
    pub fn descriptor(&mut self) -> io::Result<transom_descriptor> {
        if self.bell.is_none() {
            self.bell = Some(Arc::new(Bell::new()?));
        }
        Ok(self.bell.as_ref().map_or(NO_DESCRIPTOR, |bell| bell.descriptor()))
    }

    /// Returns `true` if the host has the descriptor.
    pub fn is_asked_for(&self) -> bool {
        self.bell.is_some()
    }

    /// Returns `true` if the host has the descriptor, and it is not readable.
    pub fn is_off(&self) -> bool {
        self.is_asked_for() && !self.is_on
    }

    /// Returns the bell, if it is to be rung: after the lock is given up, and before [`rung`](Self::rung).
    #[must_use]
    pub fn turn_on(&mut self) -> Option<Arc<Bell>> {
        if self.is_on {
            return None;
        }
        let bell = self.bell.clone()?;
        self.is_on = true;
        self.ringing += 1;
        Some(bell)
    }

    /// Notes that a bell was rung.
    pub fn rung(&mut self) {
        self.ringing -= 1;
        if let (Some(bell), true, false) = (&self.bell, self.is_late, self.is_on) {
            bell.silence();
        }
        self.is_late &= self.ringing > 0;
    }

    /// Makes the descriptor unreadable.
    pub fn turn_off(&mut self) {
        if let (Some(bell), true) = (&self.bell, self.is_on) {
            self.is_on = false;
            let was_rung = bell.silence();
            self.is_late |= !was_rung && self.ringing > 0;
        }
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    /// Returns `true` if poll(2) finds the descriptor readable.
    fn is_readable(signal: &mut Signal) -> bool {
        let mut polled = libc::pollfd { fd: signal.descriptor().unwrap(), events: libc::POLLIN, revents: 0 };
        // SAFETY: the pointer is to one structure.
        unsafe { libc::poll(&raw mut polled, 1, 0) == 1 }
    }

    #[test]
    fn a_signal_is_readable_while_it_is_on() {
        let mut signal = Signal::default();
        assert!(signal.turn_on().is_none() && !signal.is_off(), "nobody has asked for the descriptor");
        for _ in 0..3 {
            assert!(!is_readable(&mut signal) && signal.is_off());
            signal.turn_on().unwrap().ring();
            signal.rung();
            assert!(is_readable(&mut signal) && !signal.is_off());
            assert!(signal.turn_on().is_none());
            signal.turn_off();
        }
    }

    #[test]
    fn a_bell_that_rings_after_the_signal_was_turned_off_leaves_it_off() {
        let mut signal = Signal::default();
        assert!(!is_readable(&mut signal));
        let bell = signal.turn_on().unwrap();
        signal.turn_off();
        bell.ring();
        signal.rung();
        assert!(!is_readable(&mut signal) && signal.is_off());
    }

    #[test]
    fn bells_of_several_threads_may_ring_in_any_order() {
        for order in [[0, 1, 2, 3], [0, 1, 3, 2], [1, 0, 3, 2], [1, 3, 0, 2]] {
            let mut signal = Signal::default();
            signal.descriptor().unwrap();
            let first = signal.turn_on().unwrap();
            signal.turn_off();
            let second = signal.turn_on().unwrap();
            for step in order {
                match step {
                    0 => first.ring(),
                    1 => second.ring(),
                    _ => signal.rung(),
                }
            }
            assert!(is_readable(&mut signal), "it is on");
            signal.turn_off();
            assert!(!is_readable(&mut signal), "{order:?}");
        }
    }
}
