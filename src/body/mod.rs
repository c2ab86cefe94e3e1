//! Message bodies: bytes in memory, a file, a stream, or a bounded pipe that a writer fills. A
//! writer may wait for room; nothing else here waits or reads a clock.

#[expect(clippy::module_inception, reason = "the folder is named after its main type")]
mod body;
mod file;
mod intake;
mod past;
mod pipe;
mod pipe_feed;
mod pipe_reader;
mod pipe_state;
mod writer;

pub use body::Body;
pub use writer::{BodyWriter, WriteError};

pub(crate) use file::FilePart;
pub(crate) use intake::Taken;
pub(crate) use past::Past;
pub(crate) use pipe::pipe;
pub(crate) use pipe_feed::PipeFeed;
pub(crate) use pipe_reader::PipeReader;
pub(crate) use pipe_state::Space;
