//! The parts that differ between Unix and Windows: descriptors, signals, forks, names of files.

#[cfg(all(target_os = "linux", not(transom_portable)))]
mod eventfd;
#[cfg(all(unix, not(all(target_os = "linux", not(transom_portable)))))]
mod pair;
#[cfg(unix)]
mod unix;
#[cfg(windows)]
mod windows;

#[cfg(all(target_os = "linux", not(transom_portable)))]
pub(crate) use eventfd::Bell;
#[cfg(all(unix, not(all(target_os = "linux", not(transom_portable)))))]
pub(crate) use pair::Bell;
#[cfg(unix)]
pub(crate) use unix::*;
#[cfg(windows)]
pub(crate) use windows::*;

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    /// Returns `true` if poll(2) finds the descriptor readable.
    fn is_readable(bell: &Bell) -> bool {
        let mut polled = libc::pollfd { fd: bell.descriptor(), events: libc::POLLIN, revents: 0 };
        // SAFETY: the pointer is to one structure.
        unsafe { libc::poll(&raw mut polled, 1, 0) == 1 }
    }

    #[test]
    fn a_bell_is_readable_from_the_first_ring_until_it_is_silenced() {
        let bell = Bell::new().unwrap();
        bell.silence();
        for rings in [1, 2, 256, 100_000] {
            assert!(!is_readable(&bell));
            (0..rings).for_each(|_| bell.ring());
            assert!(is_readable(&bell), "{rings}");
            bell.silence();
        }
        assert!(!is_readable(&bell));
    }
}
