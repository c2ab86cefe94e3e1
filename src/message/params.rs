//! Path parameters: the values of the `{names}` in a route's pattern.

use std::borrow::Cow;
use std::sync::Arc;

use percent_encoding::percent_decode_str;

/// The parameters that a route's pattern took from the path, percent-decoded.
///
/// A client may send bytes that are not UTF-8 (`%FF`). The text of a value has U+FFFD in their
/// place, so two different values may look the same. [`get_bytes`](Self::get_bytes) returns the
/// bytes.
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
    /// The values, joined.
    text: String,
    /// The end of each value.
    ends: Vec<usize>,
    /// The index and the bytes of each value that is not UTF-8.
    foreign: Vec<(usize, Vec<u8>)>,
}

impl Params {
    /// Replaces the parameters with a pattern's names and the values that matched, in the pattern's
    /// order.
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

    /// Returns the value of the parameter `name`, decoded. Bytes that are not UTF-8 are U+FFFD.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.iter().find(|(other, _)| *other == name).map(|(_, value)| value)
    }

    /// Returns the value of the parameter `name`, decoded, as bytes.
    pub fn get_bytes(&self, name: &str) -> Option<&[u8]> {
        self.iter_bytes().find(|(other, _)| *other == name).map(|(_, value)| value)
    }

    /// Returns names and values in the order of the pattern. Bytes that are not UTF-8 are U+FFFD.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        let names = self.names.as_deref().unwrap_or_default();
        let starts = [0].into_iter().chain(self.ends.iter().copied());
        let values = starts.zip(&self.ends).map(|(start, &end)| &self.text[start..end]);
        names.iter().map(AsRef::as_ref).zip(values)
    }

    /// Returns names and values in the order of the pattern, as bytes.
    pub fn iter_bytes(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.iter().enumerate().map(|(index, (name, text))| {
            let foreign = self.foreign.iter().find(|(of, _)| *of == index);
            (name, foreign.map_or(text.as_bytes(), |(_, bytes)| bytes))
        })
    }
}
