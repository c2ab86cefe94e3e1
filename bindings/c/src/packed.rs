//! Packed records: many requests, or many responses, in one buffer. Numbers are in the byte
//! order of the machine, and each record starts at a multiple of 8 bytes.

use std::io::Write;

use transom::{Request, TlsInfo};

use crate::exchange_hook::AddressText;
use crate::request::version;
use crate::status::transom_status;

/// The most bytes of a request that surely fit a record, whose length has 32 bits. The other
/// half is for the parameters, their lengths, and padding.
const WEIGHT_LIMIT: usize = 1 << 31;

const REQUEST_HEADER: usize = size_of::<transom_request_record>();
const PARAM_HEADER: usize = size_of::<transom_param_record>();
const RESPONSE_HEADER: usize = size_of::<transom_response_record>();
const ALIGNMENT: usize = 8;

const _: () = assert!(REQUEST_HEADER == 56 && PARAM_HEADER == 8 && RESPONSE_HEADER == 32);

/// A flag of a request record: the target has a '?'.
const HAS_QUERY: u16 = 1;

/// A flag of a request record: the body comes piece by piece.
const STREAMS: u16 = 2;

/// A flag of a request record: the scheme is `https`.
const HTTPS: u16 = 4;

/// A flag of a request record: the other end of the connection and the host follow the peer.
const FORWARDED: u16 = 8;

/// A flag of a request record: the connection has TLS, and what it settled follows the body.
const TLS: u16 = 16;

/// A flag of a request record: the request has an Upgrade field.
const UPGRADE: u16 = 32;

/// A flag of a response record: the length of the body is not announced.
const WITHOUT_LENGTH: u16 = 1;

/// The start of a request in a batch: see transom_server_next_batch.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct transom_request_record {
    /// The bytes of the record, with this header and the padding: a multiple of 8.
    pub record_len: u32,
    /// The number of the route, as registered.
    pub route_id: u32,
    /// Identifies the request in the response.
    pub token: u64,
    /// The bytes of the method.
    pub method_len: u32,
    /// The bytes of the request target.
    pub target_len: u32,
    /// The bytes of the path.
    pub path_len: u32,
    /// The bytes of the query.
    pub query_len: u32,
    /// The bytes of the header fields.
    pub headers_len: u32,
    /// The bytes of the peer's address; with TRANSOM_FORWARDED, also of what follows it.
    pub peer_len: u32,
    /// The number of path parameters.
    pub param_count: u32,
    /// 10 for HTTP/1.0, 11 for HTTP/1.1.
    pub version: u16,
    /// TRANSOM_HAS_QUERY, TRANSOM_STREAMS, TRANSOM_HTTPS, TRANSOM_FORWARDED, TRANSOM_TLS and
    /// TRANSOM_UPGRADE, or 0.
    pub flags: u16,
    /// The bytes of the body. With TRANSOM_STREAMS it is 0, or the length of the whole body if that is short
    /// and has come; transom_token_read reads such a body too.
    pub body_len: u64,
}

/// The start of a path parameter in a request record: the lengths of the name and of the
/// value, which follow.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct transom_param_record {
    /// The bytes of the name.
    pub name_len: u32,
    /// The bytes of the value.
    pub value_len: u32,
}

/// The result of the TLS handshake of the connection, in a request record with TRANSOM_TLS, after the
/// body: see transom_tls_info. The four texts follow; one that is absent has no bytes. Then
/// `certificate_count` times: the bytes of a certificate of the client as a uint32_t, and the
/// certificate.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
#[allow(dead_code, reason = "for the header: `pack_tls` writes the numbers")]
pub struct transom_tls_record {
    /// The bytes of the version.
    pub version_len: u32,
    /// The bytes of the cipher suite.
    pub cipher_len: u32,
    /// The bytes of the name that the client asked for.
    pub server_name_len: u32,
    /// The bytes of the protocol.
    pub alpn_len: u32,
    /// The number of certificates of the client.
    pub certificate_count: u32,
    /// 1 if the client resumed an earlier session, or else 0.
    pub resumed: u32,
}

/// The start of a response in a batch: see transom_server_respond_batch.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct transom_response_record {
    /// The bytes of the record, with this header and the padding: a multiple of 8.
    pub record_len: u32,
    /// The status code of the response, from 200 to 599.
    pub status_code: u16,
    /// TRANSOM_WITHOUT_LENGTH, or 0.
    pub flags: u16,
    /// Identifies the request.
    pub token: u64,
    /// The bytes of the header fields.
    pub headers_len: u32,
    /// 0.
    pub reserved: u32,
    /// The bytes of the body.
    pub body_len: u64,
}

