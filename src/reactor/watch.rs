//! The registration of a descriptor with the reactor, for the tasks that wait for it.

use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use rustix::event::epoll::{self, EventData, EventFlags};

use super::Reactor;
use super::ready::{Direction, Readiness};

/// A descriptor for which tasks can wait once it is registered. Dropping the watch makes the
/// reactor forget the descriptor; closing the descriptor removes it from the kernel's list.
pub(crate) struct Watch {
    reactor: Reactor,
    key: usize,
    ready: Arc<Readiness>,
}

impl Watch {
    pub(super) fn new(reactor: Reactor, key: usize, ready: Arc<Readiness>) -> Self {
        Self { reactor, key, ready }
    }

    /// Returns the state that the watch shares with the reactor.
    pub fn readiness(&self) -> &Arc<Readiness> {
        &self.ready
    }

    /// Returns the watch's reactor.
    pub fn reactor(&self) -> &Reactor {
        &self.reactor
    }

    /// Registers the descriptor, which must be non-blocking, with the kernel. The kernel then
    /// reports its state now and each change. A second call has no effect.
    pub fn register(&self, descriptor: impl AsFd, flags: EventFlags) -> io::Result<()> {
        if self.ready.set_registered(true) {
            return Ok(());
        }
        let data = EventData::new_u64(self.ready.tag(self.key));
        let added = epoll::add(&self.reactor.0.epoll, descriptor, data, flags | EventFlags::ET);
        added.inspect_err(|_| {
            self.ready.set_registered(false);
        })?;
        Ok(())
    }

    /// Changes what the kernel reports of a registered descriptor. It reports the state of that now.
    pub fn change(&self, descriptor: impl AsFd, flags: EventFlags) -> io::Result<()> {
        let data = EventData::new_u64(self.ready.tag(self.key));
        Ok(epoll::modify(&self.reactor.0.epoll, descriptor, data, flags | EventFlags::ET)?)
    }

    /// Removes the descriptor from the kernel's list, for one that others keep open: the kernel
    /// would go on to wake this reactor for it, in place of one that has a use for it.
    pub fn unregister(&self, descriptor: impl AsFd) {
        if !self.ready.set_registered(false) {
            // An error means that the descriptor is not in the list.
            let _ = epoll::delete(&self.reactor.0.epoll, descriptor);
        }
    }

