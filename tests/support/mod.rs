//! The support of the wire corpus: its files, the application that answers, the connections in
//! memory and over sockets, and the judge of the answers.
#![allow(dead_code, reason = "each test binary uses a part of it")]

pub mod app;
pub mod client;
pub mod corpus;
#[path = "../../src/duplex.rs"]
pub mod duplex;
pub mod escape;
pub mod judge;
pub mod play;
#[cfg(unix)]
pub mod socket;
