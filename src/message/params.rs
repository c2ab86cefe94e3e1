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
    values: Vec<String>,
}

impl Params {
    /// Pairs a pattern's names with the values matched, in the pattern's order.
    pub(crate) fn new<'a>(names: &Arc<[Box<str>]>, values: impl Iterator<Item = &'a str>) -> Self {
        Self {
            names: Some(Arc::clone(names)),
            values: values.map(|value| percent_decode_str(value).decode_utf8_lossy().into_owned()).collect(),
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
        names.iter().map(AsRef::as_ref).zip(self.values.iter().map(String::as_str))
    }
}
