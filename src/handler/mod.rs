//! Handlers and routes: what a program does with a request.

mod answering;
mod blocking;
mod blocking_pool;
#[expect(clippy::module_inception, reason = "the folder is named after its main type")]
mod handler;
mod http_error;
#[cfg(feature = "serde")]
mod json_limits;
mod liveness;
mod pattern;
mod readiness;
mod reply;
mod responder;
mod route;
mod router;
mod scope;
mod table;
mod tester;
#[cfg(feature = "serde")]
mod typed;
mod wrap;

pub use blocking::{Blocking, blocking};
pub use blocking_pool::BlockingPool;
pub use handler::{Context, Handler, Shared, shared};
pub use http_error::{HttpError, HttpResult, OrStatus};
#[cfg(feature = "serde")]
pub use json_limits::JsonLimits;
pub use liveness::Liveness;
pub use readiness::Readiness;
pub use reply::Reply;
pub use responder::Responder;
pub use route::Route;
pub use router::Router;
pub use tester::Tester;
#[cfg(feature = "serde")]
pub use typed::Json;
pub use wrap::{Next, Wrap};

pub(crate) use handler::call;
pub(crate) use route::{Endpoint, Timeout};
pub(crate) use table::{Found, Table};
