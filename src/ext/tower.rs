//! Tower: services as handlers, and routers as services (feature `tower`). No runtime is
//! needed, and no type of tower reaches the rest of the crate.

use std::convert::Infallible;
use std::error::Error;
use std::fmt;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;

use bytes::Buf;
use futures_lite::Stream;
use http::HeaderMap;
use http_body::{Frame, SizeHint};
use tower_service::Service;

use crate::Body;
use crate::Bytes;
use crate::Context;
use crate::Handler;
use crate::Headers;
use crate::HttpError;
use crate::IntoResponse as _;
use crate::Reject;
use crate::Reply;
use crate::Request;
use crate::Result;
use crate::Router;
use crate::Tester;

type BoxError = Box<dyn Error + Send + Sync>;

/// Makes a handler of a tower service, such as an axum router.
///
/// The service gets [`Peer`](crate::Peer) and [`Params`](crate::Params) as extensions of the
/// request. It gets the body as a stream if the route streams, otherwise whole. An error of the
/// service is a 500 and a line in the log. Each request gets a clone of the service, and waits
/// until the clone is ready. Layers that need tokio's timer or files panic, which is a 500 too: use
/// [`Timeouts`](crate::Timeouts) and [`Body::file`](crate::Body::file) instead.
///
/// Call `with_state` on an axum router, also with `()`. Without this call, axum composes its layers
/// again for each request.
///
/// ```
/// use axum::routing::get;
/// use transom::{Router, tower_service};
///
/// let axum = axum::Router::new().route("/hello", get(async || "hello from axum")).with_state(());
/// let app = Router::new().streaming().any("/{*path}", tower_service(axum));
/// ```
pub fn tower_service<S, B>(service: S) -> TowerHandler<S>
where
    S: Service<http::Request<Body>, Response = http::Response<B>> + Clone + Send + Sync + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send + 'static,
    B: http_body::Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<BoxError>,
{
    TowerHandler(service)
}

/// The handler that [`tower_service()`] makes.
pub struct TowerHandler<S>(S);

impl<S, B> Handler for TowerHandler<S>
where
    S: Service<http::Request<Body>, Response = http::Response<B>> + Clone + Send + Sync + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send + 'static,
    B: http_body::Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<BoxError>,
{
    fn call(&self, request: Request, _: &Context<'_>) -> Reply {
        let request = match to_http(request) {
            Ok(request) => request,
            Err(reject) => return Reply::now(reject),
        };
        let mut service = self.0.clone();
        Reply::future(async move {
            let answer = async {
                poll_fn(|cx| service.poll_ready(cx)).await?;
                service.call(request).await
            };
            match answer.await {
                Ok(response) => response.map(to_body).into(),
                Err(error) => HttpError::from(error.into()).into_response(),
            }
        })
    }
}

impl<S> fmt::Debug for TowerHandler<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TowerHandler")
    }
}

impl Router {
    /// Makes a tower service of the router, for a program with another server. The service answers
    /// as a [`Tester`] does, without deadlines. A handler that upgrades gets a 500 for its client.
    ///
    /// # Errors
    /// As [`tester`](Self::tester).
    pub fn into_tower_service(self) -> Result<RouterService> {
        self.tester().map(|tester| RouterService(Arc::new(tester)))
    }
}

/// A router as a tower service; see [`Router::into_tower_service`]. A handler gets the extensions
/// of its request with `req.get::<http::Extensions>()`.
#[derive(Clone, Debug)]
pub struct RouterService(Arc<Tester>);

impl<B> Service<http::Request<B>> for RouterService
where
    B: http_body::Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<BoxError>,
{
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = std::result::Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut std::task::Context<'_>) -> Poll<std::result::Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<B>) -> Self::Future {
        let tester = Arc::clone(&self.0);
        let request = from_http(request);
        Box::pin(async move {
            let response = match request {
                Ok(request) => tester.answer(request).await,
                Err(reject) => reject.into_response(),
            };
            let mut answer = http::Response::new(Body::empty());
            *answer.status_mut() = response.status_code();
            *answer.headers_mut() = response.headers().into();
            // The other server frames the message and owns the connection (RFC 9110 7.6.1).
            for name in ["connection", "keep-alive", "proxy-connection", "te", "transfer-encoding"] {
                answer.headers_mut().remove(name);
            }
            *answer.body_mut() = response.into_body();
            Ok(answer)
        })
    }
}

