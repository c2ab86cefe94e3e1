//! Waking up at a time: to the millisecond for nothing, exactly for a system call.

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
use crate::base::descriptor::apart;

const NOTHING: Timespec = Timespec { tv_sec: 0, tv_nsec: 0 };

/// How a thread's wait in `epoll_wait(2)` ends in time. That call counts in
/// milliseconds; a `timerfd(2)` does not.
pub(super) struct Clock<'a> {
    epoll: &'a OwnedFd,
    key: u64,
    timer: OnceCell<Option<OwnedFd>>,
    /// What the timer is set to.
    set: Cell<u64>,
}

impl<'a> Clock<'a> {
    /// `key` is what its events will have.
    pub fn new(epoll: &'a OwnedFd, key: u64) -> Self {
        Self { epoll, key, timer: OnceCell::new(), set: Cell::new(0) }
    }

    /// The timeout for the wait; `None` is for ever, or until the timer rings.
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

    /// Sets the timer; says whether there is one.
    fn ring_after(&self, left: Duration) -> bool {
        let timer = self.timer.get_or_init(|| self.make().ok());
        let Some((timer, left)) = timer.as_ref().zip(Timespec::try_from(left).ok()) else { return false };
        let once = Itimerspec { it_interval: NOTHING, it_value: left };
        timerfd_settime(timer, TimerfdTimerFlags::empty(), &once).is_ok()
    }

    fn make(&self) -> io::Result<OwnedFd> {
        let flags = TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK;
        let timer = apart(timerfd_create(TimerfdClockId::Monotonic, flags)?)?;
        // Edge-triggered, it need not be read to be heard again.
        epoll::add(self.epoll, &timer, EventData::new_u64(self.key), EventFlags::IN | EventFlags::ET)?;
        Ok(timer)
    }
}
