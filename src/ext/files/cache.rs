//! Cache headers by pattern: how long caches may keep which files.

use crate::Headers;
use crate::InvalidHeader;

/// The values of Cache-Control, each for the paths of a pattern. The first that matches counts.
#[derive(Clone, Debug, Default)]
pub(super) struct CacheRules(Vec<(Box<str>, Box<str>)>);

impl CacheRules {
    pub fn add(&mut self, pattern: &str, value: &str) -> Result<(), InvalidHeader> {
        Headers::new().append("cache-control", value)?;
        self.0.push((pattern.trim_start_matches('/').into(), value.into()));
        Ok(())
    }

    /// Returns the value for a path below the root.
    pub fn of(&self, path: &str) -> Option<&str> {
        if self.0.is_empty() {
            return None;
        }
        let name = path.rsplit('/').next().unwrap_or_default();
        let matches = |pattern: &str| {
            // A pattern without a slash is for names, in whatever folder.
            let text = if pattern.contains('/') { path } else { name };
            is_match(pattern.as_bytes(), text.as_bytes())
        };
        self.0.iter().find(|(pattern, _)| matches(pattern)).map(|(_, value)| &**value)
    }
}

/// A star of a pattern.
struct Star {
    /// Where the pattern goes on.
    after: usize,
    /// Up to where the star stands for the text.
    read: usize,
}

/// Returns `true` if a text matches a pattern, in which `*` stands for any bytes but slashes, and `**` for any.
///
/// The text is read once for each star at most: only the last star that was met is tried again.
fn is_match(pattern: &[u8], text: &[u8]) -> bool {
    let (mut at, mut read) = (0, 0);
    // The last `*` and the last `**`.
    let (mut star, mut stars): (Option<Star>, Option<Star>) = (None, None);
    loop {
        match pattern.get(at) {
            Some(b'*') if pattern.get(at + 1) == Some(&b'*') => {
                (at, star) = (at + 2, None);
                stars = Some(Star { after: at, read });
                continue;
            }
            Some(b'*') => {
                at += 1;
                star = Some(Star { after: at, read });
                continue;
            }
            Some(byte) if text.get(read) == Some(byte) => {
                (at, read) = (at + 1, read + 1);
                continue;
            }
            None if read == text.len() => return true,
            _ => {}
        }
        match (&mut star, &mut stars) {
            (Some(star), _) if text.get(star.read).is_some_and(|byte| *byte != b'/') => {
                star.read += 1;
                (at, read) = (star.after, star.read);
            }
            (_, Some(stars)) if stars.read < text.len() => {
                stars.read += 1;
                (at, read, star) = (stars.after, stars.read, None);
            }
            _ => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stops_at_a_slash_and_two_do_not() {
        for (pattern, text, expected) in [
            ("*.js", "app.js", true),
            ("*.js", "app.css", false),
            ("*.js", "a/app.js", false),
            ("**", "a/b/c", true),
            ("a/**", "a/b/c.js", true),
            ("a/**", "b/c", false),
            ("a/*", "a/b/c", false),
            ("**/x/*.js", "a/b/x/y.js", true),
            ("**/x/*.js", "a/x/b/y.js", false),
            ("**/x/*.js", "a/x/b/x/y.js", true),
            ("a*b*c", "aXbYbZc", true),
            ("a*b*c", "aXbYbZ", false),
            ("index.html", "index.html", true),
            ("", "", true),
            ("", "a", false),
            ("*", "", true),
        ] {
            assert_eq!(is_match(pattern.as_bytes(), text.as_bytes()), expected, "{pattern} {text}");
        }
        // No pattern takes long.
        let stars = "*a".repeat(200);
        assert!(!is_match(stars.as_bytes(), "a".repeat(199).as_bytes()));
    }

    #[test]
    fn the_first_rule_that_matches_counts() {
        let mut rules = CacheRules::default();
        rules.add("/assets/**", "public, max-age=31536000, immutable").unwrap();
        rules.add("*.html", "no-cache").unwrap();
        rules.add("**", "max-age=60").unwrap();
        assert_eq!(rules.of("assets/a/b.html"), Some("public, max-age=31536000, immutable"));
        assert_eq!(rules.of("a/b.html"), Some("no-cache"));
        assert_eq!(rules.of("a/b.png"), Some("max-age=60"));
        assert!(rules.add("*", "a\nb").is_err());
        assert_eq!(CacheRules::default().of("a"), None);
    }
}