/// Returns the request in the types of the crate `http`. The error is the refusal of a request that
/// these types cannot hold.
fn to_http(request: Request) -> std::result::Result<http::Request<Body>, Reject> {
    let mut http = http::Request::new(Body::empty());
    *http.method_mut() = request.method().clone();
    *http.uri_mut() = request.target().as_str().parse().map_err(|_| Reject::BadTarget)?;
    *http.version_mut() = request.version();
    *http.headers_mut() = request.headers().to_map().ok_or(Reject::TooManyHeaders)?;
    http.extensions_mut().insert(request.peer());
    http.extensions_mut().insert(request.params().clone());
    *http.body_mut() = request.into_body();
    Ok(http)
}

fn from_http<B>(request: http::Request<B>) -> std::result::Result<Request, Reject>
where
    B: http_body::Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<BoxError>,
{
    let (parts, body) = request.into_parts();
    let mut request = Request::new(parts.method, &parts.uri.to_string())?;
    *request.headers_mut() = Headers::from(&parts.headers);
    // The other server owns the connection, so the handler cannot change the protocol.
    request.headers_mut().remove("upgrade");
    request.set(parts.extensions);
    // The error of a request's body is the client's fault, not the handler's.
    let fault = |_| Reject::BodyCutShort.into();
    *request.body_mut() = to_body_with(body, fault);
    Ok(request)
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        self.as_mut().poll_next(cx).map(|chunk| match chunk {
            Some(chunk) => Some(chunk.map(Frame::data)),
            None => Some(self.take_trailers())
                .filter(|trailers| !trailers.is_empty())
                .map(|trailers| Ok(Frame::trailers((&trailers).into()))),
        })
    }

    fn size_hint(&self) -> SizeHint {
        self.len().map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

/// Returns a body of any kind as one of this crate.
fn to_body<B>(body: B) -> Body
where
    B: http_body::Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<BoxError>,
{
    to_body_with(body, io::Error::other)
}

/// Like [`to_body`], with a function that converts the error of the body.
fn to_body_with<B>(body: B, fault: fn(BoxError) -> io::Error) -> Body
where
    B: http_body::Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<BoxError>,
{
    if body.is_end_stream() {
        return Body::empty();
    }
    let length = body.size_hint().exact();
    let trailers = Arc::default();
    let chunks = Chunks { body: Box::pin(body), trailers: Arc::clone(&trailers), fault };
    match length {
        Some(length) => Body::sized_stream(length, chunks),
        None => Body::stream(chunks).with_trailers(move || {
            let trailers = trailers.lock().unwrap_or_else(PoisonError::into_inner);
            Headers::from(&*trailers)
        }),
    }
}

/// The data of a body, as a stream. Keeps the trailers.
struct Chunks<B> {
    body: Pin<Box<B>>,
    trailers: Arc<Mutex<HeaderMap>>,
    /// Converts the error of the body.
    fault: fn(BoxError) -> io::Error,
}

impl<B: http_body::Body<Error: Into<BoxError>>> Stream for Chunks<B> {
    type Item = io::Result<Bytes>;

    fn poll_next(
        mut self: Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> Poll<Option<io::Result<Bytes>>> {
        loop {
            let frame = match self.body.as_mut().poll_frame(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(None) => return Poll::Ready(None),
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Some(Err((self.fault)(error.into())))),
                Poll::Ready(Some(Ok(frame))) => frame,
            };
            match frame.into_data() {
                Ok(mut data) => return Poll::Ready(Some(Ok(data.copy_to_bytes(data.remaining())))),
                Err(frame) => {
                    if let Ok(trailers) = frame.into_trailers() {
                        *self.trailers.lock().unwrap_or_else(PoisonError::into_inner) = trailers;
                    }
                }
            }
        }
    }
}
