//! The access log, as a program holds it.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::format::LogFormat;
use super::writer::Shared;
use crate::Error;
use crate::Exchange;
use crate::Result;
use crate::Server;

/// The longest wait for a writer when a server or a log ends, and when a file is opened again.
const PATIENCE: Duration = Duration::from_secs(2);

/// A log with a line for each answer of a server: see [`Server::access_log`].
///
/// A line is formatted where the answer was given and kept in a buffer. A thread of the log writes
/// the lines in batches: at the latest 100 ms after the first of them, or when there are 256 KiB. No
/// request waits for the log. If the lines come faster than they can be written, or cannot be
/// written because the disk is full, they are lost. [`lost`](Self::lost) counts them, the program's
/// log gets a warning, and the log itself gets a line about them once it can be written. The lines of
/// one connection are in order; those of different threads may be out of order within a batch.
///
/// A clone is the same log. When the last clone is dropped, the log writes the lines that it has.
///
/// ```no_run
/// use transom::{AccessLog, LogFormat, Request, Router, Server};
///
/// fn main() -> transom::Result<()> {
///     let log = AccessLog::to_file("access.log")?.format(LogFormat::Combined);
///     let app = Router::new().get("/", async |_: Request| "hello");
///     Server::new(app).access_log(&log).bind("127.0.0.1:8080")?.run()?;
///     Ok(())
/// }
/// ```
#[derive(Clone)]
pub struct AccessLog {
    owner: Arc<Owner>,
    format: LogFormat,
}

/// The log, which ends when nobody has it any more.
struct Owner {
    shared: Arc<Shared>,
    /// The file, if the log opened it.
    path: Option<PathBuf>,
}

/// The log of a server.
struct ServerLog(AccessLog);

impl AccessLog {
    /// Returns a log that adds its lines to a file, which is made if there is none. The format is
    /// [`LogFormat::Common`].
    ///
    /// # Errors
    /// [`Error::File`] if the file cannot be opened, [`Error::Thread`] if the system refuses a thread.
    pub fn to_file(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let file = open(path)?;
        Self::new(Box::new(file), Some(path.to_owned()))
    }

    /// Returns a log that writes to any writer: [`std::io::stdout`], a pipe, a socket. The thread of
    /// the log calls the writer, which may block. It calls `flush` after each batch.
    ///
    /// # Errors
    /// [`Error::Thread`] if the system refuses a thread.
    pub fn to_writer(writer: impl Write + Send + 'static) -> Result<Self> {
        Self::new(Box::new(writer), None)
    }

    fn new(sink: Box<dyn Write + Send>, path: Option<PathBuf>) -> Result<Self> {
        let shared = Shared::start(sink).map_err(Error::Thread)?;
        Ok(Self { owner: Arc::new(Owner { shared, path }), format: LogFormat::Common })
    }

    /// Sets the format of the lines, before the log is given to a server.
    #[must_use]
    pub fn format(self, format: LogFormat) -> Self {
        Self { format, ..self }
    }

    /// Sets how many bytes of lines may wait to be written; 4 MiB by default. Further lines are
    /// lost.
    #[must_use]
    pub fn buffer(self, bytes: usize) -> Self {
        self.owner.shared.set_limit(bytes);
        self
    }

    /// Opens the file of the log again, after it was renamed (`logrotate` calls this a rotation). No
    /// line is lost. When this returns, no more lines go to the old file.
    ///
    /// # Errors
    /// [`Error::File`] if the file cannot be opened: the log then goes on with the old one. Also if
    /// the log does not write to a file that it opened itself, and if it writes to the old file for
    /// more than 2 s: it then takes the new file later.
    pub fn reopen(&self) -> Result<()> {
        let Some(path) = &self.owner.path else {
            let source = io::Error::new(io::ErrorKind::Unsupported, "the log did not open it");
            return Err(Error::File { path: "the writer of the access log".into(), source });
        };
        self.owner.shared.replace_sink(Box::new(open(path)?));
        if self.flush(PATIENCE) {
            return Ok(());
        }
        let source = io::Error::new(io::ErrorKind::TimedOut, "the old file still takes lines");
        Err(file_error(path, source))
    }

    /// Waits until the lines of all answers that were given before are written, or lost. Returns
    /// `false` if that takes longer than `timeout`.
    pub fn flush(&self, timeout: Duration) -> bool {
        self.owner.shared.flush(timeout)
    }

    /// Returns the number of lines that were lost.
    pub fn lost(&self) -> u64 {
        self.owner.shared.loss.lines()
    }
}

impl Server {
    /// Writes a line to an access log for each answer of the server, as
    /// [`on_exchange`](Self::on_exchange) tells of it: also for refusals, and for connections for
    /// which there is no room. When the server has ended and its [`Handle`](crate::Handle) is
    /// dropped, its lines are written. See [`AccessLog`] for an example.
    #[must_use]
    pub fn access_log(self, log: &AccessLog) -> Self {
        log.owner.shared.set_loss_line(log.format.loss_line());
        let server = self.record_fields(log.format.fields());
        let server = server.record_response_fields(log.format.response_fields());
        let log = ServerLog(log.clone());
        server.on_exchange(move |exchange| log.add(exchange))
    }
}

impl ServerLog {
    /// Adds the line of an answer.
    #[inline]
    fn add(&self, exchange: &Exchange<'_>) {
        let Self(AccessLog { format, owner }) = self;
        if let Some(ready) = format.line(exchange) {
            owner.shared.push(|time, line| ready.write(time, line));
        }
    }
}

/// Writes the lines of a server when it has ended.
impl Drop for ServerLog {
    fn drop(&mut self) {
        self.0.flush(PATIENCE);
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.shared.end(PATIENCE);
    }
}

impl fmt::Debug for AccessLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AccessLog")
            .field("path", &self.owner.path)
            .field("format", &self.format)
            .field("lost", &self.lost())
            .finish_non_exhaustive()
    }
}

fn open(path: &Path) -> Result<File> {
    OpenOptions::new().append(true).create(true).open(path).map_err(|source| file_error(path, source))
}

fn file_error(path: &Path, source: io::Error) -> Error {
    Error::File { path: path.display().to_string(), source }
}
