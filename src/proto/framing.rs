//! What the header fields say of the message: where its body ends, whether the
//! connection lasts, whether the client waits for a go-ahead.

use http::Version;

use super::host::is_host;
use crate::error::Reject;
use crate::message::{Headers, Target};

/// How the end of a request body is known (RFC 9112 6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    None,
    Length(u64),
    Chunked,
}

/// What a head's fields say of the message. Two words, as it is handed on often: an
/// enum and flags are copied in pieces that straddle them, for which the processor waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Facts {
    /// The body's length, if it is not chunked.
    length: u64,
    flags: u8,
}

const CHUNKED: u8 = 1;
const PERSISTENT: u8 = 2;
const EXPECTS_CONTINUE: u8 = 4;
const UPGRADE: u8 = 8;

impl Facts {
    pub fn framing(self) -> Framing {
        match self.length {
            _ if self.flags & CHUNKED != 0 => Framing::Chunked,
            0 => Framing::None,
            length => Framing::Length(length),
        }
    }

    /// The client lets the connection last (RFC 9112 9.3).
    pub fn is_persistent(self) -> bool {
        self.flags & PERSISTENT != 0
    }

    /// The client waits for `100 Continue` (RFC 9110 10.1.1).
    pub fn expects_continue(self) -> bool {
        self.flags & EXPECTS_CONTINUE != 0
    }

    /// The client asks to leave HTTP; for what, its Upgrade fields say
    /// (RFC 9110 7.8).
    pub fn asks_for_upgrade(self) -> bool {
        self.flags & UPGRADE != 0
    }

    pub fn of<'a>(
        fields: impl Iterator<Item = (&'a str, &'a [u8])>,
        version: Version,
        target: &Target,
    ) -> Result<Self, Reject> {
        let mut hosts = 0;
        let mut length = None;
        let mut chunked = false;
        let (mut close, mut keep_alive, mut upgrade, mut expects_continue) = (false, false, false, false);
        for (name, value) in fields {
            // The length tells most fields apart without a look at the name.
            match name.len() {
                4 if name.eq_ignore_ascii_case("host") => {
                    hosts += 1;
                    if hosts > 1 || !is_host(value) {
                        return Err(Reject::BadHost);
                    }
                }
                6 if name.eq_ignore_ascii_case("expect") && version == Version::HTTP_11 => {
                    if !tokens(value).all(|token| token.eq_ignore_ascii_case(b"100-continue")) {
                        return Err(Reject::UnknownExpectation);
                    }
                    expects_continue |= tokens(value).next().is_some();
                }
                10 if name.eq_ignore_ascii_case("connection") => {
                    close |= tokens(value).any(|token| token.eq_ignore_ascii_case(b"close"));
                    keep_alive |= tokens(value).any(|token| token.eq_ignore_ascii_case(b"keep-alive"));
                    upgrade |= tokens(value).any(|token| token.eq_ignore_ascii_case(b"upgrade"));
                }
                14 if name.eq_ignore_ascii_case("content-length") => {
                    let value = content_length(value).ok_or(Reject::BadContentLength)?;
                    if length.replace(value).is_some_and(|other| other != value) {
                        return Err(Reject::BadContentLength);
                    }
                }
                17 if name.eq_ignore_ascii_case("transfer-encoding") => {
                    if chunked || version != Version::HTTP_11 {
                        return Err(Reject::BadTransferEncoding);
                    }
                    transfer_encoding(value)?;
                    chunked = true;
                }
                _ => {}
            }
        }
        if hosts == 0 && version == Version::HTTP_11 {
            return Err(Reject::MissingHost);
        }
        if target.authority().is_some_and(|authority| !is_host(authority.as_bytes())) {
            return Err(Reject::BadTarget);
        }
        if chunked && length.is_some() {
            return Err(Reject::BothFramings);
        }
        let length = length.unwrap_or(0);
        let persistent = !close && (keep_alive || version == Version::HTTP_11);
        let flag = |set: bool, flag: u8| if set { flag } else { 0 };
        let flags = flag(chunked, CHUNKED)
            | flag(persistent, PERSISTENT)
            | flag(expects_continue && (chunked || length > 0), EXPECTS_CONTINUE)
            | flag(upgrade && version == Version::HTTP_11, UPGRADE);
        Ok(Self { length, flags })
    }
}

/// Whether an Upgrade field lists that protocol.
pub(crate) fn offers(headers: &Headers, protocol: &str) -> bool {
    headers.get_all("upgrade").flat_map(tokens).any(|token| token.eq_ignore_ascii_case(protocol.as_bytes()))
}

/// The members of a list field's value (RFC 9110 5.6.1); empty ones are left out.
pub(super) fn tokens(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|&b| b == b',').map(<[u8]>::trim_ascii).filter(|token| !token.is_empty())
}

/// Digits only; a list if all its members are the same (RFC 9110 8.6).
pub(super) fn content_length(value: &[u8]) -> Option<u64> {
    let mut all = value.split(|&b| b == b',').map(|member| digits(member.trim_ascii()));
    let first = all.next()??;
    all.all(|other| other == Some(first)).then_some(first)
}

fn digits(text: &[u8]) -> Option<u64> {
    if text.is_empty() {
        return None;
    }
    text.iter().try_fold(0_u64, |sum, &b| {
        b.is_ascii_digit().then_some(())?;
        sum.checked_mul(10)?.checked_add(u64::from(b - b'0'))
    })
}

