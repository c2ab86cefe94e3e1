//! The header of the PROXY protocol, versions 1 and 2, as a function over bytes: see
//! `proxy-protocol.txt` of HAProxy. No I/O.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::message::{Address, Peer};
use crate::system::path_of;

/// The longest line of version 1, with its CRLF.
const LONGEST_LINE: usize = 107;
/// The longest header of version 2. The protocol allows 65,551 bytes, but a proxy adds a few hundred
/// at most, and the memory is the peer's to fill before it has sent a request.
const LONGEST_BINARY: usize = 4096;
/// The bytes with which version 2 begins.
const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
/// The bytes of version 2 before the addresses.
const FIXED: usize = 16;
/// The type of the extension that holds a checksum of the header.
const CRC32C: u8 = 3;

/// The result of reading the beginning of a connection.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    /// At least this many more bytes belong to the header.
    More(usize),
    /// The bytes are the whole header.
    Whole(Endpoints),
}

/// The two ends of the connection that the header is about.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Endpoints {
    /// Those of the socket: the proxy speaks for itself, or does not know the client.
    Own,
    /// Those of the client's connection to the proxy.
    Proxied { peer: Peer, local: Address },
}

/// The error for bytes that begin no PROXY header, with the reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Malformed(pub &'static str);

/// Reads a header from its beginning. The bytes are never more than the header if each call after
/// the first has no more bytes than the call before asked for.
pub(crate) fn read(bytes: &[u8]) -> Result<Progress, Malformed> {
    let most = SIGNATURE.len().min(bytes.len());
    if bytes[..most] == SIGNATURE[..most] && !bytes.is_empty() {
        return read_binary(bytes);
    }
    let begins = b"PROXY ";
    let most = begins.len().min(bytes.len());
    if bytes[..most] == begins[..most] { read_line(bytes) } else { Err(Malformed("there is none")) }
}

/// Reads a line of version 1.
fn read_line(bytes: &[u8]) -> Result<Progress, Malformed> {
    let missing = match memchr::memchr2(b'\r', b'\n', bytes) {
        None => least_rest(bytes),
        Some(at) if at + 1 == bytes.len() && bytes[at] == b'\r' => 1,
        Some(at) if bytes[at..] == *b"\r\n" => 0,
        Some(_) => return Err(Malformed("its line does not end in CRLF")),
    };
    if bytes.len() + missing > LONGEST_LINE {
        return Err(Malformed("its line is longer than 107 bytes"));
    }
    if missing > 0 {
        return Ok(Progress::More(missing));
    }
    let line = &bytes[..bytes.len() - 2];
    let Ok(line) = std::str::from_utf8(line) else { return Err(Malformed("its line is not text")) };
    parse_line(line).map(Progress::Whole).ok_or(Malformed("its line is not that of the protocol"))
}

/// Returns how many bytes a line has at least that begins with these bytes, which have no CR.
fn least_rest(bytes: &[u8]) -> usize {
    // The shortest line is `PROXY UNKNOWN` and its end.
    let shortest = b"PROXY UNKNOWN\r\n".len().saturating_sub(bytes.len());
    // After `PROXY TCP4`, four words follow, each with a space and a byte at least.
    let words = if bytes.starts_with(b"PROXY TCP") { 5 } else { 0 };
    let spaces = memchr::memchr_iter(b' ', bytes).count();
    // A word that has not begun has a byte too.
    let unbegun = usize::from(words > 0 && bytes.ends_with(b" "));
    let rest = 2 * usize::saturating_sub(words, spaces) + unbegun + "\r\n".len();
    rest.max(shortest)
}

fn parse_line(line: &str) -> Option<Endpoints> {
    let rest = line.strip_prefix("PROXY ")?;
    if rest == "UNKNOWN" || rest.starts_with("UNKNOWN ") {
        return Some(Endpoints::Own);
    }
    let mut words = rest.split(' ');
    let family = words.next()?;
    let (source, destination) = (words.next()?, words.next()?);
    let address = |text: &str| match family {
        "TCP4" => text.parse().ok().map(IpAddr::V4),
        "TCP6" => text.parse().ok().map(IpAddr::V6),
        _ => None,
    };
    let (source, destination) = (address(source)?, address(destination)?);
    let (from, to) = (port(words.next()?)?, port(words.next()?)?);
    words.next().is_none().then(|| proxied((source, from), (destination, to)))
}

