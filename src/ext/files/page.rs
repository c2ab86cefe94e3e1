//! The page that lists the files of a folder.

use std::fmt::Write as _;
use std::fs::File;
use std::io;
use std::time::{Duration, SystemTime};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::root::Root;
use super::system::{About, Patience, entries};
use super::wanted::is_safe;
use crate::Request;
use crate::Response;

/// The most entries of a page, unless the program says otherwise.
pub(super) const LISTING_LIMIT: usize = 10_000;

/// The bytes of a name that are escaped in a link.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
/// The page runs nothing and loads nothing.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'self'";

/// The entries of a folder.
pub(super) struct Entries {
    /// Folders first, then by name.
    entries: Vec<Entry>,
    /// True if the folder has more.
    is_cut: bool,
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Entry {
    is_file: bool,
    name: String,
    size: u64,
    /// In seconds of the Unix clock.
    modified: u64,
}

impl Entries {
    /// Reads the entries that are served: regular files and folders whose names are text. Links are left out:
    /// where they lead is known only when they are opened.
    pub fn read(
        (root, path, folder): (&Root, &str, &File),
        dotfiles: bool,
        limit: usize,
        patience: Patience,
    ) -> io::Result<Self> {
        if patience == Patience::None {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let mut found = Vec::new();
        let mut is_cut = false;
        let place = root.place(patience)?;
        entries(&place, path, folder, |name, about| {
            if !is_safe(name, dotfiles) {
                return true;
            }
            let Some(About { is_file, size, modified }) = about() else { return true };
            is_cut = found.len() >= limit;
            if !is_cut {
                found.push(Entry { is_file, name: name.to_owned(), size, modified });
            }
            !is_cut
        })?;
        found.sort_unstable();
        Ok(Self { entries: found, is_cut })
    }

    /// Returns the page.
    pub fn answer(&self, request: &Request) -> Response {
        let path = percent_encoding::percent_decode_str(request.path()).decode_utf8_lossy();
        let title = escaped(&path);
        let mut page = format!(
            "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<title>{title}</title>\n\
             <style>body{{font-family:sans-serif}}td,th{{padding:0 1em;text-align:left}}\
             td:nth-child(2){{text-align:right}}</style>\n</head>\n<body>\n<h1>{title}</h1>\n<table>\n\
             <tr><th>Name</th><th>Bytes</th><th>Changed</th></tr>\n\
             <tr><td><a href=\"../\">../</a></td><td></td><td></td></tr>\n"
        );
        for entry in &self.entries {
            let slash = if entry.is_file { "" } else { "/" };
            let link = utf8_percent_encode(&entry.name, SEGMENT);
            let name = escaped(&entry.name);
            let size = if entry.is_file { entry.size.to_string() } else { String::new() };
            let time = httpdate::fmt_http_date(SystemTime::UNIX_EPOCH + Duration::from_secs(entry.modified));
            let _ = writeln!(
                page,
                "<tr><td><a href=\"./{link}{slash}\">{name}{slash}</a></td><td>{size}</td><td>{time}</td></tr>"
            );
        }
        page.push_str("</table>\n");
        if self.is_cut {
            page.push_str("<p>There are more entries, which are not shown.</p>\n");
        }
        page.push_str("</body>\n</html>\n");
        Response::html(page)
            .header("content-security-policy", POLICY)
            .header("x-content-type-options", "nosniff")
            .header("cache-control", "no-store")
    }
}

/// Escapes what has a meaning in HTML.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            _ => escaped.push(c),
        }
    }
    escaped
}
