//! The records of one TLS connection, without I/O: bytes in, bytes out.

use std::io;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::server::{ServerConnectionData, UnbufferedServerConnection};
use rustls::unbuffered::{ConnectionState, EncodeError, EncodeTlsData, EncryptError, WriteTraffic};

use crate::base::buffer::Buffer;

/// The most bytes that are encrypted at once: three full records and one that is not full, so that all
/// four fit into a spare buffer with what encryption adds.
pub(super) const MOST: usize = 60 * 1024;
/// The largest payload of a record (RFC 8446 5.1).
pub(super) const RECORD: usize = 16 * 1024;
/// The most bytes that wait for the end of a message: the largest message of a handshake, and what its
/// records add to it. A record of one byte can have 16 KiB of padding, and a message 64 Ki of them.
pub(super) const MOST_INCOMING: usize = 80 * 1024;
/// More than encryption adds to a record: a header of 5 bytes, a type, a nonce and a tag.
const ADDED: usize = 64;

/// How far a connection has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// The handshake needs more bytes from the client.
    Handshaking,
    /// The handshake is done.
    Open,
    /// The client has closed its side in order, and can still read.
    PeerClosed,
}

/// The state of the TLS protocol of a connection.
#[expect(clippy::struct_excessive_bools, reason = "each may be true beside the others")]
pub(super) struct Records {
    connection: UnbufferedServerConnection,
    /// Bytes from the client that are not processed.
    pub incoming: Buffer,
    /// Decrypted bytes for which the reader had no room.
    pub plain: Buffer,
    /// Encrypted bytes to be sent.
    pub outgoing: Buffer,
    /// True if `incoming` may hold a whole record.
    pub may_hold_record: bool,
    /// True once a record was invalid. Nothing more is processed or encrypted.
    pub has_failed: bool,
    is_peer_closed: bool,
    is_closed: bool,
}

impl Records {
    pub fn new(config: Arc<ServerConfig>) -> io::Result<Self> {
        Ok(Self {
            connection: UnbufferedServerConnection::new(config).map_err(io::Error::other)?,
            incoming: Buffer::new(),
            plain: Buffer::new(),
            outgoing: Buffer::new(),
            may_hold_record: false,
            has_failed: false,
            is_peer_closed: false,
            is_closed: false,
        })
    }

    /// Returns the connection, to learn what the handshake settled.
    pub fn connection(&self) -> &UnbufferedServerConnection {
        &self.connection
    }

    /// Processes records that have come, and decrypts into `room` until it is full. Returns the number of
    /// bytes there. Without any room, it stops at the first data, which goes to `plain`.
    ///
    /// After an error, `outgoing` may hold an alert for the client. An error after data is told by
    /// `has_failed`, so that what is read does not depend on how it has come.
    pub fn process(&mut self, room: &mut [u8]) -> io::Result<(usize, Progress)> {
        let processed = self.process_all(room);
        // An idle connection has no buffer: nothing reads until the transport is readable.
        self.incoming.release();
        processed
    }

    fn process_all(&mut self, room: &mut [u8]) -> io::Result<(usize, Progress)> {
        let mut filled = 0;
        self.may_hold_record = false;
        loop {
            match self.advance(room, &mut filled, None) {
                Ok(None) => {}
                Ok(Some(progress)) => return Ok((filled, progress)),
                Err(_) if filled > 0 => return Ok((filled, Progress::Open)),
                Err(error) => return Err(error),
            }
            if filled == room.len() && (filled > 0 || !self.plain.is_empty()) {
                self.may_hold_record = true;
                return Ok((filled, Progress::Open));
            }
        }
    }

    /// Encrypts bytes into `outgoing`.
    pub fn encrypt(&mut self, bytes: &[u8]) -> io::Result<()> {
        let most = bytes.len() + (bytes.len() / RECORD + 1) * ADDED;
        self.write(most, &mut |traffic, room| traffic.encrypt(bytes, room))
    }

    /// Tells the client, once, that nothing more is written (RFC 8446 6.1). If something is wrong, an
    /// alert has told the client already.
    pub fn close(&mut self) {
        if !self.has_failed && !std::mem::replace(&mut self.is_closed, true) {
            let _ = self.write(ADDED, &mut |traffic, room| traffic.queue_close_notify(room));
        }
    }

    /// Writes at most so many encrypted bytes. Records that have come are processed on the way: rustls
    /// panics without them, if the client has cut a message in two.
    fn write(&mut self, most: usize, write: Write<'_>) -> io::Result<()> {
        loop {
            match self.advance(&mut [], &mut 0, Some((most, write)))? {
                None => {}
                Some(Progress::Handshaking) => return Err(io::ErrorKind::NotConnected.into()),
                Some(Progress::Open | Progress::PeerClosed) => return Ok(()),
            }
        }
    }

