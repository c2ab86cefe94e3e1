//! Path parameters: what the `{names}` of a route's pattern stood for.

use std::sync::Arc;

use percent_encoding::percent_decode_str;

/// The parameters a route's pattern took out of the path, percent-decoded.
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
    /// The values, one behind the other.
    text: String,
    /// Where each of them ends.
    ends: Vec<usize>,
}

impl Params {
    /// Pairs a pattern's names with the values matched, in the pattern's order, in
    /// place of what there is.
    pub(crate) fn assign<'a>(&mut self, names: &Arc<[Box<str>]>, values: impl Iterator<Item = &'a str>) {
        self.clear();
        self.names = Some(Arc::clone(names));
        for value in values {
            self.text.push_str(&percent_decode_str(value).decode_utf8_lossy());
            self.ends.push(self.text.len());
        }
    }

    pub(crate) fn clear(&mut self) {
        if self.names.take().is_some() {
            self.text.clear();
            self.ends.clear();
        }
    }

    /// The value of that parameter, decoded.
    ///
    /// ```
    /// # let params = transom::Params::default();
    /// assert_eq!(params.get("id"), None);
    /// ```
    pub fn get(&self, name: &str) -> Option<&str> {
        self.iter().find(|(other, _)| *other == name).map(|(_, value)| value)
    }

    /// Names and values in the order of the pattern.
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
}
