//! Trust in proxies: which fields of a request say where it came from.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::error::Reject;
use crate::fields::{Family, Headers, walk};
use crate::http1::is_host;
use crate::message::{Network, Origin, Peer};

/// The fields in which trusted proxies tell of the client; see [`Server::trust_forwarded`].
///
/// [`Server::trust_forwarded`]: crate::Server::trust_forwarded
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Forwarded {
    family: Family,
    has_host: bool,
}

impl Forwarded {
    /// `X-Forwarded-For` and `X-Forwarded-Proto`, which most proxies write.
    pub const fn x_forwarded() -> Self {
        Self { family: Family::XForwarded, has_host: false }
    }

    /// `Forwarded` (RFC 7239).
    pub const fn rfc7239() -> Self {
        Self { family: Family::Rfc7239, has_host: false }
    }

    /// Reads the host too, from `X-Forwarded-Host` or `host=`. Only for proxies that set it: of
    /// others, it is the client's.
    #[must_use]
    pub const fn with_host(self) -> Self {
        Self { has_host: true, ..self }
    }
}

/// The proxies that a server trusts, and the exchanges in progress of their clients.
pub(crate) struct Trust {
    fields: Forwarded,
    networks: Vec<Network>,
    /// The most exchanges of one client at once.
    limit: Option<usize>,
    /// Exchanges in progress by client. Empty without a limit.
    open: Mutex<HashMap<IpAddr, usize>>,
}

/// The place of one exchange among those of its client, given back when dropped.
pub(super) struct Place<'a> {
    trust: &'a Trust,
    address: IpAddr,
}

/// The origin of the request that a connection serves.
pub(super) struct Forwarding<'a> {
    pub origin: Arc<Origin>,
    /// `None` once the exchange is over, and without a limit.
    pub place: Option<Place<'a>>,
}

impl Trust {
    pub fn new(fields: Forwarded, networks: Vec<Network>) -> Self {
        Self { fields, networks, limit: None, open: Mutex::default() }
    }

    /// Sets the most exchanges of one client at once.
    pub fn with_limit(self, limit: Option<usize>) -> Self {
        Self { limit, ..self }
    }

    /// Returns `true` if the server believes what a peer tells of its clients.
    pub fn includes(&self, peer: Peer) -> bool {
        self.networks.iter().any(|network| network.contains(peer))
    }

    /// Finds out where a request came from. `None` if its connection is not from a trusted proxy, or
    /// the proxy tells nothing.
    ///
    /// The nearest proxy tells of the hop before it. If that hop is a trusted proxy too, what it tells
    /// counts, and so on, until an address is not trusted, hidden or malformed. So a client cannot
    /// name another one: what it writes stands before what the first trusted proxy has added.
    fn origin(&self, connection_peer: Peer, headers: &Headers) -> Option<Origin> {
        if !self.includes(connection_peer) {
            return None;
        }
        let mut origin = None;
        walk(headers, self.fields.family, |hop| {
            let origin = origin.get_or_insert(Origin { peer: connection_peer, scheme: None, host: None });
            origin.scheme = hop.scheme.or(origin.scheme);
            let host = hop.host.filter(|host| self.fields.has_host && !host.is_empty() && is_host(host));
            if let Some(host) = host.and_then(|host| std::str::from_utf8(host).ok()) {
                origin.host = Some(host.into());
            }
            let Some((address, port)) = hop.client else { return false };
            origin.peer = port.map_or(Peer::Ip(address), |port| Peer::Tcp((address, port).into()));
            self.includes(origin.peer)
        });
        origin
    }

    /// Finds out where a request came from, and gives its exchange a place. The refusal is for a
    /// client with too many exchanges.
    #[inline(never)]
    pub(super) fn forwarding(
        &self,
        connection_peer: Peer,
        headers: &Headers,
    ) -> Option<(Forwarding<'_>, Option<Reject>)> {
        let origin = self.origin(connection_peer, headers)?;
        let (place, reject) = match (self.limit, origin.peer.ip()) {
            (Some(limit), Some(address)) if origin.peer != connection_peer => {
                match self.enter(address, limit) {
                    Some(place) => (Some(place), None),
                    None => (None, Some(Reject::TooManyFromAddress)),
                }
            }
            _ => (None, None),
        };
        Some((Forwarding { origin: Arc::new(origin), place }, reject))
    }

