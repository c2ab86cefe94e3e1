//! The status page and its events, as a router.

use std::sync::Arc;

use super::access::Access;
use super::events::events;
use super::feed::Feed;
use crate::Bytes;
use crate::Metrics;
use crate::Next;
use crate::Request;
use crate::Response;
use crate::Router;

const PAGE: &str = include_str!("page.html");
/// The page may run its own script and style, and ask its own server.
const POLICY: &str = "default-src 'none'; script-src 'sha256-tYEnyZxN7G3C8ZcZVBHVc6nyUS/sQcFLj0QwSbc+tCo='; style-src 'sha256-zsjXjaIOFeObWK/QpNA9pkXpT+aPsY8lu4ewROTqvUQ='; \
    connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// A page that shows what servers do, live in a browser: requests a second, latencies, statuses, routes,
/// connections, refusals, deadlines, the requests that last longest, memory, and the state of a stop.
///
/// ```
/// use transom::{Metrics, Router, Server, StatusPage};
///
/// let metrics = Metrics::new();
/// let page = StatusPage::new(&metrics).password("ada", "correct horse battery staple");
/// let app = Router::new().nest("/status", page.router());
/// Server::new(app).metrics(&metrics);
/// ```
///
/// Without [`check`](Self::check) and [`password`](Self::password), the page answers only clients on this
/// machine: on a loopback address and under a loopback name, or on a Unix socket, and not by way of a proxy
/// that the server does not trust. Others get a 403. A password goes over the network as it is: use TLS.
///
/// The page shows all servers of its [`Metrics`]. It gets an event each second, which is made once for all
/// pages that are open; while none is open, nothing runs. The workers send the events, and neither the
/// blocking pool nor a handler of the program takes part, so the page works while those are stuck. A browser
/// that does not read is cut like any client that does not ([`Limits::write_rate`](crate::Limits)).
///
/// An open page is a connection: in the model with a thread for each connection it holds a thread, and in the
/// sequential model, which serves one connection at a time, it holds the server, until it is closed or the
/// server stops.
#[derive(Clone, Debug)]
pub struct StatusPage {
    metrics: Metrics,
    access: Access,
}

impl StatusPage {
    /// Returns a page that shows the servers of these metrics ([`Server::metrics`](crate::Server::metrics)).
    pub fn new(metrics: &Metrics) -> Self {
        Self { metrics: metrics.clone(), access: Access::default() }
    }

    /// Answers only requests for which `check` returns `true`. Others get a 403. The function runs on a
    /// worker and must not block. If there is a password too, both must be right.
    ///
    /// ```
    /// use transom::{Metrics, Request, StatusPage};
    /// let of_the_office = |request: &Request| request.header("x-office-token") == Some("secret");
    /// StatusPage::new(&Metrics::new()).check(of_the_office);
    /// ```
    #[must_use]
    pub fn check(mut self, check: impl Fn(&Request) -> bool + Send + Sync + 'static) -> Self {
        self.access.check = Some(Arc::new(check));
        self
    }

    /// Asks for a user name and a password (RFC 7617), and answers 401 without them. A second call replaces
    /// the first. With an empty password, or a colon in the user name, nobody may see the page.
    #[must_use]
    pub fn password(mut self, user: &str, password: &str) -> Self {
        self.access.set_password(user, password);
        self
    }

    /// Returns the routes of the page, for [`Router::nest`](crate::Router::nest).
    pub fn router(self) -> Router {
        let feed = Arc::new(Feed::new(&self.metrics));
        let access = Arc::new(self.access);
        Router::new()
            .wrap(async move |mut request: Request, next: Next| {
                if let Some(refusal) = access.refusal(&request) {
                    return refusal;
                }
                if let Some(route) = next.route() {
                    request.set(Pattern(route.into()));
                }
                next.run(request).await
            })
            .get("/", async |_: Request| page())
            .get("/events", async move |request: Request| {
                let route = request.get::<Pattern>().map_or("", |pattern| &pattern.0);
                let stream = events(feed.open(route), request.stopping());
                // nginx would collect the events otherwise.
                guarded(Response::stream("text/event-stream", stream)).header("x-accel-buffering", "no")
            })
    }
}

/// The pattern of the route that runs.
struct Pattern(Box<str>);

fn page() -> Response {
    guarded(Response::bytes("text/html; charset=utf-8", Bytes::from_static(PAGE.as_bytes())))
        .header("content-security-policy", POLICY)
}

/// Adds the fields that keep others from storing and embedding the answer.
fn guarded(response: Response) -> Response {
    response
        .header("cache-control", "no-store")
        .header("x-content-type-options", "nosniff")
        .header("cross-origin-resource-policy", "same-origin")
        .header("referrer-policy", "no-referrer")
}
