//! The last events of a broadcast, for clients that connect again.

use std::collections::VecDeque;

use crate::Bytes;

/// The last events, the oldest first.
#[derive(Default)]
pub(super) struct History {
    most: usize,
    events: VecDeque<(Option<Box<str>>, Bytes)>,
}

impl History {
    pub fn new(most: usize) -> Self {
        Self { most, events: VecDeque::new() }
    }

    /// Returns how many events are kept at most.
    pub fn most(&self) -> usize {
        self.most
    }

    /// Keeps an event, in place of the oldest if as many are kept as may.
    pub fn push(&mut self, id: Option<&str>, event: &Bytes) {
        if self.most == 0 {
            return;
        }
        if self.events.len() == self.most {
            self.events.pop_front();
        }
        self.events.push_back((id.map(Into::into), event.clone()));
    }

    /// Returns the events after the one with that id, or all if it is not kept any more.
    pub fn after(&self, id: &str) -> VecDeque<Bytes> {
        let seen = self.events.iter().rposition(|(kept, _)| kept.as_deref() == Some(id));
        let first = seen.map_or(0, |at| at + 1);
        self.events.iter().skip(first).map(|(_, event)| event.clone()).collect()
    }
}
