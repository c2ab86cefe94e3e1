//! The hook for exchanges: a function of the host that is told of each answer.

use std::ffi::c_void;
use std::fmt::{self, Write as _};
use std::net::SocketAddr;

use transom::{Ended, Exchange, Peer, Version};

use crate::bytes::transom_bytes;
use crate::reject;
use crate::status::transom_status;
use crate::user_data::UserData;

/// How an exchange ended, as the server saw it. New ways may be added.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum transom_ended {
    /// The whole response was written.
    TRANSOM_ENDED_ANSWERED = 1,
    /// The response was a 101, and the connection left HTTP.
    TRANSOM_ENDED_UPGRADED = 2,
    /// The connection broke before the whole response was written: most often, the client left.
    TRANSOM_ENDED_LEFT = 3,
    /// The client did not take the response in time.
    TRANSOM_ENDED_TIMED_OUT = 4,
    /// The body of the response broke off, or did not have the length that was announced.
    TRANSOM_ENDED_FAILED = 5,
    /// The server cut the exchange: at the deadline of a stop, or because it had no memory or
    /// no room to answer.
    TRANSOM_ENDED_CUT = 6,
}

/// An exchange that has ended: a request, its response, and what became of them. The bytes
/// are valid during the call only. Later versions of the library may add members at the end:
/// a member exists if `size` is large enough.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct transom_exchange {
    /// The size of this structure in the library that is loaded.
    pub size: usize,
    /// The method. Absent if the head of the request was refused, or none came.
    pub method: transom_bytes,
    /// The request target: the path and the query, percent-encoded. Absent as the method is,
    /// and if there was no memory to keep it.
    pub target: transom_bytes,
    /// The pattern of the route. Empty for the fallback. Absent if no route was found or none
    /// was looked for.
    pub route: transom_bytes,
    /// The other end of the connection, as in transom_request_peer.
    pub peer: transom_bytes,
    /// Bytes of the request that were read, with its head and the framing of its body.
    pub bytes_in: u64,
    /// Bytes of the response that were written, with its head and the framing of its body.
    pub bytes_out: u64,
    /// Nanoseconds from the head of the request to the end of the exchange.
    pub duration_ns: u64,
    /// The status code of the response, or 0 if the exchange ended before there was one.
    pub status_code: u16,
    /// The version of HTTP: 10 or 11, or 0 if the method is absent.
    pub version: u16,
    /// Why the server refused the request or the connection: a transom_reject. 0 if it did
    /// not.
    pub reject: i32,
    /// How the exchange ended: a transom_ended.
    pub ended: i32,
    /// 0.
    pub reserved: i32,
    /// The address at which the connection came in, as in transom_request_local_address. Absent
    /// if the connection has ended.
    pub local_address: transom_bytes,
    /// The scheme of the request, "https" or "http", as in transom_request_scheme. "http" if the
    /// connection was refused before its TLS handshake.
    pub scheme: transom_bytes,
}

/// A function that is told of an exchange. `exchange` is valid during the call.
pub type transom_exchange_fn =
    Option<unsafe extern "C" fn(user_data: *mut c_void, exchange: *const transom_exchange)>;

/// The function of the host with its user data.
pub(crate) struct ExchangeHook {
    function: unsafe extern "C" fn(*mut c_void, *const transom_exchange),
    user_data: UserData,
}

impl ExchangeHook {
    pub fn new(function: transom_exchange_fn, user_data: UserData) -> Result<Self, transom_status> {
        Ok(Self { function: function.ok_or(transom_status::TRANSOM_NULL_ARGUMENT)?, user_data })
    }

    /// Tells the host of an exchange. Allocates nothing.
    pub fn tell(&self, exchange: &Exchange<'_>) {
        told(exchange, |told| {
            // SAFETY: the host's function with its user data; by the contract, any thread may call
            // it. `told` and the bytes that it borrows outlive the call.
            unsafe { (self.function)(self.user_data.pointer(), told) }
        });
    }
}

