//! A route's pattern: read, checked, and written in the form that the routing
//! tree takes. It knows no handler and no request.

use std::sync::Arc;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::message::Target;

/// The bytes that are escaped in the fixed text of a pattern before it is read as a request
/// target: all but the slashes and the escapes that are there.
const LITERAL: &AsciiSet = &NON_ALPHANUMERIC.remove(b'/').remove(b'%');

/// A pattern that a path can match.
#[derive(Debug)]
pub(crate) struct Pattern {
    /// The pattern in the tree's syntax, with the names as given.
    pub tree: String,
    /// `tree` without names: equal for two patterns that match the same paths.
    pub shape: Box<str>,
    /// The names of the parameters, in the order of the path.
    pub names: Arc<[Box<str>]>,
    /// The last segment is `{*name}`.
    pub has_rest: bool,
}

/// A piece of a pattern.
enum Part<'a> {
    Text(String),
    Param(&'a str),
}

impl Pattern {
    /// Reads a pattern. The error is a sentence that shows the right form.
    pub fn parse(text: &str) -> Result<Self, String> {
        if !text.starts_with('/') {
            return Err("a pattern starts with `/`".into());
        }
        let (mut tree, mut shape, mut names) = (String::new(), String::new(), Vec::<Box<str>>::new());
        let mut has_rest = false;
        for part in parts(text)? {
            if has_rest {
                return Err("`{*name}` is the whole last segment, as in `/files/{*path}`".into());
            }
            match part {
                Part::Text(literal) => {
                    let literal = decode(&literal)?.replace('{', "{{").replace('}', "}}");
                    tree.push_str(&literal);
                    shape.push_str(&literal);
                }
                Part::Param(name) => {
                    let (star, name) = match name.strip_prefix('*') {
                        Some(name) => ("*", name),
                        None => ("", name),
                    };
                    check_name(star, name)?;
                    if names.iter().any(|other| **other == *name) {
                        return Err(format!("two parameters have the name `{name}`: give each its own"));
                    }
                    has_rest = !star.is_empty();
                    if has_rest && !tree.ends_with('/') {
                        return Err("`{*name}` is the whole last segment, as in `/files/{*path}`".into());
                    }
                    tree.extend(["{", star, name, "}"]);
                    shape.extend(["{", star, "}"]);
                    names.push(name.into());
                }
            }
        }
        if shape.split('/').any(|segment| segment.replace("{{", "").matches('{').count() > 1) {
            return Err("a segment has one parameter at most, as in `/{from}/{to}`".into());
        }
        Ok(Self { tree, shape: shape.into(), names: names.into(), has_rest })
    }

    /// For a pattern that ends in `{*name}`: tree form and shape of what is before
    /// that, which an empty rest matches.
    pub fn before_rest(&self) -> Option<(&str, &str)> {
        let before = |text: &'_ str| text.rfind("{*").filter(|_| self.has_rest);
        Some((&self.tree[..before(&self.tree)?], &self.shape[..before(&self.shape)?]))
    }
}

/// Takes a pattern apart at its braces; doubled, they are text.
fn parts(text: &str) -> Result<Vec<Part<'_>>, String> {
    let (mut parts, mut literal, mut rest) = (Vec::new(), String::new(), text);
    while let Some(at) = rest.find(['{', '}']) {
        literal.push_str(&rest[..at]);
        let brace = &rest[at..=at];
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix(brace) {
            literal.push_str(brace);
            rest = after;
        } else if let ("{", Some((name, after))) = (brace, rest.split_once('}')) {
            parts.push(Part::Text(std::mem::take(&mut literal)));
            parts.push(Part::Param(name));
            rest = after;
        } else {
            // Braces within a parameter, as those of an expression.
            let within = parts.iter().rev().find_map(|part| match part {
                Part::Param(name) => check_name("", name).err(),
                Part::Text(_) => None,
            });
            return Err(within.unwrap_or_else(|| {
                "a brace has no other: a parameter is `{name}`, a literal brace `{{` or `}}`".into()
            }));
        }
    }
    literal.push_str(rest);
    parts.push(Part::Text(literal));
    parts.retain(|part| !matches!(part, Part::Text(text) if text.is_empty()));
    Ok(parts)
}

/// A name is of letters, digits, `_`, `-` and `.`: what looks like the syntax of
/// another router is never taken for one.
fn check_name(star: &str, name: &str) -> Result<(), String> {
    if name.is_empty() {
        return Err(format!("a parameter has a name, as in `{{{star}name}}`"));
    }
    let is_plain = |c: char| c.is_alphanumeric() || "_-.".contains(c);
    if name.chars().all(is_plain) && !name.ends_with("...") {
        return Ok(());
    }
    let plain = name.trim_start_matches('*');
    let plain: String = plain.chars().take_while(|&c| is_plain(c)).collect();
    let plain = match plain.trim_end_matches('.') {
        "" => "name",
        plain => plain,
    };
    let takes_all = ["...", ":path", ":.*", ":.+", "*"].iter().any(|mark| name.ends_with(mark));
    Err(if takes_all || name.starts_with('*') {
        format!("`{{{star}{name}}}` is no parameter: all that is left is `{{*{plain}}}`")
    } else {
        format!(
            "`{{{star}{name}}}` is no parameter: write `{{{star}{plain}}}`, and look at its value in the handler"
        )
    })
}

