//! The queue of log messages that the host takes with `transom_log_next`.

use std::collections::VecDeque;
use std::mem;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use log::{Level, LevelFilter};

use crate::events::{EventQueue, Notice, transom_event_kind};
use crate::status::transom_status;

/// The number of messages that are kept.
const MOST: usize = 1024;
/// The bytes of a message that are kept.
const LONGEST: usize = 4096;

/// The queue.
pub(crate) struct LogQueue {
    /// The highest level that an event queue asked for, read without the lock.
    level: AtomicUsize,
    state: Mutex<LogState>,
}

struct LogState {
    messages: VecDeque<(Level, String)>,
    /// The number of messages that were lost since the last one in `messages`.
    lost: u64,
    /// The events that are told of messages, each with the highest level that it is for.
    listeners: Vec<(LevelFilter, Arc<Notice>)>,
}

impl LogQueue {
    pub const fn new() -> Self {
        let state = LogState { messages: VecDeque::new(), lost: 0, listeners: Vec::new() };
        Self { level: AtomicUsize::new(LevelFilter::Off as usize), state: Mutex::new(state) }
    }

    /// Returns the highest level that an event queue asked for.
    pub fn level(&self) -> LevelFilter {
        // Relaxed here and below: stored under the lock of the state. A message that is logged at that moment has
        // either level.
        let level = self.level.load(Ordering::Relaxed);
        LevelFilter::iter().find(|filter| *filter as usize == level).unwrap_or(LevelFilter::Off)
    }

    /// Tells `events` of messages up to `level` from now on; `Off` ends that.
    pub fn set_listener(&self, events: &Arc<EventQueue>, level: LevelFilter) {
        let mut state = self.lock();
        // Event queues that were closed are removed too.
        let (gone, mut rest): (Vec<_>, Vec<_>) = mem::take(&mut state.listeners)
            .into_iter()
            .partition(|(_, notice)| notice.is_for(events) || notice.is_over());
        let mut notice = None;
        if level != LevelFilter::Off {
            let new = Notice::new(events, transom_event_kind::TRANSOM_EVENT_LOG, 0);
            rest.push((level, Arc::clone(&new)));
            notice = (!state.messages.is_empty()).then_some(new);
        }
        let highest = rest.iter().map(|(level, _)| *level).max().unwrap_or(LevelFilter::Off);
        self.level.store(highest as usize, Ordering::Relaxed);
        state.listeners = rest;
        drop(state);
        drop(gone);
        if let Some(notice) = notice {
            notice.tell();
        }
    }

    /// Adds a message, and tells the events.
    pub fn push(&self, level: Level, message: String) {
        let message = presentable(message);
        let mut state = self.lock();
        state.listeners.retain(|(_, notice)| !notice.is_over());
        if state.listeners.is_empty() {
            // The last event queue was freed without turning its messages off.
            // Relaxed: see `level`.
            self.level.store(LevelFilter::Off as usize, Ordering::Relaxed);
        }
        if state.messages.len() >= MOST {
            state.lost += 1;
            return;
        }
        state.account_for_lost();
        state.messages.push_back((level, message));
        let listeners: Vec<_> = state.listeners.iter().map(|(_, notice)| Arc::clone(notice)).collect();
        drop(state);
        for notice in listeners {
            notice.tell();
        }
    }

