//! The handler that tells whether the server turns.

use std::fmt::Write as _;
use std::sync::Arc;

use http::StatusCode;

use super::{Context, Handler, Reply};
use crate::base::priority::Priority;
use crate::base::stuck::StuckList;
use crate::message::{Request, Response};

/// A handler that answers 200 `alive`, and 503 with the names of the parts that are stuck while
/// [`Timeouts::watchdog`](crate::Timeouts::watchdog) says so. Without that timeout the answer is
/// always 200.
///
/// The worker of the connection answers, so that the answer needs no thread of the blocking pool and no
/// handler of the program. Kubernetes asks for it (`livenessProbe`) and restarts a program that is
/// stuck. A worker that is stuck answers nothing, which counts as well.
///
/// It stays 200 during a stop: [`Readiness`](crate::Readiness) tells of that.
///
/// ```
/// use std::time::Duration;
/// use transom::{Liveness, Router, Server};
///
/// let mut timeouts = transom::Timeouts::default();
/// timeouts.watchdog = Some(Duration::from_secs(10));
/// Server::new(Router::new().get("/alive", Liveness)).timeouts(timeouts);
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct Liveness;

impl Handler for Liveness {
    fn call(&self, request: Request, _: &Context<'_>) -> Reply {
        let stuck = request.client.state::<Arc<StuckList>>().map(|stuck| stuck.list()).unwrap_or_default();
        let answer = if stuck.is_empty() {
            Response::text("alive\n")
        } else {
            // Not the details: they name other clients.
            let text = stuck.iter().fold(String::new(), |mut text, stuck| {
                let _ = writeln!(text, "stuck: {}, for {:.1} s", stuck.name, stuck.lasted.as_secs_f64());
                text
            });
            Response::text(text).status(StatusCode::SERVICE_UNAVAILABLE)
        };
        Reply::now(answer.header("cache-control", "no-store"))
    }

    /// An overloaded server is alive, and must be able to say so.
    fn priority(&self) -> Option<Priority> {
        Some(Priority::Vital)
    }
}
