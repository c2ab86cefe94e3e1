//! [`BadCookie`]: why a cookie cannot be set.

use std::fmt;

/// The reason why a cookie cannot be set, as a sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadCookie(pub(super) String);

impl fmt::Display for BadCookie {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for BadCookie {}
