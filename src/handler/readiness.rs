//! The handler that tells a load balancer whether to send requests here.

use super::{Context, Handler, Reply};
use crate::base::priority::Priority;
use crate::message::{Request, Response};
use http::StatusCode;

/// A handler that answers 200 `ready`, and 503 `stopping` with `Retry-After` once a stop has begun.
///
/// After a [hand-over](crate::Handle::hand_over) the answer stays 200, because the successor serves.
///
/// A load balancer that asks for it sends new requests to other machines from then on. Set
/// [`Timeouts::stop_delay`](crate::Timeouts::stop_delay) to a little more than the load balancer takes
/// to notice, so that the server serves meanwhile.
///
/// ```
/// use transom::{Readiness, Router};
/// use std::time::Duration;
///
/// let mut timeouts = transom::Timeouts::default();
/// timeouts.stop_delay = Duration::from_secs(5);
/// let app = Router::new().get("/ready", Readiness);
/// transom::Server::new(app).timeouts(timeouts);
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct Readiness;

impl Handler for Readiness {
    fn call(&self, request: Request, _: &Context<'_>) -> Reply {
        let stopping = request.stopping();
        let answer = if stopping.has_begun() && !stopping.is_succeeded() {
            Response::new(StatusCode::SERVICE_UNAVAILABLE).header("retry-after", "1").body("stopping\n")
        } else {
            Response::text("ready\n")
        };
        Reply::now(answer.header("cache-control", "no-store"))
    }

    /// An overloaded server is still ready, and must be able to say so.
    fn priority(&self) -> Option<Priority> {
        Some(Priority::Vital)
    }
}
