//! Answering later: a slot for one response, between the responder and the connection.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::{fmt, mem};

use http::Method;

use crate::base::guard::guarded;
use crate::base::stopping::Stopping;
use crate::base::wakes;
use crate::error::Gone;
use crate::fields::Headers;
use crate::http1::announce_early;
use crate::message::{Address, Client, Request, Response};

/// The right to answer one request, once, from any task or thread, now or later.
///
/// If it is dropped without an answer, the client gets a 500 and the log gets a line.
///
/// ```
/// use transom::{Context, Handler, Reply, Request, Response, Router};
///
/// struct Later;
/// impl Handler for Later {
///     fn call(&self, request: Request, _: &Context) -> Reply {
///         let (responder, reply) = Reply::later(&request);
///         std::thread::spawn(move || responder.send(Response::text("later")));
///         reply
///     }
/// }
/// Router::new().get("/", Later);
/// ```
pub struct Responder {
    /// `None` after the responder has answered.
    slot: Option<Arc<Slot>>,
    client: Arc<Client>,
    exchange: u32,
    is_head: bool,
}

/// The connection's end of the slot.
pub(crate) struct Answer(Arc<Slot>);

#[derive(Default)]
struct Slot(Mutex<State>);

#[derive(Default)]
struct State {
    response: Option<Response>,
    /// The connection no longer waits, because of a deadline, a stop, or a fault of the connection.
    abandoned: bool,
    waker: Option<Waker>,
    /// Runs if the connection no longer waits.
    watchers: Vec<Box<dyn FnOnce() + Send>>,
}

impl Slot {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes a response and puts it into the slot, if the connection still waits for it.
    fn put(&self, response: impl FnOnce() -> Response) -> Result<(), Gone> {
        let mut state = self.lock();
        if state.abandoned {
            return Err(Gone);
        }
        state.response = Some(response());
        let waker = state.waker.take();
        let watchers = mem::take(&mut state.watchers);
        drop(state);
        drop(watchers);
        waker.into_iter().for_each(Waker::wake);
        Ok(())
    }
}

impl Responder {
    pub(crate) fn new(request: &Request) -> (Self, Answer) {
        let slot = Arc::<Slot>::default();
        (
            Self {
                slot: Some(Arc::clone(&slot)),
                client: Arc::clone(&request.client),
                exchange: request.exchange,
                is_head: request.head.method == Method::HEAD,
            },
            Answer(slot),
        )
    }

    /// Sends the response.
    ///
    /// ```
    /// use transom::{Gone, Method, Reply, Request, Response};
    /// let request = Request::new(Method::GET, "/")?;
    /// let (responder, reply) = Reply::later(&request);
    /// drop(reply); // as when the deadline has passed
    /// assert_eq!(responder.send(Response::text("late")), Err(Gone));
    /// # Ok::<(), transom::Reject>(())
    /// ```
    ///
    /// `Ok` means that the server has the response and will send it. It does not mean that the
    /// client has received it.
    ///
    /// # Errors
    /// [`Gone`] if the exchange is over: its deadline has passed, a stop has cut it, or the server
    /// has seen that the connection is broken.
    pub fn send(mut self, response: Response) -> Result<(), Gone> {
        announce_early(self.is_head, &response);
        let is_lost = self.client.is_lost();
        // It ends the exchange also where it cannot be sent.
        self.slot.take().map_or(Err(Gone), |slot| slot.put(|| response))?;
        if is_lost { Err(Gone) } else { Ok(()) }
    }

    /// Runs `answer`, which answers several requests, and wakes each thread of the server at most once,
    /// at the end. Clients get their responses after that, so `answer` should be short, and it must not
    /// wait for what a client does.
    ///
    /// ```
    /// use transom::{Method, Reply, Request, Responder, Response};
    /// # let requests = [Request::new(Method::GET, "/a")?, Request::new(Method::GET, "/b")?];
    /// let (responders, replies): (Vec<_>, Vec<_>) = requests.iter().map(Reply::later).unzip();
    /// let gone = Responder::batch(|| {
    ///     let sent = responders.into_iter().map(|responder| responder.send(Response::text("news")));
    ///     sent.filter(Result::is_err).count()
    /// });
    /// assert_eq!(gone, 0);
    /// # drop(replies);
    /// # Ok::<(), transom::Reject>(())
    /// ```
    pub fn batch<R>(answer: impl FnOnce() -> R) -> R {
        wakes::batch(answer)
    }

