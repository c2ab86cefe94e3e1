//! Handlers and routes: what a program does with a request.

mod answering;
mod blocking;
#[expect(clippy::module_inception, reason = "the folder is named after its main type")]
mod handler;
mod http_error;
mod pattern;
mod reply;
mod responder;
mod router;

pub use blocking::{Blocking, blocking};
pub use handler::{Context, Handler, Shared, shared};
pub use http_error::{HttpError, HttpResult, OrStatus};
pub use reply::Reply;
pub use responder::Responder;
pub use router::{Route, Router};

pub(crate) use handler::call;
pub(crate) use router::{Endpoint, Found, Timeout};
