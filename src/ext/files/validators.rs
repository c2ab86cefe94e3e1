//! The validators of a file: its ETag and its Last-Modified (RFC 9110 8.8).

use std::fmt::Write as _;
use std::time::{Duration, SystemTime};

use super::super::accept_encoding::Coding;
use super::opened::Opened;

/// While a file is younger than this, another change may leave its time as it is.
const RESOLUTION: Duration = Duration::from_secs(1);

/// The validators of one representation.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Validators {
    /// With its quotes; weak for a file that has only just been changed.
    pub tag: String,
    /// In seconds of the Unix clock, never in the future.
    pub modified: u64,
}

impl Validators {
    /// The tag changes with the time of the file, in nanoseconds, and its size, and differs for each coding.
    pub fn of(opened: &Opened, coding: Option<Coding>, now: SystemTime) -> Self {
        let time = opened.since_epoch();
        let is_settled = now.duration_since(opened.modified).is_ok_and(|age| age >= RESOLUTION);
        let mut tag = String::with_capacity(40);
        let weak = if is_settled { "" } else { "W/" };
        let _ = write!(tag, "{weak}\"{:x}-{:x}", time.as_nanos(), opened.size);
        if let Some(coding) = coding {
            let _ = write!(tag, "-{}", coding.name());
        }
        tag.push('"');
        let now = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
        Self { tag, modified: opened.modified_seconds().min(now) }
    }

    /// Returns the value of Last-Modified.
    pub fn last_modified(&self) -> String {
        httpdate::fmt_http_date(SystemTime::UNIX_EPOCH + Duration::from_secs(self.modified))
    }
}
