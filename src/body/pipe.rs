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
    use std::pin::Pin;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::{Context, Wake, Waker};
    use std::time::Instant;

    use bytes::Bytes;
    use futures_lite::Stream;
    use futures_lite::future::{block_on, poll_fn};

    use super::*;
    use crate::base::driving::driving;
    use crate::base::shortcut::{Sent, Shortcut};
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
