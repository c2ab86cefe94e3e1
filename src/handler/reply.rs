//! The reply of a handler: a response, or the promise of one.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use super::answering::Answering;
use super::responder::{Answer, Responder};
use crate::base::guard::caught;
use crate::message::{IntoResponse, Request, Response};

/// What a handler is called in the log.
pub(super) const HANDLER: &str = "a handler";

/// A response, or the promise of one.
///
/// ```
/// use transom::{Context, Handler, Reply, Request};
///
/// struct Hello;
/// impl Handler for Hello {
///     fn call(&self, _: Request, _: &Context) -> Reply {
///         Reply::now("hello")
///     }
/// }
/// ```
pub struct Reply(Kind);

enum Kind {
    Now(Option<Response>),
    Future(Answering),
    Later(Answer),
}

impl Reply {
    /// The response, here and now.
    ///
    /// ```
    /// transom::Reply::now("hello");
    /// ```
    pub fn now(response: impl IntoResponse) -> Self {
        Self(Kind::Now(Some(response.into_response())))
    }

    /// A future that makes the response. It is dropped if the handler's
    /// deadline passes or the server is stopped; not when the client leaves.
    ///
    /// ```
    /// transom::Reply::future(async { transom::Response::text("hello") });
    /// ```
    pub fn future(answer: impl Future<Output = Response> + Send + 'static) -> Self {
        Self::answering(answer)
    }

    /// A future that makes what becomes the response.
    pub(super) fn answering(answer: impl Future<Output: IntoResponse> + Send + 'static) -> Self {
        Self(Kind::Future(Answering::new(answer)))
    }

    /// A [`Responder`] that may answer that request from anywhere, and the
    /// reply that waits for it; see [`Responder`] for an example.
    pub fn later(request: &Request) -> (Responder, Self) {
        let (responder, answer) = Responder::new(request);
        (responder, Self(Kind::Later(answer)))
    }

    /// Polls for the response. A panic in the handler becomes a 500.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Response> {
        match &mut self.0 {
            Kind::Now(response) => response.take().map_or(Poll::Pending, Poll::Ready),
            Kind::Later(answer) => answer.poll(cx),
            Kind::Future(future) => caught(HANDLER, || future.poll(cx)).unwrap_or_else(|fault| {
                // It must not be polled again.
                self.0 = Kind::Now(None);
                Poll::Ready(Response::failed(fault))
            }),
        }
    }
}

/// The response, as soon as there is one.
impl Future for Reply {
    type Output = Response;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Response> {
        Self::poll(self.get_mut(), cx)
    }
}

impl fmt::Debug for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Kind::Now(_) => "Reply(now)",
            Kind::Future(_) => "Reply(future)",
            Kind::Later(_) => "Reply(later)",
        })
    }
}
