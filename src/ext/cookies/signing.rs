//! [`SigningKeys`]: the keys that sign the values of cookies.

use std::fmt::{self, Write as _};

use hmac_sha256::HMAC;
use subtle::{Choice, ConstantTimeEq as _};

use super::bad_cookie::BadCookie;

/// The least bytes of a key.
const LEAST: usize = 32;
/// The bytes of a signature with its dot.
const SIGNATURE: usize = 65;

/// The keys that sign the values of cookies with HMAC-SHA256, so that a client cannot change them. It can
/// read them, and send an old one again: put a time into the value if that matters.
///
/// A signed value is the value, a dot, and the signature of `name=value` in 64 hexadecimal digits: the same
/// in Rust, C and Python. Signatures are compared in constant time.
///
/// ```
/// use transom::{BadCookie, Request, Response, Router, SetCookie, SigningKeys};
///
/// let keys = SigningKeys::new(b"32 random bytes that nobody knows")?;
/// let signed = keys.sign("user", "ada");
/// assert_eq!(keys.verify("user", &signed), Some("ada"));
/// assert_eq!(keys.verify("role", &signed), None);
///
/// let login = keys.clone();
/// Router::new()
///     .post("/login", async move |_: Request| {
///         Ok(Response::text("welcome").set_cookie(&SetCookie::new("user", "ada").signed(&login))?)
///     })
///     .get("/", async move |req: Request| {
///         Ok(req.cookies()?.signed("user", &keys).unwrap_or("nobody").to_owned())
///     });
/// # Ok::<(), BadCookie>(())
/// ```
#[derive(Clone)]
pub struct SigningKeys {
    /// The first one signs.
    keys: Vec<Vec<u8>>,
}

impl SigningKeys {
    /// Returns keys of which this one signs: at least 32 random bytes.
    ///
    /// # Errors
    /// [`BadCookie`] if the key is shorter.
    pub fn new(key: impl AsRef<[u8]>) -> Result<Self, BadCookie> {
        Self { keys: Vec::new() }.and_old(key)
    }

    /// Adds an old key, whose signatures are still accepted: to change the key while clients have cookies.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn and_old(mut self, key: impl AsRef<[u8]>) -> Result<Self, BadCookie> {
        let key = key.as_ref();
        if key.len() < LEAST {
            return Err(BadCookie(format!("a key has at least {LEAST} bytes, got {}", key.len())));
        }
        self.keys.push(key.to_vec());
        Ok(self)
    }

    /// Returns a value with its signature, for the cookie of that name.
    pub fn sign(&self, name: &str, value: &str) -> String {
        let signature = self.keys.first().map(|key| signature(key, name, value));
        format!("{value}.{}", signature.unwrap_or_default())
    }

    /// Returns the value if one of the keys has signed it for the cookie of that name.
    pub fn verify<'a>(&self, name: &str, signed: &'a str) -> Option<&'a str> {
        let dot = signed.len().checked_sub(SIGNATURE)?;
        let value = signed.get(..dot)?;
        let given = signed.get(dot..)?.strip_prefix('.')?;
        let is_right = self.keys.iter().fold(Choice::from(0), |found, key| {
            found | signature(key, name, value).as_bytes().ct_eq(given.as_bytes())
        });
        bool::from(is_right).then_some(value)
    }
}

impl fmt::Debug for SigningKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKeys({} keys)", self.keys.len())
    }
}

fn signature(key: &[u8], name: &str, value: &str) -> String {
    let mut hmac = HMAC::new(key);
    for part in [name, "=", value] {
        hmac.update(part);
    }
    hmac.finalize().iter().fold(String::with_capacity(SIGNATURE), |mut digits, byte| {
        // Writing to a text cannot fail.
        let _ = write!(digits, "{byte:02x}");
        digits
    })
}
