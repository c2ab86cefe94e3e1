//! The loop of a connection.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::sync::Arc;
use std::task::{self, Poll, Waker};
use std::time::{Duration, Instant, SystemTime};

use futures_lite::future::yield_now;
use http::{Method, StatusCode, Version};

use super::incoming::Incoming;
use super::outgoing;
use super::wire::Wire;
use super::{App, Refusal, Session, Stage, Transport};
use crate::config::Config;
use crate::error::Reject;
use crate::handler::{self, Context, Reply};
use crate::message::{Body, DateLine, Headers, Request, RequestParts, Response, Upgrade, Upgraded};
use crate::proto::{
    Facts, Head, HeadReader, Payload, Plan, asks_for_head, encode_head, encode_interim, encode_switch,
    is_allowed_host, offers, plan,
};
use crate::router::{Endpoint, Found, Timeout};

/// From its first byte on, a head may take this long whatever its rate.
const RATE_GRACE: Duration = Duration::from_secs(2);

/// Exchanges before other connections of the thread have their turn, though
/// more requests are there.
const TURN: usize = 64;

/// What a connection does after an exchange.
enum Next {
    Again,
    /// Close so that the client can read the last answer, though it may still send.
    Linger,
    /// Close, with nothing left to read.
    Close,
    /// End it without a proper close: it is broken, or an answer is not whole.
    Break,
    /// Hand the connection to another protocol.
    Upgrade(Box<Upgrade>),
}

/// What came of waiting for bytes.
enum More {
    Filled(io::Result<usize>),
    Late,
    Stopping,
}

/// What of a request its answer depends on.
struct Asked {
    method: Method,
    version: Version,
    facts: Facts,
    /// The header fields, if the client asks to leave HTTP.
    upgrade: Option<Headers>,
}

/// How far an exchange came without waiting.
enum Begun<'a> {
    Done(Next),
    Waits(Box<Waiting<'a>>),
}

/// An exchange that waits.
struct Waiting<'a> {
    asked: Asked,
    incoming: Incoming,
    state: State<'a>,
}

/// What an exchange waits for.
enum State<'a> {
    /// The body of the request.
    Body(&'a Endpoint, Request),
    /// The handler.
    Reply(&'a Endpoint, Reply),
    /// Writing the answer.
    Answer(Response),
}

impl<'a> Begun<'a> {
    fn waits(asked: Asked, incoming: Incoming, state: State<'a>) -> Self {
        Self::Waits(Box::new(Waiting { asked, incoming, state }))
    }
}

pub(super) struct Connection<'a, T> {
    wire: Wire<T>,
    app: &'a App,
    session: &'a Session,
    /// The task's, for a handler's first poll. Whatever has to wait is polled
    /// again at once, by the task itself.
    waker: Waker,
}

impl<'a, T: Transport> Connection<'a, T> {
    pub fn new(wire: Wire<T>, app: &'a App, session: &'a Session) -> Self {
        Self { wire, app, session, waker: Waker::noop().clone() }
    }