/// Parses a port without leading zeros.
fn port(text: &str) -> Option<u16> {
    let is_canonical = text == "0" || !text.starts_with(['0', '+']);
    text.parse().ok().filter(|_| is_canonical)
}

fn proxied(source: (IpAddr, u16), destination: (IpAddr, u16)) -> Endpoints {
    let address = |(address, port): (IpAddr, u16)| SocketAddr::new(address.to_canonical(), port);
    Endpoints::Proxied { peer: Peer::Tcp(address(source)), local: Address::Tcp(address(destination)) }
}

/// Reads a header of version 2.
fn read_binary(bytes: &[u8]) -> Result<Progress, Malformed> {
    let Some((fixed, rest)) = bytes.split_first_chunk::<FIXED>() else {
        return Ok(Progress::More(FIXED - bytes.len()));
    };
    let [.., command, kind, high, low] = *fixed;
    let is_local = match command {
        0x20 => true,
        0x21 => false,
        _ => return Err(Malformed("its version or its command is not known")),
    };
    let length = usize::from(u16::from_be_bytes([high, low]));
    if FIXED + length > LONGEST_BINARY {
        return Err(Malformed("it is longer than 4096 bytes"));
    }
    if rest.len() < length {
        return Ok(Progress::More(length - rest.len()));
    }
    if is_local {
        // All that follows is to be ignored, the family too.
        return Ok(Progress::Whole(Endpoints::Own));
    }
    let (family, protocol) = (kind >> 4, kind & 15);
    if family > 3 || protocol > 2 {
        return Err(Malformed("its family or its protocol is not known"));
    }
    let size = [0, 12, 36, 216][usize::from(family)];
    let Some((addresses, extensions)) = rest.split_at_checked(size) else {
        return Err(Malformed("its addresses are cut short"));
    };
    check_extensions(bytes, extensions)?;
    // Datagrams, and a protocol that is not named, tell nothing of this connection.
    let found = if protocol == 1 { binary_addresses(family, addresses) } else { None };
    Ok(Progress::Whole(found.unwrap_or(Endpoints::Own)))
}

/// Returns the two ends that a block of addresses names. `None` for the unspecified family.
fn binary_addresses(family: u8, block: &[u8]) -> Option<Endpoints> {
    match family {
        1 => {
            let (source, rest) = block.split_first_chunk::<4>()?;
            let (destination, ports) = rest.split_first_chunk::<4>()?;
            let (source, destination) = (Ipv4Addr::from(*source), Ipv4Addr::from(*destination));
            Some(with_ports(source.into(), destination.into(), ports.try_into().ok()?))
        }
        2 => {
            let (source, rest) = block.split_first_chunk::<16>()?;
            let (destination, ports) = rest.split_first_chunk::<16>()?;
            let (source, destination) = (Ipv6Addr::from(*source), Ipv6Addr::from(*destination));
            Some(with_ports(source.into(), destination.into(), ports.try_into().ok()?))
        }
        3 => {
            let (_, destination) = block.split_at_checked(108)?;
            Some(Endpoints::Proxied { peer: Peer::Unix, local: unix_address(destination) })
        }
        _ => None,
    }
}

fn with_ports(source: IpAddr, destination: IpAddr, ports: [u8; 4]) -> Endpoints {
    let [a, b, c, d] = ports;
    proxied((source, u16::from_be_bytes([a, b])), (destination, u16::from_be_bytes([c, d])))
}

/// Returns the address of a Unix socket, from the bytes of `sun_path` (unix(7)).
fn unix_address(path: &[u8]) -> Address {
    let (is_abstract, name) = match path {
        [0, name @ ..] if name.first().is_some_and(|&byte| byte != 0) => (true, name),
        name => (false, name),
    };
    let name = name.split(|&byte| byte == 0).next().unwrap_or_default();
    if is_abstract { Address::Abstract(name.to_owned()) } else { Address::Unix(path_of(name)) }
}

