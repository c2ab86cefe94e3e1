//! A connected socket in a reactor.

use std::fs::File;
use std::io::{self, IoSlice};
use std::os::fd::{BorrowedFd, OwnedFd};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_lite::{AsyncRead, AsyncWrite};
use log::Level;
use rustix::event::epoll::EventFlags;
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendAncillaryBuffer, SendFlags, Shutdown};

use super::ready::{Direction, Readiness};
use super::signal::would_signal;
use super::{Reactor, Watch};
use crate::base::shortcut::{SharedReads, SharedSocket};

/// A stream socket, TCP or Unix. A write to a closed one returns an error and never raises a
/// signal.
pub(crate) struct Stream {
    /// Owns the socket. Dropping the watch makes the reactor forget the descriptor before it is
    /// closed.
    watch: Watch,
    reset: bool,
}

/// What the kernel reports of a connection.
const ALL: EventFlags = EventFlags::IN.union(EventFlags::OUT).union(EventFlags::RDHUP);

/// Ends the connection even if another process holds the descriptor: in a process that was forked
/// meanwhile the descriptor stays open, and a close here would not reach the client.
impl Drop for Stream {
    fn drop(&mut self) {
        // Resets the connection at once (connect(2), `AF_UNSPEC`). A close would reset it only if
        // it is the last.
        let Ok(socket) = self.socket() else { return };
        if self.reset && rustix::net::connect_unspec(socket).is_ok() {
            return;
        }
        // Fails if the other end has closed already, which is just as well.
        let _ = rustix::net::shutdown(socket, Shutdown::Both);
    }
}

impl Stream {
    /// Takes over a non-blocking socket.
    pub fn new(reactor: &Reactor, socket: OwnedFd) -> Self {
        Self { watch: reactor.watch(Some(socket)), reset: false }
    }

    /// Returns the owner of the socket. Keeping it delays the close of the descriptor, but not the
    /// end of the connection.
    pub fn owner(&self) -> &Arc<Readiness> {
        self.watch.readiness()
    }

    #[inline]
    fn socket(&self) -> io::Result<BorrowedFd<'_>> {
        self.watch.readiness().socket()
    }

    /// Makes the end of a TCP connection a reset, or an ordinary close again. This also applies if
    /// the process ends first (socket(7), `SO_LINGER`).
    pub fn reset_on_close(&mut self, reset: bool) {
        let linger = reset.then_some(Duration::ZERO);
        let set = self.socket().map(|socket| rustix::net::sockopt::set_socket_linger(socket, linger));
        self.reset = matches!(set, Ok(Ok(()))) && reset;
    }

    /// Ready if there may be bytes to read.
    pub fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<()> {
        let ready = self.watch.poll_ready(cx, Direction::Read);
        // If the registration fails, report ready: the read then returns the error.
        self.waiting(ready.map(|_| Ok(()))).map(|_| ())
    }

    /// Registers the socket if the operation has to wait. Of 500 connections with one request each,
    /// 355 were served without the `epoll_ctl(2)` (strace, loopback, 2026-11).
    #[inline]
    fn waiting<T>(&self, polled: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if polled.is_pending()
            && let Err(error) = self.register()
        {
            Poll::Ready(Err(error))
        } else {
            polled
        }
    }

    /// Registers the socket with the kernel.
    #[cold]
    fn register(&self) -> io::Result<()> {
        self.watch.register(self.socket()?, ALL).inspect_err(|error| {
            let line = format_args!("cannot register a connection: {error}");
            self.reactor().0.register_log.log(Level::Error, line);
        })
    }

    /// Has the kernel report the end of the connection only, because another thread reads and nothing is to be
    /// written. Returns `false` if the other end has closed already, or if the kernel refuses.
    pub fn watch_end_only(&self) -> bool {
        if !self.watch.readiness().forget(Direction::Read) {
            return false;
        }
        let changed = self.change(EventFlags::RDHUP).is_ok();
        if !changed {
            self.watch_all();
        }
        changed
    }

    /// Has the kernel report everything again, and at once what is to be read.
    pub fn watch_all(&self) {
        if self.change(ALL).is_err() {
            // No event comes: the next read finds out.
            self.watch.readiness().set(EventFlags::IN, &mut Vec::new());
        }
    }

    fn change(&self, flags: EventFlags) -> io::Result<()> {
        self.register()?;
        self.watch.change(self.socket()?, flags)
    }

    /// Makes the kernel send up to `most` octets of a file, starting at octet `at`, and returns how
    /// many it sent: 0 at the end of the file. The error is `Unsupported` if the kernel cannot send
    /// this file (sendfile(2)); reading the file then reports what is wrong.
    pub fn poll_send_file(
        &self,
        cx: &mut Context<'_>,
        file: &File,
        mut at: u64,
        most: usize,
    ) -> Poll<io::Result<usize>> {
        if would_signal() {
            return Poll::Ready(Err(io::ErrorKind::Unsupported.into()));
        }
        let sent = self.watch.poll_io(cx, Direction::Write, |_| {
            match rustix::fs::sendfile(self.socket()?, file, Some(&mut at), most) {
                Err(
                    Errno::BADF | Errno::INVAL | Errno::IO | Errno::NOSYS | Errno::OVERFLOW | Errno::SPIPE,
                ) => Err(io::ErrorKind::Unsupported.into()),
                sent => Ok(sent?),
            }
        });
        self.waiting(sent)
    }

    /// Returns the stream's reactor.
    pub fn reactor(&self) -> &Reactor {
        self.watch.reactor()
    }
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        let room = buffer.len();
        let read = self.watch.poll_some(cx, Direction::Read, room, || {
            Ok(rustix::net::recv(self.socket()?, &mut *buffer, RecvFlags::empty())?.0)
        });
        self.waiting(read)
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = self.watch.poll_io(cx, Direction::Write, |_| {
            Ok(rustix::net::send(self.socket()?, bytes, SendFlags::NOSIGNAL)?)
        });
        self.waiting(written)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let mut filled = slices.iter().filter(|slice| !slice.is_empty());
        if let (Some(only), None) = (filled.next(), filled.next()) {
            return self.poll_write(cx, only);
        }
        let written = self.watch.poll_io(cx, Direction::Write, |_| {
            let mut none = SendAncillaryBuffer::default();
            Ok(rustix::net::sendmsg(self.socket()?, slices, &mut none, SendFlags::NOSIGNAL)?)
        });
        self.waiting(written)
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        match rustix::net::shutdown(self.socket()?, Shutdown::Write) {
            // The other end has closed already.
            Ok(()) | Err(Errno::NOTCONN) => Poll::Ready(Ok(())),
            Err(error) => Poll::Ready(Err(error.into())),
        }
    }
}