    /// Serves one exchange after another until the connection ends.
    pub fn run(mut self) -> impl Future<Output = ()> + Send + use<'a, T> {
        // No async function: that would keep its argument twice.
        async move {
            self.waker = poll_fn(|cx| Poll::Ready(cx.waker().clone())).await;
            for turn in 1_usize.. {
                if turn % TURN == 0 {
                    yield_now().await;
                }
                let head = self.read_head().await;
                let next = match self.begin(head) {
                    Begun::Done(next) => next,
                    Begun::Waits(waiting) => {
                        let next = Box::pin(self.finish(waiting)).await;
                        self.session.end_exchange();
                        next
                    }
                };
                match next {
                    Next::Again if self.wire.output.len() < self.app.config.limits.output => {}
                    // A client that pipelines and reads nothing is not answered without bound.
                    Next::Again if self.wire.flush().await.is_ok() => {}
                    Next::Upgrade(upgrade) => {
                        // The 101 is out; what follows counts as one more exchange.
                        self.session.settle();
                        self.session.begin_exchange();
                        let (transport, early) = self.wire.into_parts();
                        (upgrade.run)(Upgraded::new(Box::new(transport), early)).await;
                        self.session.end_exchange();
                        return self.session.settle();
                    }
                    last => return self.close(last).await,
                }
            }
        }
    }

    /// Ends the connection.
    async fn close(&mut self, last: Next) {
        let Config { limits, timeouts, .. } = &self.app.config;
        if matches!(last, Next::Linger | Next::Close)
            && let Err(error) = self.wire.flush().await
        {
            self.give_up(&error);
        }
        self.session.settle();
        match last {
            Next::Linger => self.wire.linger(limits.drain, timeouts.drain).await,
            Next::Close => drop(self.wire.close(timeouts.drain).await),
            _ => {}
        }
    }

    /// The next request's head; `None` if there will be none.
    async fn read_head(&mut self) -> Result<Option<Head>, Reject> {
        let Config { limits, timeouts, .. } = &self.app.config;
        let mut reader = HeadReader::default();
        let mut first_byte = None;
        let mut idle_deadline = None;
        loop {
            if !self.wire.input.is_empty()
                && let Some((head, length)) = reader.read(self.wire.input.as_slice(), limits)?
            {
                self.wire.input.consume(length);
                return Ok(Some(head));
            }
            // No whole request waits: now the answers given so far go out together.
            if self.wire.flush().await.is_err() || self.wire.has_ended() {
                return Ok(None);
            }
            self.session.settle();
            // Empty lines are no request yet (RFC 9112 2.2).
            let idle = self.wire.input.as_slice().iter().all(|byte| b"\r\n".contains(byte));
            let deadline = if idle {
                *idle_deadline.get_or_insert_with(|| self.wire.deadline(timeouts.idle))
            } else {
                let first_byte = *first_byte.get_or_insert_with(|| self.wire.now());
                head_deadline(&self.app.config, first_byte, self.wire.input.len())
            };
            match self.more(deadline, idle).await {
                More::Filled(Ok(_)) => {}
                More::Late if !idle => return Err(Reject::HeadTimeout),
                More::Filled(Err(_)) | More::Late | More::Stopping => return Ok(None),
            }
        }
    }

    /// Waits for bytes. When the server stops, an idle connection ends at once,
    /// and one with half a head has as long as a drain may take; so has an idle
    /// one that is to make room.
    async fn more(&mut self, mut deadline: Option<Instant>, idle: bool) -> More {
        let mut ending = Stage::Running;
        poll_fn(|cx| {
            if let Poll::Ready(filled) = self.wire.poll_fill(cx) {
                return Poll::Ready(More::Filled(filled));
            }
            while let Some(next) = following(ending, idle)
                && self.session.has_reached(next)
            {
                if idle && next == Stage::Draining {
                    return Poll::Ready(More::Stopping);
                }
                ending = next;
                let soon = self.wire.deadline(self.app.config.timeouts.drain);
                deadline = soon.into_iter().chain(deadline).min();
            }
            self.wire.poll_deadline(cx, deadline).map(|()| More::Late)
        })
        .await
    }

    /// One request, as far as it goes without waiting: most are answered where
    /// they stand. What has to wait is put aside, so that a connection between two
    /// requests is small.
    fn begin(&mut self, head: Result<Option<Head>, Reject>) -> Begun<'a> {
        match head {
            Ok(Some(head)) => {
                self.session.begin_exchange();
                let begun = self.attempt(head);
                if matches!(begun, Begun::Done(_)) {
                    self.session.end_exchange();
                }
                begun
            }
            Ok(None) => Begun::Done(Next::Close),
            Err(reject) => {
                let is_head = asks_for_head(self.wire.input.as_slice());
                Begun::Done(self.refuse(if is_head { &Method::HEAD } else { &Method::GET }, reject))
            }
        }
    }

    fn attempt(&mut self, head: Head) -> Begun<'a> {
        let Head { method, target, version, headers, facts } = head;
        let app = self.app;
        let host = headers.get_bytes("host");
        if app.config.hosts.as_ref().is_some_and(|names| !is_allowed_host(host.unwrap_or_default(), names)) {
            return Begun::Done(self.refuse(&method, Reject::ForeignHost));
        }
        let mut asked = Asked { method, version, facts, upgrade: None };
        let (endpoint, params) = match app.router.find(&asked.method, &target) {
            Found::Endpoint(endpoint, params) => (endpoint, params),
            Found::Answer(response) => {
                return match Incoming::new(&asked.facts, u64::MAX) {
                    Ok(incoming) => self.answer(asked, incoming, response),
                    Err(reject) => Begun::Done(self.refuse(&asked.method, reject)),
                };
            }
        };
        let limit = endpoint.body_limit.unwrap_or(app.config.limits.body);
        let mut incoming = match Incoming::new(&asked.facts, limit) {
            Ok(incoming) => incoming,
            Err(reject) => return Begun::Done(self.refuse(&asked.method, reject)),
        };
        asked.upgrade = asked.facts.upgrade.then(|| headers.clone());
        let client = Arc::clone(&self.session.client);
        let exchange = client.exchange();
        let method = asked.method.clone();
        let parts = RequestParts { method, target, version, headers, client, exchange };
        let mut request = Request { parts, params, body: Body::empty() };
        if endpoint.streaming {
            request.body = incoming.stream();
        } else if !incoming.is_done() {
            return Begun::waits(asked, incoming, State::Body(endpoint, request));
        }
        let mut reply = self.call(endpoint, request);
        match reply.poll(&mut task::Context::from_waker(&self.waker)) {
            Poll::Ready(response) => self.answer(asked, incoming, response),
            Poll::Pending => Begun::waits(asked, incoming, State::Reply(endpoint, reply)),
        }
    }

    /// The rest of an exchange that has to wait.
    async fn finish(&mut self, waiting: Box<Waiting<'a>>) -> Next {
        let Waiting { asked, mut incoming, state } = *waiting;
        let (endpoint, reply) = match state {
            State::Answer(response) => return self.respond(&asked, incoming, response).await,
            State::Reply(endpoint, reply) => (endpoint, reply),
            State::Body(endpoint, mut request) => {
                match incoming.whole(&mut self.wire, &self.app.config).await {
                    Ok(body) => request.body = body,
                    Err(reject) => return self.refuse(&asked.method, reject),
                }
                (endpoint, self.call(endpoint, request))
            }
        };
        match self.wait(reply, endpoint, &asked, &mut incoming).await {
            Ok(response) => self.respond(&asked, incoming, response).await,
            Err(reject) => self.refuse(&asked.method, reject),
        }
    }

    fn call(&self, endpoint: &Endpoint, request: Request) -> Reply {
        handler::call(&*endpoint.handler, request, Context::new(&self.app.pool))
    }

    /// Writes an answer, if that is all there is to do.
    fn answer(&mut self, asked: Asked, incoming: Incoming, response: Response) -> Begun<'a> {
        match self.answer_whole(&asked, &incoming, response) {
            Ok(next) => Begun::Done(next),
            Err(response) => Begun::waits(asked, incoming, State::Answer(response)),
        }
    }

    /// Writes an answer whose body is at hand, to a request that has been read;
    /// hands it back if it is another or must be cut short.
    fn answer_whole(
        &mut self,
        asked: &Asked,
        incoming: &Incoming,
        response: Response,
    ) -> Result<Next, Response> {
        let length = response.body.as_bytes().map(|body| body.len() as u64);
        if !incoming.is_done() || incoming.fault.is_some() || response.upgrade.is_some() || length.is_none() {
            return Err(response);
        }
        let response = checked(response, asked, true);
        let plan = self.plan(asked, incoming, &response);
        if matches!(plan.payload, Payload::Length(announced) if Some(announced) > response.body.len()) {
            return Err(response);
        }
        if self.session.client.is_used() {
            self.write_hints(asked, None);
        }
        self.write_head(&response, &plan);
        outgoing::put(&mut self.wire, response.body, plan.payload);
        // After an exchange that left nothing unread, closing sends no reset.
        Ok(match plan.close {
            false => Next::Again,
            true if self.wire.input.is_empty() => Next::Close,
            true => Next::Linger,
        })
    }

    fn write_head(&mut self, response: &Response, plan: &Plan) {
        let now = self.wire.now();
        write_head(self.wire.output.buffer(), response, plan, now);
    }

    fn plan(&self, asked: &Asked, incoming: &Incoming, response: &Response) -> Plan {
        let persistent = asked.facts.persistent
            && incoming.is_drainable(self.app.config.limits.drain)
            && !self.session.has_reached(Stage::Leaving);
        plan(&asked.method, asked.version, persistent, response)
    }

    /// Waits for the handler's answer. While it works, earlier answers go out,
    /// the body it reads comes in, and the client is watched.
    async fn wait(
        &mut self,
        mut reply: Reply,
        endpoint: &Endpoint,
        asked: &Asked,
        incoming: &mut Incoming,
    ) -> Result<Response, Reject> {
        let config = &self.app.config;
        let timeout = match endpoint.timeout {
            Timeout::Server => config.timeouts.handler,
            Timeout::Own(timeout) => timeout,
        };
        let mut started = None;
        let mut broken = false;
        poll_fn(|cx| {
            if let Poll::Ready(response) = reply.poll(cx) {
                return Poll::Ready(Ok(response));
            }
            self.write_hints(asked, Some(cx.waker()));
            if !broken {
                broken = matches!(self.wire.poll_flush(cx), Poll::Ready(Err(_)))
                    || incoming.poll(cx, &mut self.wire, config).is_err();
                if broken {
                    incoming.break_off();
                }
            }
            if broken || self.wire.has_ended() {
                self.session.client.mark_gone();
            }
            // A handler that reads the body is not late while the body comes.
            let started = *started.get_or_insert_with(|| self.wire.now());
            let since = incoming.progress.map_or(started, |progress| progress.max(started));
            let deadline = timeout.and_then(|timeout| since.checked_add(timeout));
            self.wire.poll_deadline(cx, deadline).map(|()| Err(Reject::HandlerTimeout))
        })
        .await
    }

    /// Writes an answer and sees what the connection is still good for.
    async fn respond(&mut self, asked: &Asked, mut incoming: Incoming, response: Response) -> Next {
        if let Some(reject) = incoming.fault {
            // The request was not a whole one, whatever the handler made of it.
            return self.refuse(&asked.method, reject);
        }
        let response = match self.answer_whole(asked, &incoming, response) {
            Ok(next) => return next,
            Err(response) => response,
        };
        self.write_hints(asked, None);
        let config = &self.app.config;
        let mut response = checked(response, asked, incoming.is_done());
        if let Some(upgrade) = response.upgrade.take() {
            encode_switch(self.wire.output.buffer(), &response.headers, &upgrade.protocol);
            return match self.wire.flush().await {
                Ok(()) => Next::Upgrade(upgrade),
                Err(error) => self.cut_short(&error).await,
            };
        }
        if response.body.as_bytes().is_none() {
            incoming.ask_early(&mut self.wire);
        }
        let plan = self.plan(asked, &incoming, &response);
        self.write_head(&response, &plan);
        let open_end = plan.payload == Payload::UntilClose;
        if open_end {
            self.wire.begin_open_end();
        }
        let (body, client) = (response.body, &self.session.client);
        let sent = outgoing::send(&mut self.wire, body, plan.payload, &mut incoming, config, client).await;
        if let Err(error) = sent {
            return self.cut_short(&error).await;
        }
        if plan.close {
            let clean = self.wire.input.is_empty() && incoming.is_done();
            if let Err(error) = self.wire.flush().await {
                return self.cut_short(&error).await;
            }
            if open_end {
                self.wire.finish_open_end();
            }
            return if clean { Next::Close } else { Next::Linger };
        }
        if incoming.drain(&mut self.wire, config).await { Next::Again } else { Next::Linger }
    }

    /// Writes the interim answers that the handler gave so far.
    fn write_hints(&mut self, asked: &Asked, waker: Option<&Waker>) {
        let hints = self.session.client.take_hints(waker);
        // HTTP/1.0 knows no interim answers (RFC 9110 15.2).
        for fields in hints.iter().filter(|_| asked.version == Version::HTTP_11) {
            encode_interim(self.wire.output.buffer(), StatusCode::EARLY_HINTS, fields);
        }
    }

    /// Answers a request that broke a rule, and closes.
    fn refuse(&mut self, method: &Method, reject: Reject) -> Next {
        let peer = self.session.client.peer;
        log::debug!(target: "transom", "refused a request of {peer}: {}", reject.reason());
        self.app.tell(&Refusal { reject, peer });
        let response = Response::text(format!("{}: {reject}\n", reject.status())).status(reject.status());
        let plan = plan(method, Version::HTTP_11, false, &response);
        self.write_head(&response, &plan);
        if let (Payload::Length(_), Some(body)) = (plan.payload, response.into_body().take_whole()) {
            self.wire.output.push(body);
        }
        Next::Linger
    }

    /// An answer could not be given whole: what there is of it goes out, and
    /// the connection ends where the client does not expect it to.
    async fn cut_short(&mut self, error: &io::Error) -> Next {
        self.give_up(error);
        let _ = self.wire.flush().await;
        Next::Break
    }

    /// An answer does not reach the client.
    fn give_up(&self, error: &io::Error) {
        let (peer, reason) = (self.session.client.peer, error.to_string());
        log::debug!(target: "transom", "an answer to {peer} was cut short: {}", reason.escape_debug());
        self.session.client.mark_gone();
    }
}

