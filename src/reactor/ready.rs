//! Whether a descriptor is ready, as far as the kernel has told.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};

use rustix::event::epoll::EventFlags;

use super::Reactor;

/// Which way.
#[derive(Clone, Copy)]
pub(crate) enum Way {
    Read,
    Write,
}

/// A descriptor's readiness: set by the kernel's events, cleared by operations
/// that would block.
#[derive(Default)]
pub(super) struct Readiness(Mutex<State>);

#[derive(Default)]
struct State {
    ways: [Side; 2],
    /// Closed by the other end, or broken: reading will say so.
    hung_up: bool,
}

struct Side {
    is_ready: bool,
    /// Counts events: an operation that found nothing clears readiness only if
    /// none has come since it began.
    tick: u32,
    waits: bool,
    waker: Option<Waker>,
}

/// Ready until found otherwise: what is there when a descriptor is registered
/// is no news to the kernel, and the first try tells.
impl Default for Side {
    fn default() -> Self {
        Self { is_ready: true, tick: 0, waits: false, waker: None }
    }
}

impl Readiness {
    /// Takes in what the kernel says, and wakes who waits for it.
    pub fn set(&self, flags: EventFlags) {
        let broken = EventFlags::HUP | EventFlags::ERR;
        let mut state = self.lock();
        state.hung_up |= flags.intersects(broken | EventFlags::RDHUP);
        let told = [EventFlags::IN | EventFlags::RDHUP | broken, EventFlags::OUT | broken];
        let mut wakers = [None, None];
        for ((side, told), waker) in state.ways.iter_mut().zip(told).zip(&mut wakers) {
            if flags.intersects(told) {
                side.is_ready = true;
                side.tick = side.tick.wrapping_add(1);
                if std::mem::take(&mut side.waits) {
                    waker.clone_from(&side.waker);
                }
            }
        }
        drop(state);
        wakers.into_iter().flatten().for_each(Waker::wake);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A registered descriptor. Dropped, it is forgotten; closing the descriptor
/// itself takes it off the kernel's list.
pub(crate) struct Watch {
    reactor: Reactor,
    key: usize,
    ready: Arc<Readiness>,
}

impl Watch {
    pub(super) fn new(reactor: Reactor, key: usize, ready: Arc<Readiness>) -> Self {
        Self { reactor, key, ready }
    }

    /// Tries an operation that does not block, once the descriptor is ready for it.
    pub fn poll_io<T>(
        &self,
        cx: &mut Context<'_>,
        way: Way,
        mut operation: impl FnMut() -> io::Result<T>,
    ) -> Poll<io::Result<T>> {
        loop {
            let tick = ready!(self.poll_ready(cx, way));
            match operation() {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.clear(way, tick),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => return Poll::Ready(result),
            }
        }
    }

    /// Ready, with the count of events so far.
    pub fn poll_ready(&self, cx: &mut Context<'_>, way: Way) -> Poll<u32> {
        let mut state = self.ready.lock();
        let side = &mut state.ways[way as usize];
        if side.is_ready {
            return Poll::Ready(side.tick);
        }
        side.waits = true;
        if !side.waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            side.waker = Some(cx.waker().clone());
        }
        Poll::Pending
    }

    /// Nothing is left, by an operation begun at that count: the next event tells
    /// of more. What has hung up stays ready to say so.
    pub fn clear(&self, way: Way, tick: u32) {
        let mut state = self.ready.lock();
        let hung_up = state.hung_up && matches!(way, Way::Read);
        let side = &mut state.ways[way as usize];
        if side.tick == tick && !hung_up {
            side.is_ready = false;
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.reactor.0.watched().try_remove(self.key);
    }
}
