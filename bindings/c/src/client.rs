//! Clients in the same process: connections to a server that are bytes in memory.

use std::ffi::{c_char, c_void};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use transom::{Body, BodyWriter, Headers, Peer};

use crate::brought::Brought;
use crate::bytes::{input, place, text};
use crate::error::{report, transom_error};
use crate::incoming::{Incoming, read_into};
use crate::server::transom_server;
use crate::slots::{Handle, Table};
use crate::status::transom_status;
use crate::timeout::duration;
use crate::writer::write;

/// A client of a server in the same process: a connection that is bytes in memory, without a socket.
/// It is for tests of a program. It belongs to you: end it with transom_client_free. Any thread may
/// use it, one to read and another to write. Like a responder, the pointer is a number that is looked
/// up: one that was freed is no danger, TRANSOM_ALREADY_ANSWERED.
pub struct transom_client {
    _nothing: [u8; 0],
}

/// Every client that the host has not freed, of all servers.
static CLIENTS: Table<Arc<Client>> = Table::new();

/// The client's end of a connection.
struct Client {
    received: Arc<Incoming>,
    /// `None` once the client has closed its sending side.
    sent: Mutex<Option<Arc<BodyWriter>>>,
}

impl Client {
    fn sent(&self) -> Option<Arc<BodyWriter>> {
        self.sent.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Closes the sending side, after the bytes of writes in progress.
    fn finish(&self) {
        let sent = self.sent.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(writer) = sent.and_then(Arc::into_inner) {
            // The server may have closed the connection before.
            let _ = writer.finish_with(Headers::new());
        }
    }
}

/// Returns a client that is not freed.
fn find(client: *const transom_client) -> Result<Arc<Client>, transom_status> {
    let handle = Handle::from_pointer(client).ok_or(transom_status::TRANSOM_NULL_ARGUMENT)?;
    CLIENTS.look(handle, Arc::clone)
}

/// Connects to a server that was started, in memory. Stores the client in `*out`. `peer` is the address
/// that the server has for the client, such as "127.0.0.1:50000"; with NULL the address is "unknown".
/// TLS, the PROXY protocol and the other settings of a listener do not apply.
///
/// Each client has a thread of the server, which serves its connection in every model and ends with it.
///
/// Errors: TRANSOM_NOT_STARTED; TRANSOM_BAD_ADDRESS if `peer` is no IP address with a port; TRANSOM_IO
/// if the system refuses a thread. `*out` is then NULL.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_server_connect(
    server: *mut transom_server,
    peer: *const c_char,
    out: *mut *mut transom_client,
    error: *mut *mut transom_error,
) -> transom_status {
    let body = || {
        // SAFETY: NULL or valid, by the contract.
        let (server, out) = unsafe { (transom_server::get(server)?, place(out)?) };
        *out = std::ptr::null_mut();
        let peer = if peer.is_null() {
            Peer::Unknown
        } else {
            // SAFETY: valid, by the contract.
            let peer = unsafe { text(peer) }?;
            let address: SocketAddr = peer.parse().map_err(|_| transom_error::bad_peer(peer))?;
            Peer::Tcp(address)
        };
        let running = server.running()?;
        let (sent, requests) = Body::channel();
        let (responses, received) = Body::channel();
        running.handle.serve_connection(Brought::new(requests, responses), peer)?;
        let client = Client { received: Incoming::new(received), sent: Mutex::new(Some(Arc::new(sent))) };
        let added = CLIENTS.insert(Arc::new(client)).map_err(|_| transom_status::TRANSOM_IO)?;
        *out = added.to_pointer();
        Ok(())
    };
    // SAFETY: NULL or valid, by the contract.
    unsafe { report(error, body) }
}

/// Reads what the server has sent: stores up to `cap` bytes in `buf`, and their number in `*len`. 0
/// bytes are the end: the server has closed the connection in order. Waits until there is something,
/// at most `timeout_ms` milliseconds (0: does not wait, TRANSOM_FOREVER: no limit).
///
/// Errors: TRANSOM_WOULD_BLOCK (if `timeout_ms` is 0) and TRANSOM_TIMEOUT, after which you may read
/// again; TRANSOM_GONE if the server has reset the connection; TRANSOM_WOULD_DEADLOCK if this would
/// have to wait on a thread that serves connections; TRANSOM_INVALID_ARGUMENT if `cap` is 0 or the
/// time is negative; TRANSOM_ALREADY_ANSWERED if the client was freed. `*len` is then 0.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_client_read(
    client: *mut transom_client,
    buf: *mut c_void,
    cap: usize,
    timeout_ms: i64,
    len: *mut usize,
) -> transom_status {
    checked!({
        let read = |buf: &mut [u8], timeout| find(client)?.received.read(buf, timeout);
        // SAFETY: NULL or valid, by the contract.
        unsafe { read_into(buf, cap, timeout_ms, len, read) }?;
    })
}

/// Writes `len` bytes to the server, which are copied, as transom_writer_write writes to a body: all
/// or none of them are taken. `len` may be TRANSOM_NUL_TERMINATED.
///
/// Errors: as transom_writer_write; TRANSOM_GONE also after transom_client_finish;
/// TRANSOM_ALREADY_ANSWERED if the client was freed.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_client_write(
    client: *mut transom_client,
    data: *const c_void,
    len: usize,
    timeout_ms: i64,
) -> transom_status {
    checked!({
        let client = find(client)?;
        // SAFETY: NULL or valid, by the contract.
        let data = unsafe { input(data, len) }?;
        let timeout = duration(timeout_ms)?;
        let writer = client.sent().ok_or(transom_status::TRANSOM_GONE)?;
        if !data.is_empty() {
            write(&writer, data, timeout)?;
        }
    })
}

/// Closes the sending side of the connection, after what was written. The server may still send.
///
/// Errors: TRANSOM_ALREADY_ANSWERED if the client was freed.
#[unsafe(no_mangle)]
pub extern "C" fn transom_client_finish(client: *mut transom_client) -> transom_status {
    checked!({ find(client)?.finish() })
}

/// Frees a client and breaks its connection off, as a client does that crashes. Does nothing with NULL.
#[unsafe(no_mangle)]
pub extern "C" fn transom_client_free(client: *mut transom_client) {
    guard!((), {
        if let Some(open) = Handle::from_pointer(client).and_then(|handle| CLIENTS.take(handle).ok()) {
            drop(open);
        }
    });
}
