//! Ends a thread's wait in time: to the millisecond at no cost, or exactly at the cost of a system
//! call.

use std::cell::{Cell, OnceCell};
use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::event::Timespec;
use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, timerfd_create, timerfd_settime,
};

use super::alarm::NextAlarm;
use crate::system::apart;

/// No time at all.
pub(super) const NOTHING: Timespec = Timespec { tv_sec: 0, tv_nsec: 0 };

/// The timeout of a thread's wait in `epoll_wait(2)`. That call counts in milliseconds. For an
/// exact wait a `timerfd(2)` ends it.
pub(super) struct Clock<'a> {
    epoll: &'a OwnedFd,
    key: u64,
    timer: OnceCell<Option<OwnedFd>>,
    /// The time to which the timer is set, in nanoseconds from the start of the alarms.
    set: Cell<u64>,
}

impl<'a> Clock<'a> {
    /// Returns a clock. `key` is the data of the timer's events.
    pub fn new(epoll: &'a OwnedFd, key: u64) -> Self {
        Self { epoll, key, timer: OnceCell::new(), set: Cell::new(0) }
    }

    /// Returns the timeout of the wait. `None` waits without a limit, or until the timer fires.
    pub fn timeout(&self, next: Option<NextAlarm>) -> Option<Timespec> {
        match next? {
            NextAlarm::Exactly(_, Duration::ZERO) => Some(NOTHING),
            NextAlarm::Exactly(at, left) if self.set.get() == at || self.ring_after(left) => {
                self.set.set(at);
                None
            }
            NextAlarm::Exactly(_, left) | NextAlarm::Within(left) => {
                let millis = left.as_nanos().div_ceil(1_000_000).min(i32::MAX as u128);
                let up = Duration::from_millis(u64::try_from(millis).unwrap_or(u64::MAX));
                Some(up.try_into().unwrap_or(NOTHING))
            }
        }
    }

    /// Sets the timer. Returns `false` if there is none.
    fn ring_after(&self, left: Duration) -> bool {
        let timer = self.timer.get_or_init(|| self.make().ok());
        let Some((timer, left)) = timer.as_ref().zip(Timespec::try_from(left).ok()) else { return false };
        let once = Itimerspec { it_interval: NOTHING, it_value: left };
        timerfd_settime(timer, TimerfdTimerFlags::empty(), &once).is_ok()
    }

    /// Opens the timer and registers it.
    fn make(&self) -> io::Result<OwnedFd> {
        let flags = TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK;
        let timer = apart(timerfd_create(TimerfdClockId::Monotonic, flags)?)?;
        // An edge-triggered timer need not be read before its next event.
        epoll::add(self.epoll, &timer, EventData::new_u64(self.key), EventFlags::IN | EventFlags::ET)?;
        Ok(timer)
    }
}
