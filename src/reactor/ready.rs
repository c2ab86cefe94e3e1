//! Whether a descriptor is ready, as far as the kernel has told.

use std::io;
use std::sync::atomic::{AtomicU32, Ordering};
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
pub(super) struct Readiness([Side; 2]);

struct Side {
    state: AtomicU32,
    waiter: Mutex<Waiter>,
}

/// Set while the descriptor is ready, as far as is known.
const READY: u32 = 1;
/// The other end has closed, or all is broken: reading will say so, again and again.
const HUNG_UP: u32 = 2;
/// Nobody waits for events any more.
const ABANDONED: u32 = 4;
/// The rest counts events: an operation that found nothing clears readiness only
/// if none has come since it began.
const TICK: u32 = 8;

#[derive(Default)]
struct Waiter {
    waits: bool,
    waker: Option<Waker>,
}

/// Ready until found otherwise: what is there when a descriptor is registered
/// is no news to the kernel, and the first try tells.
impl Default for Side {
    fn default() -> Self {
        Self { state: AtomicU32::new(READY), waiter: Mutex::default() }
    }
}

impl Readiness {
    /// Takes in what the kernel says, and wakes who waits for it.
    pub fn set(&self, flags: EventFlags) {
        let broken = EventFlags::HUP | EventFlags::ERR;
        let [read, write] = &self.0;
        if flags.intersects(EventFlags::IN | EventFlags::RDHUP | broken) {
            let hung_up = if flags.intersects(EventFlags::RDHUP | broken) { HUNG_UP } else { 0 };
            read.set(READY | hung_up);
        }
        if flags.intersects(EventFlags::OUT | broken) {
            write.set(READY);
        }
    }

    /// The reactor runs no more: operations fail from now on.
    pub fn abandon(&self) {
        self.0.iter().for_each(|side| side.set(READY | ABANDONED));
    }
}

impl Side {
    fn set(&self, bits: u32) {
        // It never fails: the closure always has an answer.
        let _ = self.state.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |state| {
            Some((state | bits).wrapping_add(TICK))
        });
        let mut waiter = self.waiter();
        let waker = if std::mem::take(&mut waiter.waits) { waiter.waker.clone() } else { None };
        drop(waiter);
        waker.into_iter().for_each(Waker::wake);
    }

    fn waiter(&self) -> MutexGuard<'_, Waiter> {
        self.waiter.lock().unwrap_or_else(PoisonError::into_inner)
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

    /// Tries an operation that does not block, once the descriptor is ready for it;
    /// it gets the count of events so far.
    pub fn poll_io<T>(
        &self,
        cx: &mut Context<'_>,
        way: Way,
        mut operation: impl FnMut(u32) -> io::Result<T>,
    ) -> Poll<io::Result<T>> {
        loop {
            let tick = ready!(self.poll_ready(cx, way));
            if tick & ABANDONED != 0 {
                return Poll::Ready(Err(io::ErrorKind::NotConnected.into()));
            }
            match operation(tick) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.clear(way, tick),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => return Poll::Ready(result),
            }
        }
    }

    /// The same for an operation that moves up to `most` bytes. If it moved fewer,
    /// that was all there was: no need to be told so by another.
    pub fn poll_some(
        &self,
        cx: &mut Context<'_>,
        way: Way,
        most: usize,
        mut operation: impl FnMut() -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        let mut tick = 0;
        let polled = self.poll_io(cx, way, |now| {
            tick = now;
            operation()
        });
        if let Poll::Ready(Ok(length)) = polled
            && (1..most).contains(&length)
        {
            self.clear(way, tick);
        }
        polled
    }

    /// Ready, with the count of events so far.
    pub fn poll_ready(&self, cx: &mut Context<'_>, way: Way) -> Poll<u32> {
        let side = &self.ready.0[way as usize];
        let state = side.state.load(Ordering::SeqCst);
        if state & READY != 0 {
            return Poll::Ready(state);
        }
        let mut waiter = side.waiter();
        waiter.waits = true;
        if !waiter.waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            waiter.waker = Some(cx.waker().clone());
        }
        // An event may have come before anybody waited for it.
        let state = side.state.load(Ordering::SeqCst);
        if state & READY != 0 { Poll::Ready(state) } else { Poll::Pending }
    }

    /// Nothing is left, by an operation begun at that count: the next event tells
    /// of more. What has hung up stays ready to say so.
    pub fn clear(&self, way: Way, tick: u32) {
        if tick & HUNG_UP == 0 {
            let state = &self.ready.0[way as usize].state;
            // An event that has come since stands.
            let _ = state.compare_exchange(tick, tick & !READY, Ordering::SeqCst, Ordering::SeqCst);
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.reactor.0.watched().try_remove(self.key);
    }
}
