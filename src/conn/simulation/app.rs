//! The handlers of the simulation, and the counts that they leave for the checks.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_lite::{StreamExt, stream};

use super::script::Script;
use super::told::Told;
use super::world::{HELD, WINDOW, World};
use crate::base::pool::Pool;
use crate::base::threads::Threads;
use crate::body::Body;
use crate::config::Config;
use crate::conn::App;
use crate::handler::{Route, Router, shared};
use crate::message::{Request, Response};
use http::Method;

const CHUNK: usize = 3000;
const CHUNKS: usize = 40;

/// The most bytes of an unread body that are dropped to keep the connection.
pub const DRAIN: usize = 256 * 1024;
/// The largest body that is accepted, in bytes.
pub const BODY: u64 = 200_000;
/// The time that `/sleep` takes.
pub const SLEEP: Duration = Duration::from_millis(300);

/// The most bytes that a stream may be ahead of its client: the limit on waiting output, one chunk,
/// and the bytes that the transport and the client's side hold.
pub const MOST_AHEAD: usize = 16 * 1024 + CHUNK + HELD + WINDOW + 1024;

/// The place in which handlers run: the simulation, or real sockets.
pub(super) trait Place: Clone + Send + Sync + 'static {
    /// Sleeps by the clock of the place.
    fn sleep(&self, length: Duration) -> impl Future<Output = ()> + Send;

    /// Returns how many bytes the server has written so far, and how many of them the client has
    /// not taken, if that can be known.
    fn taken(&self) -> Option<(usize, usize)>;
}

impl Place for World {
    fn sleep(&self, length: Duration) -> impl Future<Output = ()> + Send {
        Self::sleep(self, length)
    }

    fn taken(&self) -> Option<(usize, usize)> {
        Some((self.delivered(), self.unread()))
    }
}

pub(super) struct SimApp {
    pub app: App,
    pub counts: Arc<Counts>,
    pub told: Arc<Mutex<Vec<Told>>>,
}

#[derive(Default)]
pub struct Counts {
    /// Handlers and their streams that have not been dropped.
    pub alive: AtomicUsize,
    /// The most bytes that a stream was ahead of its client.
    pub most_ahead: AtomicUsize,
}

/// Counts as alive until dropped.
struct Alive(Arc<Counts>);

impl Alive {
    fn new(counts: &Arc<Counts>) -> Self {
        counts.alive.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(counts))
    }
}

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.alive.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Returns the whole body of `/stream`.
pub fn stream_text() -> Vec<u8> {
    (0..CHUNKS).flat_map(chunk).collect()
}

fn chunk(number: usize) -> Vec<u8> {
    vec![b'a' + u8::try_from(number % 26).unwrap_or(0); CHUNK]
}

pub(super) fn app(world: &World, script: &Script) -> SimApp {
    let counts = Arc::new(Counts::default());
    let mut config = Config::default();
    config.limits.output = 16 * 1024;
    config.limits.drain = DRAIN as u64;
    config.limits.body = BODY;
    config.limits.write_rate = script.write_rate;
    let pool = Pool::new("simulation", 1, 1, Threads::new(Box::new(|| Box::new(()))));
    let mut app = App::new(router(world, &counts).build().unwrap().0, config, pool);
    let told = Arc::new(Mutex::new(Vec::new()));
    let heard = Arc::clone(&told);
    app.on_exchange = Some(Arc::new(move |exchange| heard.lock().unwrap().push(Told::of(exchange))));
    SimApp { app, counts, told }
}

type Run<P> = Box<dyn Fn(Request, P, Arc<Counts>) -> Answer + Send + Sync>;

pub(super) fn router<P: Place>(place: &P, counts: &Arc<Counts>) -> Router {
    let (counts, place) = (Arc::clone(counts), place.clone());
    let numbered =
        |req: &Request, what: &str| Response::text(format!("{what} {}", req.query().unwrap_or_default()));
    // Each handler is alive until its future is dropped.
    let handler = |run: Run<P>| {
        let (counts, place) = (Arc::clone(&counts), place.clone());
        shared(move |req: Request| {
            let alive = Alive::new(&counts);
            let answer = run(req, place.clone(), Arc::clone(&counts));
            async move {
                let _alive = alive;
                answer.await
            }
        })
    };
    Router::new()
        .get("/plain", handler(Box::new(move |req, _, _| Box::pin(async move { numbered(&req, "plain") }))))
        .get(
            "/sleep",
            handler(Box::new(move |req, place: P, _| {
                Box::pin(async move {
                    place.sleep(SLEEP).await;
                    numbered(&req, "slept")
                })
            })),
        )
        .get("/panic", handler(Box::new(|_, _, _| Box::pin(async { panic!("on purpose") }))))
        .get("/never", handler(Box::new(|_, _, _| Box::pin(std::future::pending()))))
        .get(
            "/stream",
            handler(Box::new(|_, place: P, counts| Box::pin(async move { streamed(&place, &counts) }))),
        )
        .route(
            Route::new(
                Method::POST,
                "/unread",
                handler(Box::new(|_, place: P, counts| Box::pin(async move { streamed(&place, &counts) }))),
            )
            .streaming()
            .body_limit(u64::MAX),
        )
        .get("/broken", handler(Box::new(|_, _, _| Box::pin(async { broken() }))))
        .post(
            "/echo",
            handler(Box::new(|req, _, _| Box::pin(async { Response::bytes("text/plain", req.into_body()) }))),
        )
        .route(
            Route::new(
                Method::POST,
                "/through",
                handler(Box::new(|req, _, _| {
                    Box::pin(async { Response::bytes("text/plain", req.into_body()) })
                })),
            )
            .streaming(),
        )
}

type Answer = std::pin::Pin<Box<dyn Future<Output = Response> + Send>>;

/// Returns a long body, whose chunks are made when they are asked for.
fn streamed(place: &impl Place, counts: &Arc<Counts>) -> Response {
    let (place, counts, alive) = (place.clone(), Arc::clone(counts), Alive::new(counts));
    let before = place.taken();
    let chunks = stream::iter(0..CHUNKS).map(move |number| {
        let _ = &alive;
        if let Some(((before, _), (written, unread))) = before.zip(place.taken()) {
            let made = (number + 1) * CHUNK;
            let ahead = made.saturating_sub(written.saturating_sub(before)) + unread;
            counts.most_ahead.fetch_max(ahead, Ordering::Relaxed);
        }
        Ok(chunk(number).into())
    });
    Response::stream("text/plain", chunks)
}

/// Returns a body that fails in the middle.
fn broken() -> Response {
    let chunks = stream::iter([Ok("begun".into()), Err(std::io::Error::other("on purpose"))]);
    Response::bytes("text/plain", Body::stream(chunks))
}
