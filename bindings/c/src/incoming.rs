//! The body of a request whose route streams: it is read piece by piece while it comes.

use std::ffi::c_void;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use futures_lite::Stream as _;
use transom::{Body, Bytes, Headers, Reject, wait};

use crate::bytes::{place, room};
use crate::events::{EventQueue, Notice, transom_event_kind};
use crate::status::transom_status;
use crate::timeout::duration;
use crate::waiters::Waiters;

/// How long a read waits at the client's socket itself.
const SOON: Duration = Duration::from_millis(20);
/// What is left at least of a timeout, so that a read still looks for what the connection has.
const LEAST: Duration = Duration::from_micros(1);

/// A body on its way in. Several threads may read it; each byte goes to one of them.
pub(crate) struct Incoming {
    state: Mutex<State>,
    trailers: OnceLock<Headers>,
    /// Everything that waits for more of the body: the body itself keeps one waker only.
    waiters: Arc<Waiters>,
    /// The event that the host asked for, for the queue that asked last.
    notice: Mutex<Option<Arc<Notice>>>,
}

struct State {
    body: Body,
    /// Bytes that have arrived and that the host has not read.
    chunk: Bytes,
    /// How the body has ended.
    end: Option<Result<(), transom_status>>,
}

impl Incoming {
    pub fn new(body: Body) -> Arc<Self> {
        let state = State { body, chunk: Bytes::new(), end: None };
        Arc::new(Self {
            state: Mutex::new(state),
            trailers: OnceLock::new(),
            waiters: Arc::default(),
            notice: Mutex::default(),
        })
    }

    /// Ready when a read would not wait; otherwise the waker is called then.
    fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<()> {
        if self.lock().body.may_receive() { Poll::Ready(()) } else { self.poll_state(cx).map(drop) }
    }

