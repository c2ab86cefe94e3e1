//! What the wire corpus stands on: its files, the application it is played
//! against, the connections it is played over, in memory or a socket, and the
//! judge of what came back.
#![allow(dead_code, reason = "each test binary uses a part of it")]

pub mod app;
pub mod client;
pub mod corpus;
#[path = "../../src/duplex.rs"]
pub mod duplex;
pub mod escape;
pub mod judge;
pub mod play;
pub mod socket;
