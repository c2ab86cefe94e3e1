//! The failure that a response reports: a line for the log, and the error that caused it.

use std::error::Error;
use std::fmt::Write as _;

use http::StatusCode;
use log::Level;

use crate::base::guard::log_event;

/// An error of any type.
pub(crate) type BoxError = Box<dyn Error + Send + Sync>;

/// A failure of a handler, with its line for the log. The connection takes the line and logs it
/// with the name of the request; a failure that is dropped before that logs it without.
#[derive(Debug)]
pub(crate) struct Failure {
    /// `None` once it is in the log.
    line: Option<String>,
    level: Level,
    /// The error that a handler returned, until a hook has answered it.
    error: Option<BoxError>,
}

impl Failure {
    /// The failure of a handler that has no error to show.
    pub fn new(line: String) -> Self {
        Self { line: Some(line), level: Level::Error, error: None }
    }

    /// The failure for a response that an error caused. A status below 500 is no fault of the
    /// handler, so its line is logged at level debug.
    pub fn of(status: StatusCode, error: &BoxError) -> Self {
        let line = format!("a handler answered {}: {}", status.as_str(), chain(&**error));
        let level = if status.is_server_error() { Level::Error } else { Level::Debug };
        Self { line: Some(line), level, error: None }
    }

    /// The failure of a handler that returned an error without a response, for a hook to answer.
    pub fn unanswered(error: BoxError) -> Self {
        let mut failure = Self::of(StatusCode::INTERNAL_SERVER_ERROR, &error);
        failure.error = Some(error);
        failure
    }

    /// Returns the error that no hook has answered yet.
    pub fn error(&self) -> Option<&(dyn Error + 'static)> {
        self.error.as_deref().map(|error| error as _)
    }

    /// Notes that a hook has answered the error.
    pub fn answer(&mut self) {
        self.error = None;
    }

    /// Takes the line out, with its level: the caller logs it.
    pub fn take_line(&mut self) -> Option<(Level, String)> {
        self.line.take().map(|line| (self.level, line))
    }
}

impl Drop for Failure {
    #[cold]
    fn drop(&mut self) {
        if let Some((level, line)) = self.take_line() {
            log_event(level, format_args!("{line}"));
        }
    }
}

/// Returns the text of an error and of its sources, each once: the text of many errors
/// holds that of their sources already.
fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let next = error.to_string();
        if !text.contains(&next) {
            let _ = write!(text, ": {next}");
        }
        source = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use std::fmt;
    use std::io;

    use super::*;

    #[derive(Debug)]
    struct Outer(io::Error, &'static str);

    impl fmt::Display for Outer {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(self.1)
        }
    }

    impl Error for Outer {
        fn source(&self) -> Option<&(dyn Error + 'static)> {
            Some(&self.0)
        }
    }

    #[test]
    fn the_text_of_each_source_is_there_once() {
        let inner = || io::Error::other("no space");
        assert_eq!(chain(&Outer(inner(), "cannot save")), "cannot save: no space");
        assert_eq!(chain(&Outer(inner(), "cannot save: no space")), "cannot save: no space");
    }
}
