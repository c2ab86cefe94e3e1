//! [`Files`]: the files of a folder, and the settings of how they are served.

use std::io;
use std::path::Path;
use std::sync::Arc;

use super::answer::RANGE_LIMIT;
use super::cache::CacheRules;
use super::media_type::MediaTypes;
use super::page::LISTING_LIMIT;
use super::root::Root;
use crate::InvalidHeader;

/// The files of a folder, as routes for GET and HEAD.
///
/// ```no_run
/// use transom::{Files, Router, Server};
///
/// let files = Files::new("public")?
///     .precompressed(true)
///     .cache_control("assets/**", "public, max-age=31536000, immutable")?
///     .cache_control("**", "no-cache")?;
/// let app = Router::new().nest("/static", files.router());
/// Server::new(app).bind("127.0.0.1:8080")?.run()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// The answers have ETag, Last-Modified, Accept-Ranges, a Content-Type by the name of the file, and
/// `X-Content-Type-Options: nosniff`. Conditional requests and ranges are answered as RFC 9110 13 and 14 say:
/// 206 with one part or many, 304, 412, 416. The kernel sends a file from its cache (sendfile(2)). Opening a
/// file never blocks a thread that serves connections: what is not in the memory of the system is opened on
/// the blocking pool.
///
/// Only regular files below the root are served. On Linux the kernel keeps each lookup below the root
/// (openat2(2)), so links are followed as long as they stay there; on other systems no link is followed. On
/// Windows, names that it takes for something else than a file of that name are not served: those of devices
/// (`NUL.txt`), streams and drives (`a:b`), short names (`ENV~1`), and names that end in a dot or a space.
/// A name that begins with a dot is served only after [`dotfiles`](Self::dotfiles). What is not served is
/// answered with 404.
///
/// The path of the root may be a link that a deployment points elsewhere: it is looked up again each second.
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a setting of its own")]
pub struct Files {
    pub(super) root: Arc<Root>,
    pub(super) index: Option<Box<str>>,
    pub(super) single_page: Option<Box<str>>,
    pub(super) precompressed: bool,
    pub(super) listing: bool,
    pub(super) dotfiles: bool,
    pub(super) downloads: bool,
    pub(super) types: MediaTypes,
    pub(super) cache: CacheRules,
    pub(super) range_limit: usize,
    pub(super) listing_limit: usize,
}

impl Files {
    /// Opens a folder to serve its files.
    ///
    /// # Errors
    /// Any error of the system, with the path: there is no such folder, or this process may not open it.
    pub fn new(root: impl AsRef<Path>) -> io::Result<Self> {
        Ok(Self {
            root: Arc::new(Root::new(root.as_ref())?),
            index: Some("index.html".into()),
            single_page: None,
            precompressed: false,
            listing: false,
            dotfiles: false,
            downloads: false,
            types: MediaTypes::default(),
            cache: CacheRules::default(),
            range_limit: RANGE_LIMIT,
            listing_limit: LISTING_LIMIT,
        })
    }

    /// Sets the name of the file that answers for its folder, by default `index.html`. `None` turns it off.
    #[must_use]
    pub fn index<'a>(mut self, name: impl Into<Option<&'a str>>) -> Self {
        self.index = name.into().map(Into::into);
        self
    }

    /// Answers with this file, below the root, where there is none: for an application in the browser that
    /// has paths of its own. The status is 200. A path whose last segment has a dot gets a 404 as before,
    /// unless the Accept field names `text/html`: a missing script is no page.
    #[must_use]
    pub fn single_page(mut self, path: &str) -> Self {
        self.single_page = Some(path.into());
        self
    }

    /// Answers with a compressed variant of a file if there is one beside it and the client takes it:
    /// `app.js.zst`, `app.js.br` or `app.js.gz` for `app.js`. A variant that is older than its file, in whole
    /// seconds, is not used. All answers have `Vary: Accept-Encoding`.
    #[must_use]
    pub fn precompressed(mut self, on: bool) -> Self {
        self.precompressed = on;
        self
    }

    /// Sets the Cache-Control of the files whose path matches a pattern. `*` stands for any text without a
    /// slash, `**` for any text. A pattern without a slash is for names in each folder. If several
    /// match, the first counts. Without a pattern that matches, there is no Cache-Control, and caches
    /// guess.
    ///
    /// # Errors
    /// [`InvalidHeader`] if the value is not that of a field.
    pub fn cache_control(mut self, pattern: &str, value: &str) -> Result<Self, InvalidHeader> {
        self.cache.add(pattern, value)?;
        Ok(self)
    }

    /// Sets the Content-Type of the files with an extension, in place of the usual one. An empty extension
    /// is for names that have none.
    ///
    /// # Errors
    /// [`InvalidHeader`] if the type is not the value of a field.
    pub fn content_type(mut self, extension: &str, content_type: &str) -> Result<Self, InvalidHeader> {
        self.types.set(extension, content_type)?;
        Ok(self)
    }

    /// Sets the charset that the usual types of texts have, by default `utf-8`. `None` leaves it away. It is
    /// neither for XML, which tells by itself, nor for the types of [`content_type`](Self::content_type).
    ///
    /// # Errors
    /// [`InvalidHeader`] if the charset is no token.
    pub fn charset<'a>(mut self, charset: impl Into<Option<&'a str>>) -> Result<Self, InvalidHeader> {
        self.types.set_charset(charset.into())?;
        Ok(self)
    }

    /// Answers for a folder without an index with a page that lists its files. Names that begin with a dot
    /// are not in it, unless [`dotfiles`](Self::dotfiles) is set.
    #[must_use]
    pub fn listing(mut self, on: bool) -> Self {
        self.listing = on;
        self
    }

    /// Sets how many entries of a folder a page lists at most, by default 10,000. The page says if there
    /// are more.
    #[must_use]
    pub fn listing_limit(mut self, entries: usize) -> Self {
        self.listing_limit = entries;
        self
    }

    /// Serves names that begin with a dot too. Without this, only `.well-known` in the root is served (RFC
    /// 8615).
    #[must_use]
    pub fn dotfiles(mut self, on: bool) -> Self {
        self.dotfiles = on;
        self
    }

    /// Has clients store the files under their names instead of showing them (Content-Disposition, RFC
    /// 6266).
    #[must_use]
    pub fn downloads(mut self, on: bool) -> Self {
        self.downloads = on;
        self
    }

    /// Sets how many parts of a file one request may ask for, by default 32. A request for more gets the
    /// whole file. With 0, no request gets a part.
    #[must_use]
    pub fn range_limit(mut self, parts: usize) -> Self {
        self.range_limit = parts;
        self
    }
}