/// `chunked` and nothing else is understood (RFC 9112 6.1).
fn transfer_encoding(value: &[u8]) -> Result<(), Reject> {
    let is_chunked = |coding: &&[u8]| coding.eq_ignore_ascii_case(b"chunked");
    if is_chunked(&value) {
        return Ok(());
    }
    let codings: Vec<_> = value.split(|&b| b == b',').map(<[u8]>::trim_ascii).collect();
    let last = codings.last().is_some_and(is_chunked);
    if last && codings.iter().filter(|coding| is_chunked(coding)).count() == 1 && !codings.contains(&&b""[..])
    {
        Err(Reject::UnknownCoding)
    } else {
        Err(Reject::BadTransferEncoding)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(version: Version, fields: &[(&str, &str)]) -> Result<Facts, Reject> {
        let target = Target::parse("/").unwrap();
        Facts::of(fields.iter().map(|(name, value)| (*name, value.as_bytes())), version, &target)
    }

    fn framing(fields: &[(&str, &str)]) -> Result<Framing, Reject> {
        let fields: Vec<_> = [("Host", "h")].iter().chain(fields).copied().collect();
        facts(Version::HTTP_11, &fields).map(Facts::framing)
    }

    #[test]
    fn rfc9112_6_3_content_length() {
        assert_eq!(framing(&[("content-length", "5")]), Ok(Framing::Length(5)));
        assert_eq!(framing(&[("content-length", "0005")]), Ok(Framing::Length(5)));
        assert_eq!(framing(&[("content-length", "5"), ("Content-Length", "5")]), Ok(Framing::Length(5)));
        assert_eq!(framing(&[("content-length", "5, 5")]), Ok(Framing::Length(5)));
        assert_eq!(framing(&[("content-length", "18446744073709551615")]), Ok(Framing::Length(u64::MAX)));
        for bad in
            ["", "+5", "-5", "5 5", "0x5", "5,6", "5,", ",5", "18446744073709551616", "5.0", "\u{ff15}"]
        {
            assert_eq!(framing(&[("content-length", bad)]), Err(Reject::BadContentLength), "{bad:?}");
        }
        let two = [("content-length", "5"), ("content-length", "6")];
        assert_eq!(framing(&two), Err(Reject::BadContentLength));
        assert_eq!(framing(&[]), Ok(Framing::None));
    }

    #[test]
    fn rfc9112_6_1_transfer_encoding() {
        assert_eq!(framing(&[("Transfer-Encoding", "Chunked")]), Ok(Framing::Chunked));
        for bad in [
            "",
            "gzip",
            "chunked, gzip",
            "chunked, chunked",
            "xchunked",
            "chunked;q=1",
            "identity",
            "\"chunked\"",
            ", chunked",
        ] {
            assert_eq!(framing(&[("transfer-encoding", bad)]), Err(Reject::BadTransferEncoding), "{bad:?}");
        }
        assert_eq!(framing(&[("transfer-encoding", "gzip, chunked")]), Err(Reject::UnknownCoding));
        let twice = [("transfer-encoding", "chunked"), ("transfer-encoding", "chunked")];
        assert_eq!(framing(&twice), Err(Reject::BadTransferEncoding));
        let both = [("transfer-encoding", "chunked"), ("content-length", "3")];
        assert_eq!(framing(&both), Err(Reject::BothFramings));
        let old = facts(Version::HTTP_10, &[("transfer-encoding", "chunked")]);
        assert_eq!(old, Err(Reject::BadTransferEncoding));
    }

    #[test]
    fn rfc9112_3_2_exactly_one_host() {
        assert_eq!(facts(Version::HTTP_11, &[("host", "a b")]), Err(Reject::BadHost));
        assert_eq!(facts(Version::HTTP_11, &[]), Err(Reject::MissingHost));
        assert_eq!(facts(Version::HTTP_10, &[]).map(|_| ()), Ok(()));
        assert_eq!(facts(Version::HTTP_10, &[("host", "a"), ("host", "a")]), Err(Reject::BadHost));
    }

    #[test]
    fn rfc9112_9_3_persistence() {
        let lasts = |version, fields: &[(&str, &str)]| {
            let fields: Vec<_> = [("host", "h")].iter().chain(fields).copied().collect();
            facts(version, &fields).unwrap().is_persistent()
        };
        assert!(lasts(Version::HTTP_11, &[]));
        assert!(!lasts(Version::HTTP_11, &[("connection", "Close")]));
        assert!(!lasts(Version::HTTP_11, &[("connection", "x"), ("connection", "a, close ,")]));
        assert!(!lasts(Version::HTTP_10, &[]));
        assert!(lasts(Version::HTTP_10, &[("connection", "Keep-Alive")]));
        assert!(!lasts(Version::HTTP_10, &[("connection", "keep-alive, close")]));
    }

    #[test]
    fn rfc9110_10_1_1_expect() {
        let body = [("host", "h"), ("content-length", "1"), ("expect", "100-Continue")];
        assert!(facts(Version::HTTP_11, &body).unwrap().expects_continue());
        assert!(!facts(Version::HTTP_10, &body).unwrap().expects_continue());
        assert!(
            !facts(Version::HTTP_11, &[("host", "h"), ("expect", "100-continue")])
                .unwrap()
                .expects_continue()
        );
        let unknown = [("host", "h"), ("expect", "100-continue, more")];
        assert_eq!(facts(Version::HTTP_11, &unknown), Err(Reject::UnknownExpectation));
    }
}
