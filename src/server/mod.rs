//! The server: its settings, its listeners, its models, its stop.

mod accept;
mod builder;
mod connections;
mod drain;
mod facts;
mod gate;
mod handle;
#[cfg(target_os = "linux")]
mod handover;
#[cfg(any(feature = "tls", feature = "tls-ring"))]
mod handshake;
mod inherited;
mod keeper;
mod lane;
mod listener;
mod load;
mod model;
mod models;
mod monitor;
mod opening;
mod predecessor;
mod proxy;
pub(crate) mod proxy_header;
mod service;
mod shared;
mod sleep;
mod socket;
mod start;
mod stats;
mod stop;
#[cfg(target_os = "linux")]
mod succession;
mod systemd;
mod watchdog;

pub use builder::{LOOPBACK_HOSTS, Server};
pub use connections::ConnectionInfo;
pub use handle::Handle;
pub use listener::Listener;
pub use load::Load;
pub use model::Model;
pub use monitor::Monitor;
pub use service::Service;
pub use sleep::sleep;
pub use stats::Stats;
pub use stop::{Report, Stopper};
