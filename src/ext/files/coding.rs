//! Content codings: which variant of a file a client takes (RFC 9110 12.5.3).

use crate::Headers;

/// A content coding of a file that was compressed beforehand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Coding {
    Zstd,
    Brotli,
    Gzip,
}

impl Coding {
    /// In the order in which the server prefers them.
    const ALL: [Self; 3] = [Self::Zstd, Self::Brotli, Self::Gzip];

    /// Returns the value of Content-Encoding.
    pub fn name(self) -> &'static str {
        match self {
            Self::Zstd => "zstd",
            Self::Brotli => "br",
            Self::Gzip => "gzip",
        }
    }

    /// Returns the end of the names of the files that have the coding.
    pub fn suffix(self) -> &'static str {
        match self {
            Self::Zstd => ".zst",
            Self::Brotli => ".br",
            Self::Gzip => ".gz",
        }
    }
}

/// Returns the codings that the client likes at least as much as the file as it is, the best first.
pub(super) fn accepted(headers: &Headers) -> impl Iterator<Item = Coding> {
    let mut weights = Weights::default();
    headers.get_all("accept-encoding").for_each(|field| weights.read(field));
    let plain = weights.identity.unwrap_or(0);
    let mut codings = Coding::ALL.map(|coding| (coding, weights.of(coding)));
    // A stable order: what the client likes equally stays in the order of the server.
    codings.sort_by_key(|(_, weight)| std::cmp::Reverse(*weight));
    codings.into_iter().filter(move |(_, weight)| *weight > 0 && *weight >= plain).map(|(coding, _)| coding)
}

/// The weights of a request, in thousandths.
#[derive(Default)]
struct Weights {
    zstd: Option<u16>,
    brotli: Option<u16>,
    gzip: Option<u16>,
    identity: Option<u16>,
    any: Option<u16>,
}

impl Weights {
    fn read(&mut self, field: &[u8]) {
        let Ok(field) = std::str::from_utf8(field) else { return };
        for element in field.split(',') {
            let (name, parameters) = element.split_once(';').unwrap_or((element, ""));
            let name = name.trim_matches([' ', '\t']);
            let place = match name {
                _ if name.eq_ignore_ascii_case("zstd") => &mut self.zstd,
                _ if name.eq_ignore_ascii_case("br") => &mut self.brotli,
                _ if name.eq_ignore_ascii_case("gzip") || name.eq_ignore_ascii_case("x-gzip") => {
                    &mut self.gzip
                }
                _ if name.eq_ignore_ascii_case("identity") => &mut self.identity,
                "*" => &mut self.any,
                _ => continue,
            };
            *place = Some(weight(parameters));
        }
    }

    fn of(&self, coding: Coding) -> u16 {
        let own = match coding {
            Coding::Zstd => self.zstd,
            Coding::Brotli => self.brotli,
            Coding::Gzip => self.gzip,
        };
        own.or(self.any).unwrap_or(0)
    }
}

/// Returns the weight of `q=0.5` in thousandths; 1,000 without one, and 0 for one that breaks the grammar (RFC
/// 9110 12.4.2).
fn weight(parameters: &str) -> u16 {
    let parameters = parameters.trim_matches([' ', '\t']);
    if parameters.is_empty() {
        return 1_000;
    }
    let value = parameters.strip_prefix("q=").or_else(|| parameters.strip_prefix("Q="));
    let Some(value) = value else { return 0 };
    let (whole, decimals) = value.split_once('.').unwrap_or((value, ""));
    if decimals.len() > 3 || !decimals.bytes().all(|byte| byte.is_ascii_digit()) {
        return 0;
    }
    let thousandths = format!("{decimals:0<3}").parse().unwrap_or(0);
    match (whole, thousandths) {
        ("1", 0) => 1_000,
        ("0", thousandths) => thousandths,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc9110_12_5_3_the_codings_that_a_client_takes() {
        for (value, expected) in [
            ("", ""),
            ("gzip", "gzip"),
            ("GZIP", "gzip"),
            ("x-gzip", "gzip"),
            ("gzip, deflate, br, zstd", "zstd br gzip"),
            ("gzip;q=1.0, br;q=0.5", "gzip br"),
            ("br;q=0.001 , gzip ; q=0.002", "gzip br"),
            ("gzip;q=0", ""),
            ("*", "zstd br gzip"),
            ("*;q=0.5, br;q=0", "zstd gzip"),
            ("*;q=0", ""),
            ("identity", ""),
            ("identity;q=1, gzip;q=0.5", ""),
            ("identity;q=0.5, gzip;q=0.5", "gzip"),
            ("identity;q=0, gzip;q=0.1", "gzip"),
            ("gzip;q=2", ""),
            ("gzip;q=0.1234", ""),
            ("gzip;q=abc", ""),
            ("gzip;level=9", ""),
            ("gzipped, brotli", ""),
        ] {
            let mut headers = Headers::new();
            headers.append("accept-encoding", value).unwrap();
            let names: Vec<_> = accepted(&headers).map(Coding::name).collect();
            assert_eq!(names.join(" "), expected, "{value}");
        }
        assert_eq!(accepted(&Headers::new()).count(), 0);
    }
}