/// Calls `call` with an exchange as the host sees it.
pub(crate) fn told<R>(exchange: &Exchange<'_>, call: impl FnOnce(&transom_exchange) -> R) -> R {
    let peer = AddressText::of_peer(exchange.peer());
    let local = exchange.local_addr().map(AddressText::of);
    let version = exchange.version().map_or(0, |it| if it == Version::HTTP_10 { 10 } else { 11 });
    let told = transom_exchange {
        size: size_of::<transom_exchange>(),
        method: exchange.method().map(|it| it.as_str().as_bytes()).into(),
        target: exchange.target().map(str::as_bytes).into(),
        route: exchange.route().map(str::as_bytes).into(),
        peer: transom_bytes::of(peer.as_bytes()),
        bytes_in: exchange.bytes_in(),
        bytes_out: exchange.bytes_out(),
        duration_ns: u64::try_from(exchange.took().as_nanos()).unwrap_or(u64::MAX),
        status_code: exchange.status().map_or(0, |it| it.as_u16()),
        version,
        reject: reject::number(exchange.reject()),
        ended: ended(exchange.ended()) as i32,
        reserved: 0,
        local_address: local.as_ref().map(AddressText::as_bytes).into(),
        scheme: transom_bytes::of(exchange.scheme().as_bytes()),
    };
    call(&told)
}

fn ended(ended: Ended) -> transom_ended {
    match ended {
        Ended::Answered => transom_ended::TRANSOM_ENDED_ANSWERED,
        Ended::Upgraded => transom_ended::TRANSOM_ENDED_UPGRADED,
        Ended::Left => transom_ended::TRANSOM_ENDED_LEFT,
        Ended::TimedOut => transom_ended::TRANSOM_ENDED_TIMED_OUT,
        Ended::Failed => transom_ended::TRANSOM_ENDED_FAILED,
        _ => transom_ended::TRANSOM_ENDED_CUT,
    }
}

/// The text of an address, on the stack.
pub(crate) struct AddressText {
    text: [u8; Self::LONGEST],
    length: usize,
}

impl AddressText {
    /// The longest is a Unix socket: `unix:./`, and 108 bytes that are no UTF-8, each of which
    /// becomes U+FFFD, three bytes.
    const LONGEST: usize = 7 + 3 * 108;

    pub fn of(address: impl fmt::Display) -> Self {
        let mut text = Self { text: [0; Self::LONGEST], length: 0 };
        // No address has a longer text; if one had, its beginning would be kept.
        let _ = write!(text, "{address}");
        text
    }

    /// As `of`. Each request has an address, and `Display` takes a thousand instructions for one of IPv4.
    pub fn of_peer(peer: Peer) -> Self {
        let Peer::Tcp(SocketAddr::V4(address)) = peer else {
            return Self::of(peer);
        };
        let mut text = Self { text: [0; Self::LONGEST], length: 0 };
        let mut number = itoa::Buffer::new();
        for (octet, separator) in address.ip().octets().into_iter().zip(["", ".", ".", "."]) {
            let _ = text.write_str(separator).and_then(|()| text.write_str(number.format(octet)));
        }
        let _ = text.write_str(":").and_then(|()| text.write_str(number.format(address.port())));
        text
    }

    pub fn as_bytes(&self) -> &[u8] {
        &self.text[..self.length]
    }
}

impl fmt::Write for AddressText {
    fn write_str(&mut self, more: &str) -> fmt::Result {
        let room = self.text.get_mut(self.length..self.length + more.len()).ok_or(fmt::Error)?;
        room.copy_from_slice(more.as_bytes());
        self.length += more.len();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use transom::Address;

    use super::*;

    #[test]
    fn the_longest_address_fits() {
        let mapped = "[1234:5678:9abc:def0:1234:5678:9abc:def0%4294967295]:65535";
        for (peer, text) in [
            (Peer::Tcp(mapped.parse().unwrap()), mapped),
            (Peer::Tcp("127.0.0.1:80".parse().unwrap()), "127.0.0.1:80"),
            (Peer::Tcp("255.10.0.99:65535".parse().unwrap()), "255.10.0.99:65535"),
            (Peer::Unix, "unix"),
        ] {
            assert_eq!(AddressText::of_peer(peer).as_bytes(), text.as_bytes());
        }
        let name = Address::Abstract(vec![0xff; 107]);
        assert_eq!(AddressText::of(&name).as_bytes(), name.to_string().as_bytes());
        let mut full = AddressText { text: [0; AddressText::LONGEST], length: AddressText::LONGEST - 1 };
        assert!(full.write_str("ab").is_err());
    }
}
