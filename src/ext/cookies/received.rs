//! [`Cookies`]: the cookies that a client sends.

use super::signing::SigningKeys;
use crate::HttpError;
use crate::HttpResult;
use crate::Request;
use crate::StatusCode;

impl Request {
    /// Returns the cookies of the request.
    ///
    /// ```
    /// use transom::{Method, Request};
    ///
    /// let mut req = Request::new(Method::GET, "/")?;
    /// req.headers_mut().append("cookie", "session=abc; theme=\"dark\"")?;
    /// let cookies = req.cookies().unwrap();
    /// assert_eq!((cookies.get("session"), cookies.get("theme")), (Some("abc"), Some("dark")));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// 431 if there are more than [`Cookies::MOST`].
    pub fn cookies(&self) -> HttpResult<Cookies<'_>> {
        let cookies = Cookies { request: self };
        if cookies.pairs().nth(Cookies::MOST).is_some() {
            let sentence = format!("the request has more than {} cookies", Cookies::MOST);
            return Err(HttpError::new(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, sentence));
        }
        Ok(cookies)
    }
}

/// The cookies of a request, as the client sent them: cookies have no encoding of their own. What is
/// not `name=value` in a Cookie field is passed over, and the quotes around a value are left out. They
/// are read when they are asked for, and nothing is copied.
#[derive(Clone, Copy, Debug)]
pub struct Cookies<'a> {
    request: &'a Request,
}

impl<'a> Cookies<'a> {
    /// The most cookies of a request.
    pub const MOST: usize = 1_000;

    /// Returns the value of the first cookie with this name, whose case matters. `None` if there is none
    /// or it is not UTF-8.
    pub fn get(self, name: &str) -> Option<&'a str> {
        let (_, value) = self.pairs().find(|(other, _)| *other == name.as_bytes())?;
        std::str::from_utf8(value).ok()
    }

    /// Returns the value of a cookie that [`SetCookie::signed`](crate::SetCookie::signed) has signed.
    /// `None` if there is none, or none of the keys has signed it.
    pub fn signed(self, name: &str, keys: &SigningKeys) -> Option<&'a str> {
        keys.verify(name, self.get(name)?)
    }

    /// Returns the names and values, in their order. Those that are not UTF-8 are passed over.
    pub fn iter(self) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.pairs().filter_map(|(name, value)| {
            Some((std::str::from_utf8(name).ok()?, std::str::from_utf8(value).ok()?))
        })
    }

    fn pairs(self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> {
        let lines = self.request.headers().get_all("cookie");
        lines.flat_map(|line| line.split(|byte| *byte == b';')).filter_map(|pair| {
            let pair = pair.trim_ascii();
            let equals = pair.iter().position(|byte| *byte == b'=').filter(|at| *at > 0)?;
            let value = &pair[equals + 1..];
            let unquoted = value.strip_prefix(b"\"").and_then(|value| value.strip_suffix(b"\""));
            Some((&pair[..equals], unquoted.unwrap_or(value)))
        })
    }
}
