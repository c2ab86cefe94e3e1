//! The settings of WebSocket connections, as an object of the host, and the handshake that begins one.

use std::ffi::c_char;
use std::ptr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use transom::{IntoResponse as _, Method, Request, WebSocketUpgrade};

use self::transom_websocket_setting as Setting;
use crate::bytes::{place, text, transom_field};
use crate::error::{report, transom_error};
use crate::exchange;
use crate::fields::{bad_header, headers};
use crate::responder::{checked, handle, transom_responder};
use crate::slots::{Handle, Table};
use crate::status::transom_status;
use crate::timeout::duration;
use crate::websocket::{self, transom_websocket};

/// The settings of WebSocket connections. Made once, and used for each handshake
/// (transom_responder_accept_websocket). You may free them at any time: connections keep the
/// settings that they began with. Any thread may call the functions. The pointer is a number that is
/// looked up: a call with settings that were freed returns TRANSOM_ALREADY_ANSWERED and does no harm.
pub struct transom_websocket_upgrade {
    _nothing: [u8; 0],
}

/// The settings for transom_websocket_upgrade_set. Sizes are in bytes, times in milliseconds.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum transom_websocket_setting {
    /// The most bytes of a message, decompressed; default 1 MiB. A larger one ends the connection
    /// with 1009.
    TRANSOM_WEBSOCKET_MESSAGE_LIMIT = 1,
    /// The most bytes of a frame as it is sent; default 16 MiB. A larger one ends the connection with
    /// 1009, before its bytes come.
    TRANSOM_WEBSOCKET_FRAME_LIMIT = 2,
    /// The bytes that may wait to be sent before TRANSOM_WOULD_BLOCK; default 256 KiB. A message is
    /// taken whole while less than that waits.
    TRANSOM_WEBSOCKET_QUEUE_LIMIT = 3,
    /// 1 compresses messages if the client offers it (permessage-deflate, RFC 7692); 0 does not.
    /// Default 1.
    TRANSOM_WEBSOCKET_COMPRESSION = 4,
    /// 1 compresses messages with what came before them, if the client does not mind: similar messages
    /// get shorter, and each connection holds about 350 KiB. Default 0: each by itself.
    TRANSOM_WEBSOCKET_CONTEXT_TAKEOVER = 5,
    /// The least bytes of a message that is compressed; default 64.
    TRANSOM_WEBSOCKET_COMPRESS_FROM = 6,
    /// The silence of a client after which a Ping is sent; default 30,000. TRANSOM_FOREVER sends none,
    /// and a client that is gone may then not be noticed.
    TRANSOM_WEBSOCKET_PING_INTERVAL_MS = 7,
    /// How long a client may be silent after a Ping; default 30,000. Then the connection ends (1006).
    TRANSOM_WEBSOCKET_PING_TIMEOUT_MS = 8,
    /// How long a client may take to answer a Close, or to read what is left after its own; default
    /// 5,000. Then the connection ends (1006).
    TRANSOM_WEBSOCKET_CLOSE_TIMEOUT_MS = 9,
    /// 1 hands messages out in pieces, as they arrive; 0 whole. Default 0.
    TRANSOM_WEBSOCKET_IN_PIECES = 10,
    /// 1 lets pages of all origins connect; 0 those of the host that the request names, and those of
    /// transom_websocket_upgrade_add_origin. Default 0.
    TRANSOM_WEBSOCKET_ANY_ORIGIN = 11,
    /// The least rate of a message in bytes per second, as they are sent, while the server waits for it;
    /// default 500. One that comes more slowly for TRANSOM_WEBSOCKET_MESSAGE_TIMEOUT_MS ends the connection
    /// with 1008. With 0, any byte of the message is enough.
    TRANSOM_WEBSOCKET_MESSAGE_RATE = 12,
    /// How long a message may come more slowly than TRANSOM_WEBSOCKET_MESSAGE_RATE; default 30,000. With
    /// TRANSOM_FOREVER, a message may take for ever.
    TRANSOM_WEBSOCKET_MESSAGE_TIMEOUT_MS = 13,
}