    /// Goes one step further. Ready to write, it writes. Returns `None` if there is more to do.
    fn advance(
        &mut self,
        room: &mut [u8],
        filled: &mut usize,
        write: Option<(usize, Write<'_>)>,
    ) -> io::Result<Option<Progress>> {
        if self.has_failed {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let advanced = self.try_advance(room, filled, write);
        self.has_failed = advanced.is_err();
        advanced
    }

    fn try_advance(
        &mut self,
        room: &mut [u8],
        filled: &mut usize,
        write: Option<(usize, Write<'_>)>,
    ) -> io::Result<Option<Progress>> {
        let status = self.connection.process_tls_records(self.incoming.as_mut_slice());
        let mut discard = status.discard;
        let mut progress = None;
        match status.state {
            Ok(ConnectionState::ReadTraffic(mut traffic)) => {
                while let Some(record) = traffic.next_record() {
                    let record = record.map_err(invalid)?;
                    discard += record.discard;
                    *filled += deliver(record.payload, &mut room[*filled..], &mut self.plain)?;
                }
            }
            // Early data can be repeated by an attacker, so it is dropped. It comes only if the host's
            // own settings allow it.
            Ok(ConnectionState::ReadEarlyData(mut early)) => {
                while let Some(record) = early.next_record() {
                    discard += record.map_err(invalid)?.discard;
                }
            }
            Ok(ConnectionState::EncodeTlsData(encode)) => put(&mut self.outgoing, encode)?,
            // All that is in `outgoing` is sent.
            Ok(ConnectionState::TransmitTlsData(transmit)) => transmit.done(),
            Ok(ConnectionState::BlockedHandshake) => progress = Some(Progress::Handshaking),
            Ok(ConnectionState::PeerClosed) => self.is_peer_closed = true,
            Ok(ConnectionState::WriteTraffic(mut traffic)) => {
                if let Some((most, write)) = write {
                    let room = self.outgoing.room_for(most).ok_or(io::ErrorKind::OutOfMemory)?;
                    let length = write(&mut traffic, room).map_err(io::Error::other)?;
                    self.outgoing.filled(length);
                }
                progress = Some(if self.is_peer_closed { Progress::PeerClosed } else { Progress::Open });
            }
            Ok(ConnectionState::Closed) => progress = Some(Progress::PeerClosed),
            Ok(_) => return Err(io::ErrorKind::Unsupported.into()),
            Err(error) => {
                self.incoming.consume(discard);
                self.put_alert()?;
                return Err(invalid(error));
            }
        }
        self.incoming.consume(discard);
        Ok(progress)
    }

    /// Puts the alert that tells the client of an error into `outgoing`. Records that have come are not
    /// processed again: that would make another alert, against which rustls has an assertion.
    fn put_alert(&mut self) -> io::Result<()> {
        while self.connection.wants_write() {
            let status = self.connection.process_tls_records(self.incoming.as_mut_slice());
            let Ok(ConnectionState::EncodeTlsData(encode)) = status.state else { break };
            put(&mut self.outgoing, encode)?;
        }
        Ok(())
    }
}

/// Writes into a room of at least the size that was asked for, and returns how many bytes it wrote.
type Write<'a> =
    &'a mut dyn FnMut(&mut WriteTraffic<'_, ServerConnectionData>, &mut [u8]) -> Result<usize, EncryptError>;

/// Copies decrypted bytes to where there is room, and the rest to `plain`. Returns how many the room took.
fn deliver(bytes: &[u8], room: &mut [u8], plain: &mut Buffer) -> io::Result<usize> {
    let (now, later) = bytes.split_at(bytes.len().min(room.len()));
    room[..now.len()].copy_from_slice(now);
    if !later.is_empty() {
        let room = plain.room_for(later.len()).ok_or(io::ErrorKind::OutOfMemory)?;
        room[..later.len()].copy_from_slice(later);
        plain.filled(later.len());
    }
    Ok(now.len())
}

/// Puts a record of the handshake, or an alert, into a buffer.
fn put(outgoing: &mut Buffer, mut encode: EncodeTlsData<'_, ServerConnectionData>) -> io::Result<()> {
    let mut room = 0;
    loop {
        let free = outgoing.room_for(room).ok_or(io::ErrorKind::OutOfMemory)?;
        match encode.encode(free) {
            Ok(length) => {
                outgoing.filled(length);
                return Ok(());
            }
            Err(EncodeError::InsufficientSize(error)) => room = error.required_size,
            Err(error) => return Err(io::Error::other(error)),
        }
    }
}

fn invalid(error: rustls::Error) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}
