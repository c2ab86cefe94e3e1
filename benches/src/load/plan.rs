//! What the load generator is told to do: handed to its process as one argument, in TOML.

use serde::{Deserialize, Serialize};

use super::tls::Version;

/// A load on one server. Times are in seconds.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct Plan {
    pub port: u16,
    /// The core to run on.
    pub core: Option<usize>,
    pub connections: usize,
    /// Requests that are sent at once on a connection; the next ones when all are answered.
    pub depth: usize,
    /// A new connection for each request.
    pub fresh: bool,
    /// Requests a second, whatever the server does (open loop). Without it each connection sends
    /// its next request when the answer to the last one is whole (closed loop).
    pub rate: Option<f64>,
    pub head: String,
    /// Bytes of request body behind the head.
    pub body: u64,
    /// The length that the body of each answer must have.
    pub expect: Option<u64>,
    pub warm: f64,
    pub seconds: f64,
    /// A request, a connect or a close that takes longer is an error.
    pub timeout: f64,
    /// One request on each connection, then nothing until standard input ends.
    pub hold: bool,
    /// The answer is a stream of events without end ([`super::events`]). An event counts as an
    /// answer, and its latency runs from when the server made it.
    pub events: bool,
    /// Over TLS of this version.
    pub tls: Option<Version>,
    /// Poll instead of sleeping between the requests of an open loop: a wake-up from sleep is
    /// late by more than what is measured. Needs a core of its own.
    pub spin: bool,
    pub slow: Slow,
}

/// Clients that send a request head slowly, beside the others.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct Slow {
    pub clients: usize,
    /// Seconds between two bytes.
    pub pause: f64,
    pub head: String,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            port: 0,
            core: None,
            connections: 1,
            depth: 1,
            fresh: false,
            rate: None,
            head: String::new(),
            body: 0,
            expect: None,
            warm: 0.3,
            seconds: 1.0,
            timeout: 10.0,
            hold: false,
            events: false,
            tls: None,
            spin: false,
            slow: Slow::default(),
        }
    }
}

impl Default for Slow {
    fn default() -> Self {
        Self { clients: 0, pause: 1.0, head: String::new() }
    }
}