/// All settings, indexed by the number without 1.
const SETTINGS: [Setting; 13] = [
    Setting::TRANSOM_WEBSOCKET_MESSAGE_LIMIT,
    Setting::TRANSOM_WEBSOCKET_FRAME_LIMIT,
    Setting::TRANSOM_WEBSOCKET_QUEUE_LIMIT,
    Setting::TRANSOM_WEBSOCKET_COMPRESSION,
    Setting::TRANSOM_WEBSOCKET_CONTEXT_TAKEOVER,
    Setting::TRANSOM_WEBSOCKET_COMPRESS_FROM,
    Setting::TRANSOM_WEBSOCKET_PING_INTERVAL_MS,
    Setting::TRANSOM_WEBSOCKET_PING_TIMEOUT_MS,
    Setting::TRANSOM_WEBSOCKET_CLOSE_TIMEOUT_MS,
    Setting::TRANSOM_WEBSOCKET_IN_PIECES,
    Setting::TRANSOM_WEBSOCKET_ANY_ORIGIN,
    Setting::TRANSOM_WEBSOCKET_MESSAGE_RATE,
    Setting::TRANSOM_WEBSOCKET_MESSAGE_TIMEOUT_MS,
];

/// The objects of the host.
static OBJECTS: Table<Arc<Mutex<Settings>>> = Table::new();

#[expect(clippy::struct_excessive_bools, reason = "they are set by themselves")]
struct Settings {
    /// The settings that are numbers.
    base: WebSocketUpgrade,
    is_compressed: bool,
    keeps_context: bool,
    in_pieces: bool,
    takes_any_origin: bool,
    subprotocols: Vec<String>,
    origins: Vec<String>,
    /// All of them.
    made: WebSocketUpgrade,
}

impl Settings {
    fn new() -> Self {
        Self {
            base: WebSocketUpgrade::new(),
            is_compressed: true,
            keeps_context: false,
            in_pieces: false,
            takes_any_origin: false,
            subprotocols: Vec::new(),
            origins: Vec::new(),
            made: WebSocketUpgrade::new(),
        }
    }

    fn set(&mut self, setting: Setting, value: i64) -> Result<(), transom_status> {
        let base = self.base.clone();
        match setting {
            Setting::TRANSOM_WEBSOCKET_MESSAGE_LIMIT => self.base = base.message_limit(limit(value)?),
            Setting::TRANSOM_WEBSOCKET_FRAME_LIMIT => self.base = base.frame_limit(limit(value)? as u64),
            Setting::TRANSOM_WEBSOCKET_QUEUE_LIMIT => self.base = base.queue_limit(limit(value)?),
            Setting::TRANSOM_WEBSOCKET_COMPRESSION => self.is_compressed = switch(value)?,
            Setting::TRANSOM_WEBSOCKET_CONTEXT_TAKEOVER => self.keeps_context = switch(value)?,
            Setting::TRANSOM_WEBSOCKET_COMPRESS_FROM => self.base = base.compress_from(size(value)?),
            Setting::TRANSOM_WEBSOCKET_PING_INTERVAL_MS => self.base = base.ping_interval(time(value)?),
            Setting::TRANSOM_WEBSOCKET_PING_TIMEOUT_MS => {
                self.base = base.ping_timeout(time(value)?.ok_or(OUT_OF_RANGE)?);
            }
            Setting::TRANSOM_WEBSOCKET_CLOSE_TIMEOUT_MS => {
                self.base = base.close_timeout(time(value)?.ok_or(OUT_OF_RANGE)?);
            }
            Setting::TRANSOM_WEBSOCKET_IN_PIECES => self.in_pieces = switch(value)?,
            Setting::TRANSOM_WEBSOCKET_ANY_ORIGIN => self.takes_any_origin = switch(value)?,
            Setting::TRANSOM_WEBSOCKET_MESSAGE_RATE => {
                self.base = base.message_rate(u32::try_from(value).map_err(|_| OUT_OF_RANGE)?);
            }
            Setting::TRANSOM_WEBSOCKET_MESSAGE_TIMEOUT_MS => self.base = base.message_timeout(time(value)?),
        }
        self.make();
        Ok(())
    }

