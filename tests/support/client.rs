//! The client of a connection in memory, moved by hand: nothing happens unless the test does
//! it.

use std::sync::{Arc, Mutex, MutexGuard};
use std::task::Waker;

use super::duplex::{DuplexStream, Link, Wire};

/// The client's end.
pub struct Client(Arc<Mutex<Network>>);

/// A network on which nothing is lost or delayed.
pub struct Network {
    wire: Wire,
    /// Bytes that one write takes.
    write: usize,
}

impl Link for Network {
    fn wire(&mut self) -> &mut Wire {
        &mut self.wire
    }

    fn write_size(&mut self, offered: usize) -> usize {
        offered.min(self.write)
    }

    fn on_drop(&mut self) {
        self.wire.is_closed = true;
    }
}

/// Returns both ends of a connection; the server writes at most `write` bytes at a time.
pub fn connect(write: usize) -> (Client, DuplexStream<Network>) {
    let network = Arc::new(Mutex::new(Network { wire: Wire::default(), write }));
    let stream = DuplexStream::new(&network);
    (Client(network), stream)
}

impl Client {
    fn network(&self) -> MutexGuard<'_, Network> {
        self.0.lock().unwrap()
    }

    /// Sends bytes to the server.
    pub fn send(&self, bytes: &[u8]) {
        self.network().wire.inbox.extend(bytes);
        self.wake();
    }

    /// Closes the sending side. The client still receives answers.
    pub fn end(&self) {
        self.network().wire.has_ended = true;
        self.wake();
    }

    fn wake(&self) {
        let reader = self.network().wire.reader.take();
        reader.into_iter().for_each(Waker::wake);
    }

    /// Returns the bytes that the server has written since the last call.
    pub fn take_answer(&self) -> Vec<u8> {
        std::mem::take(&mut self.network().wire.outbox).into()
    }

    /// Returns `true` if the server has closed its sending side or dropped the stream.
    pub fn is_closed(&self) -> bool {
        self.network().wire.is_closed
    }
}
