//! Static files as a handler: on the thread of the connection if that need not wait, else on the pool.

use std::fmt;
use std::io;
use std::sync::Arc;

use super::settings::Files;
use super::system::{Patience, is_lack};
use crate::Context;
use crate::Handler;
use crate::HttpError;
use crate::IntoResponse as _;
use crate::Reject;
use crate::Reply;
use crate::Request;
use crate::Responder;
use crate::Response;
use crate::Router;
use crate::StatusCode;

impl Files {
    /// Returns the routes, for [`Router::nest`](crate::Router::nest) under a prefix.
    pub fn router(self) -> Router {
        let files = Arc::new(self);
        let handler = |has_rest| FilesHandler { files: Arc::clone(&files), has_rest };
        Router::new().get("/", handler(false)).get("/{*file}", handler(true))
    }

    /// Returns the handler for a pattern that ends in `{*name}`: the rest of the path is that of a file. So
    /// files are served at the root of a server, beside its other routes.
    ///
    /// ```no_run
    /// use transom::{Files, Request, Router};
    ///
    /// Router::new().get("/", async |_: Request| "home").get("/{*file}", Files::new("public")?.handler());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn handler(self) -> impl Handler {
        FilesHandler { files: Arc::new(self), has_rest: true }
    }
}

/// The handler of one route.
struct FilesHandler {
    files: Arc<Files>,
    /// True if the route has a parameter `{*file}`. Otherwise it is the route of the root itself.
    has_rest: bool,
}

impl Handler for FilesHandler {
    fn call(&self, request: Request, context: &Context<'_>) -> Reply {
        match self.files.answer(&request, self.has_rest, Patience::None) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            answer => return Reply::now(response(answer)),
        }
        let (files, has_rest) = (Arc::clone(&self.files), self.has_rest);
        let (responder, reply) = Reply::later(&request);
        let waiting = Waiting(Some(responder));
        let queued = context.run_blocking_in_time(request.peer(), move |refused| {
            waiting.answer(|| match refused {
                Some(refused) => refused.into_response(),
                None => response(files.answer(&request, has_rest, Patience::Blocking)),
            });
        });
        match queued {
            Ok(()) => reply,
            Err(full) => {
                // Drop the reply first, so that the responder in the job sees that the exchange is over.
                drop(reply);
                Reply::now(full)
            }
        }
    }

    fn needs_pool(&self) -> bool {
        true
    }
}

impl fmt::Debug for FilesHandler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.files.fmt(f)
    }
}

/// The right to answer a request that waits for a thread of the pool. If it is dropped with the queue, the
/// client gets a 503.
struct Waiting(Option<Responder>);

impl Waiting {
    fn answer(mut self, answer: impl FnOnce() -> Response) {
        // The client may have left, or the deadline passed.
        if let Some(responder) = self.0.take_if(|responder| !responder.is_over()) {
            let _ = responder.send(answer());
        }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if let Some(responder) = self.0.take() {
            let _ = responder.send(Reject::NoThread.into_response());
        }
    }
}

/// Returns the answer for what became of a request. A lack of descriptors or memory passes, so the client may try
/// again; other errors of the system are a 500, and the log has them.
fn response(answer: io::Result<Response>) -> Response {
    let error = match answer {
        Ok(response) => return response,
        Err(error) => error,
    };
    if is_lack(&error) {
        let busy = Response::plain(StatusCode::SERVICE_UNAVAILABLE).header("retry-after", "1");
        return Err::<Response, _>(HttpError::respond(busy).because(error)).into_response();
    }
    Err::<Response, _>(HttpError::from(error)).into_response()
}