    /// Puts the settings together.
    fn make(&mut self) {
        let mut made =
            self.base.clone().compression(self.is_compressed).subprotocols(self.subprotocols.clone());
        if self.is_compressed && self.keeps_context {
            made = made.context_takeover();
        }
        if self.in_pieces {
            made = made.in_pieces();
        }
        self.made =
            if self.takes_any_origin { made.any_origin() } else { made.origins(self.origins.clone()) };
    }
}

const OUT_OF_RANGE: transom_status = transom_status::TRANSOM_INVALID_ARGUMENT;

fn size(value: i64) -> Result<usize, transom_status> {
    usize::try_from(value).map_err(|_| OUT_OF_RANGE)
}

fn limit(value: i64) -> Result<usize, transom_status> {
    size(value)?.checked_sub(1).map(|_| value).map_or(Err(OUT_OF_RANGE), size)
}

fn switch(value: i64) -> Result<bool, transom_status> {
    match value {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(OUT_OF_RANGE),
    }
}

/// Returns a time; `None` is no limit.
fn time(ms: i64) -> Result<Option<Duration>, transom_status> {
    if ms == 0 { Err(OUT_OF_RANGE) } else { duration(ms) }
}

/// Calls `body` with the settings of an object, under its lock.
fn with<R>(
    upgrade: *const transom_websocket_upgrade,
    body: impl FnOnce(&mut Settings) -> Result<R, transom_status>,
) -> Result<R, transom_status> {
    let handle = Handle::from_pointer(upgrade).ok_or(transom_status::TRANSOM_NULL_ARGUMENT)?;
    let settings = OBJECTS.look(handle, Arc::clone)?;
    let mut settings = settings.lock().unwrap_or_else(PoisonError::into_inner);
    body(&mut settings)
}

/// Creates the default settings. Free them with transom_websocket_upgrade_free. Returns NULL if there
/// is no room for another object, and in a fork of a process that has used such settings.
#[unsafe(no_mangle)]
pub extern "C" fn transom_websocket_upgrade_new() -> *mut transom_websocket_upgrade {
    guard!(ptr::null_mut(), {
        let settings = Arc::new(Mutex::new(Settings::new()));
        let inserted = OBJECTS.check().ok().and_then(|()| OBJECTS.insert(settings).ok());
        inserted.map_or(ptr::null_mut(), Handle::to_pointer)
    })
}

/// Frees settings. Connections keep theirs. Does nothing with NULL, nor when they were freed before.
#[unsafe(no_mangle)]
pub extern "C" fn transom_websocket_upgrade_free(upgrade: *mut transom_websocket_upgrade) {
    guard!((), {
        if let Some(handle) = Handle::from_pointer(upgrade) {
            // A stale handle has nothing to free.
            drop(OBJECTS.take(handle));
        }
    });
}

/// Sets a transom_websocket_setting, for handshakes that come after this call.
///
/// Errors: TRANSOM_INVALID_ARGUMENT if there is no such setting, or the value is out of its range: a
/// limit or a time is at least 1, TRANSOM_WEBSOCKET_COMPRESS_FROM and TRANSOM_WEBSOCKET_MESSAGE_RATE at
/// least 0, a switch 0 or 1.
#[unsafe(no_mangle)]
pub extern "C" fn transom_websocket_upgrade_set(
    upgrade: *mut transom_websocket_upgrade,
    setting: i32,
    value: i64,
) -> transom_status {
    checked!({
        let index = usize::try_from(setting).ok().and_then(|number| number.checked_sub(1));
        let setting = index.and_then(|index| SETTINGS.get(index)).ok_or(OUT_OF_RANGE);
        with(upgrade, |settings| settings.set(*setting?, value))?;
    })
}

