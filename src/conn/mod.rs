//! One connection: read a head, route it, run the handler, write the answer,
//! and again; or drain, or close.
//!
//! It drives `proto` over a [`Transport`] and knows no socket and no executor.

mod app;
mod connection;
mod date;
mod exchange;
mod incoming;
mod input;
mod label;
mod linger;
mod outgoing;
mod output;
mod pace;
mod paced;
mod serve;
mod session;
#[cfg(test)]
mod simulation;
mod transport;
mod wire;
mod write_pace;

pub use app::Refusal;
pub(crate) use app::{App, OnRefusal};
pub(crate) use serve::{refuse_busy, serve};
pub(crate) use session::{Session, Stage};
pub(crate) use transport::Transport;
