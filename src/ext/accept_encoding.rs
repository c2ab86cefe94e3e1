//! The content codings that a client accepts (RFC 9110 12.5.3).

use std::cmp::Reverse;

use crate::Headers;

/// A content coding (RFC 9110 8.4.1; RFC 8878, RFC 7932, RFC 1952).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Coding {
    /// `zstd`
    Zstd,
    /// `br`
    Brotli,
    /// `gzip`
    Gzip,
}

impl Coding {
    pub(super) const ALL: [Self; 3] = [Self::Zstd, Self::Brotli, Self::Gzip];

    /// Returns the name of the coding in header fields.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Zstd => "zstd",
            Self::Brotli => "br",
            Self::Gzip => "gzip",
        }
    }

    /// Returns the coding with that name, which may have any case. `x-gzip` is `gzip` (RFC 9110 8.4.1.3).
    pub(super) fn named(name: &[u8]) -> Option<Self> {
        if name.eq_ignore_ascii_case(b"x-gzip") {
            return Some(Self::Gzip);
        }
        Self::ALL.into_iter().find(|coding| name.eq_ignore_ascii_case(coding.name().as_bytes()))
    }
}

/// The weights that a client gives, in thousandths. 0 is not acceptable.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct AcceptEncoding {
    /// In the order of [`Coding::ALL`].
    codings: [Option<u16>; Coding::ALL.len()],
    identity: Option<u16>,
    /// The weight of all that have none of their own.
    any: Option<u16>,
}

impl AcceptEncoding {
    /// Reads the field. Elements that are malformed are left out.
    pub fn of(headers: &Headers) -> Self {
        let mut accepted = Self::default();
        for value in headers.get_all("accept-encoding") {
            value.split(|byte| *byte == b',').for_each(|element| accepted.add(element));
        }
        accepted
    }

    fn add(&mut self, element: &[u8]) {
        let mut parts = element.split(|byte| *byte == b';').map(<[u8]>::trim_ascii);
        let name = parts.next().unwrap_or_default();
        let Some(weight) = parts.next().map_or(Some(1000), weight) else { return };
        if name == b"*" {
            self.any = Some(weight);
        } else if name.eq_ignore_ascii_case(b"identity") {
            self.identity = Some(weight);
        } else if let Some(coding) = Coding::named(name) {
            self.codings[coding as usize] = Some(weight);
        }
    }

    /// Returns those of the codings that the client likes at least as much as the content without one, the
    /// best first. Those that it likes alike stay in their order.
    pub fn liked(&self, codings: &[Coding]) -> impl Iterator<Item = Coding> {
        let plain = self.identity.unwrap_or(0);
        let weighed = codings.iter().map(|coding| (*coding, self.codings[*coding as usize].or(self.any)));
        let mut weighed: Vec<_> = weighed.map(|(coding, weight)| (coding, weight.unwrap_or(0))).collect();
        weighed.sort_by_key(|(_, weight)| Reverse(*weight));
        let is_liked = move |(_, weight): &(Coding, u16)| *weight > 0 && *weight >= plain;
        weighed.into_iter().filter(is_liked).map(|(coding, _)| coding)
    }
}

/// Returns the thousandths of a weight such as `q=0.5` (RFC 9110 12.4.2).
fn weight(parameter: &[u8]) -> Option<u16> {
    let [b'q' | b'Q', b'=', value @ ..] = parameter else { return None };
    let (whole, fraction) = value.split_first()?;
    let digits = match fraction {
        [] => &[][..],
        [b'.', digits @ ..] if digits.len() <= 3 => digits,
        _ => return None,
    };
    let mut thousandths = u16::from(whole.checked_sub(b'0').filter(|digit| *digit <= 1)?);
    for place in 0..3 {
        let digit = digits.get(place).copied().unwrap_or(b'0');
        thousandths = thousandths * 10 + u16::from(digit.checked_sub(b'0').filter(|digit| *digit <= 9)?);
    }
    (thousandths <= 1000).then_some(thousandths)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accepted(value: &str) -> AcceptEncoding {
        let mut headers = Headers::new();
        headers.append("Accept-Encoding", value).unwrap();
        AcceptEncoding::of(&headers)
    }

    fn liked(value: &str, codings: &[Coding]) -> String {
        accepted(value).liked(codings).map(Coding::name).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn rfc9110_12_5_3_the_coding_that_the_client_likes_most_comes_first() {
        for (value, expected) in [
            ("", ""),
            ("gzip", "gzip"),
            ("GZIP", "gzip"),
            ("x-gzip", "gzip"),
            ("deflate, compress", ""),
            ("gzip, deflate, br, zstd", "zstd br gzip"),
            ("gzip,br", "br gzip"),
            ("gzip;q=1.0, br;q=0.9", "gzip br"),
            ("gzip ; q=0.5 , br ;q=0.501", "br gzip"),
            ("gzip;q=0, br;q=0.000", ""),
            ("*", "zstd br gzip"),
            ("*;q=0", ""),
            ("*;q=0.1, gzip", "gzip zstd br"),
            ("gzip;q=0, *", "zstd br"),
            ("zstd;q=0, br;q=0, *;q=0.2", "gzip"),
            ("identity", ""),
            ("identity, gzip;q=0.5", ""),
            ("identity;q=0.5, gzip;q=0.5", "gzip"),
            ("identity;q=0, gzip;q=0.1", "gzip"),
            ("gzip;q=2, br;q=0.1", "br"),
            ("gzip;q=1.001", ""),
            ("gzip;q=0.1234", ""),
            ("gzip;q=, br;q=a, zstd;q=0.a", ""),
            ("gzip;level=1", ""),
            (",, gzip ,", "gzip"),
            ("gzipped, brotli", ""),
        ] {
            assert_eq!(liked(value, &Coding::ALL), expected, "{value:?}");
        }
        assert_eq!(AcceptEncoding::of(&Headers::new()).liked(&Coding::ALL).count(), 0);
        assert_eq!(liked("br, gzip", &[Coding::Gzip, Coding::Brotli]), "gzip br", "the server's order");
        assert_eq!(liked("br", &[Coding::Gzip]), "");
    }

    #[test]
    fn fields_with_several_lines_count_together() {
        let headers = Headers::parse(b"accept-encoding: gzip;q=0.1\naccept-encoding: br\n").unwrap();
        let liked: Vec<_> = AcceptEncoding::of(&headers).liked(&Coding::ALL).collect();
        assert_eq!(liked, [Coding::Brotli, Coding::Gzip]);
    }
}
