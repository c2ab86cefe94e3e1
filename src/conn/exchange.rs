//! One exchange: from a request's head to the end of its response.
//!
//! ```text
//!           body announced                handler pending         body streamed
//!   head ------------------> ReadingBody ----------------> AwaitingReply --------> Answering
//!     \                           \                              \                     \
//!      +--> answered               +--> refused (400, 413..)      +--> late (503)       +--> Outcome
//! ```
//!
//! [`begin`] runs an exchange until it would block. Most exchanges are over then: nothing of
//! them is kept, so a connection between two requests is small. The others become an
//! [`Exchange`], on the heap, and [`Exchange::finish`] runs the rest.
//!
//! An answer is complete when it is in the output buffer; the loop of the connection writes
//! the buffer to the transport. The exchange does not know the loop.

use std::future::poll_fn;
use std::task::{self, Poll};

use http::{Method, StatusCode};

use super::activity::ConnectionState;
use super::connection::{Connection, Outcome};
use super::incoming::{self, Incoming};
use super::label::Label;
use super::site::{is_plain, log_late};
use super::terms::Terms;
use super::{Transport, answer, outgoing};
use crate::body::Body;
use crate::error::Reject;
use crate::handler::{Endpoint, Found, Reply};
use crate::http1::{Facts, Framing, Payload, Plan, announce};
use crate::message::{HeadParts, IntoResponse as _, Request, RequestHead, Response};

/// The result of [`begin`]: an exchange that is over, or one that has to wait.
pub(super) enum Begun<'a> {
    Done(Outcome),
    Waits(Box<Exchange<'a>>),
}

/// An exchange that waits.
pub(super) struct Exchange<'a> {
    asked: Asked<'a>,
    state: State<'a>,
}

/// The state of an exchange that waits.
enum State<'a> {
    /// Waits for the rest of the request's body, which the handler gets whole.
    ReadingBody(&'a Endpoint, Request),
    /// Waits for the handler.
    AwaitingReply(&'a Endpoint, Reply),
    /// Waits for the response's body, or for room to write the response.
    Answering(Response),
}

/// The request of an exchange that waits.
struct Asked<'a> {
    terms: Terms<'a>,
    label: Label<'a>,
    incoming: Incoming<'a>,
}

/// Notes where a request came from, if a trusted proxy tells it. Refuses a request whose client has too
/// many exchanges in progress. For servers that trust proxies, before [`begin`].
#[cold]
pub(super) fn begin_forwarded<T: Transport>(
    connection: &mut Connection<'_, T>,
    head: &mut HeadParts,
    facts: Facts,
) -> Option<Outcome> {
    let reject = connection.begin_forwarding(head)?;
    let is_head = head.method == Method::HEAD;
    let terms = Terms { endpoint: None, is_head, version: head.version, facts, upgrade: None };
    connection.wire.begin_record(Some(head), facts.taken(), None);
    Some(terms.refuse(connection, reject))
}

/// Runs an exchange until it would block. A handler that waits is polled again at once, by
/// [`Exchange::finish`].
#[inline]
pub(super) fn begin<'a, T: Transport>(
    connection: &mut Connection<'a, T>,
    cx: &mut task::Context<'_>,
    mut head: RequestHead,
    facts: Facts,
) -> Begun<'a> {
    let site = connection.site();
    let is_head = head.method == Method::HEAD;
    let mut terms = Terms { endpoint: None, is_head, version: head.version, facts, upgrade: None };
    let found = site.find(&mut head);
    connection.wire.begin_record(Some(&head), facts.taken(), found.endpoint());
    if let Err(reject) = site.check_host(&head) {
        return Begun::Done(terms.refuse(connection, reject));
    }
    let endpoint = match found {
        Found::Endpoint(endpoint) => endpoint,
        Found::Answer(response) => return answer_unrouted(connection, terms, response),
    };
    terms.endpoint = Some(endpoint);
    if let Err(reject) = site.check_wait(endpoint) {
        // The connection stays open: a new one would cost both sides more.
        return answer_unrouted(connection, terms, reject.into_response());
    }
    if facts.asks_for_upgrade() {
        terms.upgrade = Some(Box::new(head.headers.clone()));
    }
    connection.session.activity.handle(endpoint.number);
    let request = site.request(head);
    if facts.framing() != Framing::None {
        return begin_with_body(connection, cx, terms, endpoint, request);
    }
    let mut reply = site.call(endpoint, request);
    let mut polled = reply.poll(cx);
    let Poll::Ready(response) = &mut polled else {
        return wait(connection, terms, None, State::AwaitingReply(endpoint, reply));
    };
    match answer_at_once(connection, &terms, None, None, response) {
        Some(outcome) => Begun::Done(outcome),
        None => wait_to_answer(connection, terms, None, response),
    }
}