    /// Counts an exchange that begins, if fewer than `limit` of that client are in progress.
    fn enter(&self, address: IpAddr, limit: usize) -> Option<Place<'_>> {
        let mut open = self.lock();
        let count = open.entry(address).or_insert(0);
        if *count >= limit {
            return None;
        }
        *count += 1;
        Some(Place { trust: self, address })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        if let Entry::Occupied(mut count) = self.trust.lock().entry(self.address) {
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

    fn trust(fields: Forwarded) -> Trust {
        let networks = ["10.0.0.0/8", "::1", "unix"].map(|text| text.parse().unwrap());
        Trust::new(fields, networks.into())
    }

    /// What a server believes of a request: its client, scheme and host.
    fn told(trust: &Trust, peer: Peer, fields: &str) -> String {
        let headers = Headers::parse(fields.as_bytes()).unwrap();
        trust.origin(peer, &headers).map_or("nothing".into(), |it| {
            let (scheme, host) = (it.scheme.unwrap_or("-"), it.host.as_deref().unwrap_or("-"));
            format!("{} {scheme} {host}", it.peer)
        })
    }

    const PROXY: &str = "10.0.0.1:4000";

    fn peer(text: &str) -> Peer {
        Peer::Tcp(text.parse().unwrap())
    }

    #[test]
    fn the_client_is_the_first_hop_from_the_end_that_is_not_trusted() {
        let trust = trust(Forwarded::x_forwarded());
        for (list, client) in [
            ("192.0.2.7", "192.0.2.7"),
            ("203.0.113.1, 192.0.2.7", "192.0.2.7"),
            ("203.0.113.1, 192.0.2.7:8080, 10.2.0.1", "192.0.2.7:8080"),
            ("203.0.113.1, 192.0.2.7, ::1, 10.2.0.1", "192.0.2.7"),
            ("10.3.0.1, 10.2.0.1", "10.3.0.1"),
            ("192.0.2.7, unknown, 10.2.0.1", "10.2.0.1"),
            ("192.0.2.7, <script>", PROXY),
            ("::ffff:192.0.2.7", "192.0.2.7"),
            ("192.0.2.7, ::ffff:10.0.0.2", "192.0.2.7"),
        ] {
            for before in [peer(PROXY), Peer::Unix] {
                let client = if client == PROXY { before.to_string() } else { client.to_owned() };
                let told = told(&trust, before, &format!("x-forwarded-for: {list}\n"));
                assert_eq!(told, format!("{client} - -"), "{list}");
            }
        }
        let long = format!("x-forwarded-for: 192.0.2.7{}\n", ", 10.0.0.9".repeat(40));
        assert_eq!(told(&trust, peer(PROXY), &long), "10.0.0.9 - -", "a list that is too long");
    }

    #[test]
    fn only_the_chosen_fields_of_trusted_peers_count() {
        let all = "x-forwarded-for: 192.0.2.7\nx-forwarded-proto: https\nx-forwarded-host: a.example\n\
                   forwarded: for=192.0.2.9;proto=https;host=b.example\n";
        let (x, rfc) = (Forwarded::x_forwarded(), Forwarded::rfc7239());
        for stranger in [peer("192.0.2.1:1"), Peer::Unknown, peer("[::2]:1")] {
            assert_eq!(told(&trust(x), stranger, all), "nothing");
        }
        assert_eq!(told(&trust(x), peer(PROXY), all), "192.0.2.7 https -");
        assert_eq!(told(&trust(x.with_host()), peer(PROXY), all), "192.0.2.7 https a.example");
        assert_eq!(told(&trust(rfc), peer(PROXY), all), "192.0.2.9 https -");
        assert_eq!(told(&trust(rfc.with_host()), peer(PROXY), all), "192.0.2.9 https b.example");
        assert_eq!(told(&trust(x), peer(PROXY), "forwarded: for=192.0.2.9\n"), "nothing");
        assert_eq!(told(&trust(rfc), peer(PROXY), "x-forwarded-for: 192.0.2.9\n"), "nothing");
        assert_eq!(told(&trust(x), peer(PROXY), "a: b\n"), "nothing");
    }

    #[test]
    fn a_scheme_and_a_host_are_those_of_the_farthest_trusted_hop() {
        let trust = trust(Forwarded::rfc7239().with_host());
        for (list, expected) in [
            ("for=1.1.1.1;proto=http;host=evil, for=192.0.2.7;proto=https;host=a", "192.0.2.7 https a"),
            ("for=192.0.2.7;proto=https;host=a, for=10.0.0.2;proto=http;host=b", "192.0.2.7 https a"),
            ("for=192.0.2.7, for=10.0.0.2;proto=http;host=b", "192.0.2.7 http b"),
            ("for=_hidden;proto=https", "10.0.0.1:4000 https -"),
            ("proto=https", "10.0.0.1:4000 https -"),
            ("for=192.0.2.7;proto=gopher;host=\"a b\"", "192.0.2.7 - -"),
            ("for=192.0.2.7;host=\"\"", "192.0.2.7 - -"),
            ("for=192.0.2.7;host=\"[::1]:8080\"", "192.0.2.7 - [::1]:8080"),
        ] {
            assert_eq!(told(&trust, peer(PROXY), &format!("forwarded: {list}\n")), expected, "{list}");
        }
    }

    #[test]
    fn exchanges_of_one_client_are_counted_until_they_end() {
        let trust = trust(Forwarded::x_forwarded()).with_limit(Some(2));
        let headers =
            |client: &str| Headers::parse(format!("x-forwarded-for: {client}\n").as_bytes()).unwrap();
        let begin = |client: &str| trust.forwarding(peer(PROXY), &headers(client)).unwrap();
        let (first, second) = (begin("192.0.2.7"), begin("192.0.2.7:80"));
        assert_eq!((first.1, second.1), (None, None));
        assert_eq!(begin("192.0.2.7").1, Some(Reject::TooManyFromAddress));
        assert_eq!(begin("192.0.2.8").1, None);
        drop(first);
        assert_eq!(begin("192.0.2.7").1, None);
        // What the proxy sends for itself is not counted.
        let own: Vec<_> = (0..5).map(|_| begin("unknown")).collect();
        assert!(own.iter().all(|(_, reject)| reject.is_none()));
        drop((second, own));
        assert!(trust.lock().is_empty());
    }
}
