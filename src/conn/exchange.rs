//! One exchange: a request's head to the end of its answer.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::sync::Arc;
use std::task::{self, Poll, Waker};
use std::time::{Instant, SystemTime};

use http::{Method, StatusCode, Version};
use log::Level;

use super::connection::{Connection, Next};
use super::date::DateLine;
use super::incoming::Incoming;
use super::label::Label;
use super::{Stage, Transport, incoming, outgoing};
use crate::base::guard::log_event;
use crate::body::Body;
use crate::error::Reject;
use crate::fields::Headers;
use crate::handler::{self, Context, Reply};
use crate::handler::{Endpoint, Found, Timeout};
use crate::http1::{
    Facts, Framing, Payload, Plan, announce, encode_head, encode_interim, encode_switch, is_allowed_host,
    offers, plan,
};
use crate::message::{IntoResponse as _, Request, RequestHead, Response};

/// What of a request its answer depends on.
pub(super) struct Asked<'a> {
    /// Who answers, if it is not the router itself.
    endpoint: Option<&'a Endpoint>,
    is_head: bool,
    version: Version,
    facts: Facts,
    /// The header fields, if the client asks to leave HTTP.
    upgrade: Option<Headers>,
}

/// How far an exchange came without waiting.
pub(super) enum Begun<'a> {
    Done(Next),
    Waits(Box<Waiting<'a>>),
}

/// An exchange that waits.
pub(super) struct Waiting<'a> {
    asked: Asked<'a>,
    label: Label<'a>,
    incoming: Incoming<'a>,
    state: State<'a>,
}