    /// Waits for the next chunk. `None` is the end.
    pub fn poll_chunk(&self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, transom_status>>> {
        self.poll_state(cx).map(|mut state| match (state.chunk.is_empty(), state.end) {
            (false, _) => Some(Ok(std::mem::take(&mut state.chunk))),
            (true, Some(Err(status))) => Some(Err(status)),
            (true, _) => None,
        })
    }

    /// Notes that nobody waits with this waker any more.
    pub fn forget(&self, waker: &Waker) {
        self.waiters.remove(waker);
    }

    /// Reads without waiting for more than what `cx` is woken for. 0 bytes are the end.
    fn poll_read(&self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<Result<usize, transom_status>> {
        let mut state = self.lock();
        let received = if state.chunk.is_empty() { state.body.receive(buf) } else { None };
        drop(state);
        if let Some(Ok(length)) = received {
            return Poll::Ready(Ok(length));
        }
        self.poll_state(cx).map(|mut state| {
            if state.chunk.is_empty() {
                return state.end.unwrap_or(Ok(())).map(|()| 0);
            }
            let length = state.chunk.len().min(buf.len());
            buf[..length].copy_from_slice(&state.chunk.split_to(length));
            Ok(length)
        })
    }

    /// Reads. Waits until there is something, `None` without a limit.
    pub fn read(&self, buf: &mut [u8], mut timeout: Option<Duration>) -> Result<usize, transom_status> {
        loop {
            let mut state = self.lock();
            let received = if state.chunk.is_empty() { state.body.receive(buf) } else { None };
            drop(state);
            let client = match received {
                Some(Ok(length)) => return Ok(length),
                Some(Err(_)) if timeout == Some(Duration::ZERO) => {
                    return Err(transom_status::TRANSOM_WOULD_BLOCK);
                }
                Some(Err(client)) => client,
                None => break,
            };
            // A client that sends fast has soon sent more. To wake the connection costs more than to wait here.
            let begun = Instant::now();
            if !client.wait(timeout.unwrap_or(SOON).min(SOON)) {
                timeout = timeout.map(|timeout| timeout.saturating_sub(begun.elapsed()).max(LEAST));
                break;
            }
        }
        self.waiters.wait(timeout, |cx| self.poll_read(cx, buf))?
    }

    /// Returns `true` if a read would not wait; otherwise the waker is called then.
    pub fn is_readable(&self, waker: &Waker) -> bool {
        // A handler may call this on the thread that reads the body. The core knows by `wait` that
        // the thread does not block.
        let poll = poll_fn(|_| Poll::Ready(self.poll_readable(&mut Context::from_waker(waker)).is_ready()));
        wait(poll, Some(Duration::ZERO)).unwrap_or_default()
    }

    /// Returns the event that there is more to read. It is the same one each time, so that the
    /// body also keeps its waker only once.
    pub fn notice(&self, queue: &Arc<EventQueue>, kind: transom_event_kind, token: u64) -> Arc<Notice> {
        let mut kept = self.notice.lock().unwrap_or_else(PoisonError::into_inner);
        match &*kept {
            Some(notice) if notice.is_for(queue) => Arc::clone(notice),
            _ => {
                let notice = Notice::new(queue, kind, token);
                *kept = Some(Arc::clone(&notice));
                notice
            }
        }
    }

    /// The trailer fields, once the body was read to its end.
    pub fn trailers(&self) -> Option<&Headers> {
        self.trailers.get()
    }

    /// Ready with the state when there is a chunk, or the end.
    fn poll_state(&self, cx: &mut Context<'_>) -> Poll<MutexGuard<'_, State>> {
        // Added before the body is asked, so that what comes in between wakes it.
        self.waiters.add(cx.waker());
        let mut state = self.lock();
        if state.chunk.is_empty() && state.end.is_none() {
            let waker = Waker::from(Arc::clone(&self.waiters));
            match Pin::new(&mut state.body).poll_next(&mut Context::from_waker(&waker)) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Some(Ok(chunk))) => state.chunk = chunk,
                Poll::Ready(None) => {
                    let _ = self.trailers.set(state.body.take_trailers());
                    state.end = Some(Ok(()));
                }
                Poll::Ready(Some(Err(error))) => state.end = Some(Err(status_of(&error))),
            }
        }
        self.waiters.remove(cx.waker());
        Poll::Ready(state)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns the status for a body that broke off.
fn status_of(error: &io::Error) -> transom_status {
    let reject = error.get_ref().and_then(|inner| inner.downcast_ref::<Reject>());
    match reject {
        Some(Reject::BodyTooLarge) => transom_status::TRANSOM_BODY_TOO_LARGE,
        Some(Reject::BodyTimeout) => transom_status::TRANSOM_TOO_SLOW,
        Some(Reject::NoMemory) => transom_status::TRANSOM_NO_MEMORY,
        Some(Reject::BodyCutShort) | None => transom_status::TRANSOM_GONE,
        Some(_) => transom_status::TRANSOM_BAD_BODY,
    }
}

/// Reads into the memory of the host, as each function does that reads a stream: `read` gets the memory,
/// and how long it may wait. Stores the number of bytes in `*len`, 0 after an error.
///
/// # Safety
/// `buf` is NULL or valid for `cap` bytes, and `len` NULL or valid. Nobody else uses them meanwhile.
pub(crate) unsafe fn read_into(
    buf: *mut c_void,
    cap: usize,
    timeout_ms: i64,
    len: *mut usize,
    read: impl FnOnce(&mut [u8], Option<Duration>) -> Result<usize, transom_status>,
) -> Result<(), transom_status> {
    // SAFETY: each NULL or valid, as the caller promises; bytes may have any value.
    let (buf, len) = unsafe { (room(buf.cast::<u8>(), cap)?, place(len)?) };
    *len = 0;
    let timeout = duration(timeout_ms)?;
    if buf.is_empty() {
        return Err(transom_status::TRANSOM_INVALID_ARGUMENT);
    }
    *len = read(buf, timeout)?;
    Ok(())
}
