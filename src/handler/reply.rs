//! The reply of a handler: a response, or the promise of one.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use super::answering::Answering;
use super::responder::{Answer, Responder};
use crate::base::guard::caught;
use crate::message::{IntoResponse, Request, Response};

/// The word for a handler in the log.
pub(super) const HANDLER: &str = "a handler";

/// The return value of a [`Handler`](super::Handler): a response, or the promise of one.
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
    /// Returns a reply that is ready: a response.
    pub fn now(response: impl IntoResponse) -> Self {
        Self(Kind::Now(Some(response.into_response())))
    }

    /// Returns a reply that runs a future for the response. The future is dropped if the handler's
    /// deadline passes or a stop cuts the exchange, but not when the client leaves.
    pub fn future(answer: impl Future<Output = Response> + Send + 'static) -> Self {
        Self::answering(answer)
    }

    /// Returns a reply that runs a future for a value that becomes the response.
    pub(super) fn answering(answer: impl Future<Output: IntoResponse> + Send + 'static) -> Self {
        Self(Kind::Future(Answering::new(answer)))
    }

    /// Returns a [`Responder`], which can answer the request from any thread, and the reply that
    /// waits for it. See [`Responder`] for an example.
    pub fn later(request: &Request) -> (Responder, Self) {
        let (responder, answer) = Responder::new(request);
        (responder, Self(Kind::Later(answer)))
    }

    /// Polls for the response. If the handler panics, the response is a 500.
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

/// Ready with the response once the handler has one.
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
