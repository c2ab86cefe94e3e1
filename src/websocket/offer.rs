//! The negotiation of permessage-deflate (RFC 7692 7.1).

use super::list::elements;

/// The name of the extension.
const NAME: &[u8] = b"permessage-deflate";
/// The largest window of the deflate algorithm, as an exponent.
pub(super) const MAX_BITS: u8 = 15;
/// The smallest window of a server. zlib has no raw window of 8.
const MIN_BITS: u8 = 9;

/// How the messages of a connection are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Deflation {
    /// True if the server keeps its window from one message to the next.
    pub keeps_own: bool,
    /// True if the client keeps its window from one message to the next.
    pub keeps_peer: bool,
    /// The server's window, as an exponent.
    pub bits: u8,
}

/// The parameters of an offer.
#[derive(Default)]
struct Offer {
    server_no_takeover: bool,
    client_no_takeover: bool,
    server_bits: Option<u8>,
    /// True if the client says something of its own window, which is not limited.
    client_bits: bool,
}

impl Offer {
    /// Reads the parameters. `None` if one is unknown, repeated or has a bad value.
    fn parse<'a>(parameters: impl Iterator<Item = &'a [u8]>) -> Option<Self> {
        let mut offer = Self::default();
        for parameter in parameters {
            let mut parts = parameter.splitn(2, |byte| *byte == b'=').map(<[u8]>::trim_ascii);
            let (name, value) = (parts.next()?, parts.next());
            let is_new = match name {
                b"server_no_context_takeover" if value.is_none() => {
                    !std::mem::replace(&mut offer.server_no_takeover, true)
                }
                b"client_no_context_takeover" if value.is_none() => {
                    !std::mem::replace(&mut offer.client_no_takeover, true)
                }
                b"server_max_window_bits" => offer.server_bits.replace(bits(value?)?).is_none(),
                b"client_max_window_bits" => {
                    if let Some(value) = value {
                        bits(value)?;
                    }
                    !std::mem::replace(&mut offer.client_bits, true)
                }
                _ => return None,
            };
            if !is_new {
                return None;
            }
        }
        Some(offer)
    }
}

/// Reads the exponent of a window: 8 to 15, without leading zeros, possibly quoted.
fn bits(value: &[u8]) -> Option<u8> {
    let value = value.strip_prefix(b"\"").and_then(|value| value.strip_suffix(b"\"")).unwrap_or(value);
    match value {
        [digit @ b'8'..=b'9'] => Some(digit - b'0'),
        [b'1', digit @ b'0'..=b'5'] => Some(10 + digit - b'0'),
        _ => None,
    }
}

/// Accepts the first offer that a server can keep. `keeps` is true if both sides may keep their
/// windows, which costs memory for each connection. Returns the field value of the answer too.
pub(super) fn accept<'a>(fields: impl Iterator<Item = &'a [u8]>, keeps: bool) -> Option<(Deflation, String)> {
    let mut offers = fields.flat_map(elements).filter_map(|offer| {
        let mut parts = offer.split(|byte| *byte == b';').map(<[u8]>::trim_ascii);
        if parts.next()?.eq_ignore_ascii_case(NAME) { Offer::parse(parts) } else { None }
    });
    offers.find_map(|offer| answer(&offer, keeps))
}

fn answer(offer: &Offer, keeps: bool) -> Option<(Deflation, String)> {
    let bits = offer.server_bits.unwrap_or(MAX_BITS);
    if bits < MIN_BITS {
        return None;
    }
    let keeps_own = keeps && !offer.server_no_takeover;
    let keeps_peer = keeps && !offer.client_no_takeover;
    let value = [
        "permessage-deflate",
        if keeps_own { "" } else { "; server_no_context_takeover" },
        if keeps_peer { "" } else { "; client_no_context_takeover" },
        &offer.server_bits.map_or(String::new(), |bits| format!("; server_max_window_bits={bits}")),
    ];
    Some((Deflation { keeps_own, keeps_peer, bits }, value.concat()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(offer: &str, keeps: bool) -> Option<String> {
        accept([offer.as_bytes()].into_iter(), keeps).map(|(_, value)| value)
    }

    #[test]
    fn rfc7692_7_1_an_offer_is_accepted_without_takeover_unless_it_is_asked_for() {
        let none = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";
        for offer in
            ["permessage-deflate", "Permessage-Deflate; client_max_window_bits", "x, permessage-deflate"]
        {
            assert_eq!(answered(offer, false).as_deref(), Some(none), "{offer}");
            assert_eq!(answered(offer, true).as_deref(), Some("permessage-deflate"), "{offer}");
        }
        let half = "permessage-deflate; server_no_context_takeover";
        assert_eq!(answered(half, true).as_deref(), Some(half));
    }

    #[test]
    fn a_window_that_zlib_does_not_have_is_declined_and_the_next_offer_is_taken() {
        assert_eq!(answered("permessage-deflate; server_max_window_bits=8", true), None);
        let two =
            "permessage-deflate; server_max_window_bits=8, permessage-deflate; server_max_window_bits=\"9\"";
        let answer = answered(two, true);
        assert_eq!(answer.as_deref(), Some("permessage-deflate; server_max_window_bits=9"));
    }

    #[test]
    fn rfc7692_7_1_a_bad_offer_is_declined() {
        for parameters in [
            "server_max_window_bits",
            "server_max_window_bits=16",
            "server_max_window_bits=09",
            "server_no_context_takeover=1",
            "server_no_context_takeover; server_no_context_takeover",
            "client_max_window_bits=7",
            "client_max_window_bits; client_max_window_bits=9",
            "x",
            "",
        ] {
            assert_eq!(answered(&format!("permessage-deflate; {parameters}"), true), None, "{parameters}");
        }
        assert_eq!(answered("permessage-bzip2", true), None);
    }
}
