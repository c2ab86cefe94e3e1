//! Networks: ranges of addresses that a program trusts.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use super::Peer;
use crate::error::Error;

/// A range of addresses, or all clients of Unix sockets.
///
/// The text is an address with the length of its prefix (RFC 4632), one address, or `unix`:
///
/// ```
/// use transom::{Network, Peer};
///
/// let network: Network = "10.0.0.0/8".parse()?;
/// assert!(network.contains(Peer::Tcp("10.1.2.3:80".parse().unwrap())));
/// // The address of an IPv4 client of an IPv6 socket.
/// assert!(network.contains(Peer::Tcp("[::ffff:10.1.2.3]:80".parse().unwrap())));
/// assert!("unix".parse::<Network>()?.contains(Peer::Unix));
///
/// let error = "10.0.0.1/8".parse::<Network>().unwrap_err();
/// assert_eq!(error.to_string(), "bad address \"10.0.0.1/8\": the network of that length is 10.0.0.0/8");
/// # Ok::<(), transom::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Network(Range);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Range {
    Unix,
    /// The lowest address, and the number of bits that all addresses share with it.
    V4(Ipv4Addr, u8),
    V6(Ipv6Addr, u8),
}

impl Network {
    /// All clients of Unix sockets.
    pub const UNIX: Self = Self(Range::Unix);

    /// Returns `true` if the address of a client is in the network. An IPv4-mapped IPv6 address is
    /// an IPv4 address.
    pub fn contains(&self, peer: Peer) -> bool {
        match peer {
            Peer::Unix => self.0 == Range::Unix,
            _ => peer.ip().is_some_and(|address| self.has(address)),
        }
    }

    /// Returns `true` if an address is in the network.
    pub(crate) fn has(&self, address: IpAddr) -> bool {
        match (self.0, address.to_canonical()) {
            (Range::V4(lowest, length), IpAddr::V4(address)) => lowest_v4(address, length) == lowest,
            (Range::V6(lowest, length), IpAddr::V6(address)) => lowest_v6(address, length) == lowest,
            _ => false,
        }
    }
}

/// Returns the lowest address that has the first `length` bits of an address, at most 32.
fn lowest_v4(address: Ipv4Addr, length: u8) -> Ipv4Addr {
    let mask = u32::MAX.checked_shl(32 - u32::from(length)).unwrap_or(0);
    Ipv4Addr::from(u32::from(address) & mask)
}

/// Returns the lowest address that has the first `length` bits of an address, at most 128.
fn lowest_v6(address: Ipv6Addr, length: u8) -> Ipv6Addr {
    let mask = u128::MAX.checked_shl(128 - u32::from(length)).unwrap_or(0);
    Ipv6Addr::from(u128::from(address) & mask)
}

impl FromStr for Network {
    type Err = Error;

