//! The path below the root that a request names, checked before the system sees it.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;

use super::system::is_reserved;
use crate::Request;

/// A path below the root: segments of text, none of which is empty, `.` or `..`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Wanted<'a> {
    /// Without a slash at either end. Empty for the root itself.
    pub path: Cow<'a, str>,
    /// True if the request names a folder: its path ends in a slash.
    pub has_slash: bool,
}

impl<'a> Wanted<'a> {
    /// Returns the path that matched `{*file}`, or the root if the route has no such parameter.
    /// `None` if no file may have that path.
    pub fn of(request: &'a Request, has_rest: bool, dotfiles: bool) -> Option<Self> {
        let sent = request.path();
        let has_slash = sent.ends_with('/');
        if !has_rest {
            return Some(Self { path: "".into(), has_slash });
        }
        let (_, rest) = request.params().iter_bytes().last()?;
        let rest = std::str::from_utf8(rest).ok()?;
        if sent.contains('%') && hides_slash(sent, rest) {
            return None;
        }
        let path = rest.strip_suffix('/').unwrap_or(rest);
        if path.is_empty() && !rest.is_empty() {
            return None;
        }
        is_safe(path, dotfiles).then_some(Self { path: path.into(), has_slash })
    }
}

/// Returns `true` if a slash of the decoded rest was sent as `%2F`. Then one of the last segments of the
/// path as sent, as many as the rest has, decodes to more than one.
fn hides_slash(sent: &str, rest: &str) -> bool {
    let count = rest.matches('/').count() + 1;
    sent.rsplit('/').take(count).any(|segment| percent_decode_str(segment).any(|byte| byte == b'/'))
}

/// Returns `true` if each segment is a name that a file may be served under.
///
/// A backslash separates segments for some clients and systems, so it is in no name. A name that
/// begins with a dot is private unless `dotfiles` says otherwise; `.well-known` in the root is
/// made for the public (RFC 8615). On Windows, names that it takes for something else are in none.
pub(super) fn is_safe(path: &str, dotfiles: bool) -> bool {
    if path.is_empty() {
        return true;
    }
    let is_name = |(at, segment): (usize, &str)| match segment.as_bytes() {
        [] | b"." | b".." => false,
        [b'.', ..] => dotfiles || (at == 0 && segment == ".well-known"),
        _ => true,
    } && !is_reserved(segment);
    !path.bytes().any(|byte| byte == 0 || byte == b'\\') && path.split('/').enumerate().all(is_name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_lead_elsewhere_or_are_private_are_not_safe() {
        for path in ["", "a", "a/b.txt", "caf\u{e9}", "a b", "..a/b", ".well-known/acme"] {
            let expected = !path.starts_with("..a");
            assert_eq!(is_safe(path, false), expected, "{path:?}");
            assert!(is_safe(path, true), "{path:?}");
        }
        for path in ["a..", "a/b:c"] {
            assert_eq!(is_safe(path, false), cfg!(unix), "{path:?}");
        }
        for path in ["..", "a/..", "../a", ".", "./a", "a//b", "/a", "a/", "a\\b", "..\\a", "a\0", "\0"] {
            assert!(!is_safe(path, false) && !is_safe(path, true), "{path:?}");
        }
        for path in [".env", ".git/config", "a/.htaccess", "a/.well-known", "..a"] {
            assert!(!is_safe(path, false) && is_safe(path, true), "{path:?}");
        }
    }

    #[test]
    fn a_slash_that_was_escaped_is_found() {
        for (sent, rest) in
            [("/s/a%2Fb", "a/b"), ("/s/a%2fb/c", "a/b/c"), ("/s/%2F", "/"), ("/s/x/%2f%2f", "x///")]
        {
            assert!(hides_slash(sent, rest), "{sent}");
        }
        for (sent, rest) in [("/s/a%20b/c", "a b/c"), ("/s%2Ft/a", "a"), ("/a%252Fb", "a%2Fb")] {
            assert!(!hides_slash(sent, rest), "{sent}");
        }
    }
}