/// Adds a subprotocol that the server speaks (RFC 6455 1.9), such as "chat.v2". The first that the
/// client lists is chosen: transom_websocket_subprotocol.
///
/// Errors: TRANSOM_INVALID_ARGUMENT if the name is no token (RFC 9110 5.6.2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_websocket_upgrade_add_subprotocol(
    upgrade: *mut transom_websocket_upgrade,
    name: *const c_char,
) -> transom_status {
    checked!({
        // SAFETY: NULL or NUL-terminated, by the contract.
        let name = unsafe { text(name) }?;
        let is_token = !name.is_empty() && name.bytes().all(is_token_byte);
        with(upgrade, |settings| {
            if !is_token {
                return Err(OUT_OF_RANGE);
            }
            settings.subprotocols.push(name.to_owned());
            settings.make();
            Ok(())
        })?;
    })
}

/// Returns `true` for the bytes of a token (RFC 9110 5.6.2).
fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// Adds an origin whose pages may connect, such as "https://example.com", beside pages of the host
/// that the request names. By default only those may: another page that a browser shows would connect
/// with the cookies of its user (RFC 6455 10.2). A page that may not gets a 403. Clients that are no
/// browsers send no Origin, and may connect.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_websocket_upgrade_add_origin(
    upgrade: *mut transom_websocket_upgrade,
    origin: *const c_char,
) -> transom_status {
    checked!({
        // SAFETY: NULL or NUL-terminated, by the contract.
        let origin = unsafe { text(origin) }?;
        with(upgrade, |settings| {
            settings.origins.push(origin.to_owned());
            settings.make();
            Ok(())
        })?;
    })
}

/// Checks the handshake of a WebSocket connection (RFC 6455 4.2), and answers with "101 Switching
/// Protocols" and these fields. Stores the connection in `*out`. What is sent before the 101 is out
/// follows it. With NULL as `upgrade`, the settings are the default ones. The request is not valid any
/// more.
///
/// The request is the one of the responder. If it was taken with transom_server_next_batch, its record
/// must have TRANSOM_UPGRADE or TRANSOM_STREAMS: otherwise the library has no more of it, and the
/// client gets a 426.
///
/// If the handshake is wrong, the client gets the answer that RFC 6455 4.4 demands, and this returns
/// TRANSOM_BAD_HANDSHAKE, with the reason in `*error`: a 426 if the client asks for no WebSocket or for
/// another version than 13, a 400 for a bad key, a 403 for an origin that may not connect. The
/// responder is then used up.
///
/// Errors: as transom_responder_send; TRANSOM_ALREADY_ANSWERED also if `upgrade` was freed. `*out` is
/// then NULL.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_responder_accept_websocket(
    responder: *mut transom_responder,
    upgrade: *const transom_websocket_upgrade,
    fields: *const transom_field,
    field_count: usize,
    out: *mut *mut transom_websocket,
    error: *mut *mut transom_error,
) -> transom_status {
    let body = || {
        // SAFETY: NULL or valid, by the contract.
        let out = unsafe { place(out) }?;
        *out = ptr::null_mut();
        let handle = handle(responder)?;
        let made = if upgrade.is_null() {
            WebSocketUpgrade::new()
        } else {
            with(upgrade, |it| Ok(it.made.clone()))?
        };
        // SAFETY: NULL or valid, by the contract.
        let more = unsafe { headers(fields, field_count) }?;
        // The library keeps a request that asks for an upgrade: another asks for no WebSocket.
        let opened = match exchange::request(handle)? {
            Some(request) => made.open(request.request()),
            None => made.open(&Request::new(Method::GET, "/").map_err(|_| OUT_OF_RANGE)?),
        };
        let (mut response, socket) = match opened {
            Ok(opened) => opened,
            Err(refusal) => {
                exchange::take(handle)?.send(refusal.into_response())?;
                return Err(transom_error::bad_handshake(refusal));
            }
        };
        for (name, value) in more.iter() {
            response.headers_mut().append(name, value).map_err(|error| bad_header(&error))?;
        }
        let response = checked(response)?;
        exchange::take(handle)?.send(response)?;
        *out = websocket::register(socket)?.to_pointer();
        Ok(())
    };
    // SAFETY: NULL or valid, by the contract.
    unsafe { report(error, body) }
}
