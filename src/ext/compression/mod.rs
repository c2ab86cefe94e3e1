//! Content codings: compressed responses and compressed requests (RFC 9110 8.4).

mod budget;
mod cells;
#[expect(clippy::module_inception, reason = "the folder is named after its main type")]
mod compression;
mod decoded;
mod decoder;
mod decompression;
mod encoded;
mod encoder;
mod job;
mod rules;
mod types;

pub use compression::Compression;
pub use decompression::Decompression;
