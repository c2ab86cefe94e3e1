//! The answer to a request for a path below the root: a file, a redirect, a page, or a 404.

use std::io;

use super::super::accept_encoding::{AcceptEncoding, Coding};
use super::answer::Representation;
use super::opened::{Found, Opened};
use super::page;
use super::settings::Files;
use super::system::Patience;
use super::wanted::Wanted;
use crate::Request;
use crate::Response;
use crate::StatusCode;

/// How often a file is opened anew that has become shorter since.
const ATTEMPTS: usize = 3;

impl Files {
    /// Returns the answer to a GET or HEAD.
    ///
    /// # Errors
    /// `WouldBlock` if the answer needs patience; any error of the system that is not the client's.
    pub(super) fn answer(
        &self,
        request: &Request,
        has_rest: bool,
        patience: Patience,
    ) -> io::Result<Response> {
        let Some(wanted) = Wanted::of(request, has_rest, self.dotfiles) else { return Ok(missing()) };
        for _ in 1..ATTEMPTS {
            match self.answer_once(request, &wanted, patience) {
                // The file was changed between its opening and the reading.
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {}
                answer => return answer,
            }
        }
        self.answer_once(request, &wanted, patience)
    }

    fn answer_once(
        &self,
        request: &Request,
        wanted: &Wanted<'_>,
        patience: Patience,
    ) -> io::Result<Response> {
        let path = &*wanted.path;
        match Found::at(&self.root, path, patience)? {
            Found::File(opened) if !wanted.has_slash => self.file(request, path, opened, None, patience),
            Found::Folder(_) if !wanted.has_slash => Ok(to_folder(request)),
            Found::Folder(folder) => {
                if let Some(index) = &self.index {
                    let path = below(path, index);
                    if let Some(opened) = Found::at(&self.root, &path, patience)?.into_file() {
                        return self.file(request, &path, opened, None, patience);
                    }
                }
                if self.listing {
                    let entries = page::Entries::read(
                        (&self.root, path, &folder),
                        self.dotfiles,
                        self.listing_limit,
                        patience,
                    )?;
                    return Ok(entries.answer(request));
                }
                self.nothing(request, path, patience)
            }
            Found::File(_) | Found::Nothing => self.nothing(request, path, patience),
        }
    }

    /// Answers with a file, or a variant of it.
    fn file(
        &self,
        request: &Request,
        path: &str,
        opened: Opened,
        vary: Option<&'static str>,
        patience: Patience,
    ) -> io::Result<Response> {
        let (opened, coding) = match self.variant(request, path, &opened, patience)? {
            Some((variant, coding)) => (variant, Some(coding)),
            None => (opened, None),
        };
        let vary = match (self.precompressed, vary) {
            (true, Some(_)) => Some("accept, accept-encoding"),
            (true, None) => Some("accept-encoding"),
            (false, vary) => vary,
        };
        let name = path.rsplit('/').next().unwrap_or_default();
        let representation = Representation {
            types: &self.types,
            path,
            coding,
            vary,
            cache_control: self.cache.of(path),
            download: self.downloads.then_some(name),
            range_limit: self.range_limit,
        };
        representation.answer(request, opened, patience)
    }

    /// Returns the compressed variant of a file that the client likes best.
    fn variant(
        &self,
        request: &Request,
        path: &str,
        original: &Opened,
        patience: Patience,
    ) -> io::Result<Option<(Opened, Coding)>> {
        if !self.precompressed {
            return Ok(None);
        }
        for coding in AcceptEncoding::of(request.headers()).liked(&Coding::ALL) {
            let variant = Found::at(&self.root, &format!("{path}{}", suffix(coding)), patience)?;
            if let Some(variant) = variant.into_file()
                && variant.modified_seconds() >= original.modified_seconds()
            {
                return Ok(Some((variant, coding)));
            }
        }
        Ok(None)
    }

    /// Answers where there is no file.
    fn nothing(&self, request: &Request, path: &str, patience: Patience) -> io::Result<Response> {
        let Some(page) = &self.single_page else { return Ok(missing()) };
        let has_dot = path.rsplit('/').next().is_some_and(|name| name.contains('.'));
        if has_dot && !takes_pages(request) {
            return Ok(missing().header("vary", "accept"));
        }
        match Found::at(&self.root, page, patience)?.into_file() {
            Some(opened) => self.file(request, page, opened, has_dot.then_some("accept"), patience),
            None => Ok(missing()),
        }
    }
}

fn missing() -> Response {
    Response::plain(StatusCode::NOT_FOUND)
}

fn below(folder: &str, name: &str) -> String {
    if folder.is_empty() { name.to_owned() } else { format!("{folder}/{name}") }
}

/// Returns `true` if the client asks for a page by name, as a browser does when a person follows a link.
fn takes_pages(request: &Request) -> bool {
    let mut fields = request.headers().get_all("accept").flat_map(|field| field.split(|byte| *byte == b','));
    fields.any(|range| {
        let range = range.trim_ascii_start();
        range.get(..9).is_some_and(|start| start.eq_ignore_ascii_case(b"text/html"))
    })
}

/// Redirects from the path of a folder to the same with a slash at its end, so that links in its page lead
/// below it.
///
/// The target is the last segment of the path, relative to what is before it. So it leads to the same
/// server, whatever the path holds, and holds behind a proxy that serves under another prefix.
fn to_folder(request: &Request) -> Response {
    let segment = request.path().rsplit('/').next().unwrap_or_default();
    let query = request.query().map_or_else(String::new, |query| format!("?{query}"));
    Response::plain(StatusCode::MOVED_PERMANENTLY)
        .header("location", format!("./{segment}/{query}"))
        // Caches would choose how long, and some keep it for good.
        .header("cache-control", "max-age=3600")
}

/// Returns the end of the names of the files that have the coding.
fn suffix(coding: Coding) -> &'static str {
    match coding {
        Coding::Zstd => ".zst",
        Coding::Brotli => ".br",
        Coding::Gzip => ".gz",
    }
}
