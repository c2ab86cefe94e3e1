//! The start of a stop, for one request, writer or upgraded connection: the callbacks and the event that
//! the host has asked for.

use std::ffi::c_void;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

use transom::Stopping;

use crate::events::{EventQueue, Notice, transom_event_kind};
use crate::status::transom_status;
use crate::user_data::{UserData, transom_callback_fn};

/// The watches for a stop. They end when this is dropped.
pub(crate) struct Stops {
    stopping: Stopping,
    watches: Mutex<Watches>,
}

#[derive(Default)]
struct Watches {
    callbacks: Vec<Stopping>,
    /// The event that the host asked for, for the queue that asked last.
    event: Option<(Stopping, Arc<Notice>)>,
}

impl Stops {
    pub fn new(stopping: Stopping) -> Self {
        Self { stopping, watches: Mutex::default() }
    }

    /// Returns `true` once the stop has begun.
    pub fn has_begun(&self) -> bool {
        self.stopping.has_begun()
    }

    /// Calls the function when the stop begins, or now if it has begun.
    pub fn call(&self, function: transom_callback_fn, user_data: UserData) -> Result<(), transom_status> {
        let function = function.ok_or(transom_status::TRANSOM_NULL_ARGUMENT)?;
        let callback = Arc::new(StopCallback { function, user_data });
        match self.watch(&Waker::from(Arc::clone(&callback))) {
            Some(watch) => self.watches.lock().unwrap_or_else(PoisonError::into_inner).callbacks.push(watch),
            None => callback.call(),
        }
        Ok(())
    }

    /// Tells the event when the stop begins, or now if it has begun.
    pub fn tell(&self, queue: &Arc<EventQueue>, kind: transom_event_kind, token: u64) {
        let mut watches = self.watches.lock().unwrap_or_else(PoisonError::into_inner);
        // The same event as before: it is then in its queue only once.
        let notice = match &watches.event {
            Some((_, notice)) if notice.is_for(queue) => Arc::clone(notice),
            _ => Notice::new(queue, kind, token),
        };
        let watch = self.watch(&notice.waker());
        if watch.is_none() {
            notice.tell();
        }
        let before = watch.and_then(|watch| watches.event.replace((watch, notice)));
        drop(watches);
        drop(before);
    }

    /// Wakes the waker when the stop begins. Returns `None` if it has begun.
    fn watch(&self, waker: &Waker) -> Option<Stopping> {
        let mut watch = self.stopping.clone();
        match Pin::new(&mut watch).poll(&mut Context::from_waker(waker)) {
            Poll::Ready(()) => None,
            Poll::Pending => Some(watch),
        }
    }
}

/// A function of the host to call when the stop begins.
struct StopCallback {
    function: unsafe extern "C" fn(*mut c_void),
    user_data: UserData,
}

impl StopCallback {
    fn call(&self) {
        // SAFETY: the host's function with its user data; by the contract, any thread may call it.
        unsafe { (self.function)(self.user_data.pointer()) }
    }
}

impl Wake for StopCallback {
    fn wake(self: Arc<Self>) {
        self.call();
    }
}
