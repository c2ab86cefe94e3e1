//! Tools that know nothing of HTTP: panics, threads, memory, descriptors, the signal of a stop,
//! waiting for a future.

pub(crate) mod buffer;
pub(crate) mod descriptor;
pub(crate) mod driving;
pub(crate) mod guard;
pub(crate) mod memory;
pub(crate) mod pool;
pub(crate) mod spare;
pub(crate) mod stopping;
pub(crate) mod stuck;
pub(crate) mod threads;
pub(crate) mod values;
pub(crate) mod wait;
