//! The key of a client in a table of addresses.

use std::net::IpAddr;

use crate::Request;

/// The address of a client: of IPv6, the network of 64 bits that one client usually has. `None` stands
/// for all clients without an address, such as those on a Unix socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct AddressKey(Option<(bool, u64)>);

impl AddressKey {
    /// Stands for all clients.
    pub const ALL: Self = Self(None);

    pub fn of(request: &Request) -> Self {
        Self(request.peer().ip().map(|address| match address.to_canonical() {
            IpAddr::V4(address) => (false, u64::from(address.to_bits())),
            IpAddr::V6(address) => (true, (address.to_bits() >> 64) as u64),
        }))
    }
}