    /// Returns `true` if the exchange is over, or if the client has closed its sending side. In the
    /// second case the response is still sent: the client may have left or may still read, and a
    /// server cannot tell which.
    pub fn is_gone(&self) -> bool {
        self.client.is_gone() || self.is_over()
    }

    /// Sends `103 Early Hints`; see
    /// [`Request::early_hints`](crate::Request::early_hints).
    ///
    /// # Errors
    /// [`Gone`] if the exchange is over.
    pub fn early_hints(&self, fields: Headers) -> Result<(), Gone> {
        self.client.hint(self.exchange, fields).then_some(()).ok_or(Gone)
    }

    /// Returns the address at which the connection came in; see
    /// [`Request::local_addr`](crate::Request::local_addr).
    pub fn local_addr(&self) -> Option<Address> {
        self.client.local_addr()
    }

    /// Returns a future that is ready when the server begins to stop, at once if the stop has begun.
    /// It does not end with the exchange. See [`Stopping`] for an example.
    pub fn stopping(&self) -> Stopping {
        self.client.stopping()
    }

    /// Returns `true` if the exchange is over: it was answered, its deadline has passed, a stop has
    /// cut it, or the connection has ended. [`send`](Self::send) would return [`Gone`].
    pub fn is_over(&self) -> bool {
        self.slot.as_ref().is_none_or(|slot| slot.lock().abandoned)
    }

    /// Runs `watcher` once if the client leaves before it has the whole response; at once if it has
    /// left already. A client has left if it has closed its sending side (see
    /// [`is_gone`](Self::is_gone)), if the connection is broken, or if a stop has cut it. A deadline
    /// that passes does not count. The watcher runs on a thread of the server and must not block.
    pub fn on_gone(&self, watcher: impl FnOnce() + Send + 'static) {
        if !self.is_over() {
            self.client.on_gone(self.exchange, Box::new(watcher));
        }
    }

    /// Runs `watcher` if the exchange ends without a response, because its deadline has passed, a
    /// stop has cut it, or the connection is closed; at once if that has happened already. If a
    /// response is sent, the watcher is dropped. It runs on a thread of the server and must not
    /// block.
    ///
    /// ```
    /// use transom::{Method, Reply, Request, Response};
    /// # use std::sync::mpsc;
    /// let request = Request::new(Method::GET, "/")?;
    /// let (responder, reply) = Reply::later(&request);
    /// let (sender, receiver) = mpsc::channel();
    /// responder.on_over(move || sender.send("too late").unwrap());
    /// drop(reply); // as when the deadline has passed
    /// assert_eq!(receiver.try_recv(), Ok("too late"));
    /// # Ok::<(), transom::Reject>(())
    /// ```
    pub fn on_over(&self, watcher: impl FnOnce() + Send + 'static) {
        let Some(slot) = &self.slot else { return };
        let mut state = slot.lock();
        if state.abandoned {
            drop(state);
            watcher();
        } else {
            state.watchers.push(Box::new(watcher));
        }
    }
}

impl Drop for Responder {
    fn drop(&mut self) {
        if let Some(slot) = self.slot.take() {
            // Unless nobody waits any more: the log says why already.
            let _ = slot.put(|| Response::failed("a request was never answered: its responder was dropped"));
        }
    }
}

impl fmt::Debug for Responder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Responder").field("gone", &self.is_gone()).finish()
    }
}

impl Answer {
    pub fn poll(&self, cx: &mut Context<'_>) -> Poll<Response> {
        let mut state = self.0.lock();
        if let Some(response) = state.response.take() {
            return Poll::Ready(response);
        }
        if !state.waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            state.waker = Some(cx.waker().clone());
        }
        Poll::Pending
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.abandoned = true;
        let response = state.response.take();
        let watchers = mem::take(&mut state.watchers);
        drop(state);
        drop(response);
        for watcher in watchers {
            guarded("a callback for an exchange that is over", watcher);
        }
    }
}
