//! One connection: reads a head, routes it, runs the handler, writes the answer, and begins again,
//! drains, or closes.
//!
//! `http1` is the loop, `exchange` runs one request, and `site` does the part that does not depend
//! on the protocol. They call the functions of the protocol over a [`Transport`] and know no socket
//! and no executor.

mod activity;
mod answer;
mod app;
mod chunks;
mod connection;
mod date;
mod exchange;
mod expired;
mod hook;
mod http1;
mod incoming;
mod label;
mod linger;
mod loan;
mod outgoing;
mod output;
mod own_answer;
mod pace;
mod paced;
mod progress;
mod record;
mod recorded;
mod records;
mod redirect;
mod refusals;
mod rest;
mod serve;
mod session;
mod shortcut;
#[cfg(test)]
mod simulation;
mod site;
mod terms;
mod transport;
mod trust;
mod wire;
mod write_pace;

pub use activity::ConnectionState;
pub(crate) use activity::STATES;
pub(crate) use app::App;
pub(crate) use expired::DEADLINES;
pub use expired::Deadline;
pub use hook::{Ended, Exchange};
pub(crate) use hook::{HOOK_FOR_EXCHANGES, OnExchange};
pub use own_answer::OwnAnswer;
pub(crate) use own_answer::WordAnswer;
pub(crate) use recorded::{FieldNames, RecordedNames};
pub(crate) use refusals::REASONS;
pub(crate) use serve::{close_busy, refuse_busy, serve};
pub(crate) use session::{Session, Stage};
pub(crate) use transport::Transport;
pub use trust::Forwarded;
pub(crate) use trust::Trust;
