//! Tracks whether a descriptor is ready, from the kernel's events.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use rustix::event::epoll::EventFlags;

/// The direction of an operation.
#[derive(Clone, Copy)]
pub(crate) enum Direction {
    Read,
    Write,
}

/// The readiness of a descriptor, set by the kernel's events and cleared by operations that would
/// block.
pub(crate) struct Readiness {
    /// The state of each direction.
    states: [AtomicU32; 2],
    /// For each direction, the waker of the task that waits or waited last. One lock for both keeps
    /// an idle connection 16 bytes smaller (bench: idle, 2026-11).
    waiters: Mutex<[Option<Waker>; 2]>,
    /// Distinguishes this descriptor from earlier ones with the same key. [`REGISTERED`] is set
    /// once the descriptor is registered with the kernel.
    generation: AtomicU32,
    /// The descriptor, if it is a stream's: here it is shared with those who ask facts of the
    /// connection, without an allocation of its own (idle connection: 32 bytes less).
    socket: Option<OwnedFd>,
}

/// The descriptor is registered with the kernel.
const REGISTERED: u32 = 1 << 31;

/// The descriptor is ready, as far as is known.
const READY: u32 = 1;
/// The other end has closed, or the connection is broken. Every read will report that.
const HUNG_UP: u32 = 2;
/// The reactor no longer runs: no events arrive.
const ABANDONED: u32 = 4;
/// A task waits for the next event. Never set together with [`READY`].
const WAITED_FOR: u32 = 8;
/// The remaining bits count events. An operation that would block clears the readiness only if no
/// event has arrived since it began.
const TICK: u32 = 16;

impl Readiness {
    pub fn new(generation: u32, socket: Option<OwnedFd>) -> Self {
        // Ready at first: the first operation finds out.
        let states = [READY, READY].map(AtomicU32::new);
        let generation = AtomicU32::new(generation & !REGISTERED);
        Self { states, waiters: Mutex::default(), generation, socket }
    }