/// Another thread may write: the task of the connection notices when it has to wait for room.
impl SharedSocket for Readiness {
    fn send(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let mut none = SendAncillaryBuffer::default();
        Ok(rustix::net::sendmsg(self.socket()?, slices, &mut none, SendFlags::NOSIGNAL)?)
    }
}

impl SharedReads for Readiness {
    fn receive(&self, buffer: &mut [u8]) -> io::Result<usize> {
        Ok(rustix::net::recv(self.socket()?, &mut *buffer, RecvFlags::empty())?.0)
    }

    fn wait_readable(&self, timeout: Duration) -> bool {
        let (Ok(socket), Ok(timeout)) = (self.socket(), Timespec::try_from(timeout)) else { return true };
        let mut polled = [PollFd::new(&socket, PollFlags::IN)];
        rustix::event::poll(&mut polled, Some(&timeout)) != Ok(0)
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::Shutdown as Half;
    use std::net::{TcpListener, TcpStream};
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::task::Waker;
    use std::thread;
    use std::time::Instant;

    use futures_lite::{AsyncReadExt as _, AsyncWriteExt as _, future};

    use super::super::tests::{in_time, pair};
    use super::*;

    /// Returns a TCP stream in the reactor, and its other end.
    fn tcp_pair(reactor: &Reactor) -> (Stream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let theirs = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (ours, _) = listener.accept().unwrap();
        ours.set_nonblocking(true).unwrap();
        (Stream::new(reactor, ours.into()), theirs)
    }

    /// Reads once, or returns `None` if that would block.
    fn read_now(stream: &mut Stream, room: usize) -> Option<Vec<u8>> {
        let mut buffer = vec![0; room];
        let cx = &mut Context::from_waker(Waker::noop());
        match Pin::new(stream).poll_read(cx, &mut buffer) {
            Poll::Ready(length) => {
                buffer.truncate(length.unwrap());
                Some(buffer)
            }
            Poll::Pending => None,
        }
    }

    #[test]
    fn a_connection_ends_for_its_client_though_another_process_has_its_descriptor() {
        in_time(|| {
            let reactor = Reactor::new(Instant::now()).unwrap();
            for half_closed in [false, true] {
                let (mut stream, mut theirs) = tcp_pair(&reactor);
                // As in a child that was forked.
                let held = stream.socket().unwrap().try_clone_to_owned().unwrap();
                if half_closed {
                    reactor.block_on(stream.close()).unwrap();
                }
                drop(stream);
                assert_eq!(theirs.read(&mut [0; 8]).unwrap(), 0);
                // What the client still sends is refused, although nobody reads it.
                let refused = (0..1000).find_map(|_| {
                    thread::yield_now();
                    theirs.write_all(&vec![0; 100_000]).err()
                });
                assert!(refused.is_some());
                drop(held);
            }
            let (mut stream, mut theirs) = tcp_pair(&reactor);
            let held = stream.socket().unwrap().try_clone_to_owned().unwrap();
            stream.reset_on_close(true);
            drop(stream);
            assert_eq!(theirs.read(&mut [0; 8]).unwrap_err().kind(), io::ErrorKind::ConnectionReset);
            drop(held);
            let (mut stream, mut theirs) = tcp_pair(&reactor);
            stream.reset_on_close(true);
            stream.reset_on_close(false);
            drop(stream);
            assert_eq!(theirs.read(&mut [0; 8]).unwrap(), 0);
        });
    }

    #[test]
    fn what_comes_after_a_short_read_is_read_too() {
        in_time(|| {
            let reactor = Reactor::new(Instant::now()).unwrap();
            let (mut stream, mut theirs) = pair(&reactor);
            let writing = thread::spawn(move || {
                for byte in 0..200_u8 {
                    theirs.write_all(&[byte; 3]).unwrap();
                    if byte % 16 == 0 {
                        thread::sleep(Duration::from_millis(1));
                    }
                }
            });
            let mut all = Vec::new();
            reactor.block_on(stream.read_to_end(&mut all)).unwrap();
            writing.join().unwrap();
            assert_eq!(all, (0..200_u8).flat_map(|byte| [byte; 3]).collect::<Vec<_>>());
        });
    }

    #[test]
    fn what_comes_for_another_thread_wakes_nobody_and_the_end_does() {
        in_time(|| {
            let reactor = Reactor::new(Instant::now()).unwrap();
            let (mut stream, mut theirs) = tcp_pair(&reactor);
            reactor.block_on(async {
                assert!(stream.watch_end_only());
                let reads: Arc<dyn SharedReads> = Arc::clone(stream.owner()) as _;
                let is_ready = || stream.poll_readable(&mut Context::from_waker(Waker::noop())).is_ready();
                let turns = async || {
                    for _ in 0..3 {
                        future::yield_now().await;
                    }
                };
                let mut buffer = [0; 10];
                assert_eq!(reads.receive(&mut buffer).unwrap_err().kind(), io::ErrorKind::WouldBlock);
                assert!(!reads.wait_readable(Duration::from_millis(1)));
                theirs.write_all(b"abc").unwrap();
                assert!(reads.wait_readable(Duration::from_secs(60)));
                assert!(!is_ready());
                turns().await;
                assert!(!is_ready(), "nobody is told");
                assert_eq!(reads.receive(&mut buffer).unwrap(), 3);
                theirs.write_all(b"de").unwrap();
                assert!(reads.wait_readable(Duration::from_secs(60)));
                stream.watch_all();
                turns().await;
                assert!(is_ready(), "the task reads on");
                assert!(stream.watch_end_only());
                turns().await;
                assert!(!is_ready());
                theirs.shutdown(Half::Write).unwrap();
                future::poll_fn(|cx| stream.poll_readable(cx)).await;
                assert!(!stream.watch_end_only(), "the end is known");
                stream.watch_all();
                assert_eq!(read_now(&mut stream, 10), Some(b"de".into()));
                assert_eq!(read_now(&mut stream, 10), Some(vec![]));
            });
        });
    }

    #[test]
    fn a_full_read_is_tried_again_and_a_short_one_is_not() {
        let reactor = Reactor::new(Instant::now()).unwrap();
        let (mut stream, mut theirs) = pair(&reactor);
        reactor.block_on(async {
            theirs.write_all(b"abcdef").unwrap();
            future::yield_now().await;
            future::yield_now().await;
            assert_eq!(read_now(&mut stream, 4), Some(b"abcd".into()));
            assert_eq!(read_now(&mut stream, 4), Some(b"ef".into()));
            // These bytes are unknown to the stream until the reactor reports them.
            theirs.write_all(b"gh").unwrap();
            assert_eq!(read_now(&mut stream, 4), None);
            future::yield_now().await;
            future::yield_now().await;
            assert_eq!(read_now(&mut stream, 4), Some(b"gh".into()));
        });
    }

    #[test]
    fn a_hang_up_behind_a_short_read_is_seen() {
        in_time(|| {
            for together in [true, false] {
                let reactor = Reactor::new(Instant::now()).unwrap();
                let (mut stream, mut theirs) = pair(&reactor);
                let (proceed, proceeds) = async_channel::bounded::<()>(1);
                let leaving = thread::spawn(move || {
                    theirs.write_all(b"last").unwrap();
                    if !together {
                        proceeds.recv_blocking().unwrap();
                    }
                });
                reactor.block_on(async {
                    let mut buffer = [0; 100];
                    assert_eq!(stream.read(&mut buffer).await.unwrap(), 4);
                    if !together {
                        proceed.send(()).await.unwrap();
                    }
                    for _ in 0..3 {
                        assert_eq!(stream.read(&mut buffer).await.unwrap(), 0);
                    }
                });
                leaving.join().unwrap();
            }
        });
    }

    #[test]
    fn either_side_may_close_its_half() {
        in_time(|| {
            let reactor = Reactor::new(Instant::now()).unwrap();
            let (mut stream, mut theirs) = tcp_pair(&reactor);
            theirs.shutdown(Half::Write).unwrap();
            reactor.block_on(async {
                assert_eq!(stream.read(&mut [0; 9]).await.unwrap(), 0);
                stream.write_all(b"still").await.unwrap();
                stream.close().await.unwrap();
            });
            let mut all = String::new();
            theirs.read_to_string(&mut all).unwrap();
            assert_eq!(all, "still");
            // The server closes first.
            let (mut stream, mut theirs) = tcp_pair(&reactor);
            let talking = thread::spawn(move || {
                assert_eq!(theirs.read(&mut [0; 9]).unwrap(), 0);
                theirs.write_all(b"still").unwrap();
            });
            reactor.block_on(async {
                stream.close().await.unwrap();
                let mut all = String::new();
                stream.read_to_string(&mut all).await.unwrap();
                assert_eq!(all, "still");
                // A stream that both ends have closed may be closed again.
                stream.close().await.unwrap();
            });
            talking.join().unwrap();
        });
    }

    #[test]
    fn a_reset_is_an_error_for_those_who_read() {
        in_time(|| {
            let reactor = Reactor::new(Instant::now()).unwrap();
            let (mut stream, theirs) = tcp_pair(&reactor);
            let breaking = thread::spawn(move || {
                thread::sleep(Duration::from_millis(5));
                socket2::SockRef::from(&theirs).set_linger(Some(Duration::ZERO)).unwrap();
            });
            let error = reactor.block_on(stream.read(&mut [0; 9])).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
            breaking.join().unwrap();
        });
    }

    #[test]
    fn a_write_to_who_has_left_is_an_error_and_no_signal() {
        in_time(|| {
            // The runtime of Rust programs ignores SIGPIPE; other hosts do not.
            let signalled = Arc::new(AtomicBool::new(false));
            signal_hook::flag::register(signal_hook::consts::SIGPIPE, Arc::clone(&signalled)).unwrap();
            let reactor = Reactor::new(Instant::now()).unwrap();
            let (mut stream, theirs) = pair(&reactor);
            drop(theirs);
            reactor.block_on(async {
                let error = stream.write(b"x").await.unwrap_err();
                assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
                let slices = [IoSlice::new(b"x"), IoSlice::new(b"y")];
                let error = stream.write_vectored(&slices).await.unwrap_err();
                assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
            });
            assert!(!signalled.load(Ordering::SeqCst), "SIGPIPE");
        });
    }

    #[test]
    fn much_goes_through_in_order_both_ways_at_once() {
        const SIZE: usize = 8 << 20;
        fn pattern() -> Vec<u8> {
            (0..SIZE).map(|at| ((at * 31) >> 8).to_le_bytes()[0]).collect()
        }
        in_time(|| {
            let reactor = Reactor::new(Instant::now()).unwrap();
            let (stream, theirs) = tcp_pair(&reactor);
            let echoing = thread::spawn(move || {
                let mut buffer = vec![0; 50_000];
                while let length @ 1.. = (&theirs).read(&mut buffer).unwrap() {
                    (&theirs).write_all(&buffer[..length]).unwrap();
                }
            });
            let (mut reader, mut writer) = futures_lite::io::split(stream);
            let (sent, mut received) = (pattern(), Vec::new());
            reactor.block_on(future::zip(
                async {
                    // In slices of all sizes, including empty ones.
                    let mut rest = &sent[..];
                    while !rest.is_empty() {
                        let (one, two) = rest[..rest.len().min(70_000)].split_at(rest.len().min(1000));
                        let slices = [IoSlice::new(one), IoSlice::new(&[]), IoSlice::new(two)];
                        let length = writer.write_vectored(&slices).await.unwrap();
                        rest = &rest[length..];
                    }
                    writer.close().await.unwrap();
                },
                async { reader.read_to_end(&mut received).await.unwrap() },
            ));
            echoing.join().unwrap();
            assert!(received == pattern());
        });
    }
}
