//! The names and values of a query, and of a form in memory.

use std::borrow::Cow;

use super::media_type::{URLENCODED, media_type};
use crate::Request;

impl Request {
    /// Returns the names and values of the query, decoded, in their order. Bytes that are not UTF-8 are
    /// U+FFFD.
    ///
    /// ```
    /// use transom::{Method, Request};
    ///
    /// let req = Request::new(Method::GET, "/search?q=a+b&tag=x&tag=%C3%A9")?;
    /// assert_eq!(req.query_value("q").as_deref(), Some("a b"));
    /// let tags = req.query_fields().filter(|(name, _)| name == "tag");
    /// assert_eq!(tags.map(|(_, value)| value).collect::<Vec<_>>(), ["x", "\u{e9}"]);
    /// # Ok::<(), transom::Reject>(())
    /// ```
    pub fn query_fields(&self) -> impl Iterator<Item = (Cow<'_, str>, Cow<'_, str>)> {
        form_urlencoded::parse(self.query().unwrap_or_default().as_bytes())
    }

    /// Returns the first value of a name in the query, decoded.
    pub fn query_value(&self, name: &str) -> Option<Cow<'_, str>> {
        self.query_fields().find(|(other, _)| other == name).map(|(_, value)| value)
    }

    /// Returns the names and values of a form whose body is in memory
    /// (`application/x-www-form-urlencoded`), decoded, in their order. There are none if the
    /// Content-Type is another. Nothing is copied that needs no decoding;
    /// [`read_form`](Self::read_form) reads other forms, and tells errors.
    pub fn form_fields(&self) -> impl Iterator<Item = (Cow<'_, str>, Cow<'_, str>)> {
        let is_form = media_type(self.header("content-type").unwrap_or_default()) == URLENCODED;
        form_urlencoded::parse(if is_form { self.bytes() } else { &[] })
    }

    /// Returns the first value of a name in such a form, decoded.
    pub fn form_value(&self, name: &str) -> Option<Cow<'_, str>> {
        self.form_fields().find(|(other, _)| other == name).map(|(_, value)| value)
    }
}