    /// Runs a non-blocking operation once the descriptor is ready for it. The operation gets the
    /// state that was polled.
    pub fn poll_io<T>(
        &self,
        cx: &mut Context<'_>,
        direction: Direction,
        mut operation: impl FnMut(u32) -> io::Result<T>,
    ) -> Poll<io::Result<T>> {
        loop {
            let state = ready!(self.poll_ready(cx, direction));
            if Readiness::is_abandoned(state) {
                return Poll::Ready(Err(io::ErrorKind::NotConnected.into()));
            }
            match operation(state) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.ready.would_block(direction, state);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => return Poll::Ready(result),
            }
        }
    }

    /// Like [`poll_io`](Self::poll_io), for an operation that moves up to `most` bytes. If it moved
    /// fewer, the kernel has no more, so no second call is needed to find that out.
    pub fn poll_some(
        &self,
        cx: &mut Context<'_>,
        direction: Direction,
        most: usize,
        mut operation: impl FnMut() -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        let mut found = 0;
        let polled = self.poll_io(cx, direction, |state| {
            found = state;
            operation()
        });
        if let Poll::Ready(Ok(length)) = polled
            && (1..most).contains(&length)
        {
            self.clear(direction, found);
        }
        polled
    }

    /// Ready if the descriptor is, with its state.
    #[inline]
    pub fn poll_ready(&self, cx: &mut Context<'_>, direction: Direction) -> Poll<u32> {
        self.ready.poll(cx, direction)
    }

    /// Records that an operation which began in `state` left nothing to do. The descriptor is ready
    /// again after the next event. A descriptor that has hung up stays ready.
    pub fn clear(&self, direction: Direction, state: u32) {
        self.ready.clear(direction, state);
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.reactor.0.watched().try_remove(self.key);
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::os::unix::net::UnixStream;
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
    use std::task::{Wake, Waker};
    use std::thread;
    use std::time::Instant;

    use futures_lite::future::yield_now;

    use super::super::tests::{in_time, turns};
    use super::*;

    /// Counts how often it is woken.
    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    /// Returns a waker and its count.
    fn counted() -> (Waker, Arc<Count>) {
        let count = Arc::new(Count::default());
        (Waker::from(Arc::clone(&count)), count)
    }

    fn is_ready(watch: &Watch, waker: &Waker, direction: Direction) -> bool {
        watch.poll_ready(&mut Context::from_waker(waker), direction).is_ready()
    }

    fn clear(watch: &Watch, direction: Direction) {
        if let Poll::Ready(tick) = watch.poll_ready(&mut Context::from_waker(Waker::noop()), direction) {
            watch.clear(direction, tick);
        }
    }

    fn registered(reactor: &Reactor, descriptor: &UnixStream) -> Watch {
        let watch = reactor.watch(None);
        watch.register(descriptor, EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP).unwrap();
        watch
    }

    fn watched() -> (Reactor, Watch, UnixStream, UnixStream) {
        let reactor = Reactor::new(Instant::now()).unwrap();
        let (ours, theirs) = UnixStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        let watch = registered(&reactor, &ours);
        (reactor, watch, ours, theirs)
    }

    /// Lets the reactor take the kernel's events.
    async fn turn() {
        yield_now().await;
        yield_now().await;
    }

    #[test]
    fn each_way_has_a_task_of_its_own_that_waits() {
        let (reactor, watch, ours, mut theirs) = watched();
        reactor.block_on(async {
            turn().await;
            clear(&watch, Direction::Read);
            let ((reader, read), (writer, written)) = (counted(), counted());
            assert!(!is_ready(&watch, &reader, Direction::Read));
            assert!(is_ready(&watch, &writer, Direction::Write), "there is room");
            // Fills the socket, so that an event will report room.
            while (&ours).write(&[0; 4096]).is_ok() {}
            clear(&watch, Direction::Write);
            assert!(!is_ready(&watch, &writer, Direction::Write));
            theirs.write_all(b"x").unwrap();
            turn().await;
            assert_eq!(read.0.load(Ordering::SeqCst), 1);
            assert!(is_ready(&watch, &reader, Direction::Read));
            let mut rest = vec![0; 1 << 16];
            theirs.set_nonblocking(true).unwrap();
            while theirs.read(&mut rest).is_ok() {}
            turn().await;
            assert_eq!(written.0.load(Ordering::SeqCst), 1);
            assert!(is_ready(&watch, &writer, Direction::Write));
        });
    }

    #[test]
    fn the_task_that_asked_last_is_woken_and_only_once() {
        let (reactor, watch, _ours, mut theirs) = watched();
        reactor.block_on(async {
            turn().await;
            clear(&watch, Direction::Read);
            let ((first, firsts), (second, seconds)) = (counted(), counted());
            assert!(!is_ready(&watch, &first, Direction::Read));
            assert!(!is_ready(&watch, &second, Direction::Read));
            for _ in 0..3 {
                theirs.write_all(b"x").unwrap();
                turn().await;
            }
            assert_eq!((firsts.0.load(Ordering::SeqCst), seconds.0.load(Ordering::SeqCst)), (0, 1));
        });
    }

    #[test]
    fn an_event_since_an_operation_began_outlives_its_clearing() {
        let (reactor, watch, _ours, mut theirs) = watched();
        reactor.block_on(async {
            turn().await;
            let noop = &mut Context::from_waker(Waker::noop());
            let Poll::Ready(before) = watch.poll_ready(noop, Direction::Read) else { panic!("not ready") };
            // An operation found nothing, but bytes arrive before it clears the readiness.
            theirs.write_all(b"x").unwrap();
            turn().await;
            watch.clear(Direction::Read, before);
            let Poll::Ready(now) = watch.poll_ready(noop, Direction::Read) else {
                panic!("it was forgotten")
            };
            watch.clear(Direction::Read, now);
            assert!(watch.poll_ready(noop, Direction::Read).is_pending());
        });
    }

    #[test]
    fn what_has_hung_up_stays_ready_to_say_so() {
        let (reactor, watch, _ours, theirs) = watched();
        reactor.block_on(async {
            turn().await;
            clear(&watch, Direction::Read);
            let (waker, count) = counted();
            assert!(!is_ready(&watch, &waker, Direction::Read));
            drop(theirs);
            turn().await;
            assert_eq!(count.0.load(Ordering::SeqCst), 1);
            for _ in 0..3 {
                assert!(is_ready(&watch, &waker, Direction::Read));
                clear(&watch, Direction::Read);
            }
        });
    }

    #[test]
    fn a_watch_that_is_dropped_is_forgotten() {
        let (reactor, watch, ours, mut theirs) = watched();
        reactor.block_on(async {
            turn().await;
            clear(&watch, Direction::Read);
            let (waker, count) = counted();
            assert!(!is_ready(&watch, &waker, Direction::Read));
            // The event is on its way when the watch is dropped, and another watch gets its key.
            theirs.write_all(b"x").unwrap();
            drop(watch);
            assert_eq!(reactor.0.watched().len(), 0);
            let (other, mut its_end) = UnixStream::pair().unwrap();
            other.set_nonblocking(true).unwrap();
            let other_watch = registered(&reactor, &other);
            drop(ours);
            turn().await;
            assert_eq!(count.0.load(Ordering::SeqCst), 0);
            assert_eq!(reactor.0.watched().len(), 1);
            clear(&other_watch, Direction::Read);
            let (waker, count) = counted();
            assert!(!is_ready(&other_watch, &waker, Direction::Read));
            its_end.write_all(b"y").unwrap();
            turn().await;
            assert_eq!(count.0.load(Ordering::SeqCst), 1);
        });
    }

    #[test]
    fn what_the_kernel_still_tells_of_a_descriptor_that_is_closed_concerns_no_other() {
        in_time(|| {
            let (reactor, watch, ours, theirs) = watched();
            // A child process holds the descriptor too: for the kernel it stays open and
            // registered.
            let kept = ours.try_clone().unwrap();
            let key = watch.key;
            drop((watch, ours));
            let (other, _its_end) = UnixStream::pair().unwrap();
            other.set_nonblocking(true).unwrap();
            let other_watch = registered(&reactor, &other);
            assert_eq!(other_watch.key, key);
            reactor.block_on(async {
                turn().await;
                clear(&other_watch, Direction::Read);
                let (waker, count) = counted();
                assert!(!is_ready(&other_watch, &waker, Direction::Read));
                drop(theirs);
                turn().await;
                assert_eq!(count.0.load(Ordering::SeqCst), 0);
                assert!(!is_ready(&other_watch, &waker, Direction::Read));
            });
            drop(kept);
        });
    }

    #[test]
    fn what_would_block_has_not_hung_up() {
        in_time(|| {
            let (_reactor, watch, ours, _theirs) = watched();
            watch.ready.set(EventFlags::RDHUP, &mut Vec::new());
            let polled = watch.poll_io(&mut Context::from_waker(Waker::noop()), Direction::Read, |_| {
                Ok(rustix::net::recv(&ours, &mut [0], rustix::net::RecvFlags::empty())?.0)
            });
            assert!(polled.is_pending());
        });
    }

    #[test]
    fn a_task_may_wait_on_another_thread_than_the_reactors() {
        in_time(|| {
            let (reactor, watch, ours, mut theirs) = watched();
            let (over, end) = async_channel::bounded::<()>(1);
            let count = Arc::new(AtomicUsize::new(0));
            let taken = Arc::clone(&count);
            let waiting = thread::spawn(move || {
                loop {
                    let read = std::future::poll_fn(|cx| {
                        watch.poll_io(cx, Direction::Read, |_| {
                            Ok(rustix::net::recv(&ours, &mut [0], rustix::net::RecvFlags::empty())?.0)
                        })
                    });
                    match futures_lite::future::block_on(read).unwrap() {
                        0 => break,
                        length => count.fetch_add(length, Ordering::SeqCst),
                    };
                }
                drop(over);
            });
            // Sends each byte after the last was taken, with delays of all lengths, to meet the
            // other thread at each point of its way to wait.
            let sending = thread::spawn(move || {
                let mut delay = 0;
                for turn in turns(20_000) {
                    while taken.load(Ordering::SeqCst) < turn {
                        thread::yield_now();
                    }
                    delay = (delay * 7 + 3) % 401;
                    (0..delay).for_each(|_| std::hint::spin_loop());
                    theirs.write_all(b"x").unwrap();
                }
            });
            reactor.block_on(end.recv()).unwrap_err();
            waiting.join().unwrap();
            sending.join().unwrap();
        });
    }

    #[test]
    fn no_event_is_missed_by_a_task_that_is_about_to_wait() {
        in_time(|| {
            let (_reactor, watch, _ours, _theirs) = watched();
            clear(&watch, Direction::Read);
            let (ready, taken) = (Arc::clone(&watch.ready), AtomicUsize::new(0));
            let over = AtomicBool::new(false);
            thread::scope(|scope| {
                // Sets readiness as the kernel's events would, at each point of the other thread's
                // way to wait.
                scope.spawn(|| {
                    let (mut delay, mut woken) = (0, Vec::new());
                    for turn in turns(100_000) {
                        let mut spins = 0;
                        while taken.load(Ordering::SeqCst) < turn {
                            spins += 1;
                            if spins % 1000 == 0 {
                                thread::yield_now();
                            }
                        }
                        delay = (delay * 7 + 3) % 61;
                        (0..delay).for_each(|_| std::hint::spin_loop());
                        ready.set(EventFlags::IN, &mut woken);
                        woken.drain(..).for_each(Waker::wake);
                    }
                    over.store(true, Ordering::SeqCst);
                    ready.set(EventFlags::IN, &mut woken);
                    woken.drain(..).for_each(Waker::wake);
                });
                while !over.load(Ordering::SeqCst) {
                    let told = std::future::poll_fn(|cx| watch.poll_ready(cx, Direction::Read));
                    let tick = futures_lite::future::block_on(told);
                    watch.clear(Direction::Read, tick);
                    taken.fetch_add(1, Ordering::SeqCst);
                }
            });
        });
    }

    #[test]
    fn what_waits_elsewhere_is_told_when_the_reactor_runs_no_more() {
        let (reactor, watch, _ours, _theirs) = watched();
        let (waker, count) = counted();
        reactor.block_on(async {
            turn().await;
            clear(&watch, Direction::Read);
            assert!(!is_ready(&watch, &waker, Direction::Read));
        });
        assert_eq!(count.0.load(Ordering::SeqCst), 1);
        let polled = watch.poll_io(&mut Context::from_waker(&waker), Direction::Read, |_| {
            Err::<(), _>(io::ErrorKind::WouldBlock.into())
        });
        assert!(matches!(polled, Poll::Ready(Err(error)) if error.kind() != io::ErrorKind::WouldBlock));
    }
}
