//! The events that the host has asked for, about one handle.

use std::sync::{Arc, Mutex, PoisonError};

use crate::events::{EventQueue, Notice, transom_event_kind};

/// At most one event of each kind, for the queue that asked last.
#[derive(Default)]
pub(crate) struct Notices(Mutex<Vec<(transom_event_kind, Arc<Notice>)>>);

impl Notices {
    /// Returns the event of that kind. It is the same one each time, so that what is watched also keeps
    /// its waker only once.
    pub fn get(&self, queue: &Arc<EventQueue>, kind: transom_event_kind, token: u64) -> Arc<Notice> {
        let mut notices = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, notice)) = notices.iter().find(|(of, notice)| *of == kind && notice.is_for(queue)) {
            return Arc::clone(notice);
        }
        let notice = Notice::new(queue, kind, token);
        notices.retain(|(of, _)| *of != kind);
        notices.push((kind, Arc::clone(&notice)));
        notice
    }
}
