//! The load of a part of a program, as its watchdog sees it.

/// The work of a part of the program: how much of it waits, and how much was begun. See
/// [`Handle::watch`](crate::Handle::watch) for an example.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Load {
    /// The number of jobs that wait.
    pub waiting: u64,
    /// The number of jobs that were begun so far. It may wrap.
    pub begun: u64,
    /// Where the part stands, for the log.
    pub detail: String,
}

impl Load {
    /// Returns a load. The part is stuck if jobs wait and none is begun.
    pub fn new(waiting: u64, begun: u64) -> Self {
        Self { waiting, begun, detail: String::new() }
    }

    /// Says where the part stands, for the log and for [`Stuck::detail`](crate::Stuck::detail).
    #[must_use]
    pub fn detail(self, text: impl Into<String>) -> Self {
        Self { detail: text.into(), ..self }
    }
}
