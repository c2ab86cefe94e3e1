//! Handlers and routes: what a program does with a request.

mod answering;
#[expect(clippy::module_inception, reason = "the folder is named after its main type")]
mod handler;
mod pattern;
mod responder;
mod router;

pub use handler::{Blocking, Context, Handler, Reply, blocking};
pub use responder::Responder;
pub use router::{Route, Router};

pub(crate) use handler::call;
pub(crate) use router::{Endpoint, Found, Timeout};
