//! Whether a descriptor is ready, as far as the kernel has told.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use rustix::event::epoll::EventFlags;

/// Which way.
#[derive(Clone, Copy)]
pub(crate) enum Direction {
    Read,
    Write,
}

/// A descriptor's readiness: set by the kernel's events, cleared by operations
/// that would block.
pub(super) struct Readiness {
    sides: [Side; 2],
    /// The kernel tells of it.
    pub is_registered: AtomicBool,
    /// Tells it from those that had its key before.
    generation: u32,
}

struct Side {
    state: AtomicU32,
    /// Of the task that waits, or did.
    waiter: Mutex<Option<Waker>>,
}

/// Set while the descriptor is ready, as far as is known.
const READY: u32 = 1;
/// The other end has closed, or all is broken: reading will say so, again and again.
const HUNG_UP: u32 = 2;
/// Nobody waits for events any more.
const ABANDONED: u32 = 4;
/// A task waits for the next event. Never set together with [`READY`].
const WAITED_FOR: u32 = 8;
/// The rest counts events: an operation that found nothing clears readiness only
/// if none has come since it began.
const TICK: u32 = 16;

/// Ready until found otherwise: the first try tells.
impl Default for Side {
    fn default() -> Self {
        Self { state: AtomicU32::new(READY), waiter: Mutex::default() }
    }
}

impl Readiness {
    pub fn new(generation: u32) -> Self {
        Self { sides: Default::default(), is_registered: AtomicBool::new(false), generation }
    }

    /// What its events carry. A descriptor that is closed may be open still in another
    /// process, and then the kernel goes on telling of it (epoll(7), "Questions and
    /// answers", 6): that must not concern who has its key next.
    pub fn tag(&self, key: usize) -> u64 {
        u64::from(self.generation) << 32 | key as u64
    }

    /// The key in such a tag.
    pub fn key(tag: u64) -> usize {
        usize::try_from(tag & u64::from(u32::MAX)).unwrap_or(usize::MAX)
    }

    /// Takes in what the kernel says; who waits for it is to be woken.
    pub fn set(&self, flags: EventFlags, woken: &mut Vec<Waker>) {
        let broken = EventFlags::HUP | EventFlags::ERR;
        let [read, write] = &self.sides;
        if flags.intersects(EventFlags::IN | EventFlags::RDHUP | broken) {
            let hung_up = if flags.intersects(EventFlags::RDHUP | broken) { HUNG_UP } else { 0 };
            read.set(READY | hung_up, woken);
        }
        if flags.intersects(EventFlags::OUT | broken) {
            write.set(READY, woken);
        }
    }

    /// The reactor runs no more: operations fail from now on.
    pub fn abandon(&self, woken: &mut Vec<Waker>) {
        self.sides.iter().for_each(|side| side.set(READY | ABANDONED, woken));
    }

    /// Whether nobody waits for events any more, in a state that was polled.
    pub fn is_abandoned(state: u32) -> bool {
        state & ABANDONED != 0
    }

    /// Ready, with the state and in it the count of events so far.
    #[inline]
    pub fn poll(&self, cx: &mut Context<'_>, direction: Direction) -> Poll<u32> {
        let side = &self.sides[direction as usize];
        let state = side.state.load(Ordering::SeqCst);
        if state & READY != 0 { Poll::Ready(state) } else { side.poll_event(cx) }
    }

    /// Nothing is left, by an operation begun in that state: the next event tells
    /// of more. What has hung up stays ready to say so.
    pub fn clear(&self, direction: Direction, state: u32) {
        if state & HUNG_UP == 0 {
            self.unset(direction, state, READY);
        }
    }

    /// An operation begun in that state would block. So it has not hung up either,
    /// whatever was told.
    pub fn would_block(&self, direction: Direction, state: u32) {
        self.unset(direction, state, READY | HUNG_UP);
    }

    fn unset(&self, direction: Direction, state: u32, bits: u32) {
        let side = &self.sides[direction as usize];
        // An event that has come since stands.
        let _ = side.state.compare_exchange(state, state & !bits, Ordering::SeqCst, Ordering::SeqCst);
    }
}

impl Side {
    fn set(&self, bits: u32, woken: &mut Vec<Waker>) {
        let ready = |state: u32| Some(((state | bits) & !WAITED_FOR).wrapping_add(TICK));
        // It never fails: the closure always has an answer.
        let before = self.state.fetch_update(Ordering::SeqCst, Ordering::SeqCst, ready);
        if before.is_ok_and(|state| state & WAITED_FOR != 0) {
            woken.extend(self.waiter().clone());
        }
    }

    /// Waits for the next event.
    fn poll_event(&self, cx: &mut Context<'_>) -> Poll<u32> {
        let mut waiter = self.waiter();
        let is_known = waiter.as_ref().is_some_and(|waker| waker.will_wake(cx.waker()));
        let before = if is_known { None } else { waiter.replace(cx.waker().clone()) };
        drop(waiter);
        // Not under the lock: a task that goes with its last waker may have a watch.
        drop(before);
        // An event may have come before anybody waited for it.
        let waits = |state: u32| (state & READY == 0).then_some(state | WAITED_FOR);
        match self.state.fetch_update(Ordering::SeqCst, Ordering::SeqCst, waits) {
            Ok(_) => Poll::Pending,
            Err(state) => Poll::Ready(state),
        }
    }

    fn waiter(&self) -> MutexGuard<'_, Option<Waker>> {
        self.waiter.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
