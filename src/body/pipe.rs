//! A bounded pipe that passes bytes from one task or thread to another: a request body to its
//! handler, or a response body from its writer.

use std::sync::Arc;

use super::pipe_feed::PipeFeed;
use super::pipe_reader::PipeReader;
use super::pipe_state::Pipe;

/// Returns both ends of a pipe that takes chunks while it holds fewer than `capacity` bytes. Between a
/// thread that serves connections and another thread, it takes chunks up to four times that, and then
/// none until fewer than `capacity` bytes are left.
pub(crate) fn pipe(capacity: usize) -> (PipeFeed, PipeReader) {
    let pipe = Arc::new(Pipe::new(capacity));
    (PipeFeed(Arc::clone(&pipe)), PipeReader(pipe))
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::pin::Pin;
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::{Context, Wake, Waker};
    use std::time::{Duration, Instant};

    use bytes::Bytes;
    use futures_lite::Stream;
    use futures_lite::future::{block_on, poll_fn};

    use super::*;
    use crate::base::driving::driving;
    use crate::base::shortcut::{Sent, SharedReads, Shortcut};
    use crate::body::pipe_feed::UNNOTED;
    use crate::body::pipe_state::{BURST, Outcome, Space};

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn a_writer_that_is_dropped_keeps_no_waker() {
        let (feed, _reader) = pipe(1);
        feed.run_ahead();
        feed.push("full".into());
        let count = Arc::<Count>::default();
        let waker = Waker::from(Arc::clone(&count));
        assert!(feed.poll_space(&mut Context::from_waker(&waker)).is_pending());
        assert!(feed.poll_abandoned(&mut Context::from_waker(&waker)).is_pending());
        drop(waker);
        assert_eq!(Arc::strong_count(&count), 3);
        drop(feed);
        assert_eq!(Arc::strong_count(&count), 1);
    }

    #[test]
    fn every_writer_that_waits_is_woken() {
        let (feed, mut reader) = pipe(1);
        feed.run_ahead();
        feed.push("full".into());
        let counts = [Arc::<Count>::default(), Arc::<Count>::default()];
        for count in &counts {
            let waker = Waker::from(Arc::clone(count));
            for _ in 0..3 {
                assert!(feed.poll_space(&mut Context::from_waker(&waker)).is_pending());
            }
        }
        block_on(poll_fn(|cx| Pin::new(&mut reader).poll_next(cx))).unwrap().unwrap();
        assert_eq!(counts.map(|count| count.0.load(Ordering::Relaxed)), [1, 1]);
    }

    #[test]
    fn a_body_that_was_cut_off_because_it_is_too_long_is_said_to_be_so() {
        for (length, outcome) in [(3, Outcome::TooLong), (4, Outcome::Abandoned), (5, Outcome::Abandoned)] {
            let (feed, reader) = pipe(10);
            feed.run_ahead();
            feed.push("full".into());
            reader.expect(length);
            drop(reader);
            assert!(feed.is_abandoned() && feed.outcome() == outcome, "{length}: {:?}", feed.outcome());
        }
    }

    /// Takes a chunk on a thread that serves connections.
    fn take(reader: &mut PipeReader) {
        let chunk = driving(|| block_on(poll_fn(|cx| Pin::new(&mut *reader).poll_next(cx))));
        assert_eq!(chunk.unwrap().unwrap(), "full");
    }

    /// Fills a pipe, and returns how many chunks it has taken.
    fn fill(feed: &PipeFeed) -> usize {
        (0..100).take_while(|_| feed.try_push("full".into()).is_ok()).count()
    }

    #[test]
    fn a_reader_on_a_thread_of_another_kind_gets_several_chunks_in_a_row() {
        let (feed, mut reader) = pipe(4);
        feed.run_ahead();
        assert_eq!(fill(&feed), 1, "the reader has taken nothing");
        take(&mut reader);
        assert_eq!(fill(&feed), BURST);
        for _ in 1..BURST {
            take(&mut reader);
            assert!(!feed.has_space(), "the reader still has chunks");
        }
        take(&mut reader);
        assert_eq!(driving(|| fill(&feed)), 1, "they take turns on one thread");
        feed.end_burst();
        assert!(!feed.has_space());
    }

    /// A way past the pipe on which so many bytes fit. It remembers how many chunks tried it.
    struct Way(usize, AtomicUsize);

    impl Shortcut for Way {
        fn send(&self, chunk: &[u8]) -> Option<Sent> {
            self.1.fetch_add(1, Ordering::Relaxed);
            let octets = chunk.len().min(self.0);
            (octets > 0).then(|| Sent { octets, rest: Ok(Bytes::copy_from_slice(&chunk[octets..])) })
        }
    }

    const LARGE: [u8; 16 * 1024] = [7; 16 * 1024];

    /// Polls a reader that finds nothing. Returns how often it was woken since.
    fn waiting(reader: &mut PipeReader) -> impl Fn() -> usize + use<> {
        let count = Arc::<Count>::default();
        let waker = Waker::from(Arc::clone(&count));
        assert!(Pin::new(reader).poll_next(&mut Context::from_waker(&waker)).is_pending());
        move || count.0.load(Ordering::Relaxed)
    }

    #[test]
    fn large_chunks_go_past_the_pipe_while_the_reader_waits_and_lets_them() {
        let (feed, mut reader) = pipe(1 << 20);
        let way = Arc::new(Way(usize::MAX, AtomicUsize::new(0)));
        let shortcut: Arc<dyn Shortcut> = Arc::clone(&way) as _;
        let woken = waiting(&mut reader);
        assert!(!feed.send_now(&LARGE), "it is not let");
        reader.lend(&shortcut);
        assert!(!feed.send_now(&LARGE[1..]) && !feed.send_now(&vec![0; 256 * 1024 + 1]));
        assert!(!driving(|| feed.send_now(&LARGE)), "other connections would wait");
        assert!(feed.send_now(&LARGE) && feed.send_now(&LARGE));
        assert_eq!((way.1.load(Ordering::Relaxed), woken(), feed.queued()), (2, 0, 0));
        feed.try_feed("small".into()).unwrap();
        assert!(!feed.send_now(&LARGE), "another one is before it");
        let past = reader.take_past();
        assert_eq!((past.bytes, past.octets, past.rest.unwrap().len()), (32 * 1024, 32 * 1024, 0));
        assert_eq!(reader.take_past().bytes, 0);
        block_on(poll_fn(|cx| Pin::new(&mut reader).poll_next(cx))).unwrap().unwrap();
        assert!(!feed.send_now(&LARGE), "it is taken back");
        reader.lend(&shortcut);
        reader.expect(3 * LARGE.len() as u64);
        assert!(!feed.send_now(&vec![0; 64 * 1024]), "the body would be too long");
        drop(reader);
        assert!(!feed.send_now(&LARGE));
        assert_eq!((way.1.load(Ordering::Relaxed), Arc::strong_count(&way)), (2, 2));
    }

    #[test]
    fn the_reader_writes_what_does_not_fit_and_is_woken_after_the_last_byte() {
        let (feed, mut reader) = pipe(1 << 20);
        for (fits, octets, wakes) in [(0, 0, 0), (1, 1, 1), (LARGE.len(), LARGE.len(), 0)] {
            let woken = waiting(&mut reader);
            reader.lend(&(Arc::new(Way(fits, AtomicUsize::new(0))) as _));
            assert_eq!(feed.send_now(&LARGE), fits > 0);
            assert_eq!(feed.send_now(&LARGE), wakes == 0 && fits > 0);
            assert_eq!(woken(), wakes);
            let past = reader.take_past();
            assert_eq!(past.octets, if wakes == 0 { 2 * octets } else { octets });
            assert_eq!(past.rest.unwrap().len(), if wakes == 0 { 0 } else { LARGE.len() - octets });
        }
        let woken = waiting(&mut reader);
        reader.lend(&(Arc::new(Way(usize::MAX, AtomicUsize::new(0))) as _));
        reader.expect(4 * LARGE.len() as u64);
        assert!(feed.send_now(&LARGE));
        assert_eq!((woken(), feed.outcome()), (1, Outcome::Whole));
    }

    #[test]
    fn the_reader_is_woken_now_and_then_to_count() {
        let (feed, mut reader) = pipe(1);
        let woken = waiting(&mut reader);
        reader.lend(&(Arc::new(Way(usize::MAX, AtomicUsize::new(0))) as _));
        for chunks in 1..=2 * UNNOTED / LARGE.len() {
            assert!(feed.send_now(&LARGE));
            assert_eq!(woken(), usize::from(chunks * LARGE.len() >= UNNOTED), "it is woken once");
        }
    }

    /// A socket with so many bytes to read, after which nothing comes.
    struct Source(Mutex<usize>);

    impl SharedReads for Source {
        fn receive(&self, buffer: &mut [u8]) -> io::Result<usize> {
            let mut left = self.0.lock().unwrap();
            let length = buffer.len().min(*left);
            *left -= length;
            if length == 0 { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(length) }
        }

        fn wait_readable(&self, _: Duration) -> bool {
            *self.0.lock().unwrap() > 0
        }
    }

    fn source(bytes: usize) -> Arc<Source> {
        Arc::new(Source(Mutex::new(bytes)))
    }

    /// Receives with room for 8 bytes. `None` if there is nothing yet, 0 if the connection is to be asked.
    fn receive(reader: &mut PipeReader) -> Option<usize> {
        match reader.receive(&mut [0; 8]) {
            Some(Ok(length)) => Some(length),
            Some(Err(client)) => {
                assert!(!client.wait(Duration::ZERO));
                None
            }
            None => Some(0),
        }
    }

    /// Returns the bytes that the reader has received, and whether it gave the socket back.
    fn taken(feed: &PipeFeed) -> (u64, bool) {
        let (taken, over) = feed.poll_intake(&mut Context::from_waker(Waker::noop()));
        (taken.bytes, over.is_ready())
    }

    #[test]
    fn a_reader_that_has_the_socket_receives_itself_until_it_waits() {
        let (feed, mut reader) = pipe(10);
        assert!(!feed.wants_intake());
        assert_eq!((receive(&mut reader), feed.wants_intake()), (Some(0), true));
        assert_eq!((driving(|| receive(&mut reader)), feed.wants_intake()), (Some(0), false));
        let woken = waiting(&mut reader);
        feed.begin_intake(source(11), 100);
        assert_eq!((woken(), reader.may_receive(), driving(|| reader.may_receive())), (1, true, false));
        assert_eq!((receive(&mut reader), taken(&feed)), (Some(8), (8, false)));
        assert_eq!((receive(&mut reader), receive(&mut reader)), (Some(3), None));
        assert_eq!((reader.may_receive(), taken(&feed)), (false, (3, false)));
        let count = Arc::<Count>::default();
        let waker = Waker::from(Arc::clone(&count));
        assert!(feed.poll_intake(&mut Context::from_waker(&waker)).1.is_pending());
        let _ = waiting(&mut reader);
        assert_eq!((count.0.load(Ordering::Relaxed), taken(&feed)), (1, (0, true)));
        assert_eq!(receive(&mut reader), Some(0), "it is given back");
    }

    #[test]
    fn a_reader_receives_no_more_than_the_body_and_finds_its_end() {
        let (feed, mut reader) = pipe(10);
        let socket = source(100);
        receive(&mut reader);
        feed.begin_intake(Arc::clone(&socket) as _, 13);
        assert_eq!([receive(&mut reader), receive(&mut reader), receive(&mut reader)], [8, 5, 0].map(Some));
        assert!(block_on(poll_fn(|cx| Pin::new(&mut reader).poll_next(cx))).is_none());
        assert_eq!((taken(&feed), *socket.0.lock().unwrap()), ((13, true), 87));
    }

    #[test]
    fn chunks_in_the_pipe_come_before_what_the_reader_receives() {
        let (feed, mut reader) = pipe(10);
        feed.push("full".into());
        feed.begin_intake(source(8), 8);
        assert_eq!(receive(&mut reader), Some(0));
        take(&mut reader);
        assert_eq!(receive(&mut reader), Some(8));
    }

    #[test]
    fn the_time_in_which_a_reader_finds_nothing_is_counted() {
        let (feed, mut reader) = pipe(10);
        let (socket, pause) = (source(0), Duration::from_millis(2));
        receive(&mut reader);
        feed.begin_intake(Arc::clone(&socket) as _, 100);
        std::thread::sleep(pause);
        assert_eq!(feed.end_intake().waited, Duration::ZERO, "it has not looked");
        feed.begin_intake(Arc::clone(&socket) as _, 100);
        let mut waited = Vec::new();
        for more in [0, 0, 1] {
            assert_eq!(receive(&mut reader), None);
            std::thread::sleep(pause);
            *socket.0.lock().unwrap() += more;
            if more == 0 {
                waited.push(feed.poll_intake(&mut Context::from_waker(Waker::noop())).0.waited);
            }
        }
        assert_eq!(receive(&mut reader), Some(1));
        std::thread::sleep(pause);
        waited.push(feed.end_intake().waited);
        assert!(waited.iter().all(|waited| *waited >= pause), "{waited:?}");
    }

    #[test]
    fn neither_end_leaves_the_socket_to_the_other() {
        let (feed, mut reader) = pipe(10);
        let socket = source(100);
        receive(&mut reader);
        feed.begin_intake(Arc::clone(&socket) as _, 100);
        drop(feed);
        assert_eq!(receive(&mut reader), Some(0));
        assert!(block_on(poll_fn(|cx| Pin::new(&mut reader).poll_next(cx))).unwrap().is_err());
        let (feed, mut reader) = pipe(10);
        receive(&mut reader);
        feed.begin_intake(Arc::clone(&socket) as _, 100);
        drop(reader);
        assert_eq!((taken(&feed), Arc::strong_count(&socket)), ((0, true), 1));
    }

    #[test]
    fn a_thread_that_waits_for_room_is_told_of_it() {
        let (feed, mut reader) = pipe(1);
        feed.run_ahead();
        feed.push("full".into());
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| feed.wait_space(None));
            while feed.0.lock().blocked_threads == 0 {
                std::thread::yield_now();
            }
            block_on(poll_fn(|cx| Pin::new(&mut reader).poll_next(cx))).unwrap().unwrap();
            assert_eq!(waiting.join().unwrap(), Some(Space::Wanted));
        });
        feed.push("full".into());
        assert_eq!(feed.wait_space(Some(Instant::now())), None);
        assert_eq!(feed.0.lock().blocked_threads, 0);
    }
}
