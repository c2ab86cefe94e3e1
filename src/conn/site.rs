//! The site: the part of serving a request that is the same for each protocol.
//!
//! A protocol reads a request head and writes the response. In between it asks the site
//! which hosts are served, which endpoint answers, how large a body may be, how long the
//! handler may take, and whether the response can be sent. The site knows no transport, no
//! buffer, no clock and no framing.

use std::sync::Arc;
use std::time::Duration;

use log::Level;

use super::App;
use super::label::Label;
use super::own_answer::word;
use super::redirect::to_https;
use crate::base::guard::log_event;
use crate::base::turn;
use crate::body::Body;
use crate::error::Reject;
use crate::handler::{self, Context, Endpoint, Found, Reply, Timeout};
use crate::http1::is_allowed_host;
use crate::message::{Client, HeadParts, IntoResponse as _, Peer, Request, RequestHead, Response, Upgrade};

/// A server as one client sees it.
#[derive(Clone, Copy)]
pub(super) struct Site<'a> {
    pub app: &'a App,
    pub client: &'a Arc<Client>,
}

impl<'a> Site<'a> {
    /// Checks that the site serves the host that a request names.
    #[inline]
    pub fn check_host(self, head: &HeadParts) -> Result<(), Reject> {
        match &self.app.config.hosts {
            Some(names) if !is_allowed_host(host(head), names) => Err(Reject::ForeignHost),
            _ => Ok(()),
        }
    }

    /// Finds the endpoint for a request, and notes the parameters of its path in the head.
    #[inline]
    pub fn find(self, head: &mut HeadParts) -> Found<'a> {
        if let Some(port) = self.client.arrival().and_then(|arrival| arrival.https_port)
            // A proxy may have done TLS already.
            && head.origin.as_ref().is_none_or(|origin| origin.scheme != Some("https"))
            && let Some(answer) = to_https(head, port)
        {
            return Found::Answer(answer);
        }
        self.app.router.find(head)
    }

    /// The largest body that an endpoint takes, in bytes.
    #[inline]
    pub fn body_limit(self, endpoint: &Endpoint) -> u64 {
        endpoint.body_limit.unwrap_or(self.app.config.limits.body)
    }

    /// The deadline for an endpoint's handler, counted from its call.
    pub fn handler_timeout(self, endpoint: &Endpoint) -> Option<Duration> {
        match endpoint.timeout {
            Timeout::Server => self.app.config.timeouts.handler,
            Timeout::Own(timeout) => timeout,
        }
    }

    /// Checks that the handler of an endpoint may begin now, if requests may not wait for long.
    #[inline]
    pub fn check_wait(self, endpoint: &Endpoint) -> Result<(), Reject> {
        if self.app.config.overload.is_some() && !turn::is_in_time(endpoint.settled_priority()) {
            return Err(Reject::Overloaded);
        }
        Ok(())
    }

    /// Makes the request that a handler gets, without its body.
    #[inline]
    pub fn request(self, head: RequestHead) -> Request {
        let client = Arc::clone(self.client);
        let exchange = client.exchange();
        Request { head, client, exchange, body: Body::empty() }
    }

    /// Calls an endpoint's handler.
    #[inline]
    pub fn call(self, endpoint: &Endpoint, request: Request) -> Reply {
        handler::call(&*endpoint.handler, request, Context::new(&self.app.pool, endpoint.settled_priority()))
    }

    /// Logs a refusal and returns the answer for the client.
    pub fn refuse(self, reject: Reject, peer: Peer, label: Option<&Label<'_>>) -> Response {
        note_refusal(reject, peer, self.app);
        let mut response = reject.into_response();
        word(self.app.word_answer.as_ref(), &mut response, Some(reject), peer, label);
        response
    }

    /// Puts a 500 in place of a response that cannot be sent, and logs why. Logs a response that
    /// refuses the request, too, and returns the reason.
    ///
    /// `may_upgrade` returns `true` if the client can change to the protocol.
    #[cold]
    pub fn check(
        self,
        response: &mut Response,
        may_upgrade: impl FnOnce(&Upgrade) -> bool,
        peer: Peer,
        label: &Label<'_>,
    ) -> Option<Reject> {
        if let Some((level, fault)) = response.take_fault(may_upgrade) {
            log_event(level, format_args!("{fault} {label}"));
        }
        let refusal = response.extra.as_mut().and_then(|extra| extra.refusal.take());
        if let Some(reject) = refusal {
            match reject {
                Reject::PoolFull | Reject::NoThread => {
                    let line = format_args!("a handler had no thread: {} {label}", reject.reason());
                    self.app.overload.log(Level::Warn, line);
                }
                Reject::Overloaded => {
                    let line = format_args!("requests wait too long and are refused {label}");
                    self.app.overload.log(Level::Warn, line);
                }
                _ => {}
            }
            note_refusal(reject, peer, self.app);
        }
        if response.is_own {
            word(self.app.word_answer.as_ref(), response, refusal, peer, Some(label));
        }
        refusal
    }
}

/// Returns the host that a request is for, as far as the server believes it.
fn host(head: &HeadParts) -> &[u8] {
    match head.origin.as_ref().and_then(|origin| origin.host.as_deref()) {
        Some(host) => host.as_bytes(),
        None => head.headers.get_bytes("host").unwrap_or_default(),
    }
}

/// Logs the fields of a response that are not sent as the handler set them.
#[cold]
pub(super) fn log_unsent(response: &Response, announces_trailers: bool, label: &Label<'_>) {
    for fault in response.unsent(announces_trailers) {
        let status = response.status.as_str();
        log_event(Level::Warn, format_args!("a handler's {status} response: {fault} {label}"));
    }
}

/// Counts and logs that a request or a connection is refused.
pub(super) fn note_refusal(reject: Reject, peer: Peer, app: &App) {
    app.refusals.add(reject);
    log_event(Level::Debug, format_args!("refused a request of {peer}: {}", reject.reason()));
}

/// Logs that a handler missed its deadline.
#[cold]
pub(super) fn log_late(label: &Label<'_>) {
    log_event(Level::Warn, format_args!("a handler did not answer in time {label}"));
}

/// Returns `true` if [`Site::check`] would not change the response.
#[inline]
pub(super) fn is_plain(response: &Response) -> bool {
    response.extra.is_none() && !response.is_own && response.has_final_status()
}
