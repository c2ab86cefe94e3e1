//! The media types that are worth compressing.

/// Types of text. Pictures, sound, films and archives are compressed already.
pub(super) const DEFAULT: [&str; 14] = [
    "text/*",
    "*/*+json",
    "*/*+xml",
    "*/*+text",
    "application/json",
    "application/javascript",
    "application/xml",
    "application/x-ndjson",
    "application/manifest+json",
    "application/wasm",
    "application/vnd.ms-fontobject",
    "font/ttf",
    "font/otf",
    "image/bmp",
];

/// A set of media types: `text/html`, `text/*`, or `*/*+json`.
#[derive(Clone, Debug)]
pub(super) struct Types(Vec<Box<str>>);

impl Types {
    pub fn new<S: Into<String>>(types: impl IntoIterator<Item = S>) -> Self {
        let lower = |of: S| of.into().trim().to_ascii_lowercase().into();
        Self(types.into_iter().map(lower).collect())
    }

    /// Returns `true` if the type of a Content-Type field is in the set.
    pub fn have(&self, content_type: &[u8]) -> bool {
        let essence = content_type.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
        self.0.iter().any(|pattern| is_like(pattern.as_bytes(), essence))
    }
}

/// Returns `true` if a media type is like a pattern, which is in lower case.
fn is_like(pattern: &[u8], essence: &[u8]) -> bool {
    if pattern == b"*/*" {
        return true;
    }
    if let Some(suffix) = pattern.strip_prefix(b"*/*") {
        return essence
            .len()
            .checked_sub(suffix.len())
            .is_some_and(|at| essence[at..].eq_ignore_ascii_case(suffix));
    }
    match pattern.strip_suffix(b"*") {
        Some(prefix) => essence.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix)),
        None => essence.eq_ignore_ascii_case(pattern),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_type_is_in_the_set_whatever_its_case_and_parameters() {
        let types = Types::new(DEFAULT);
        for yes in [
            "text/html",
            "Text/HTML; charset=utf-8",
            "text/event-stream",
            "application/json",
            "application/problem+json",
            "image/svg+xml",
            "application/wasm ;x=1",
        ] {
            assert!(types.have(yes.as_bytes()), "{yes}");
        }
        for no in ["", "text", "image/png", "application/zip", "application/jsonp", "video/mp4", "font/woff2"]
        {
            assert!(!types.have(no.as_bytes()), "{no}");
        }
        assert!(Types::new(["*/*"]).have(b"image/png"));
        assert!(!Types::new::<&str>([]).have(b"text/html"));
    }
}