/// Runs the exchange of a request that has a body.
#[inline(never)]
fn begin_with_body<'a, T: Transport>(
    connection: &mut Connection<'a, T>,
    cx: &mut task::Context<'_>,
    mut terms: Terms<'a>,
    endpoint: &'a Endpoint,
    mut request: Request,
) -> Begun<'a> {
    let site = connection.site();
    let facts = terms.facts;
    let mut incoming = match Incoming::new(facts, site.body_limit(endpoint), site.app.bodies.share()) {
        Ok(incoming) => incoming,
        Err(reject) => return Begun::Done(terms.refuse(connection, reject)),
    };
    if endpoint.streaming {
        match incoming.at_hand_for_stream(cx, &mut connection.wire, facts) {
            Ok(Some(body)) => {
                terms.facts = facts.with_taken(facts.taken() + body.len());
                request.body = Body::arrived(body);
            }
            Ok(None) => request.body = incoming.stream(),
            Err(reject) => return Begun::Done(terms.refuse(connection, reject)),
        }
    } else {
        match incoming.at_hand(&mut connection.wire, &site.app.config.limits) {
            Ok(Some(body)) => {
                terms.facts = facts.with_taken(facts.taken() + body.len());
                request.body = body.into();
            }
            Ok(None) => {
                return wait(connection, terms, Some(incoming), State::ReadingBody(endpoint, request));
            }
            Err(reject) => return Begun::Done(terms.refuse(connection, reject)),
        }
    }
    let mut reply = site.call(endpoint, request);
    let mut polled = reply.poll(cx);
    let Poll::Ready(response) = &mut polled else {
        return wait(connection, terms, Some(incoming), State::AwaitingReply(endpoint, reply));
    };
    match answer_at_once(connection, &terms, None, Some(&incoming), response) {
        Some(outcome) => Begun::Done(outcome),
        None => wait_to_answer(connection, terms, Some(incoming), response),
    }
}

/// Answers a request without a handler: the router does, or it is refused.
#[cold]
fn answer_unrouted<'a, T: Transport>(
    connection: &mut Connection<'a, T>,
    terms: Terms<'a>,
    mut response: Response,
) -> Begun<'a> {
    let incoming = (terms.facts.framing() != Framing::None).then(|| {
        // No handler reads the body, so it needs no limit here.
        Incoming::new(terms.facts, u64::MAX, connection.app.bodies.share())
    });
    match incoming.transpose() {
        Ok(incoming) => match answer_at_once(connection, &terms, None, incoming.as_ref(), &mut response) {
            Some(outcome) => Begun::Done(outcome),
            None => wait_to_answer(connection, terms, incoming, &mut response),
        },
        Err(reject) => Begun::Done(terms.refuse(connection, reject)),
    }
}

/// Moves an exchange that has to wait to the heap.
#[cold]
fn wait<'a, T: Transport>(
    connection: &Connection<'a, T>,
    terms: Terms<'a>,
    incoming: Option<Incoming<'a>>,
    state: State<'a>,
) -> Begun<'a> {
    match state {
        State::ReadingBody(..) => connection.show(ConnectionState::ReadingBody),
        State::AwaitingReply(..) => connection.show(ConnectionState::Handling),
        State::Answering(_) => connection.show(ConnectionState::Answering),
    }
    let label = terms.label(connection);
    let incoming = incoming.unwrap_or_else(|| Incoming::none(connection.app.bodies.share()));
    Begun::Waits(Box::new(Exchange { asked: Asked { terms, label, incoming }, state }))
}

