//! The settings of overload: how long requests may wait.

use std::time::Duration;

/// How long a request may wait before its handler begins; see
/// [`Server::overload`](crate::Server::overload).
///
/// ```
/// use std::time::Duration;
/// let mut overload = transom::Overload::default();
/// overload.target = Duration::from_millis(20);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Overload {
    /// The longest wait while the server is overloaded; default 5 ms, and at least the time in which
    /// a queue moves on eight times. Beyond: 503 with Retry-After. Enforced in `base::congestion`.
    pub target: Duration,
    /// The longest wait otherwise, which lets a burst through; default 100 ms, and at least the time
    /// in which a queue moves on 32 times. Also the time after which a server counts as overloaded
    /// because something always waited, or no more because nothing was refused. Beyond: 503 with
    /// Retry-After. Enforced in `base::congestion`.
    pub interval: Duration,
}

/// The defaults are those of `CoDel` (RFC 8289 4.2, 4.3).
impl Default for Overload {
    fn default() -> Self {
        Self { target: Duration::from_millis(5), interval: Duration::from_millis(100) }
    }
}

impl Overload {
    /// Returns the setting that makes no sense and the reason, if there is one.
    pub(crate) fn fault(self) -> Option<(&'static str, &'static str)> {
        if self.target.is_zero() {
            Some(("overload.target", "no request could wait at all; without the setting each may"))
        } else if self.interval < self.target {
            Some(("overload.interval", "it must be at least overload.target"))
        } else {
            None
        }
    }
}
