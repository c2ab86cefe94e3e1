//! Forms: what browsers send as `application/x-www-form-urlencoded` and `multipart/form-data`.

mod error;

mod form;
mod limits;
mod media_type;
mod multipart;
mod new_file;
mod pairs;
mod parameters;
mod parser;
mod part;
mod part_head;
mod reader;
mod upload;

pub use error::FormError;
pub use form::Form;
pub use limits::FormLimits;
pub use multipart::Multipart;
pub use part::Part;
pub use upload::UploadFile;
