//! The state that the parts of a running server share.

use std::sync::Arc;

use super::gate::Gate;
use super::stop::Stopper;
use crate::base::threads::Threads;
use crate::conn::App;

/// The state of a running server: shared by its model, its handle and its stop.
pub(super) struct Shared {
    pub app: App,
    pub gate: Arc<Gate>,
    pub stopper: Stopper,
    pub threads: Arc<Threads>,
}