    /// Passes the oldest message to `take`, and removes it if `take` succeeds.
    pub fn take(
        &self,
        take: impl FnOnce(Level, &str) -> Result<(), transom_status>,
    ) -> Result<(), transom_status> {
        let mut state = self.lock();
        if state.messages.is_empty() {
            state.account_for_lost();
        }
        let (level, message) = state.messages.front().ok_or(transom_status::TRANSOM_TIMEOUT)?;
        take(*level, message)?;
        let taken = state.messages.pop_front();
        drop(state);
        drop(taken);
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, LogState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl LogState {
    /// Adds a message that says how many messages were lost.
    fn account_for_lost(&mut self) {
        let lost = mem::take(&mut self.lost);
        if lost > 0 {
            let message = format!("{lost} log messages were lost: {MOST} waited to be taken");
            self.messages.push_back((Level::Warn, message));
        }
    }
}

/// Returns the message as one line of limited length.
fn presentable(mut message: String) -> String {
    if message.contains(|c: char| c.is_control()) {
        let mut escaped = String::with_capacity(message.len() + 16);
        for c in message.chars() {
            if c.is_control() { escaped.extend(c.escape_default()) } else { escaped.push(c) }
        }
        message = escaped;
    }
    if message.len() > LONGEST {
        let longest = LONGEST - "...".len();
        let end = (0..=longest).rev().find(|at| message.is_char_boundary(*at));
        message.truncate(end.unwrap_or_default());
        message.push_str("...");
    }
    message
}

#[cfg(test)]
mod tests {
    use super::*;

    fn next(queue: &LogQueue) -> Option<(Level, String)> {
        let mut found = None;
        let taken = queue.take(|level, message| {
            found = Some((level, message.to_owned()));
            Ok(())
        });
        taken.ok().and(found)
    }

    #[test]
    fn messages_come_in_order_and_a_gap_says_how_many_are_missing() {
        let queue = LogQueue::new();
        for number in 0..MOST + 7 {
            queue.push(Level::Debug, number.to_string());
        }
        assert_eq!(next(&queue), Some((Level::Debug, "0".into())));
        queue.push(Level::Info, "after the gap".into());
        for number in 1..MOST {
            assert_eq!(next(&queue), Some((Level::Debug, number.to_string())));
        }
        let gap = "7 log messages were lost: 1024 waited to be taken";
        assert_eq!(next(&queue), Some((Level::Warn, gap.into())));
        assert_eq!(next(&queue), Some((Level::Info, "after the gap".into())));
        assert_eq!(next(&queue), None);
    }

    #[test]
    fn a_gap_at_the_end_is_told_too() {
        let queue = LogQueue::new();
        (0..=MOST).for_each(|_| queue.push(Level::Error, "x".into()));
        (0..MOST).for_each(|_| drop(next(&queue).unwrap()));
        assert_eq!(next(&queue).unwrap().0, Level::Warn);
        assert_eq!(next(&queue), None);
    }

    #[test]
    fn what_does_not_fit_stays() {
        let queue = LogQueue::new();
        queue.push(Level::Warn, "stays".into());
        let small = queue.take(|_, _| Err(transom_status::TRANSOM_BUFFER_TOO_SMALL));
        assert_eq!(small, Err(transom_status::TRANSOM_BUFFER_TOO_SMALL));
        assert_eq!(next(&queue), Some((Level::Warn, "stays".into())));
    }

    #[test]
    fn a_message_is_one_line_of_limited_length() {
        assert_eq!(presentable("a\r\nb\u{1b}[0m".into()), "a\\r\\nb\\u{1b}[0m");
        let long = presentable("\u{fc}".repeat(LONGEST));
        assert!(long.len() <= LONGEST && long.ends_with("\u{fc}..."), "{}", long.len());
    }

    #[test]
    fn the_highest_level_that_somebody_wants_counts() {
        let queue = LogQueue::new();
        let (one, other) = (Arc::<EventQueue>::default(), Arc::<EventQueue>::default());
        queue.set_listener(&one, LevelFilter::Warn);
        queue.set_listener(&other, LevelFilter::Debug);
        assert_eq!(queue.level(), LevelFilter::Debug);
        queue.set_listener(&other, LevelFilter::Off);
        assert_eq!(queue.level(), LevelFilter::Warn);
        one.close();
        queue.set_listener(&other, LevelFilter::Off);
        assert_eq!(queue.level(), LevelFilter::Off);
    }
}