/// The fixed text of a pattern in the form that paths are matched in.
fn decode(literal: &str) -> Result<String, String> {
    if literal.contains('?') {
        return Err(
            "a pattern is a path: the query is for the handler to read (a literal `?` is `%3F`)".into()
        );
    }
    if literal.contains('#') {
        return Err("clients do not send what follows a `#` (a literal `#` is `%23`)".into());
    }
    if literal.contains('*') {
        return Err("`*` stands for nothing: all that is left is `{*name}` (a literal `*` is `%2A`)".into());
    }
    if let Some((_, named)) = literal.split_once("/:")
        && named.starts_with(|c: char| c.is_alphanumeric() || c == '_')
    {
        let name: String = named.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
        return Err(format!("a parameter is `{{{name}}}`, not `:{name}` (a literal `:` is `%3A`)"));
    }
    if let Some((name, _)) = literal.split_once('<').and_then(|(_, after)| after.split_once('>')) {
        let plain = name.rsplit(':').next().unwrap_or_default();
        return Err(format!("a parameter is `{{{plain}}}`, not `<{name}>` (a literal `<` is `%3C`)"));
    }
    let is_escape = |at: usize| {
        literal.as_bytes().get(at + 1..at + 3).is_some_and(|hex| hex.iter().all(u8::is_ascii_hexdigit))
    };
    if literal.match_indices('%').any(|(at, _)| !is_escape(at)) {
        return Err("a `%` begins an escape (a literal `%` is `%25`)".into());
    }
    // As a request's path is read, so that the two are the same.
    let escaped = format!("/{}", utf8_percent_encode(literal, LITERAL));
    let decoded = Target::parse(&escaped).map(|target| target.routing_path().into_owned());
    let decoded = decoded.as_deref().and_then(|path| path.strip_prefix('/')).unwrap_or_default();
    let left = decoded.replace("%2F", "").replace("%25", "");
    if left.contains('%') {
        return Err("its escapes are no UTF-8".into());
    }
    Ok(decoded.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_is_read_as_a_path_is() {
        for (text, tree, shape) in [
            ("/", "/", "/"),
            ("/a/{id}/b", "/a/{id}/b", "/a/{}/b"),
            ("/{*rest}", "/{*rest}", "/{*}"),
            ("/img-{n}.png", "/img-{n}.png", "/img-{}.png"),
            ("/caf%C3%A9", "/café", "/café"),
            ("/café", "/café", "/café"),
            ("/a%20b", "/a b", "/a b"),
            ("/a%2fb", "/a%2Fb", "/a%2Fb"),
            ("/100%25", "/100%25", "/100%25"),
            ("/q%3Fx%23y%2A", "/q?x#y*", "/q?x#y*"),
            ("/%3Aid/%3Cid%3E", "/:id/<id>", "/:id/<id>"),
            ("/{{a}}/%7Bb%7D", "/{{a}}/{{b}}", "/{{a}}/{{b}}"),
            ("/users:all/:", "/users:all/:", "/users:all/:"),
            ("/{a-b.c_1}", "/{a-b.c_1}", "/{}"),
        ] {
            let pattern = Pattern::parse(text).unwrap();
            assert_eq!((&*pattern.tree, &*pattern.shape), (tree, shape), "{text}");
        }
    }

    #[test]
    fn what_no_path_can_match_is_refused_with_the_right_form() {
        for (text, form) in [
            ("", "starts with `/`"),
            ("a", "starts with `/`"),
            ("/q?x=1", "`%3F`"),
            ("/a#b", "`%23`"),
            ("/a/{b}/{b}", "name `b`"),
            ("/{id}/{*id}", "name `id`"),
            ("/{id:int}", "`{id}`"),
            ("/{id:[0-9]+}", "`{id}`"),
            ("/{id:[a-z]{2}}", "`{id}`"),
            ("/{id?}", "`{id}`"),
            ("/{ id }", "`{name}`"),
            ("/{path:path}", "`{*path}`"),
            ("/{path...}", "`{*path}`"),
            ("/{path*}", "`{*path}`"),
            ("/{**path}", "`{*path}`"),
            ("/<id>", "`{id}`"),
            ("/<int:id>", "`{id}`"),
            ("/x-<id>.png", "`{id}`"),
            ("/:id", "`{id}`"),
            ("/a/:id/b", "`{id}`"),
            ("/*", "`{*name}`"),
            ("/files/*path", "`{*name}`"),
            ("/{}", "`{name}`"),
            ("/{*}", "`{*name}`"),
            ("/{", "`{name}`"),
            ("/a}", "`{name}`"),
            ("/{a}-{b}", "one parameter"),
            ("/{{{a}-{b}", "one parameter"),
            ("/{*all}/more", "last segment"),
            ("/x{*all}", "last segment"),
            ("/100%", "`%25`"),
            ("/%zz", "`%25`"),
            ("/%FF", "no UTF-8"),
        ] {
            let reason = Pattern::parse(text).unwrap_err();
            assert!(reason.contains(form), "{text}: {reason}");
        }
    }

    #[test]
    fn what_is_before_the_rest_is_known() {
        assert_eq!(Pattern::parse("/a/{b}/{*c}").unwrap().before_rest(), Some(("/a/{b}/", "/a/{}/")));
        assert_eq!(Pattern::parse("/{*c}").unwrap().before_rest(), Some(("/", "/")));
        assert_eq!(Pattern::parse("/{c}").unwrap().before_rest(), None);
    }
}