/// The next stage that matters to a connection that waits for bytes.
fn following(stage: Stage, idle: bool) -> Option<Stage> {
    match stage {
        Stage::Running if idle => Some(Stage::Leaving),
        Stage::Running | Stage::Leaving => Some(Stage::Draining),
        Stage::Draining | Stage::Cut => None,
    }
}

/// When a head is given up of which so many bytes have come: it has its time in
/// all, and must keep up a rate.
fn head_deadline(config: &Config, first_byte: Instant, length: usize) -> Option<Instant> {
    let by_time = config.timeouts.head.and_then(|timeout| first_byte.checked_add(timeout));
    let by_rate = match config.limits.head_rate {
        0 => None,
        rate => first_byte.checked_add(RATE_GRACE + Duration::from_secs(length as u64) / rate),
    };
    match (by_time, by_rate) {
        (Some(time), Some(rate)) => Some(time.min(rate)),
        (time, rate) => time.or(rate),
    }
}

/// The handler's response, or a 500 if it is none that can be sent.
fn checked(response: Response, asked: &Asked, is_read: bool) -> Response {
    if let Some(fault) = &response.fault {
        log::error!(target: "transom", "a handler's response was not sent: {fault}");
    } else if let Some(upgrade) = &response.upgrade {
        let is_asked = asked.upgrade.as_ref().is_some_and(|fields| offers(fields, &upgrade.protocol));
        if is_asked && is_read {
            return response;
        }
        log::error!(target: "transom", "a handler's upgrade was not sent: not asked for, or a body is unread");
    } else if response.status.is_informational() {
        log::error!(target: "transom", "a handler's response was not sent: {} is no final status", response.status);
    } else {
        return response;
    }
    Response::plain(StatusCode::INTERNAL_SERVER_ERROR)
}

/// Writes the head of an answer that is given now.
pub(super) fn write_head(out: &mut Vec<u8>, response: &Response, plan: &Plan, now: Instant) {
    thread_local! {
        static DATE: RefCell<DateLine> = const { RefCell::new(DateLine::new()) };
    }
    DATE.with_borrow_mut(|date| {
        encode_head(out, response.status, &response.headers, plan, date.at(now, SystemTime::now));
    });
}