/// Moves an exchange to the heap whose response is ready and cannot be written at once. The
/// response is taken by reference, because most responses are never moved.
#[cold]
fn wait_to_answer<'a, T: Transport>(
    connection: &Connection<'a, T>,
    terms: Terms<'a>,
    incoming: Option<Incoming<'a>>,
    response: &mut Response,
) -> Begun<'a> {
    let response = std::mem::replace(response, Response::new(StatusCode::OK));
    wait(connection, terms, incoming, State::Answering(response))
}

/// Answers a request that has been read, if the response's body is at hand and whole.
#[inline]
fn answer_at_once<'a, T: Transport>(
    connection: &mut Connection<'a, T>,
    terms: &Terms<'a>,
    label: Option<&Label<'a>>,
    incoming: Option<&Incoming<'_>>,
    response: &mut Response,
) -> Option<Outcome> {
    if response.body.as_bytes().is_none()
        || response.body.has_trailers()
        || incoming.is_some_and(|incoming| !incoming.is_done() || incoming.fault.is_some())
    {
        return None;
    }
    if !is_plain(response) {
        if response.upgrade_to().is_some() {
            return None;
        }
        terms.check(connection, label, response, true);
    }
    let plan = terms.plan(connection, incoming, response);
    if plan.close
        && matches!(plan.payload, Payload::Length(announced) if Some(announced) > response.body.len())
    {
        return None;
    }
    if connection.session.client.is_used() {
        terms.put_hints(connection, None);
    }
    if plan.filter {
        terms.log_unsent(connection, label, response, &plan);
    }
    if let Err(error) = answer::put_whole(&mut connection.wire, response, &plan) {
        return Some(connection.end_without_answer(&error));
    }
    Some(if plan.close { connection.last(true) } else { Outcome::Again })
}

impl<'a> Exchange<'a> {
    /// Runs the rest of the exchange.
    pub async fn finish<T: Transport>(mut self: Box<Self>, connection: &mut Connection<'a, T>) -> Outcome {
        let (endpoint, reply) = match self.state {
            State::Answering(response) => return self.asked.answer(connection, response).await,
            State::AwaitingReply(endpoint, reply) => (endpoint, reply),
            State::ReadingBody(endpoint, mut request) => {
                match self.asked.incoming.whole(&mut connection.wire, &connection.app.config).await {
                    Ok(body) => request.body = body,
                    Err(reject) => {
                        connection.wire.note_unhandled();
                        return self.asked.refuse(connection, reject);
                    }
                }
                connection.show(ConnectionState::Handling);
                (endpoint, connection.site().call(endpoint, request))
            }
        };
        let replied = self.asked.await_reply(connection, endpoint, reply).await;
        self.asked.incoming.end_loan(&mut connection.wire, &connection.app.config);
        match replied {
            Ok(response) => {
                connection.show(ConnectionState::Answering);
                self.asked.answer(connection, response).await
            }
            Err(reject) => {
                log_late(&self.asked.label);
                self.asked.refuse(connection, reject)
            }
        }
    }
}

impl<'a> Asked<'a> {
    /// Refuses the request.
    #[cold]
    fn refuse<T: Transport>(&self, connection: &mut Connection<'a, T>, reject: Reject) -> Outcome {
        connection.refuse(self.terms.is_head, reject, Some(&self.label))
    }