/// Checks that the extensions of a whole header have the lengths that they announce, and the checksum
/// if there is one.
fn check_extensions(header: &[u8], extensions: &[u8]) -> Result<(), Malformed> {
    let cut_short = Malformed("its extensions are cut short");
    let mut rest = extensions;
    while !rest.is_empty() {
        let Some((&[kind, high, low], after)) = rest.split_first_chunk() else { return Err(cut_short) };
        let length = usize::from(u16::from_be_bytes([high, low]));
        let Some((value, after)) = after.split_at_checked(length) else { return Err(cut_short) };
        if kind == CRC32C {
            let Ok(announced) = <[u8; 4]>::try_from(value) else {
                return Err(Malformed("its checksum does not have four bytes"));
            };
            let (before, behind) = (header.len() - after.len() - value.len(), after);
            let zeroed = header[..before].iter().chain(&[0; 4]).chain(behind);
            if crc32c(zeroed) != u32::from_be_bytes(announced) {
                return Err(Malformed("its checksum is wrong"));
            }
        }
        rest = after;
    }
    Ok(())
}

/// Returns the checksum of RFC 9260 appendix A. Bit by bit, because a header is short and comes once
/// for a connection.
fn crc32c<'a>(bytes: impl Iterator<Item = &'a u8>) -> u32 {
    const POLYNOMIAL: u32 = 0x82f6_3b78;
    !bytes.fold(u32::MAX, |sum, &byte| {
        (0..8).fold(
            sum ^ u32::from(byte),
            |sum, _| {
                if sum & 1 == 1 { (sum >> 1) ^ POLYNOMIAL } else { sum >> 1 }
            },
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tcp(peer: &str, local: &str) -> Endpoints {
        Endpoints::Proxied {
            peer: Peer::Tcp(peer.parse().unwrap()),
            local: Address::Tcp(local.parse().unwrap()),
        }
    }

    /// A header of version 2.
    fn binary(command: u8, kind: u8, rest: &[u8]) -> Vec<u8> {
        let length = u16::try_from(rest.len()).unwrap().to_be_bytes();
        [&SIGNATURE[..], &[command, kind], &length, rest].concat()
    }

    fn v4(extensions: &[u8]) -> Vec<u8> {
        binary(0x21, 0x11, &[&[192, 0, 2, 7, 10, 0, 0, 1, 0x1f, 0x90, 0, 80][..], extensions].concat())
    }

    /// A header with a right checksum before another extension.
    fn summed() -> Vec<u8> {
        let mut header = v4(&[CRC32C, 0, 4, 0, 0, 0, 0, 4, 0, 2, 1, 2]);
        let sum = crc32c(header.iter()).to_be_bytes();
        header[31..35].copy_from_slice(&sum);
        header
    }

    fn unix() -> Vec<u8> {
        let mut block = [0; 216];
        block[..6].copy_from_slice(b"client");
        block[108..112].copy_from_slice(b"/a/b");
        binary(0x21, 0x31, &block)
    }

    /// Whole headers with what they say.
    fn headers() -> Vec<(Vec<u8>, Endpoints)> {
        let mut v6 = [0; 36];
        (v6[0], v6[1], v6[15], v6[31], v6[33], v6[35]) = (0x20, 1, 7, 1, 1, 2);
        let mut long = binary(0x20, 0, &[0; LONGEST_BINARY - FIXED]);
        long[FIXED] = 0xff;
        let line = |line: &str| line.as_bytes().to_vec();
        let longest = format!("PROXY TCP6 {0} {0} 65535 65535\r\n", "ffff:".repeat(7) + "ffff");
        let longest_end = format!("[{}]:65535", "ffff:".repeat(7) + "ffff");
        vec![
            (line("PROXY TCP4 192.0.2.7 10.0.0.1 8080 80\r\n"), tcp("192.0.2.7:8080", "10.0.0.1:80")),
            (line("PROXY TCP4 1.1.1.1 2.2.2.2 0 1\r\n"), tcp("1.1.1.1:0", "2.2.2.2:1")),
            (line("PROXY TCP6 2001::7 ::1 1 65535\r\n"), tcp("[2001::7]:1", "[::1]:65535")),
            (line("PROXY TCP6 :: :: 1 1\r\n"), tcp("[::]:1", "[::]:1")),
            (line("PROXY TCP6 ::ffff:192.0.2.7 ::1 1 2\r\n"), tcp("192.0.2.7:1", "[::1]:2")),
            (longest.into_bytes(), tcp(&longest_end, &longest_end)),
            (line("PROXY UNKNOWN\r\n"), Endpoints::Own),
            (line("PROXY UNKNOWN what ever\r\n"), Endpoints::Own),
            (v4(&[]), tcp("192.0.2.7:8080", "10.0.0.1:80")),
            (v4(&[4, 0, 3, 0, 0, 0, 0xe0, 0, 0]), tcp("192.0.2.7:8080", "10.0.0.1:80")),
            (summed(), tcp("192.0.2.7:8080", "10.0.0.1:80")),
            (binary(0x21, 0x21, &v6), tcp("[2001::7]:1", "[::1]:2")),
            (unix(), Endpoints::Proxied { peer: Peer::Unix, local: Address::Unix("/a/b".into()) }),
            (binary(0x20, 0, &[]), Endpoints::Own),
            (binary(0x20, 0x11, &[1; 12]), Endpoints::Own),
            (binary(0x20, 0xff, &[1, 2]), Endpoints::Own),
            (binary(0x21, 0, &[]), Endpoints::Own),
            (binary(0x21, 0x12, &[1; 12]), Endpoints::Own),
            (binary(0x21, 0x10, &[1; 12]), Endpoints::Own),
            (long, Endpoints::Own),
        ]
    }

    #[test]
    fn a_header_says_the_same_wherever_it_is_cut_and_nothing_behind_it_is_asked_for() {
        for (header, says) in headers() {
            for cut in 0..header.len() {
                match read(&header[..cut]) {
                    Ok(Progress::More(more)) => {
                        assert!(more > 0 && cut + more <= header.len(), "{more} at {cut} of {header:?}");
                    }
                    other => panic!("{other:?} at {cut} of {}", header.escape_ascii()),
                }
            }
            assert_eq!(read(&header), Ok(Progress::Whole(says)), "{}", header.escape_ascii());
        }
    }

    #[test]
    fn a_line_takes_few_reads() {
        let header = b"PROXY TCP6 2001:db8:1:2:3:4:5:6 2001:db8::1 56324 443\r\n";
        let (mut cut, mut reads) = (0, 0);
        while let Ok(Progress::More(more)) = read(&header[..cut]) {
            (cut, reads) = (cut + more, reads + 1);
        }
        assert_eq!(cut, header.len());
        assert!(reads < 20, "{reads} reads");
    }

    #[test]
    fn a_flipped_bit_never_panics_and_never_asks_for_more_than_a_header_may_have() {
        for (header, _) in headers() {
            for at in 0..header.len().min(240) * 8 {
                let mut flipped = header.clone();
                flipped[at / 8] ^= 1 << (at % 8);
                for cut in [at / 8 + 1, flipped.len()] {
                    if let Ok(Progress::More(more)) = read(&flipped[..cut]) {
                        assert!(cut + more <= LONGEST_BINARY, "{more} at {cut}");
                    }
                }
            }
        }
        let summed = summed();
        for at in FIXED * 8..summed.len() * 8 {
            let mut flipped = summed.clone();
            flipped[at / 8] ^= 1 << (at % 8);
            // Two bits turn the checksum's extension into one of another type.
            if flipped[28] == CRC32C {
                assert!(read(&flipped).is_err(), "bit {at} is not noticed");
            }
        }
    }

    #[test]
    fn anything_else_is_refused_with_the_reason() {
        let refusal = |bytes: &[u8]| match read(bytes) {
            Err(Malformed(reason)) => reason,
            other => panic!("{other:?} for {}", bytes.escape_ascii()),
        };
        for bytes in [&b"GET / HTTP/1.1\r\n"[..], b"G", b"proxy ", b"\r\n\r\nG", b"PROXX", b"\x16\x03\x01"] {
            assert_eq!(refusal(bytes), "there is none");
        }
        for line in [
            "PROXY \r\n",
            "PROXY TCP4 1.1.1.1 2.2.2.2 1\r\n",
            "PROXY TCP4 1.1.1.1 2.2.2.2 1 2 3\r\n",
            "PROXY TCP4 1.1.1.1 2.2.2.2 1 2 \r\n",
            "PROXY TCP4  1.1.1.1 2.2.2.2 1 2\r\n",
            "PROXY TCP4 1.1.1.1 2.2.2.2 01 2\r\n",
            "PROXY TCP4 1.1.1.1 2.2.2.2 +1 2\r\n",
            "PROXY TCP4 1.1.1.1 2.2.2.2 1 65536\r\n",
            "PROXY TCP4 1.1.1.1 2.2.2.2 1 -1\r\n",
            "PROXY TCP4 1.1.1.01 2.2.2.2 1 2\r\n",
            "PROXY TCP4 1.1.1 2.2.2.2 1 2\r\n",
            "PROXY TCP4 ::1 ::1 1 2\r\n",
            "PROXY TCP6 1.1.1.1 2.2.2.2 1 2\r\n",
            "PROXY TCP6 [::1] [::1] 1 2\r\n",
            "PROXY TCP6 fe80::1%lo ::1 1 2\r\n",
            "PROXY UDP4 1.1.1.1 2.2.2.2 1 2\r\n",
            "PROXY UNKNOWNS\r\n",
            "PROXY unknown\r\n",
        ] {
            assert_eq!(refusal(line.as_bytes()), "its line is not that of the protocol", "{line}");
        }
        assert_eq!(refusal(b"PROXY UNKNOWN\n"), "its line does not end in CRLF");
        assert_eq!(refusal(b"PROXY UNKNOWN\r\r"), "its line does not end in CRLF");
        assert_eq!(refusal(b"PROXY UNKNOWN \xff\r\n"), "its line is not text");
        assert_eq!(
            refusal(&[&b"PROXY UNKNOWN "[..], &[b'a'; 92]].concat()),
            "its line is longer than 107 bytes"
        );
        let unknown = "its version or its command is not known";
        assert_eq!(refusal(&binary(0x11, 0x11, &[0; 12])), unknown);
        assert_eq!(refusal(&binary(0x22, 0x11, &[0; 12])), unknown);
        assert_eq!(refusal(&binary(0x21, 0x41, &[0; 12])), "its family or its protocol is not known");
        assert_eq!(refusal(&binary(0x21, 0x13, &[0; 12])), "its family or its protocol is not known");
        assert_eq!(refusal(&binary(0x21, 0x11, &[0; 11])), "its addresses are cut short");
        assert_eq!(refusal(&v4(&[4, 0])), "its extensions are cut short");
        assert_eq!(refusal(&v4(&[4, 0, 2, 1])), "its extensions are cut short");
        assert_eq!(refusal(&v4(&[CRC32C, 0, 3, 0, 0, 0])), "its checksum does not have four bytes");
        assert_eq!(refusal(&v4(&[CRC32C, 0, 4, 0, 0, 0, 0])), "its checksum is wrong");
        let long = [&SIGNATURE[..], &[0x21, 0x11, 0xff, 0xff]].concat();
        assert_eq!(refusal(&long), "it is longer than 4096 bytes", "before its bytes have come");
    }

    #[test]
    fn the_address_of_a_unix_socket_is_a_path_or_an_abstract_name() {
        let mut path = [0; 108];
        assert_eq!(unix_address(&path), Address::Unix("".into()));
        path[1..4].copy_from_slice(b"abc");
        assert_eq!(unix_address(&path), Address::Abstract(b"abc".to_vec()));
        assert_eq!(unix_address(&[b'/'; 108]), Address::Unix("/".repeat(108).into()));
    }

    #[test]
    fn rfc9260_a_checksum_of_known_bytes() {
        assert_eq!(crc32c(b"123456789".iter()), 0xe306_9283);
        assert_eq!(crc32c([0; 32].iter()), 0x8a91_36aa);
    }
}
