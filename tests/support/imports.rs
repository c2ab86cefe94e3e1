//! The imports between the files of a crate, as a graph, and the circles in it.

use std::collections::{BTreeMap, BTreeSet};

/// The files that each file imports from.
pub type Graph = BTreeMap<String, BTreeSet<String>>;

/// Returns the code without comments and without unit tests.
pub fn code(text: &str) -> String {
    let text = text.split("#[cfg(test)]\nmod tests").next().unwrap();
    text.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

/// Returns the imports between `files`: names relative to the root of the crate, with their text.
///
/// `mod x;` and re-exports (`pub use`) of a folder's `mod.rs` are its list of contents, not
/// imports; a path that leads through a re-export is an import of the file behind it.
pub fn graph(files: &[(String, String)]) -> Graph {
    let codes: BTreeMap<&str, String> =
        files.iter().map(|(name, text)| (name.as_str(), code(text))).collect();
    let contents: BTreeMap<&str, BTreeMap<String, Vec<String>>> =
        codes.iter().map(|(name, code)| (*name, re_exports(code))).collect();
    let mut graph = Graph::new();
    for (name, code) in &codes {
        let place = module(name);
        let imports = graph.entry((*name).to_owned()).or_default();
        for path in paths(code) {
            let Some(path) = absolute(&path, &place) else { continue };
            if let Some(file) = resolve(&path, &codes, &contents)
                && file != *name
            {
                imports.insert(file.to_owned());
            }
        }
    }
    graph
}

/// Returns a circle of imports, if there is one: its files in order, the first repeated at the end.
pub fn circle(graph: &Graph) -> Option<Vec<String>> {
    fn visit<'a>(
        graph: &'a Graph,
        at: &'a str,
        trail: &mut Vec<&'a str>,
        done: &mut BTreeSet<&'a str>,
    ) -> Option<Vec<String>> {
        if let Some(start) = trail.iter().position(|name| *name == at) {
            return Some(trail[start..].iter().chain([&at]).map(|name| (*name).to_owned()).collect());
        }
        if done.contains(at) {
            return None;
        }
        trail.push(at);
        let found = graph.get(at).into_iter().flatten().find_map(|next| visit(graph, next, trail, done));
        trail.pop();
        done.insert(at);
        found
    }
    let mut done = BTreeSet::new();
    graph.keys().find_map(|name| visit(graph, name, &mut Vec::new(), &mut done))
}

/// Returns the module of a file: `conn/wire.rs` is `[conn, wire]`, `conn/mod.rs` is `[conn]`.
fn module(file: &str) -> Vec<String> {
    let mut path: Vec<String> = file.trim_end_matches(".rs").split('/').map(str::to_owned).collect();
    if path.last().is_some_and(|last| ["mod", "lib", "main"].contains(&last.as_str())) {
        path.pop();
    }
    path
}

/// Returns the paths that code names, in `use` (but not `pub use`) and in place.
fn paths(code: &str) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    let mut rest = String::new();
    for (declaration, is_public, other) in uses(code) {
        rest.push_str(other);
        if !is_public {
            found.extend(expand(declaration).into_iter().map(|(path, _)| path));
        }
    }
    for root in ["crate::", "super::"] {
        for (at, _) in rest.match_indices(root) {
            // `$crate` in a macro is the caller's business, and `super::super::` is found at its first.
            let before = rest[..at].chars().next_back();
            if before.is_some_and(|c| c.is_alphanumeric() || "$_:".contains(c)) {
                continue;
            }
            let path = rest[at..]
                .split(|c: char| !c.is_alphanumeric() && c != '_' && c != ':')
                .next()
                .unwrap_or_default();
            found.push(path.split("::").filter(|word| !word.is_empty()).map(str::to_owned).collect());
        }
    }
    found
}

/// Cuts code at its `use` declarations: each with whether it is public, and the code before it.
/// The last has no declaration, and the code after all of them.
fn uses(code: &str) -> Vec<(&str, bool, &str)> {
    let mut found = Vec::new();
    let mut start = 0;
    let mut line_start = 0;
    for line in code.split_inclusive('\n') {
        let at = line_start;
        line_start += line.len();
        let text = line.trim_start();
        let visibility = ["pub(crate) use ", "pub(super) use ", "pub use ", "use "];
        let in_path =
            text.starts_with("pub(in ").then(|| text.find(") use ").map(|i| &text[..i + 6])).flatten();
        let prefix = in_path.or_else(|| visibility.into_iter().find(|prefix| text.starts_with(prefix)));
        let (Some(prefix), true) = (prefix, at >= start) else { continue };
        let begin = at + (line.len() - text.len()) + prefix.len();
        let Some(end) = code[begin..].find(';') else { continue };
        found.push((&code[begin..begin + end], prefix != "use ", &code[start..at]));
        start = begin + end + 1;
    }
    found.push(("", true, &code[start..]));
    found
}