    /// Waits for the handler's response. While the handler works, earlier answers go out, the
    /// body that it reads comes in, and the client is watched.
    async fn await_reply<T: Transport>(
        &mut self,
        connection: &mut Connection<'a, T>,
        endpoint: &Endpoint,
        mut reply: Reply,
    ) -> Result<Response, Reject> {
        let Self { terms, incoming, .. } = self;
        let timeout = connection.site().handler_timeout(endpoint);
        let mut started = None;
        let mut broken = false;
        poll_fn(|cx| {
            // Poll the handler again after each chunk instead of waking ourselves through the
            // reactor.
            for _ in 0..incoming::CHUNKS_PER_TURN {
                if let Poll::Ready(response) = reply.poll(cx) {
                    return Poll::Ready(Ok(response));
                }
                terms.put_hints(connection, Some(cx.waker()));
                if broken {
                    break;
                }
                let polled = match connection.wire.poll_flush(cx) {
                    Poll::Ready(Err(error)) => Err(error),
                    _ => incoming.poll(cx, &mut connection.wire, &connection.app.config),
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
                connection.session.client.mark_lost();
            } else if connection.wire.has_ended() {
                connection.session.client.mark_gone();
            }
            // A handler that reads the body is not late while the body comes.
            let started = *started.get_or_insert_with(|| connection.wire.now());
            let since = incoming.progress.last.map_or(started, |last| last.max(started));
            let deadline = timeout.and_then(|timeout| since.checked_add(timeout));
            connection.wire.poll_deadline(cx, deadline).map(|()| Err(Reject::HandlerTimeout))
        })
        .await
    }

    /// Answers, and decides how the connection goes on.
    async fn answer<T: Transport>(
        &mut self,
        connection: &mut Connection<'a, T>,
        mut response: Response,
    ) -> Outcome {
        let Self { terms, label, incoming } = self;
        let label = Some(&*label);
        if let Some(reject) = incoming.fault {
            // The request was not whole, whatever the handler answered.
            if response.extra.as_ref().is_some_and(|extra| extra.failure.is_some()) {
                terms.check(connection, label, &mut response, true);
            }
            return self.refuse(connection, reject);
        }
        if let Some(outcome) = answer_at_once(connection, terms, label, Some(incoming), &mut response) {
            return outcome;
        }
        terms.put_hints(connection, None);
        if !is_plain(&response) {
            terms.check(connection, label, &mut response, incoming.is_done());
        }
        if response.upgrade_to().is_some() {
            let plan = terms.plan(connection, Some(incoming), &response);
            terms.log_unsent(connection, label, &response, &plan);
        }
        if let Some(upgrade) = response.extra.as_mut().and_then(|extra| extra.upgrade.take()) {
            answer::put_switch(&mut connection.wire, &response.headers, &upgrade.protocol);
            return match connection.wire.flush().await {
                Ok(()) => Outcome::Upgrade(upgrade),
                Err(error) => connection.cut_short(&error).await,
            };
        }
        let mut plan = terms.plan(connection, Some(incoming), &response);
        let is_sent = !matches!(plan.payload, Payload::None { .. });
        if is_sent && response.body.as_bytes().is_none() && incoming.ask_early(&mut connection.wire) {
            // The rest of the request comes now, so that the connection can go on.
            plan = terms.plan(connection, Some(incoming), &response);
        }
        if plan.filter {
            terms.log_unsent(connection, label, &response, &plan);
        }
        if let Err(error) = answer::put_head(&mut connection.wire, &response, &plan) {
            return connection.cut_short(&error).await;
        }
        announce(&response.body, plan.payload);
        self.send_body(connection, response, &plan).await
    }

    /// Sends the body of a response whose head is on the wire.
    async fn send_body<T: Transport>(
        &mut self,
        connection: &mut Connection<'a, T>,
        response: Response,
        plan: &Plan,
    ) -> Outcome {
        let incoming = &mut self.incoming;
        let config = &connection.app.config;
        let open_end = plan.payload == Payload::UntilClose;
        if open_end {
            connection.wire.begin_open_end();
        }
        incoming.begin_answer(&config.limits);
        let (wire, client) = (&mut connection.wire, &connection.session.client);
        let sent = outgoing::send(wire, response.body, plan.payload, incoming, config, client).await;
        if let Err(error) = sent {
            return connection.cut_short(&error).await;
        }
        if plan.close {
            if let Err(error) = outgoing::flush(wire, incoming, config).await {
                return connection.cut_short(&error).await;
            }
            if open_end {
                wire.finish_open_end();
            }
            return connection.last(incoming.is_done());
        }
        if incoming.drain(wire, config).await { Outcome::Again } else { Outcome::Linger }
    }
}
