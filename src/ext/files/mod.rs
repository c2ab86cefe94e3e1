//! Static files: the files of a folder, and single files, as responses (feature `files`).

mod answer;
mod byte_ranges;
mod cache;
mod conditions;
mod disposition;
mod folder;
mod handler;
mod media_type;
mod opened;
mod page;
mod range;
mod root;
mod settings;
mod single;
mod system;
mod validators;
mod wanted;

pub use settings::Files;
