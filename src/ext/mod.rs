//! Extensions: what stands on the public API alone. Each file here can be deleted.

mod tower;

pub use tower::{RouterService, TowerHandler, tower_service};
