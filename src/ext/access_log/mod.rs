//! The access log (feature `access-log`): a line for each answer, written by a thread of its own.

mod block;
mod buffer;
mod format;
mod log;
mod loss;
mod parts;
mod pattern;
mod text;
mod time;
mod writer;

pub use format::LogFormat;
pub use log::AccessLog;
