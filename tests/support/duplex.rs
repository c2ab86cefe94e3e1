//! A connection in memory: the server's end is a stream, the client's end is
//! driven by hand. Nothing moves unless the test moves it.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Waker};

use smol::io::{AsyncRead, AsyncWrite};

#[derive(Default)]
struct State {
    /// Sent by the client, not yet read by the server.
    sent: Vec<u8>,
    /// The client has closed its sending side.
    ended: bool,
    /// Written by the server.
    answered: Vec<u8>,
    /// The server has closed its sending side, or dropped the stream.
    closed: bool,
    reader: Option<Waker>,
}

/// The client's end.
pub struct Client(Arc<Mutex<State>>);

/// The server's end.
pub struct Stream {
    state: Arc<Mutex<State>>,
    /// How much one write takes.
    write: usize,
}

/// Both ends; the server's takes at most `write` bytes at a time.
pub fn duplex(write: usize) -> (Client, Stream) {
    let state = Arc::<Mutex<State>>::default();
    (Client(Arc::clone(&state)), Stream { state, write })
}

impl Client {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    pub fn send(&self, bytes: &[u8]) {
        self.state().sent.extend_from_slice(bytes);
        self.wake();
    }

    /// Closes the sending side; answers still come.
    pub fn end(&self) {
        self.state().ended = true;
        self.wake();
    }

    fn wake(&self) {
        let reader = self.state().reader.take();
        reader.into_iter().for_each(Waker::wake);
    }

    /// What the server has written since the last call.
    pub fn take_answer(&self) -> Vec<u8> {
        std::mem::take(&mut self.state().answered)
    }

    pub fn is_closed(&self) -> bool {
        self.state().closed
    }
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut state = self.state.lock().unwrap();
        if state.sent.is_empty() && !state.ended {
            state.reader = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let length = buffer.len().min(state.sent.len());
        buffer[..length].copy_from_slice(&state.sent[..length]);
        state.sent.drain(..length);
        Poll::Ready(Ok(length))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let mut state = self.state.lock().unwrap();
        if state.closed {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let length = bytes.len().min(self.write);
        state.answered.extend_from_slice(&bytes[..length]);
        Poll::Ready(Ok(length))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.state.lock().unwrap().closed = true;
        Poll::Ready(Ok(()))
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.state.lock().unwrap().closed = true;
    }
}
