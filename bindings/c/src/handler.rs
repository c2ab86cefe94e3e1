//! Request handlers of the host, and the calls of them.

use std::ffi::c_void;
use std::sync::Arc;

use transom::{Context, Reply, Request};

use crate::exchange::{Exchange, Unclaimed};
use crate::request::transom_request;
use crate::responder::transom_responder;
use crate::slots::Handle;
use crate::user_data::UserData;

/// A function that handles a request. `request` is borrowed (see transom_request).
/// `responder` belongs to the handler, which sends the response in this call, or keeps the
/// responder and sends the response later, on any thread.
pub type transom_handler = Option<
    unsafe extern "C" fn(
        user_data: *mut c_void,
        request: *const transom_request,
        responder: *mut transom_responder,
    ),
>;

/// A route's handler.
pub(crate) struct HostHandler {
    pub function: unsafe extern "C" fn(*mut c_void, *const transom_request, *mut transom_responder),
    pub user_data: UserData,
    /// It never blocks, so the thread that serves the connection may run it.
    pub inline: bool,
}

/// One call of it, ahead. Dropped before it was made, the request is answered
/// with 503.
struct Call {
    handler: Arc<HostHandler>,
    request: Arc<transom_request>,
    exchange: Unclaimed,
}

impl Call {
    fn make(self) {
        let Self { handler, request, exchange } = self;
        if let Some(handle) = exchange.claim() {
            let responder = Handle::to_pointer(handle);
            // SAFETY: the host's function with its user data, by the contract
            // callable on any thread; `request` is held until it has returned.
            unsafe { (handler.function)(handler.user_data.pointer(), &raw const *request, responder) }
        }
    }
}

impl HostHandler {
    /// Calls it with that request.
    pub fn call(self: &Arc<Self>, request: Request, context: Context<'_>) -> Reply {
        let (responder, reply) = Reply::later(&request);
        let request = Arc::new(transom_request::new(request));
        let exchange = Exchange::new(responder, Some(Arc::clone(&request)));
        if let Some(exchange) = Unclaimed::new(exchange) {
            let call = Call { handler: Arc::clone(self), request, exchange };
            if self.inline {
                call.make();
            } else if let Err(full) = context.run_blocking(move || call.make()) {
                // In this order, the call knows that nobody waits for it.
                drop(reply);
                return Reply::now(full);
            }
        }
        reply
    }
}
