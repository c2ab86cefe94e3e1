//! The shares that client addresses have of a queue.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::{IpAddr, Ipv6Addr};

/// Counts the work in progress for each client address. It holds no more addresses than there is
/// work.
#[derive(Debug, Default)]
pub(crate) struct Shares {
    counts: HashMap<IpAddr, usize>,
    total: usize,
}

/// Returns the address that counts for a client: an IPv4 address, or the /64 of an IPv6 address,
/// which one client has whole.
fn counted(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)).into(),
        address @ IpAddr::V4(_) => address,
    }
}

impl Shares {
    /// Returns `true` if the address would have more than its share with one more piece of work. A
    /// share is an equal part of all work for each address that has some.
    pub fn is_over(&self, address: IpAddr) -> bool {
        let own = self.counts.get(&counted(address)).copied().unwrap_or(0);
        // With no work of its own, the address comes to those that have some.
        own > 0 && self.counts.len() > 1 && (own + 1) * self.counts.len() > self.total + 1
    }

    /// Counts one more piece of work.
    pub fn add(&mut self, address: IpAddr) {
        *self.counts.entry(counted(address)).or_insert(0) += 1;
        self.total += 1;
    }

    /// Counts one piece of work less.
    pub fn remove(&mut self, address: IpAddr) {
        if let Entry::Occupied(mut count) = self.counts.entry(counted(address)) {
            self.total -= 1;
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn an_address_has_an_equal_part_of_the_work() {
        let (mut shares, many, few) = (Shares::default(), address("192.0.2.1"), address("192.0.2.2"));
        for _ in 0..9 {
            shares.add(many);
            assert!(!shares.is_over(many), "it is alone");
        }
        shares.add(few);
        assert!(shares.is_over(many));
        assert!(!shares.is_over(few));
        assert!(!shares.is_over(address("192.0.2.3")), "it has nothing yet");
        for _ in 0..9 {
            shares.remove(many);
        }
        assert!(!shares.is_over(few));
        shares.remove(few);
        assert!(shares.counts.is_empty() && shares.total == 0);
    }

    #[test]
    fn a_client_has_one_share_however_many_addresses_of_its_network_it_uses() {
        let mut shares = Shares::default();
        shares.add(address("2001:db8:1:1::2"));
        shares.add(address("2001:db8:1:1:ffff::3"));
        shares.add(address("2001:db8:1:2::2"));
        assert!(shares.is_over(address("2001:db8:1:1::9")));
        assert!(!shares.is_over(address("2001:db8:1:2::9")));
        shares.add(address("::ffff:192.0.2.1"));
        shares.remove(address("192.0.2.1"));
        assert_eq!(shares.counts.len(), 2);
    }
}
