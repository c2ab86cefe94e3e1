//! [`Cors`]: pages of other origins may read the answers (the Fetch standard, CORS).

use std::sync::Arc;
use std::time::Duration;

use crate::IntoResponse as _;
use crate::Method;
use crate::Next;
use crate::Reply;
use crate::Request;
use crate::Response;
use crate::StatusCode;
use crate::Wrap;

/// The methods of routes that pages may use, if the program names none.
const METHODS: &str = "GET, HEAD, POST, PUT, PATCH, DELETE";

/// Lets pages of other origins read the answers, and answers their preflight requests. Put it around a
/// whole router, outside all other wraps, so that errors, 404 and 405 have the fields too.
///
/// ```
/// use transom::{Cors, Request, Response, Router, Server};
///
/// let cors = Cors::new().origin("https://app.example").credentials(true).request_header("x-token");
/// let app = Router::new().wrap(cors.clone()).get("/", async |_: Request| "hello");
/// // The server's own refusals, such as a 413, come from before the router.
/// Server::new(app).own_answers(move |answer| cors.own_answer(Response::text(answer.text())));
/// ```
#[derive(Clone, Debug, Default)]
pub struct Cors(Arc<Settings>);

#[derive(Clone, Debug, Default)]
struct Settings {
    any_origin: bool,
    origins: Vec<String>,
    methods: Vec<String>,
    request_headers: Vec<String>,
    exposed: Vec<String>,
    credentials: bool,
    max_age: Option<Duration>,
}

impl Cors {
    /// Returns a wrap that allows no origin yet. Pages may use the methods GET, HEAD, POST, PUT, PATCH and
    /// DELETE, no header fields but the usual ones, and no credentials.
    pub fn new() -> Self {
        Self::default()
    }

    fn set(mut self, change: impl FnOnce(&mut Settings)) -> Self {
        change(Arc::make_mut(&mut self.0));
        self
    }

    /// Allows an origin, such as `https://app.example`, as browsers write it: with its scheme, with a port
    /// that is not the usual one, and without a path.
    #[must_use]
    pub fn origin(self, origin: impl Into<String>) -> Self {
        self.set(|it| it.origins.push(origin.into().to_ascii_lowercase()))
    }

    /// Allows every origin. Requests then have no credentials, whatever
    /// [`credentials`](Self::credentials) says: any page could act for the user.
    #[must_use]
    pub fn any_origin(self) -> Self {
        self.set(|it| it.any_origin = true)
    }

    /// Allows a method, in place of the usual ones.
    #[must_use]
    pub fn method(self, method: &Method) -> Self {
        self.set(|it| it.methods.push(method.to_string()))
    }

    /// Allows a header field of requests.
    #[must_use]
    pub fn request_header(self, name: impl Into<String>) -> Self {
        self.set(|it| it.request_headers.push(name.into().to_ascii_lowercase()))
    }

    /// Lets pages read a header field of responses.
    #[must_use]
    pub fn expose(self, name: impl Into<String>) -> Self {
        self.set(|it| it.exposed.push(name.into().to_ascii_lowercase()))
    }

    /// Lets requests have cookies and other credentials.
    #[must_use]
    pub fn credentials(self, credentials: bool) -> Self {
        self.set(|it| it.credentials = credentials)
    }

    /// Sets how long a browser may keep the answer to a preflight request; its own 5 seconds by default.
    #[must_use]
    pub fn max_age(self, age: Duration) -> Self {
        self.set(|it| it.max_age = Some(age))
    }

    /// Adds the fields to one of the server's own answers ([`Server::own_answers`](crate::Server::own_answers)).
    /// The origin of such an answer is not known, so that it has fields only if every origin is allowed, or one.
    #[must_use]
    pub fn own_answer(&self, response: Response) -> Response {
        match &self.0.origins[..] {
            _ if self.0.any_origin => self.0.marked(response, "*"),
            [only] => self.0.marked(response, only),
            _ => response,
        }
    }
}

impl Settings {
    /// Returns the origin that the response names, if the request's is allowed.
    fn allowed<'a>(&self, origin: &'a str) -> Option<&'a str> {
        if self.any_origin {
            return Some("*");
        }
        self.origins.iter().any(|allowed| allowed.eq_ignore_ascii_case(origin)).then_some(origin)
    }

    fn marked(&self, response: Response, origin: &str) -> Response {
        let mut response = response.header("access-control-allow-origin", origin);
        if self.credentials && origin != "*" {
            response = response.header("access-control-allow-credentials", "true");
        }
        if !self.exposed.is_empty() {
            response = response.header("access-control-expose-headers", self.exposed.join(", "));
        }
        response
    }

    /// Answers a preflight request.
    fn preflight(&self, origin: &str) -> Response {
        let response = Response::new(StatusCode::NO_CONTENT)
            .header("vary", "origin, access-control-request-method, access-control-request-headers");
        let Some(origin) = self.allowed(origin) else { return response };
        let methods = if self.methods.is_empty() { METHODS.to_owned() } else { self.methods.join(", ") };
        let mut response = self.marked(response, origin).header("access-control-allow-methods", methods);
        response.headers_mut().remove("access-control-expose-headers");
        if !self.request_headers.is_empty() {
            response = response.header("access-control-allow-headers", self.request_headers.join(", "));
        }
        if let Some(age) = self.max_age {
            response = response.header("access-control-max-age", age.as_secs().to_string());
        }
        response
    }
}

impl Wrap for Cors {
    fn call(&self, request: Request, next: Next) -> Reply {
        let settings = Arc::clone(&self.0);
        let origin = request.header("origin").map(str::to_owned);
        if let Some(origin) = &origin {
            let asks = request.headers().contains("access-control-request-method");
            if request.method() == Method::OPTIONS && asks {
                return Reply::now(settings.preflight(origin));
            }
        }
        Reply::future(async move {
            let mut response = next.run(request).await.into_response();
            if !settings.any_origin {
                // Also without an Origin: a cache must not give that answer to a page of another origin.
                response = response.append_header("vary", "origin");
            }
            match origin.as_deref().and_then(|origin| settings.allowed(origin)) {
                Some(origin) => settings.marked(response, origin),
                None => response,
            }
        })
    }
}
