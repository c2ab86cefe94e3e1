//! Tools that know nothing of HTTP: panics, threads, memory, the signal of a stop,
//! waiting for a future, the time that work waits.

pub(crate) mod buffer;
pub(crate) mod congestion;
pub(crate) mod driving;
pub(crate) mod guard;
pub(crate) mod jobs;
pub(crate) mod memory;
pub(crate) mod overload;
pub(crate) mod pool;
pub(crate) mod priority;
pub(crate) mod shares;
pub(crate) mod shortcut;
pub(crate) mod spare;
pub(crate) mod stopping;
pub(crate) mod stuck;
pub(crate) mod threads;
pub(crate) mod turn;
pub(crate) mod values;
pub(crate) mod wait;
pub(crate) mod wakes;
