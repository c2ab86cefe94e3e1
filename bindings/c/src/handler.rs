//! Handlers of the host, and how they are called.

use std::ffi::c_void;
use std::sync::Arc;

use transom::{Context, Reject, Reply, Request};

use crate::exchange::{Exchange, Unclaimed};
use crate::request::transom_request;
use crate::responder::transom_responder;
use crate::slots::Handle;
use crate::user_data::UserData;

/// A function that handles a request. `request` is borrowed (see transom_request).
/// `responder` belongs to the handler, which sends the response in this call, or keeps the
/// responder and sends the response later, on any thread.
pub type transom_handler_fn = Option<
    unsafe extern "C" fn(
        user_data: *mut c_void,
        request: *const transom_request,
        responder: *mut transom_responder,
    ),
>;

/// A handler of the host with its user data.
pub(crate) struct HostHandler {
    pub function: unsafe extern "C" fn(*mut c_void, *const transom_request, *mut transom_responder),
    pub user_data: UserData,
    /// True if the handler never blocks: the thread that serves the connection then runs it.
    pub inline: bool,
    /// True if the body comes piece by piece.
    pub streams: bool,
}

/// A call of a handler that is to be made. If it is dropped before, the client gets a 503.
struct Call {
    handler: Arc<HostHandler>,
    request: Arc<transom_request>,
    exchange: Unclaimed,
}

impl Call {
    /// Makes the call, or answers the request with what it is refused for.
    fn make_unless(self, refused: Option<Reject>) {
        match refused {
            Some(reject) => self.exchange.refuse(reject),
            None => self.make(),
        }
    }

    fn make(self) {
        let Self { handler, request, exchange } = self;
        if let Some(handle) = exchange.claim() {
            let responder = Handle::to_pointer(handle);
            // SAFETY: the host's function with its user data; by the contract, any thread may
            // call it. `request` is held until the function has returned.
            unsafe { (handler.function)(handler.user_data.pointer(), &raw const *request, responder) }
        }
    }
}

impl HostHandler {
    /// Calls the handler, on this thread or on the pool, and returns the reply that it will give.
    pub fn call(self: &Arc<Self>, request: Request, context: Context<'_>) -> Reply {
        let (responder, reply) = Reply::later(&request);
        let peer = request.peer();
        let request = Arc::new(transom_request::new(request, self.streams));
        let exchange = Exchange::new(responder, Some(Arc::clone(&request)));
        if let Some(exchange) = Unclaimed::new(exchange) {
            let call = Call { handler: Arc::clone(self), request, exchange };
            if self.inline {
                call.make();
            } else if let Err(full) =
                context.run_blocking_in_time(peer, move |refused| call.make_unless(refused))
            {
                // Dropped before the call, which then finds that nobody waits for its response.
                drop(reply);
                return Reply::now(full);
            }
        }
        reply
    }
}
