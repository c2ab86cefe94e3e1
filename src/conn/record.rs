//! The record of an exchange in progress.

use std::time::Instant;

use http::{Method, StatusCode, Version};

use super::recorded::RecordedFields;
use crate::error::Reject;
use crate::message::Peer;

/// An exchange in progress.
pub(super) struct Record {
    pub began: Instant,
    /// The client, if trusted proxies told it.
    pub peer: Option<Peer>,
    /// The scheme, if trusted proxies told it.
    pub scheme: Option<&'static str>,
    /// `None` if no head was read.
    pub method: Option<Method>,
    pub target: String,
    pub fields: RecordedFields,
    pub response_fields: RecordedFields,
    /// True if a handler or a wrap was called, or will be.
    pub was_handled: bool,
    pub version: Version,
    /// The number of the route, as [`Table::pattern`](crate::handler::Table::pattern) knows it; 0 for none.
    /// A name would have a reference count, which all threads would change.
    pub route: u32,
    pub status: Option<StatusCode>,
    pub reject: Option<Reject>,
    /// The bytes that the connection had read and written before the exchange.
    pub received: u64,
    pub written: u64,
}

impl Record {
    pub fn new(now: Instant) -> Self {
        Self {
            began: now,
            peer: None,
            scheme: None,
            method: None,
            target: String::new(),
            fields: RecordedFields::default(),
            response_fields: RecordedFields::default(),
            was_handled: false,
            version: Version::HTTP_11,
            route: 0,
            status: None,
            reject: None,
            received: 0,
            written: 0,
        }
    }

    /// Forgets the exchange before, for one whose head was not read.
    #[cold]
    pub fn forget_head(&mut self) {
        (self.peer, self.scheme, self.method) = (None, None, None);
        self.fields.clear();
    }
}
