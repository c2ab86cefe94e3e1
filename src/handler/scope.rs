//! Scopes: the wraps and error hooks that a router puts around the handlers of its routes.

use std::error::Error;
use std::sync::Arc;

use super::handler::{Context, Handler};
use super::reply::Reply;
use super::wrap::{Wrap, Wrapped};
use crate::base::guard::caught;
use crate::message::{Request, Response};

/// Makes the response for an error, if it is of the type that the hook is for.
pub(super) type Hook = Arc<dyn Fn(&(dyn Error + 'static)) -> Option<Response> + Send + Sync>;

/// The wraps of a router, outermost first, and its hooks for errors.
#[derive(Default)]
pub(crate) struct Scope {
    pub wraps: Vec<Arc<dyn Wrap>>,
    pub hooks: Vec<Hook>,
    /// True if the scope belongs to one route, so that it does not cover a 405.
    pub is_of_route: bool,
}

impl Scope {
    pub fn is_empty(&self) -> bool {
        self.wraps.is_empty() && self.hooks.is_empty()
    }
}

/// Composes a handler with its scopes, innermost first.
pub(super) fn compose(
    mut handler: Arc<dyn Handler>,
    scopes: &[Arc<Scope>],
    route: Option<&Arc<str>>,
) -> Arc<dyn Handler> {
    for (index, scope) in scopes.iter().enumerate() {
        // An error is shown to the hooks of the router that it comes from, and then to those
        // of the routers around it.
        let hooks: Arc<[Hook]> = scopes[index..].iter().flat_map(|scope| &scope.hooks).cloned().collect();
        if index == 0 {
            handler = with_hooks(handler, &hooks);
        }
        for wrap in scope.wraps.iter().rev() {
            let wrapped = Wrapped::new(wrap, handler, route.cloned());
            handler = with_hooks(Arc::new(wrapped), &hooks);
        }
    }
    handler
}

fn with_hooks(handler: Arc<dyn Handler>, hooks: &Arc<[Hook]>) -> Arc<dyn Handler> {
    if hooks.is_empty() { handler } else { Arc::new(Hooked { handler, hooks: Arc::clone(hooks) }) }
}

/// A handler whose errors are shown to hooks.
struct Hooked {
    handler: Arc<dyn Handler>,
    hooks: Arc<[Hook]>,
}

impl Handler for Hooked {
    fn call(&self, request: Request, context: &Context<'_>) -> Reply {
        let reply = self.handler.call(request, context);
        let hooks = Arc::clone(&self.hooks);
        Reply::answering(async move { answer_error(reply.await, &hooks) })
    }

    fn needs_pool(&self) -> bool {
        self.handler.needs_pool()
    }
}

/// Replaces the response of an error with that of the first hook that takes the error.
fn answer_error(mut response: Response, hooks: &[Hook]) -> Response {
    let Some(mut failure) = response.extra.as_mut().and_then(|extra| extra.failure.take()) else {
        return response;
    };
    let answer = caught("a hook for errors", || {
        let mut chain = std::iter::successors(failure.error(), |&error| error.source());
        chain.find_map(|error| hooks.iter().find_map(|hook| hook(error)))
    });
    match answer {
        Ok(None) => {
            response.extra().failure = Some(failure);
            response
        }
        Ok(Some(mut answer)) => {
            failure.answer();
            if answer.status_code().is_server_error() {
                answer.extra().failure.get_or_insert(failure);
            } else {
                failure.take_line();
            }
            answer
        }
        Err(fault) => Response::failed(fault),
    }
}