/// Returns `true` if the request names other protocols that its client speaks.
pub(crate) fn asks_for_upgrade(request: &Request) -> bool {
    request.headers().contains("upgrade")
}

/// Returns the body, if it has come.
fn at_hand(request: &Request) -> &[u8] {
    request.body_ref().at_hand().unwrap_or_default()
}

/// Returns `true` if the request fits a record.
pub(crate) fn fits(request: &Request) -> bool {
    let target = request.target().as_str().len();
    weighs_little(at_hand(request).len(), request.headers().as_wire().len(), target)
}

/// Returns `true` if parts of these lengths fit a record. The target counts three times: as
/// a whole, as path and query, and as parameters.
fn weighs_little(body: usize, headers: usize, target: usize) -> bool {
    body.saturating_add(headers).saturating_add(target.saturating_mul(3)) <= WEIGHT_LIMIT
}

/// Writes request records into a buffer, one after another.
pub(crate) struct Packer<'a> {
    buffer: &'a mut [u8],
    used: usize,
}

impl<'a> Packer<'a> {
    pub fn new(buffer: &'a mut [u8]) -> Self {
        Self { buffer, used: 0 }
    }

    /// Returns the number of bytes written so far.
    pub fn used(&self) -> usize {
        self.used
    }

    /// Writes a record. If there is no room, returns the length that the record needs.
    pub fn push(&mut self, token: u64, route_id: u32, request: &Request, streams: bool) -> Result<(), usize> {
        // On the stack, because an allocation would take longer than the text.
        let peer = AddressText::of_peer(request.peer());
        let is_forwarded = request.is_forwarded() || request.connection_peer() != request.peer();
        let forwarded = is_forwarded.then(|| {
            let (proxy, host) = (request.connection_peer(), request.host().unwrap_or_default());
            format!("{} {proxy} {host}", request.peer())
        });
        let method = request.method().as_str();
        let (target, path, query) = (request.target().as_str(), request.path(), request.query());
        let (headers, body) = (request.headers().as_wire(), at_hand(request));
        let parts = [
            method.as_bytes(),
            target.as_bytes(),
            path.as_bytes(),
            query.unwrap_or_default().as_bytes(),
            headers,
            forwarded.as_ref().map_or(peer.as_bytes(), String::as_bytes),
        ];
        let (param_count, params_len) =
            request.params().iter_bytes().fold((0, 0), |(count, len), (name, value)| {
                (count + 1, len + PARAM_HEADER + name.len() + value.len())
            });
        let tls = request.tls().map(pack_tls);
        let after_body = tls.as_deref().unwrap_or_default();
        let parts_len = parts.iter().map(|part| part.len()).sum::<usize>();
        let exact = REQUEST_HEADER + parts_len + params_len + body.len() + after_body.len();
        let length = exact.next_multiple_of(ALIGNMENT);
        let Some(mut room) = self.buffer.get_mut(self.used..self.used + length) else {
            return Err(length);
        };
        let flags = [
            (query.is_some(), HAS_QUERY),
            (streams, STREAMS),
            (request.scheme() == "https", HTTPS),
            (is_forwarded, FORWARDED),
            (tls.is_some(), TLS),
            (asks_for_upgrade(request), UPGRADE),
        ];
        let flags = flags.iter().filter(|(is_set, _)| *is_set).fold(0, |flags, (_, flag)| flags | flag);
        let mut header = [0; REQUEST_HEADER];
        set(&mut header, 0, narrow(length).to_ne_bytes());
        set(&mut header, 4, route_id.to_ne_bytes());
        set(&mut header, 8, token.to_ne_bytes());
        for (index, part) in parts.iter().enumerate() {
            set(&mut header, 16 + 4 * index, narrow(part.len()).to_ne_bytes());
        }
        set(&mut header, 40, narrow(param_count).to_ne_bytes());
        set(&mut header, 44, version(request).to_ne_bytes());
        set(&mut header, 46, flags.to_ne_bytes());
        set(&mut header, 48, (body.len() as u64).to_ne_bytes());
        let mut put = |bytes: &[u8]| {
            // Writing to a slice never fails, and the room was computed from these parts.
            let _ = room.write(bytes);
        };
        put(&header);
        for part in parts {
            put(part);
        }
        for (name, value) in request.params().iter_bytes() {
            put(&narrow(name.len()).to_ne_bytes());
            put(&narrow(value.len()).to_ne_bytes());
            put(name.as_bytes());
            put(value);
        }
        put(body);
        put(after_body);
        room.fill(0);
        self.used += length;
        Ok(())
    }
}

