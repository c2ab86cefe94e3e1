//! Path parameters: what the `{names}` of a route's pattern stood for.

use std::borrow::Cow;
use std::sync::Arc;

use percent_encoding::percent_decode_str;

/// The parameters a route's pattern took out of the path, percent-decoded.
///
/// A client may send bytes that are not UTF-8 (`%FF`): they are U+FFFD in the
/// values that are text, so that two values may look the same, and
/// [`get_bytes`](Self::get_bytes) has them as they are.
///
/// ```
/// use transom::{Request, Response, Router};
///
/// Router::new().get("/{owner}/{name}", async |req: Request| {
///     let all: Vec<_> = req.params().iter().map(|(name, value)| format!("{name}={value}")).collect();
///     Response::text(all.join(" "))
/// });
/// ```
#[derive(Clone, Debug, Default)]
pub struct Params {
    names: Option<Arc<[Box<str>]>>,
    /// The values, one after the other.
    text: String,
    /// Where each of them ends.
    ends: Vec<usize>,
    /// Of those that are not UTF-8, which it is, and its bytes.
    foreign: Vec<(usize, Vec<u8>)>,
}

impl Params {
    /// Pairs a pattern's names with the values matched, in the pattern's order, in
    /// place of what there is.
    pub(crate) fn assign<'a>(&mut self, names: &Arc<[Box<str>]>, values: impl Iterator<Item = &'a str>) {
        self.clear();
        self.names = Some(Arc::clone(names));
        for value in values {
            let decoded = Cow::from(percent_decode_str(value));
            if let Ok(text) = std::str::from_utf8(&decoded) {
                self.text.push_str(text);
            } else {
                self.text.push_str(&String::from_utf8_lossy(&decoded));
                self.foreign.push((self.ends.len(), decoded.into_owned()));
            }
            self.ends.push(self.text.len());
        }
    }

    pub(crate) fn clear(&mut self) {
        if self.names.take().is_some() {
            self.text.clear();
            self.ends.clear();
            self.foreign.clear();
        }
    }

    /// The value of that parameter, decoded; bytes that are not UTF-8 are U+FFFD.
    ///
    /// ```
    /// # let params = transom::Params::default();
    /// assert_eq!(params.get("id"), None);
    /// ```
    pub fn get(&self, name: &str) -> Option<&str> {
        self.iter().find(|(other, _)| *other == name).map(|(_, value)| value)
    }

    /// The value of that parameter, decoded, byte for byte.
    ///
    /// ```
    /// # let params = transom::Params::default();
    /// assert_eq!(params.get_bytes("id"), None);
    /// ```
    pub fn get_bytes(&self, name: &str) -> Option<&[u8]> {
        self.iter_bytes().find(|(other, _)| *other == name).map(|(_, value)| value)
    }

    /// Names and values in the order of the pattern; bytes that are not UTF-8
    /// are U+FFFD.
    ///
    /// ```
    /// # let params = transom::Params::default();
    /// assert_eq!(params.iter().count(), 0);
    /// ```
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        let names = self.names.as_deref().unwrap_or_default();
        let starts = [0].into_iter().chain(self.ends.iter().copied());
        let values = starts.zip(&self.ends).map(|(start, &end)| &self.text[start..end]);
        names.iter().map(AsRef::as_ref).zip(values)
    }

    /// Names and values in the order of the pattern, byte for byte.
    ///
    /// ```
    /// # let params = transom::Params::default();
    /// assert_eq!(params.iter_bytes().count(), 0);
    /// ```
    pub fn iter_bytes(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.iter().enumerate().map(|(index, (name, text))| {
            let foreign = self.foreign.iter().find(|(of, _)| *of == index);
            (name, foreign.map_or(text.as_bytes(), |(_, bytes)| bytes))
        })
    }
}
