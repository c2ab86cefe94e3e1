//! The read side of a connection's socket, while the reader of a request's body has it.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::base::shortcut::SharedReads;

/// What the reader of a body receives itself, straight into its own memory.
#[derive(Default)]
pub(super) struct Intake {
    /// True if the reader, on a thread that serves no connections, receives bytes itself if it may.
    pub is_wanted: bool,
    lent: Option<Lent>,
    taken: Taken,
}

/// A socket that the reader may read.
struct Lent {
    socket: Arc<dyn SharedReads>,
    /// The rest of the body in bytes: what follows is not the reader's.
    left: u64,
    /// The time since which the client has sent nothing.
    dry_since: Option<Instant>,
}

/// What a reader has received itself.
#[derive(Clone, Copy, Default)]
pub(crate) struct Taken {
    pub bytes: u64,
    /// How long the reader found nothing to receive.
    pub waited: Duration,
}

/// A client whose socket the reader of a body reads.
pub struct BodySource(Arc<dyn SharedReads>);

impl BodySource {
    /// Blocks the thread until the client has sent something, for at most so long. Returns `true` if it has, or
    /// if the connection has ended.
    pub fn wait(&self, timeout: Duration) -> bool {
        self.0.wait_readable(timeout)
    }
}

impl Intake {
    /// Lets the reader read the socket, for the rest of the body of `left` bytes.
    pub fn begin(&mut self, socket: Arc<dyn SharedReads>, left: u64) {
        self.lent = Some(Lent { socket, left, dry_since: None });
    }

    /// Takes the socket from the reader. Returns `true` if it had it.
    pub fn end(&mut self) -> bool {
        let lent = self.lent.take();
        let since = lent.as_ref().and_then(|lent| lent.dry_since);
        self.note_wait(since);
        lent.is_some()
    }

    /// Returns `true` while the reader has the socket.
    pub fn is_lent(&self) -> bool {
        self.lent.is_some()
    }

    /// Returns `true` if the reader has received the whole body.
    pub fn is_whole(&self) -> bool {
        self.lent.as_ref().is_some_and(|lent| lent.left == 0)
    }

    /// Returns `true` if the reader has the socket, and has not found yet that the client has sent nothing more.
    pub fn may_have_more(&self) -> bool {
        self.lent.as_ref().is_some_and(|lent| lent.dry_since.is_none())
    }

    /// Receives without waiting, and returns the number of bytes, or the client that has sent nothing more yet. Returns
    /// `None` if the reader does not have the socket, and at the end of the connection or after an error, which the
    /// connection finds too.
    pub fn receive(&mut self, buffer: &mut [u8]) -> Option<Result<usize, BodySource>> {
        let lent = self.lent.as_mut()?;
        let most = usize::try_from(lent.left).unwrap_or(usize::MAX).min(buffer.len());
        let mut length = 0;
        // Full pieces: the client may send on meanwhile, and a piece costs the reader more than a call of the system.
        let end = loop {
            match lent.socket.receive(&mut buffer[length..most]) {
                Ok(more @ 1..) => length += more,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                end => break end,
            }
            if length == most {
                break Ok(most);
            }
        };
        let is_dry = matches!(&end, Err(error) if error.kind() == io::ErrorKind::WouldBlock);
        let since = if length > 0 { lent.dry_since.take() } else { None };
        if is_dry {
            lent.dry_since.get_or_insert_with(Instant::now);
        }
        let client = BodySource(Arc::clone(&lent.socket));
        lent.left -= length as u64;
        self.taken.bytes += length as u64;
        self.note_wait(since);
        match length {
            1.. => Some(Ok(length)),
            0 if is_dry => Some(Err(client)),
            0 => None,
        }
    }

    /// Returns what was received since this was last called.
    pub fn take(&mut self) -> Taken {
        if let Some(since) = self.lent.as_mut().and_then(|lent| lent.dry_since.as_mut()) {
            let since = std::mem::replace(since, Instant::now());
            self.note_wait(Some(since));
        }
        std::mem::take(&mut self.taken)
    }

    fn note_wait(&mut self, since: Option<Instant>) {
        self.taken.waited += since.map_or(Duration::ZERO, |since| since.elapsed());
    }
}
