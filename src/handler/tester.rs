//! A tester: a router that answers requests without a server and without a socket.

use std::fmt;
use std::io;
use std::sync::Arc;

use futures_lite::stream;

use super::handler::{Context, call};
use super::route::Endpoint;
use super::router::Router;
use super::table::{Found, Table};
use crate::base::guard::log_event;
use crate::base::pool::Pool;
use crate::base::threads::Threads;
use crate::base::values::Values;
use crate::body::Body;
use crate::config::Limits;
use crate::error::{Reject, Result};
use crate::http1::offers;
use crate::message::{Client, IntoResponse as _, Request, Response, Upgrade};

/// Answers requests without a socket, as a server with the same router does: for tests, or for
/// requests that arrive in another way.
///
/// Routes, wraps, state, error hooks, body limits and the router's own answers are those of a
/// server with default [`Limits`]. `blocking` handlers run on a pool that belongs to the tester.
/// There are no deadlines and no connection: early hints are dropped, and an upgrade is a response
/// of status 101.
///
/// ```
/// use transom::{Method, Request, Router};
///
/// let app = Router::new().get("/hello/{name}", async |req: Request| format!("hello, {}", req.param("name")));
/// let tester = app.tester()?;
/// let response = smol::block_on(tester.answer(Request::new(Method::GET, "/hello/you")?));
/// assert_eq!((response.status_code().as_u16(), response.body_ref().as_bytes()), (200, Some(&b"hello, you"[..])));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Tester {
    table: Table,
    states: Option<Arc<Values>>,
    pool: Arc<Pool>,
    body_limit: u64,
}

impl Router {
    /// Returns a tester, which answers requests without a socket.
    ///
    /// # Errors
    /// Those that [`Server::start`](crate::Server::start) reports for the router:
    /// [`Error::BadRoute`](crate::Error::BadRoute) or
    /// [`Error::DuplicateState`](crate::Error::DuplicateState).
    pub fn tester(self) -> Result<Tester> {
        let (table, states) = self.build()?;
        let limits = Limits::default();
        let threads = Threads::new(Box::new(|| Box::new(())));
        let pool = Pool::new("transom-tester", limits.pool_threads, limits.pool_queue, threads);
        Ok(Tester { table, states, pool: Arc::new(pool), body_limit: limits.body })
    }
}

impl Tester {
    /// Answers a request. The body is read whole before the handler is called, unless the route
    /// streams. The response to a HEAD request has no body.
    pub async fn answer(&self, mut request: Request) -> Response {
        request.client = Arc::new(Client::new(request.peer(), None, self.states.clone()));
        let is_head = request.method() == "HEAD";
        let line = format!("({} {})", request.method(), request.path());
        let asked = request.headers().contains("upgrade").then(|| request.headers().clone());
        let mut response = match self.table.find(&mut request.head) {
            Found::Answer(response) => response,
            Found::Endpoint(endpoint) => match self.take_body(endpoint, &mut request).await {
                Ok(()) => {
                    call(&*endpoint.handler, request, Context::new(&self.pool, endpoint.settled_priority()))
                        .await
                }
                Err(reject) => reject.into_response(),
            },
        };
        let may_upgrade = |upgrade: &Upgrade| asked.is_some_and(|fields| offers(&fields, &upgrade.protocol));
        if let Some((level, fault)) = response.take_fault(may_upgrade) {
            log_event(level, format_args!("{fault} {line}"));
        }
        if is_head || has_no_content(&response) {
            response.body = Body::empty();
        }
        response
    }

    /// Reads the body of a request whole, or makes a stream of it if the route streams.
    async fn take_body(&self, endpoint: &Endpoint, request: &mut Request) -> std::result::Result<(), Reject> {
        let limit = endpoint.body_limit.unwrap_or(self.body_limit);
        if request.body.len().is_some_and(|length| length > limit) {
            return Err(Reject::BodyTooLarge);
        }
        let mut body = std::mem::take(&mut request.body);
        let trailers = body.detach_trailers();
        if endpoint.streaming {
            request.body = if body.is_empty() { body } else { limited(body, limit) };
            request.body.attach_trailers(trailers);
            return Ok(());
        }
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        request.body = body.collect(limit).await.map_err(|error| refusal(&error))?.into();
        request.body.attach_trailers(trailers);
        Ok(())
    }
}

/// Returns the refusal for a body that could not be collected.
fn refusal(error: &io::Error) -> Reject {
    let held = error.get_ref().and_then(|held| held.downcast_ref()).copied();
    held.unwrap_or(match error.kind() {
        io::ErrorKind::InvalidData => Reject::BodyTooLarge,
        io::ErrorKind::OutOfMemory => Reject::NoMemory,
        _ => Reject::BodyCutShort,
    })
}

/// Returns the body as a stream, which ends in an error at the limit.
fn limited(body: Body, limit: u64) -> Body {
    Body::stream(stream::unfold((body, 0), move |(mut body, mut taken)| async move {
        let chunk = body.chunk().await?;
        taken += chunk.as_ref().map_or(0, |chunk| chunk.len() as u64);
        let chunk = if taken > limit { Err(io::Error::from(Reject::BodyTooLarge)) } else { chunk };
        Some((chunk, (body, taken)))
    }))
}

/// Returns `true` if a response of this status never has a body (RFC 9110 6.4.1).
fn has_no_content(response: &Response) -> bool {
    matches!(response.status_code().as_u16(), 204 | 205 | 304)
}

impl fmt::Debug for Tester {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.table.patterns()).finish()
    }
}
