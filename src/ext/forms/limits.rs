//! [`FormLimits`]: the limits on a form.

use std::path::PathBuf;

/// The limits on a form. A form that exceeds one gets a 413 ([`FormError::TooLarge`](crate::FormError)).
///
/// The limit of the route ([`Route::body_limit`](crate::Route::body_limit)), or of the server
/// ([`Limits::body`](crate::Limits::body)), bounds the whole body too.
///
/// ```
/// let mut limits = transom::FormLimits::default();
/// limits.file = Some(10 * 1024 * 1024);
/// limits.files = 3;
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct FormLimits {
    /// The most fields and files of a form; default 1,000.
    pub parts: usize,
    /// The most files of a form; default 100. Each one that is not in memory has a descriptor.
    pub files: usize,
    /// The most bytes of the header section of a part; default 8 KiB.
    pub head: usize,
    /// The most bytes of a name of a field of a multipart form, and of the name of a file; default 1 KiB.
    pub name: usize,
    /// The most bytes of a field of a multipart form; default 1 MiB.
    pub field: usize,
    /// The most bytes of all fields together, with their names; default 8 MiB.
    pub fields: usize,
    /// The most bytes of a file; default off (`None`), so that only the limit of the body holds.
    pub file: Option<u64>,
    /// The most bytes of files that are kept in memory, together; default 1 MiB. Further ones go to
    /// temporary files. [`Request::multipart`](crate::Request::multipart) keeps none.
    pub memory: usize,
    /// The folder of temporary files; default `None`, the folder of [`std::env::temp_dir`].
    pub folder: Option<PathBuf>,
}

impl Default for FormLimits {
    fn default() -> Self {
        Self {
            parts: 1_000,
            files: 100,
            head: 8 * 1024,
            name: 1024,
            field: 1024 * 1024,
            fields: 8 * 1024 * 1024,
            file: None,
            memory: 1024 * 1024,
            folder: None,
        }
    }
}