    /// Parses `10.0.0.0/8`, `2001:db8::/32`, an address without a length, or `unix`.
    fn from_str(text: &str) -> Result<Self, Error> {
        let bad = |reason: String| Error::BadAddress { address: text.to_owned(), reason };
        if text == "unix" {
            return Ok(Self::UNIX);
        }
        let (address, length) = match text.split_once('/') {
            Some((address, length)) => (address, Some(length)),
            None => (text, None),
        };
        let Ok(address) = address.parse::<IpAddr>() else {
            return Err(bad("a network is `10.0.0.0/8`, `2001:db8::/32`, one address, or `unix`".into()));
        };
        let width: u8 = if address.is_ipv4() { 32 } else { 128 };
        let length = match length {
            None => width,
            Some(digits) => {
                let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
                let length = digits.parse().ok().filter(|length| is_number && *length <= width);
                length
                    .ok_or_else(|| bad(format!("the length of the prefix is a number from 0 to {width}")))?
            }
        };
        let (lowest, length) = match address {
            IpAddr::V4(address) => (IpAddr::V4(lowest_v4(address, length)), length),
            IpAddr::V6(address) => (IpAddr::V6(lowest_v6(address, length)), length),
        };
        if lowest != address {
            return Err(bad(format!("the network of that length is {lowest}/{length}")));
        }
        Ok(Self(match lowest {
            IpAddr::V4(lowest) => Range::V4(lowest, length),
            // An IPv4-mapped network is one of IPv4: a peer with such an address is compared as IPv4.
            IpAddr::V6(lowest) => match (lowest.to_ipv4_mapped(), length.checked_sub(96)) {
                (Some(lowest), Some(length)) => Range::V4(lowest, length),
                _ => Range::V6(lowest, length),
            },
        }))
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Range::Unix => f.write_str("unix"),
            Range::V4(lowest, length) => write!(f, "{lowest}/{length}"),
            Range::V6(lowest, length) => write!(f, "{lowest}/{length}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(text: &str) -> Network {
        text.parse().unwrap()
    }

    #[test]
    fn a_network_has_the_addresses_that_begin_as_it_does() {
        for (text, inside, outside) in [
            ("10.0.0.0/8", &["10.0.0.0", "10.255.255.255", "::ffff:10.1.2.3"][..], &["11.0.0.0", "::1"][..]),
            ("192.0.2.7", &["192.0.2.7"], &["192.0.2.6", "192.0.2.8"]),
            ("0.0.0.0/0", &["0.0.0.0", "255.255.255.255"], &["::1"]),
            ("::1", &["::1"], &["::2", "127.0.0.1", "0.0.0.1"]),
            ("2001:db8::/33", &["2001:db8:7fff::1"], &["2001:db8:8000::", "2001:db9::"]),
            ("::/0", &["::", "ffff::1"], &["10.0.0.1"]),
            ("::ffff:10.0.0.0/104", &["10.9.9.9", "::ffff:10.0.0.1"], &["11.0.0.0"]),
        ] {
            let network = network(text);
            for (addresses, expected) in [(inside, true), (outside, false)] {
                for address in addresses {
                    let address: IpAddr = address.parse().unwrap();
                    assert_eq!(network.has(address), expected, "{address} in {text}");
                    assert_eq!(network.contains(Peer::Tcp((address, 80).into())), expected);
                }
            }
            assert!(!network.contains(Peer::Unix) && !network.contains(Peer::Unknown), "{text}");
        }
        assert!(network("unix").contains(Peer::Unix));
        assert!(!network("unix").contains(Peer::Unknown));
    }

    #[test]
    fn a_network_is_read_back_from_its_text() {
        for (text, shown) in [
            ("10.0.0.0/8", "10.0.0.0/8"),
            ("192.0.2.7", "192.0.2.7/32"),
            ("::1", "::1/128"),
            ("::ffff:10.0.0.0/104", "10.0.0.0/8"),
            ("unix", "unix"),
        ] {
            assert_eq!(network(text).to_string(), shown);
            assert_eq!(network(shown), network(text));
        }
    }

    #[test]
    fn bad_networks_are_told_with_the_reason() {
        let refusal = |text: &str| text.parse::<Network>().unwrap_err().to_string();
        for text in
            ["", "localhost", "10.0.0/8", "[::1]", "10.0.0.0:80", "fe80::1%eth0", "unix:/a", " ::1", "/8"]
        {
            assert!(refusal(text).contains("a network is `10.0.0.0/8`"), "{text}: {}", refusal(text));
        }
        for (text, most) in
            [("10.0.0.0/33", 32), ("10.0.0.0/", 32), ("::/129", 128), ("::/+1", 128), ("::/256", 128)]
        {
            assert!(refusal(text).ends_with(&format!("a number from 0 to {most}")), "{}", refusal(text));
        }
        assert!(refusal("10.0.0.1/8").ends_with("the network of that length is 10.0.0.0/8"));
    }
}