    /// Returns the stream's socket.
    ///
    /// # Errors
    /// `NotConnected` if this is the readiness of another descriptor.
    #[inline]
    pub fn socket(&self) -> io::Result<BorrowedFd<'_>> {
        self.socket.as_ref().map(AsFd::as_fd).ok_or_else(|| io::ErrorKind::NotConnected.into())
    }

    /// Records whether the descriptor is registered with the kernel. Returns `true` if that was
    /// recorded before.
    pub fn set_registered(&self, registered: bool) -> bool {
        // Relaxed: only the bit itself is asked for, and each change is one instruction. The kernel orders the
        // registration before its events.
        let before = if registered {
            self.generation.fetch_or(REGISTERED, Ordering::Relaxed)
        } else {
            self.generation.fetch_and(!REGISTERED, Ordering::Relaxed)
        };
        (before & REGISTERED != 0) == registered
    }

    /// Returns the data of the descriptor's events. A closed descriptor may still be open in
    /// another process, and then the kernel keeps sending its events (epoll(7), "Questions and
    /// answers", 6). The generation keeps them from the next descriptor with the same key.
    pub fn tag(&self, key: usize) -> u64 {
        // Relaxed: the number does not change after the watch is made, and the lock of the slab published it.
        let generation = self.generation.load(Ordering::Relaxed) & !REGISTERED;
        u64::from(generation) << 32 | key as u64
    }

    /// Returns the key in a tag.
    pub fn key(tag: u64) -> usize {
        usize::try_from(tag & u64::from(u32::MAX)).unwrap_or(usize::MAX)
    }

    /// Records the kernel's event. Adds the wakers of waiting tasks to `woken`.
    pub fn set(&self, flags: EventFlags, woken: &mut Vec<Waker>) {
        let broken = EventFlags::HUP | EventFlags::ERR;
        if flags.intersects(EventFlags::IN | EventFlags::RDHUP | broken) {
            let hung_up = if flags.intersects(EventFlags::RDHUP | broken) { HUNG_UP } else { 0 };
            self.set_bits(Direction::Read, READY | hung_up, woken);
        }
        if flags.intersects(EventFlags::OUT | broken) {
            self.set_bits(Direction::Write, READY, woken);
        }
    }

    /// Records that the reactor no longer runs: operations fail from now on.
    pub fn abandon(&self, woken: &mut Vec<Waker>) {
        for direction in [Direction::Read, Direction::Write] {
            self.set_bits(direction, READY | ABANDONED, woken);
        }
    }

    /// Returns `true` if a polled state says that the reactor no longer runs.
    pub fn is_abandoned(state: u32) -> bool {
        state & ABANDONED != 0
    }

    /// Ready if the descriptor is; with the state, which includes the event count.
    #[inline]
    pub fn poll(&self, cx: &mut Context<'_>, direction: Direction) -> Poll<u32> {
        let state = self.state(direction).load(Ordering::SeqCst);
        if state & READY != 0 { Poll::Ready(state) } else { self.poll_event(cx, direction) }
    }

    /// Records that an operation which began in `state` left nothing to do. The descriptor is ready
    /// again after the next event. A descriptor that has hung up stays ready, to report that again.
    pub fn clear(&self, direction: Direction, state: u32) {
        if state & HUNG_UP == 0 {
            self.unset(direction, state, READY);
        }
    }

    /// Records that an operation which began in `state` would block. Then the descriptor has not
    /// hung up either, whatever an event said.
    pub fn would_block(&self, direction: Direction, state: u32) {
        self.unset(direction, state, READY | HUNG_UP);
    }

    /// Forgets that the descriptor is ready. Returns `false` if the other end has closed, which is not forgotten.
    pub fn forget(&self, direction: Direction) -> bool {
        let forgotten = |state: u32| (state & HUNG_UP == 0).then_some(state & !READY);
        self.state(direction).fetch_update(Ordering::SeqCst, Ordering::SeqCst, forgotten).is_ok()
    }

    fn unset(&self, direction: Direction, state: u32, bits: u32) {
        // Fails if an event has arrived since. Then the descriptor stays ready.
        let _ =
            self.state(direction).compare_exchange(state, state & !bits, Ordering::SeqCst, Ordering::SeqCst);
    }

    fn set_bits(&self, direction: Direction, bits: u32, woken: &mut Vec<Waker>) {
        let ready = |state: u32| Some(((state | bits) & !WAITED_FOR).wrapping_add(TICK));
        // Never fails: the closure always returns `Some`.
        let before = self.state(direction).fetch_update(Ordering::SeqCst, Ordering::SeqCst, ready);
        if before.is_ok_and(|state| state & WAITED_FOR != 0) {
            woken.extend(self.waiters()[direction as usize].clone());
        }
    }

    /// Makes the task wait for the next event.
    fn poll_event(&self, cx: &mut Context<'_>, direction: Direction) -> Poll<u32> {
        let mut waiters = self.waiters();
        let waiter = &mut waiters[direction as usize];
        let is_known = waiter.as_ref().is_some_and(|waker| waker.will_wake(cx.waker()));
        let before = if is_known { None } else { waiter.replace(cx.waker().clone()) };
        drop(waiters);
        // Dropped without the lock: the last waker of a task may drop a watch with it.
        drop(before);
        // An event may have arrived before `WAITED_FOR` was set.
        let waits = |state: u32| (state & READY == 0).then_some(state | WAITED_FOR);
        match self.state(direction).fetch_update(Ordering::SeqCst, Ordering::SeqCst, waits) {
            Ok(_) => Poll::Pending,
            Err(state) => Poll::Ready(state),
        }
    }

    fn state(&self, direction: Direction) -> &AtomicU32 {
        &self.states[direction as usize]
    }

    fn waiters(&self) -> MutexGuard<'_, [Option<Waker>; 2]> {
        self.waiters.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;
    use crate::base::threads::races;

    #[test]
    fn an_event_that_comes_while_a_read_would_block_wakes_the_task_or_leaves_the_descriptor_ready() {
        for _ in races() {
            let (ready, mut cx) = (Readiness::new(0, None), Context::from_waker(Waker::noop()));
            let Poll::Ready(state) = ready.poll(&mut cx, Direction::Read) else { panic!("ready at first") };
            let (is_ready, woken) = thread::scope(|scope| {
                let event = scope.spawn(|| {
                    let mut woken = Vec::new();
                    ready.set(EventFlags::IN, &mut woken);
                    woken.len()
                });
                ready.would_block(Direction::Read, state);
                (ready.poll(&mut cx, Direction::Read).is_ready(), event.join().unwrap())
            });
            assert_eq!(usize::from(is_ready) + woken, 1, "ready: {is_ready}, woken: {woken}");
        }
    }
}
