//! Media types: the Content-Type of a file, by its name.

use std::borrow::Cow;

use crate::Headers;
use crate::InvalidHeader;

/// The type of bytes of which nothing is known.
const UNKNOWN: &str = "application/octet-stream";

/// The media types of a program, and the charset of texts.
#[derive(Clone, Debug)]
pub(super) struct MediaTypes {
    /// Each with its extension in lower case.
    own: Vec<(Box<str>, Box<str>)>,
    charset: Option<Box<str>>,
}

impl Default for MediaTypes {
    fn default() -> Self {
        Self { own: Vec::new(), charset: Some("utf-8".into()) }
    }
}

impl MediaTypes {
    /// Sets the type of an extension, without its dot. An empty one is for names without an extension.
    pub fn set(&mut self, extension: &str, content_type: &str) -> Result<(), InvalidHeader> {
        Headers::new().append("content-type", content_type)?;
        let extension = extension.trim_start_matches('.').to_ascii_lowercase().into_boxed_str();
        self.own.retain(|(other, _)| *other != extension);
        self.own.push((extension, content_type.into()));
        Ok(())
    }

    pub fn set_charset(&mut self, charset: Option<&str>) -> Result<(), InvalidHeader> {
        if let Some(charset) = charset {
            Headers::new().append(charset, "")?;
        }
        self.charset = charset.map(Into::into);
        Ok(())
    }

    /// Returns the type of a file by its name.
    pub fn of(&self, path: &str) -> Cow<'_, str> {
        let name = path.rsplit('/').next().unwrap_or_default();
        // A name that begins with its only dot has no extension.
        let extension = match name.rsplit_once('.') {
            Some((stem, extension)) if !stem.is_empty() => extension,
            _ => "",
        };
        let own = self.own.iter().find(|(other, _)| other.eq_ignore_ascii_case(extension));
        if let Some((_, content_type)) = own {
            return Cow::Borrowed(content_type);
        }
        let known = match mime_guess::from_ext(extension).first_raw().unwrap_or(UNKNOWN) {
            // An old name (RFC 9239 6).
            "application/javascript" => "text/javascript",
            known => known,
        };
        match &self.charset {
            Some(charset) if takes_charset(known) => Cow::Owned([known, "; charset=", charset].concat()),
            _ => Cow::Borrowed(known),
        }
    }
}

/// Returns `true` if a charset tells how to read a text of the type. XML tells by itself, and JSON has only
/// one.
fn takes_charset(content_type: &str) -> bool {
    content_type.starts_with("text/") && content_type != "text/xml"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_follow_the_last_extension_and_texts_have_a_charset() {
        let mut types = MediaTypes::default();
        for (name, expected) in [
            ("index.html", "text/html; charset=utf-8"),
            ("a/b.CSS", "text/css; charset=utf-8"),
            ("app.js", "text/javascript; charset=utf-8"),
            ("app.mjs", "text/javascript; charset=utf-8"),
            ("notes.txt", "text/plain; charset=utf-8"),
            ("data.json", "application/json"),
            ("logo.svg", "image/svg+xml"),
            ("feed.xml", "text/xml"),
            ("photo.jpeg", "image/jpeg"),
            ("font.woff2", "font/woff2"),
            ("movie.mp4", "video/mp4"),
            ("code.wasm", "application/wasm"),
            ("all.tar.gz", "application/gzip"),
            ("LICENSE", "application/octet-stream"),
            ("a.b/LICENSE", "application/octet-stream"),
            (".html", "application/octet-stream"),
            ("x.unheard-of", "application/octet-stream"),
        ] {
            assert_eq!(types.of(name), expected, "{name}");
        }
        types.set("", "text/plain; charset=utf-8").unwrap();
        types.set(".HTML", "text/html").unwrap();
        types.set_charset(Some("iso-8859-1")).unwrap();
        assert_eq!(types.of("LICENSE"), "text/plain; charset=utf-8");
        assert_eq!(types.of("a.html"), "text/html");
        assert_eq!(types.of("a.css"), "text/css; charset=iso-8859-1");
        types.set_charset(None).unwrap();
        assert_eq!(types.of("a.css"), "text/css");
        assert!(types.set("x", "text/plain\r\nx-evil: 1").is_err());
        assert!(types.set_charset(Some("utf-8; x=1")).is_err());
    }
}
