//! The priority of a request among others that wait.

use std::time::Duration;

/// How long the requests of a route may wait when the server is overloaded, compared with those of
/// other routes; see [`Overload`](crate::Overload).
///
/// ```
/// use transom::{Method, Priority, Request, Route, Router};
///
/// let app = Router::new()
///     .get("/", async |_: Request| "hello")
///     .route(Route::new(Method::GET, "/report", async |_: Request| "long").priority(Priority::Low));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Priority {
    /// May wait half as long as usual, and is refused before all others.
    Low,
    /// May wait as long as [`Overload`](crate::Overload) says.
    #[default]
    Normal,
    /// May wait twice as long as usual.
    High,
    /// Is never refused because of overload, and goes before all others in the queue of the blocking
    /// pool: for health checks and for the pages of an operator. [`Readiness`](crate::Readiness) and
    /// [`Liveness`](crate::Liveness) have this priority by themselves.
    Vital,
}

impl Priority {
    /// Returns how long a request of this priority may wait if one of normal priority may wait
    /// `usual`; `None` is any time.
    pub(crate) fn patience(self, usual: Duration) -> Option<Duration> {
        match self {
            Self::Low => Some(usual / 2),
            Self::Normal => Some(usual),
            Self::High => Some(usual.saturating_mul(2)),
            Self::Vital => None,
        }
    }
}