/// What an exchange waits for.
pub(super) enum State<'a> {
    /// The body of the request.
    Body(&'a Endpoint, Request),
    /// The handler.
    Reply(&'a Endpoint, Reply),
    /// Writing the answer.
    Answer(Response),
}

impl<'a, T: Transport> Connection<'a, T> {
    /// An exchange, as far as it goes without waiting. A handler that waits is polled
    /// again at once, by what waits for it.
    pub fn attempt(&mut self, cx: &mut task::Context<'_>, mut head: RequestHead, facts: Facts) -> Begun<'a> {
        let app = self.app;
        let is_head = head.method == Method::HEAD;
        if let Some(names) = &app.config.hosts
            && !is_allowed_host(head.headers.get_bytes("host").unwrap_or_default(), names)
        {
            return Begun::Done(self.refuse(is_head, Reject::ForeignHost));
        }
        let mut asked = Asked { endpoint: None, is_head, version: head.version, facts, upgrade: None };
        let endpoint = match app.router.find(&mut head) {
            Found::Endpoint(endpoint) => endpoint,
            Found::Answer(response) => return self.answer_unrouted(asked, response),
        };
        asked.endpoint = Some(endpoint);
        let limit = endpoint.body_limit.unwrap_or(app.config.limits.body);
        let mut incoming = match self.incoming(facts, limit) {
            Ok(incoming) => incoming,
            Err(reject) => return Begun::Done(self.refuse(is_head, reject)),
        };
        asked.upgrade = asked.facts.asks_for_upgrade().then(|| head.headers.clone());
        let client = Arc::clone(&self.session.client);
        let exchange = client.exchange();
        let mut request = Request { head, client, exchange, body: Body::empty() };
        if let Some(incoming) = &mut incoming
            && endpoint.streaming
        {
            request.body = incoming.stream();
        } else if let Some(body) = &mut incoming {
            match body.at_hand(&mut self.wire, &app.config.limits) {
                Ok(Some(body)) => {
                    asked.facts = facts.with_taken(facts.taken() + body.len());
                    request.body = body.into();
                }
                Ok(None) => return self.put_aside(asked, incoming, State::Body(endpoint, request)),
                Err(reject) => return Begun::Done(self.refuse(is_head, reject)),
            }
        }
        let mut reply = self.call(endpoint, request);
        let mut polled = reply.poll(cx);
        let Poll::Ready(response) = &mut polled else {
            return self.put_aside(asked, incoming, State::Reply(endpoint, reply));
        };
        self.answer(asked, incoming, response)
    }

    /// Writes the router's own answer.
    #[cold]
    fn answer_unrouted(&mut self, asked: Asked<'a>, mut response: Response) -> Begun<'a> {
        // However long the body is, it is not taken.
        match self.incoming(asked.facts, u64::MAX) {
            Ok(incoming) => self.answer(asked, incoming, &mut response),
            Err(reject) => Begun::Done(self.refuse(asked.is_head, reject)),
        }
    }

    /// The body of a request, if it has one: most have none, and do without.
    #[inline]
    fn incoming(&self, facts: Facts, limit: u64) -> Result<Option<Incoming<'a>>, Reject> {
        match facts.framing() {
            Framing::None => Ok(None),
            framing => Incoming::new(facts, framing, limit, self.app.bodies.share()).map(Some),
        }
    }

    /// Puts an exchange aside that has to wait.
    #[cold]
    fn put_aside(&self, asked: Asked<'a>, incoming: Option<Incoming<'a>>, state: State<'a>) -> Begun<'a> {
        let label = self.label(&asked);
        let incoming = incoming.unwrap_or_else(|| Incoming::none(self.app.bodies.share()));
        Begun::Waits(Box::new(Waiting { asked, label, incoming, state }))
    }

    /// The label of the request whose head was read last.
    fn label(&self, asked: &Asked<'a>) -> Label<'a> {
        let taken = asked.facts.taken();
        Label::new(self.wire.input.behind(taken), taken, asked.endpoint)
    }

    /// The rest of an exchange that has to wait.
    pub async fn finish(&mut self, waiting: Box<Waiting<'a>>) -> Next {
        // The label stays where it lies.
        let (asked, mut incoming, label) = (waiting.asked, waiting.incoming, &waiting.label);
        let (endpoint, reply) = match waiting.state {
            State::Answer(response) => return self.respond(&asked, label, incoming, response).await,
            State::Reply(endpoint, reply) => (endpoint, reply),
            State::Body(endpoint, mut request) => {
                match incoming.whole(&mut self.wire, &self.app.config).await {
                    Ok(body) => request.body = body,
                    Err(reject) => return self.refuse(asked.is_head, reject),
                }
                (endpoint, self.call(endpoint, request))
            }
        };
        match self.wait(reply, endpoint, &asked, &mut incoming).await {
            Ok(response) => self.respond(&asked, label, incoming, response).await,
            Err(reject) => {
                log_event(Level::Warn, format_args!("a handler did not answer in time {label}"));
                self.refuse(asked.is_head, reject)
            }
        }
    }

    fn call(&self, endpoint: &Endpoint, request: Request) -> Reply {
        handler::call(&*endpoint.handler, request, Context::new(&self.app.pool))
    }

    /// Writes an answer, if that is all there is to do. It is taken from where it lies
    /// only if not.
    #[inline]
    fn answer(
        &mut self,
        asked: Asked<'a>,
        incoming: Option<Incoming<'a>>,
        response: &mut Response,
    ) -> Begun<'a> {
        if let Some(next) = self.answer_whole(&asked, None, incoming.as_ref(), response) {
            return Begun::Done(next);
        }
        let response = std::mem::replace(response, Response::new(StatusCode::OK));
        self.put_aside(asked, incoming, State::Answer(response))
    }

    /// Writes an answer whose body is at hand, to a request that has been read, if it
    /// is one and whole.
    fn answer_whole(
        &mut self,
        asked: &Asked<'a>,
        label: Option<&Label<'a>>,
        incoming: Option<&Incoming<'_>>,
        response: &mut Response,
    ) -> Option<Next> {
        response.body.as_bytes()?;
        if incoming.is_some_and(|incoming| !incoming.is_done() || incoming.fault.is_some())
            || response.upgrade_to().is_some()
            || response.body.has_trailers()
        {
            return None;
        }
        self.check(response, asked, label, true);
        let plan = self.plan(asked, incoming, response);
        if matches!(plan.payload, Payload::Length(announced) if Some(announced) > response.body.len()) {
            return None;
        }
        if self.session.client.is_used() {
            self.write_hints(asked, None);
        }
        if plan.filter {
            self.tell_unsent(asked, label, response, &plan);
        }
        self.write_head(response, &plan);
        outgoing::put(&mut self.wire, &mut response.body, plan.payload);
        Some(if plan.close { self.last(incoming) } else { Next::Again })
    }

    /// Sees to a response that a handler gave.
    #[inline]
    fn check(&self, response: &mut Response, asked: &Asked<'a>, label: Option<&Label<'a>>, is_read: bool) {
        let is_final = (200..600).contains(&response.status.as_u16());
        if response.extra.is_some() || !is_final {
            self.check_well(response, asked, label, is_read);
        }
    }

    /// Puts a 500 in place of a response that cannot be sent, and tells the host of one
    /// that refuses the request.
    #[cold]
    fn check_well(
        &self,
        response: &mut Response,
        asked: &Asked<'a>,
        label: Option<&Label<'a>>,
        is_read: bool,
    ) {
        if let Some((level, fault)) = take_fault(response, asked, is_read) {
            self.tell_of(asked, label, |label| log_event(level, format_args!("{fault} {label}")));
        }
        if let Some(reject) = response.extra.as_mut().and_then(|extra| extra.refusal.take()) {
            if matches!(reject, Reject::PoolFull | Reject::NoThread) {
                let reason = reject.reason();
                self.tell_of(asked, label, |label| {
                    let line = format_args!("a handler had no thread: {reason} {label}");
                    self.app.overload.log(Level::Warn, line);
                });
            }
            self.app.tell(reject, self.session.client.peer);
        }
    }

    /// Tells of a request, which has its label if it was put aside.
    fn tell_of(&self, asked: &Asked<'a>, label: Option<&Label<'a>>, tell: impl FnOnce(&Label<'a>)) {
        match label {
            Some(label) => tell(label),
            None => tell(&self.label(asked)),
        }
    }

    /// Tells of the fields that are not sent as the handler set them.
    #[cold]
    fn tell_unsent(&self, asked: &Asked<'a>, label: Option<&Label<'a>>, response: &Response, plan: &Plan) {
        // HTTP/1.0 has no trailers, which is no fault of the handler's.
        let is_old = plan.payload == Payload::UntilClose && response.body.has_trailers();
        for fault in response.unsent(plan.announces_trailers || is_old) {
            let status = response.status.as_str();
            self.tell_of(asked, label, |label| {
                log_event(Level::Warn, format_args!("a handler's {status} response: {fault} {label}"));
            });
        }
    }

    /// After an exchange that left nothing unread, closing sends no reset, unless the
    /// client sends more: it may, if it is the server that closes, since it stops. Who only
    /// makes room for others is not waited for: they would wait behind each.
    fn last(&self, incoming: Option<&Incoming<'_>>) -> Next {
        let is_clean = self.wire.input.is_empty() && incoming.is_none_or(Incoming::is_done);
        if is_clean && !self.session.has_reached(Stage::Draining) { Next::Close } else { Next::Linger }
    }

    fn write_head(&mut self, response: &Response, plan: &Plan) {
        let now = self.wire.now();
        write_head(self.wire.output.buffer(), response, plan, now);
    }

    #[inline]
    fn plan(&self, asked: &Asked<'_>, incoming: Option<&Incoming<'_>>, response: &Response) -> Plan {
        let persistent = asked.facts.is_persistent()
            && incoming.is_none_or(|incoming| incoming.is_drainable(self.app.config.limits.drain))
            && !self.session.has_reached(Stage::Leaving)
            && !self.wire.is_waited_for();
        plan(asked.is_head, asked.version, persistent, response)
    }

    /// Waits for the handler's answer. While it works, earlier answers go out,
    /// the body it reads comes in, and the client is watched.
    async fn wait(
        &mut self,
        mut reply: Reply,
        endpoint: &Endpoint,
        asked: &Asked<'_>,
        incoming: &mut Incoming<'_>,
    ) -> Result<Response, Reject> {
        let config = &self.app.config;
        let timeout = match endpoint.timeout {
            Timeout::Server => config.timeouts.handler,
            Timeout::Own(timeout) => timeout,
        };
        let mut started = None;
        let mut broken = false;
        poll_fn(|cx| {
            // For each stretch of the body that it gets it is asked again: to be woken
            // for that, by ourselves, would be a way round.
            for _ in 0..incoming::TURN {
                if let Poll::Ready(response) = reply.poll(cx) {
                    return Poll::Ready(Ok(response));
                }
                self.write_hints(asked, Some(cx.waker()));
                if broken {
                    break;
                }
                let polled = match self.wire.poll_flush(cx) {
                    Poll::Ready(Err(error)) => Err(error),
                    _ => incoming.poll(cx, &mut self.wire, config),
                };
                if polled.is_err() {
                    broken = true;
                    incoming.break_off();
                }
                if !matches!(polled, Ok(true)) {
                    break;
                }
            }
            if broken {
                self.session.client.mark_lost();
            } else if self.wire.has_ended() {
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
    async fn respond(
        &mut self,
        asked: &Asked<'a>,
        label: &Label<'a>,
        mut incoming: Incoming<'_>,
        mut response: Response,
    ) -> Next {
        if let Some(reject) = incoming.fault {
            // The request was not a whole one, whatever the handler made of it.
            if response.extra.as_ref().is_some_and(|extra| extra.failure.is_some()) {
                self.check(&mut response, asked, Some(label), true);
            }
            return self.refuse(asked.is_head, reject);
        }
        if let Some(next) = self.answer_whole(asked, Some(label), Some(&incoming), &mut response) {
            return next;
        }
        self.write_hints(asked, None);
        let config = &self.app.config;
        self.check(&mut response, asked, Some(label), incoming.is_done());
        if response.upgrade_to().is_some() {
            let plan = self.plan(asked, Some(&incoming), &response);
            self.tell_unsent(asked, Some(label), &response, &plan);
        }
        if let Some(upgrade) = response.extra.as_mut().and_then(|extra| extra.upgrade.take()) {
            encode_switch(self.wire.output.buffer(), &response.headers, &upgrade.protocol);
            return match self.wire.flush().await {
                Ok(()) => Next::Upgrade(upgrade),
                Err(error) => self.cut_short(&error).await,
            };
        }
        if response.body.as_bytes().is_none() {
            incoming.ask_early(&mut self.wire);
        }
        let plan = self.plan(asked, Some(&incoming), &response);
        if plan.filter {
            self.tell_unsent(asked, Some(label), &response, &plan);
        }
        self.write_head(&response, &plan);
        announce(&response.body, plan.payload);
        let open_end = plan.payload == Payload::UntilClose;
        if open_end {
            self.wire.begin_open_end();
        }
        incoming.begin_answer(&config.limits);
        let (body, client) = (response.body, &self.session.client);
        let sent = outgoing::send(&mut self.wire, body, plan.payload, &mut incoming, config, client).await;
        if let Err(error) = sent {
            return self.cut_short(&error).await;
        }
        if plan.close {
            if let Err(error) = outgoing::flush(&mut self.wire, &mut incoming, config).await {
                return self.cut_short(&error).await;
            }
            if open_end {
                self.wire.finish_open_end();
            }
            return self.last(Some(&incoming));
        }
        if incoming.drain(&mut self.wire, config).await { Next::Again } else { Next::Linger }
    }

    /// Writes the interim answers that the handler gave so far.
    fn write_hints(&mut self, asked: &Asked<'_>, waker: Option<&Waker>) {
        let hints = self.session.client.take_hints(waker);
        // HTTP/1.0 knows no interim answers (RFC 9110 15.2).
        for fields in hints.iter().filter(|_| asked.version == Version::HTTP_11) {
            encode_interim(self.wire.output.buffer(), StatusCode::EARLY_HINTS, fields);
        }
    }

    /// Answers a request that broke a rule, and closes.
    pub fn refuse(&mut self, is_head: bool, reject: Reject) -> Next {
        self.app.tell(reject, self.session.client.peer);
        let response = reject.into_response();
        let plan = plan(is_head, Version::HTTP_11, false, &response);
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
}

/// Puts a 500 in place of a handler's response that cannot be sent, and says why.
fn take_fault(response: &mut Response, asked: &Asked<'_>, is_read: bool) -> Option<(Level, String)> {
    let failure = response.extra.as_mut().and_then(|extra| extra.failure.take());
    if let Some(line) = failure.and_then(|mut failure| failure.take_line()) {
        return Some(line);
    }
    let why = if let Some(fault) = response.fault() {
        format!("response was not sent: {fault}")
    } else if let Some(upgrade) = response.upgrade_to() {
        let is_asked = asked.upgrade.as_ref().is_some_and(|fields| offers(fields, &upgrade.protocol));
        if is_asked && is_read {
            return None;
        }
        "upgrade was not sent: not asked for, or a body is unread".into()
    } else if !(200..600).contains(&response.status.as_u16()) {
        format!("response was not sent: {} is no final status", response.status.as_u16())
    } else {
        return None;
    };
    *response = Response::plain(StatusCode::INTERNAL_SERVER_ERROR);
    Some((Level::Error, format!("a handler's {why}")))
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
