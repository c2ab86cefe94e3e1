//! The models: the ways to drive the connections of a server.

#[cfg(all(target_os = "linux", not(transom_portable)))]
mod event;
pub(super) mod hosted;
#[cfg(target_os = "linux")]
mod native;
#[cfg(target_os = "linux")]
mod sequential;
#[cfg(target_os = "linux")]
mod threads;

use std::sync::Arc;

use super::listener::Listener;
use super::model::Model;
use super::shared::Shared;
use crate::error::Result;

/// Starts the threads of a server in that model.
pub(super) fn start(
    shared: &Arc<Shared>,
    listeners: Vec<Listener>,
    model: Model,
    workers: Option<usize>,
) -> Result<()> {
    match model {
        Model::EventDriven => {
            let cores = || std::thread::available_parallelism().map_or(1, usize::from);
            let workers = workers.unwrap_or_else(cores);
            #[cfg(all(target_os = "linux", not(transom_portable)))]
            return event::start(shared, listeners, workers);
            #[cfg(not(all(target_os = "linux", not(transom_portable))))]
            return hosted::start(shared, listeners, workers);
        }
        #[cfg(target_os = "linux")]
        Model::Sequential => sequential::start(shared, listeners),
        #[cfg(target_os = "linux")]
        Model::ThreadPerConnection => threads::start(shared, listeners),
        #[cfg(not(target_os = "linux"))]
        _ => Err(crate::error::Error::BadSetting {
            name: "model",
            reason: "only `event` is there on this system",
        }),
    }
}
