//! What the wire corpus stands on: its files, the application it is played
//! against, and the in-memory connection it is played over.

pub mod app;
pub mod corpus;
pub mod duplex;
pub mod escape;
pub mod play;