/// Returns what the handshake settled, as it follows the body.
fn pack_tls(tls: &TlsInfo) -> Vec<u8> {
    let (certificates, name) = (tls.peer_certificates(), tls.server_name().unwrap_or_default());
    let texts =
        [tls.version().as_bytes(), tls.cipher().as_bytes(), name.as_bytes(), tls.alpn().unwrap_or_default()];
    let numbers = [certificates.len(), tls.is_resumed().into()];
    let numbers = texts.iter().map(|text| text.len()).chain(numbers);
    let mut packed: Vec<u8> = numbers.flat_map(|number| narrow(number).to_ne_bytes()).collect();
    packed.extend(texts.iter().copied().flatten());
    for certificate in certificates {
        packed.extend(narrow(certificate.len()).to_ne_bytes());
        packed.extend(certificate);
    }
    packed
}

/// Converts a length, which `WEIGHT_LIMIT` bounds.
fn narrow(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

/// A response record in a packed buffer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct ResponseRecord<'a> {
    pub token: u64,
    pub status_code: u16,
    pub tells_length: bool,
    /// Lines of "name: value".
    pub headers: &'a [u8],
    pub body: &'a [u8],
}

impl<'a> ResponseRecord<'a> {
    /// Takes the first record off the buffer.
    pub fn read(buffer: &mut &'a [u8]) -> Result<Self, transom_status> {
        Self::parse(buffer).ok_or(transom_status::TRANSOM_MALFORMED)
    }

    fn parse(buffer: &mut &'a [u8]) -> Option<Self> {
        let (header, _) = buffer.split_first_chunk::<RESPONSE_HEADER>()?;
        let length = usize::try_from(u32::from_ne_bytes(field(header, 0))).ok()?;
        let status_code = u16::from_ne_bytes(field(header, 4));
        let flags = u16::from_ne_bytes(field(header, 6));
        let token = u64::from_ne_bytes(field(header, 8));
        let headers_len = usize::try_from(u32::from_ne_bytes(field(header, 16))).ok()?;
        let reserved = u32::from_ne_bytes(field(header, 20));
        let body_len = usize::try_from(u64::from_ne_bytes(field(header, 24))).ok()?;
        let exact = RESPONSE_HEADER.checked_add(headers_len)?.checked_add(body_len)?;
        if flags & !WITHOUT_LENGTH != 0
            || reserved != 0
            || exact.checked_next_multiple_of(ALIGNMENT)? != length
        {
            return None;
        }
        let (record, rest) = buffer.split_at_checked(length)?;
        *buffer = rest;
        let (headers, body) = record[RESPONSE_HEADER..exact].split_at(headers_len);
        Some(Self { token, status_code, tells_length: flags == 0, headers, body })
    }
}

/// Writes one field of a record's header.
fn set<const N: usize>(header: &mut [u8; REQUEST_HEADER], at: usize, field: [u8; N]) {
    header[at..at + N].copy_from_slice(&field);
}

/// Returns the bytes of one header field of the record.
fn field<const N: usize>(header: &[u8; RESPONSE_HEADER], at: usize) -> [u8; N] {
    let mut field = [0; N];
    field.copy_from_slice(&header[at..at + N]);
    field
}

#[cfg(test)]
mod tests {
    use super::*;
    use transom::{Body, Headers, Method};

    fn request(target: &str, body: &'static str) -> Request {
        let mut request = Request::new(Method::POST, target).unwrap();
        *request.headers_mut() = Headers::parse(b"host: a\r\nx-b: 1\r\n").unwrap();
        *request.body_mut() = Body::from(body);
        request
    }

    fn number(record: &[u8], at: usize) -> u32 {
        u32::from_ne_bytes(record[at..at + 4].try_into().unwrap())
    }