/// Expands the tree of a `use` declaration to its paths, each with the name it goes by.
fn expand(tree: &str) -> Vec<(Vec<String>, String)> {
    let tree = tree.trim();
    if let Some(open) = tree.find('{') {
        let prefix: Vec<String> = tree[..open]
            .split("::")
            .map(str::trim)
            .filter(|word| !word.is_empty())
            .map(str::to_owned)
            .collect();
        let inside = &tree[open + 1..tree.rfind('}').unwrap_or(tree.len())];
        let (mut depth, mut start, mut parts) = (0, 0, Vec::new());
        for (at, c) in inside.char_indices() {
            match c {
                '{' => depth += 1,
                '}' => depth -= 1,
                ',' if depth == 0 => {
                    parts.push(&inside[start..at]);
                    start = at + 1;
                }
                _ => {}
            }
        }
        parts.push(&inside[start..]);
        return parts
            .into_iter()
            .filter(|part| !part.trim().is_empty())
            .flat_map(expand)
            .map(|(path, name)| {
                let path = path.into_iter().filter(|word| word != "self");
                (prefix.iter().cloned().chain(path).collect(), name)
            })
            .collect();
    }
    let (path, alias) = tree.split_once(" as ").map_or((tree, None), |(path, alias)| (path, Some(alias)));
    let path: Vec<String> = path.split("::").map(|word| word.trim().to_owned()).collect();
    let name =
        alias.map_or_else(|| path.last().cloned().unwrap_or_default(), |alias| alias.trim().to_owned());
    vec![(path, name)]
}

/// Returns what a `mod.rs` offers under other paths: names, each with the path behind it.
fn re_exports(code: &str) -> BTreeMap<String, Vec<String>> {
    let public = uses(code).into_iter().filter(|(_, is_public, _)| *is_public);
    public.flat_map(|(declaration, ..)| expand(declaration)).map(|(path, name)| (name, path)).collect()
}

/// Makes a path absolute that begins with `crate`, `super` or `self`; `None` is another crate's.
fn absolute(path: &[String], place: &[String]) -> Option<Vec<String>> {
    let mut base: Vec<String> = match path.first()?.as_str() {
        "crate" => Vec::new(),
        "self" => place.to_vec(),
        "super" => place[..place.len().checked_sub(1)?].to_vec(),
        _ => return None,
    };
    for word in &path[1..] {
        if word == "super" {
            base.pop();
        } else {
            base.push(word.clone());
        }
    }
    Some(base)
}

/// Returns the file that an absolute path leads to, through re-exports.
fn resolve<'a>(
    path: &[String],
    codes: &BTreeMap<&'a str, String>,
    contents: &BTreeMap<&str, BTreeMap<String, Vec<String>>>,
) -> Option<&'a str> {
    let name = |candidate: &str| codes.keys().find(|name| **name == candidate).copied();
    let mut folder = String::new();
    for (depth, word) in path.iter().enumerate() {
        if let Some(file) = name(&format!("{folder}{word}.rs")) {
            return Some(file);
        }
        let inner = format!("{folder}{word}/");
        if name(&format!("{inner}mod.rs")).is_some() {
            folder = inner;
            continue;
        }
        // An item of the folder's `mod.rs`, or of a file behind it.
        let owner = ["mod.rs", "lib.rs"].into_iter().find_map(|file| name(&format!("{folder}{file}")))?;
        let Some(behind) = contents[owner].get(word) else { return Some(owner) };
        let place = &path[..depth];
        let is_relative = !["crate", "super", "self"].contains(&behind.first()?.as_str());
        let mut behind = if is_relative {
            place.iter().cloned().chain(behind.iter().cloned()).collect()
        } else {
            absolute(behind, place)?
        };
        // What is re-exported from another crate has no file.
        if behind == path[..=depth] {
            return None;
        }
        behind.extend(path[depth + 1..].iter().cloned());
        return resolve(&behind, codes, contents);
    }
    name(&format!("{folder}mod.rs"))
}