    #[test]
    fn a_request_record_has_the_layout_it_is_said_to_have() {
        let mut buffer = [0xff; 256];
        let mut packer = Packer::new(&mut buffer);
        packer.push(0x0123_4567_89ab_cdef, 7, &request("/p%20q?x=1", "body!"), false).unwrap();
        let used = packer.used();
        let record = &buffer[..used];
        assert_eq!(number(record, 0) as usize, used);
        assert_eq!(used % 8, 0);
        assert_eq!(number(record, 4), 7);
        assert_eq!(record[8..16], 0x0123_4567_89ab_cdef_u64.to_ne_bytes());
        let lengths: Vec<_> = (16..44).step_by(4).map(|at| number(record, at)).collect();
        assert_eq!(lengths, [4, 10, 6, 3, 17, 7, 0]);
        assert_eq!(record[44..46], 11_u16.to_ne_bytes());
        assert_eq!(record[46..48], 1_u16.to_ne_bytes());
        assert_eq!(record[48..56], 5_u64.to_ne_bytes());
        let text = b"POST/p%20q?x=1/p%20qx=1host: a\r\nx-b: 1\r\nunknownbody!";
        assert_eq!(&record[56..56 + text.len()], text);
        assert!(record[56 + text.len()..].iter().all(|&byte| byte == 0));
    }

    #[test]
    fn what_may_not_fit_a_record_is_refused() {
        assert!(fits(&request("/", "body")));
        assert!(weighs_little(WEIGHT_LIMIT - 60, 30, 10));
        assert!(!weighs_little(WEIGHT_LIMIT - 60, 31, 10));
        assert!(!weighs_little(0, WEIGHT_LIMIT - 60, 21));
        assert!(!weighs_little(usize::MAX, usize::MAX, usize::MAX));
    }

    #[test]
    fn a_record_without_room_says_what_it_needs() {
        let request = request("/", "12345678");
        let mut buffer = [0; 256];
        let mut packer = Packer::new(&mut buffer);
        packer.push(1, 0, &request, false).unwrap();
        let needed = packer.used();
        for room in [0, 1, needed - 1] {
            assert_eq!(Packer::new(&mut buffer[..room]).push(1, 0, &request, false), Err(needed));
        }
        assert_eq!(Packer::new(&mut buffer[..needed]).push(1, 0, &request, false), Ok(()));
    }

    fn answer(length: u32, flags: u16, headers: &[u8], reserved: u32, body: &[u8]) -> Vec<u8> {
        let mut record = length.to_ne_bytes().to_vec();
        record.extend(200_u16.to_ne_bytes());
        record.extend(flags.to_ne_bytes());
        record.extend(9_u64.to_ne_bytes());
        record.extend(narrow(headers.len()).to_ne_bytes());
        record.extend(reserved.to_ne_bytes());
        record.extend((body.len() as u64).to_ne_bytes());
        record.extend(headers);
        record.extend(body);
        record.resize(record.len().next_multiple_of(8), 0);
        record
    }

    #[test]
    fn answers_come_back_one_by_one() {
        let mut both = answer(48, 0, b"a: 1\r\n", 0, b"hello");
        both.extend(answer(32, WITHOUT_LENGTH, b"", 0, b""));
        let mut rest = &both[..];
        let first = ResponseRecord {
            token: 9,
            status_code: 200,
            tells_length: true,
            headers: b"a: 1\r\n",
            body: b"hello",
        };
        assert_eq!(ResponseRecord::read(&mut rest), Ok(first));
        assert_eq!(
            ResponseRecord::read(&mut rest),
            Ok(ResponseRecord { token: 9, status_code: 200, tells_length: false, headers: b"", body: b"" })
        );
        assert!(rest.is_empty());
    }

    #[test]
    fn broken_records_are_refused() {
        let good = answer(40, 0, b"", 0, b"hello");
        for end in 0..good.len() {
            assert!(ResponseRecord::read(&mut &good[..end]).is_err(), "{end} bytes");
        }
        for broken in [
            answer(0, 0, b"", 0, b"hello"),
            answer(32, 0, b"", 0, b"hello"),
            answer(48, 0, b"", 0, b"hello"),
            answer(u32::MAX, 0, b"", 0, b"hello"),
            answer(40, 2, b"", 0, b"hello"),
            answer(40, 0, b"", 1, b"hello"),
        ] {
            assert!(ResponseRecord::read(&mut &broken[..]).is_err());
        }
        let mut huge = good;
        huge[24..32].copy_from_slice(&u64::MAX.to_ne_bytes());
        assert!(ResponseRecord::read(&mut &huge[..]).is_err());
    }
}
