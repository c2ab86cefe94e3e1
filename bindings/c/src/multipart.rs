//! Multipart forms: the parts of a request body, one after another.

use std::ffi::{c_char, c_void};
use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::ptr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use std::{error, fmt};

use futures_lite::Stream;
use transom::{Body, Bytes, FormError, FormLimits, Multipart, WaitError, wait};

use crate::bytes::{borrow, file_name, place, store, text, transom_bytes};
use crate::incoming::read_into;
use crate::request::transom_request;
use crate::status::transom_status;
use crate::timeout::duration;

/// The bytes that are taken at once of a body in memory.
const PIECE: usize = 64 * 1024;

/// A multipart form that is read part by part: the body of a request, in memory or while it comes.
/// It belongs to you: free it. It reads the request, and is to be used no longer than that is valid.
/// One thread at a time may use it.
pub struct transom_multipart {
    form: Mutex<OpenForm>,
}

/// A part of a form, as transom_multipart_next stores it. The bytes are valid until the next call of
/// transom_multipart_next or transom_multipart_free.
#[repr(C)]
pub struct transom_part {
    /// The name of the field, in UTF-8. Absent if there are no more parts.
    pub name: transom_bytes,
    /// The name of the file without its folders and control characters, in UTF-8. Absent for a field.
    /// It may be empty, and it may be a name that matters to your system: do not open it for writing
    /// unchecked.
    pub filename: transom_bytes,
    /// The media type that the client names, with its parameters. Absent if it names none.
    pub content_type: transom_bytes,
}

struct OpenForm {
    form: Multipart,
    limits: FormLimits,
    /// The texts of the part that the host has.
    name: String,
    filename: Option<String>,
    content_type: Option<String>,
    /// Why reading has failed.
    sentence: Option<String>,
    request: *const transom_request,
}

// SAFETY: the pointer is that of a request, which any thread may read by the contract.
unsafe impl Send for OpenForm {}

/// The body of a request, as a stream.
struct Source(*const transom_request);

// SAFETY: as above.
unsafe impl Send for Source {}

/// Why a body has ended before its end.
#[derive(Debug)]
struct Broken(transom_status);

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&crate::status::text(self.0 as i32).to_string_lossy())
    }
}

impl error::Error for Broken {}

impl Stream for Source {
    type Item = io::Result<Bytes>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Bytes>>> {
        // SAFETY: the request is valid while the host uses the form, by the contract, and the stream is
        // polled then only.
        let Ok(request) = (unsafe { borrow(self.0) }) else { return Poll::Ready(None) };
        if let Some(incoming) = request.incoming() {
            let broken = |status| io::Error::other(Broken(status));
            return incoming.poll_chunk(cx).map(|next| next.map(|chunk| chunk.map_err(broken)));
        }
        let mut piece = vec![0; PIECE.min(request.request().bytes().len())];
        let length = request.read_whole(&mut piece);
        piece.truncate(length);
        Poll::Ready((length > 0).then(|| Ok(piece.into())))
    }
}

impl OpenForm {
    /// Waits for a future over the form, `None` without a limit.
    fn run<T>(
        &mut self,
        timeout: Option<Duration>,
        work: impl AsyncFnOnce(&mut Multipart) -> Result<T, FormError>,
    ) -> Result<T, transom_status> {
        let mut waker: Option<Waker> = None;
        let done = {
            let mut future = pin!(work(&mut self.form));
            let polled = poll_fn(|cx| {
                waker = Some(cx.waker().clone());
                future.as_mut().poll(cx)
            });
            wait(polled, timeout)
        };
        let error = match done {
            Ok(Ok(value)) => return Ok(value),
            Ok(Err(error)) => return Err(self.fail(&error)),
            Err(error) => error,
        };
        // SAFETY: the request is valid while the host uses the form, by the contract.
        let incoming = unsafe { borrow(self.request) }.ok().and_then(transom_request::incoming);
        if let (Some(incoming), Some(waker)) = (incoming, waker) {
            incoming.forget(&waker);
        }
        Err(match error {
            WaitError::WouldDeadlock => transom_status::TRANSOM_WOULD_DEADLOCK,
            _ if timeout == Some(Duration::ZERO) => transom_status::TRANSOM_WOULD_BLOCK,
            _ => transom_status::TRANSOM_TIMEOUT,
        })
    }

    /// Keeps the sentence about an error, and returns its status.
    fn fail(&mut self, error: &FormError) -> transom_status {
        self.sentence = Some(error.to_string());
        match error {
            FormError::TooLarge(_) => transom_status::TRANSOM_BODY_TOO_LARGE,
            FormError::File(_) => transom_status::TRANSOM_IO,
            FormError::Body(error) => {
                let broken = error.get_ref().and_then(|inner| inner.downcast_ref::<Broken>());
                broken.map_or(transom_status::TRANSOM_NO_MEMORY, |broken| broken.0)
            }
            _ => transom_status::TRANSOM_BAD_BODY,
        }
    }

    fn next(&mut self, timeout: Option<Duration>) -> Result<transom_part, transom_status> {
        let next = self.run(timeout, async |form| {
            let part = form.next().await?;
            Ok(part.map(|part| {
                (part.name().to_owned(), part.filename(), part.content_type().map(str::to_owned))
            }))
        });
        let Some((name, filename, content_type)) = next? else {
            let absent = transom_bytes::ABSENT;
            return Ok(transom_part { name: absent, filename: absent, content_type: absent });
        };
        (self.name, self.filename, self.content_type) = (name, filename, content_type);
        Ok(transom_part {
            name: transom_bytes::of(self.name.as_bytes()),
            filename: self.filename.as_deref().map(str::as_bytes).into(),
            content_type: self.content_type.as_deref().map(str::as_bytes).into(),
        })
    }

    fn read(&mut self, buf: &mut [u8], timeout: Option<Duration>) -> Result<usize, transom_status> {
        self.run(timeout, async |form| match form.part() {
            Some(mut part) => part.read(buf).await,
            None => Ok(0),
        })
    }

    fn limit(&mut self, name: &str, value: u64) -> Result<(), transom_status> {
        let limits = &mut self.limits;
        let number = usize::try_from(value).unwrap_or(usize::MAX);
        match name {
            "parts" => limits.parts = number,
            "files" => limits.files = number,
            "head" => limits.head = number,
            "name" => limits.name = number,
            "field" => limits.field = number,
            "fields" => limits.fields = number,
            "file" => limits.file = Some(value),
            _ => return Err(transom_status::TRANSOM_INVALID_ARGUMENT),
        }
        self.form.set_limits(limits.clone());
        Ok(())
    }
}

/// Calls `with` with a form, which must not be NULL.
///
/// # Safety
/// `form` is NULL or valid during `'a`.
unsafe fn open<'a>(form: *const transom_multipart) -> Result<MutexGuard<'a, OpenForm>, transom_status> {
    // SAFETY: the caller promises it.
    Ok(unsafe { borrow::<'a>(form) }?.form.lock().unwrap_or_else(PoisonError::into_inner))
}

/// Begins to read the body of a request as a multipart form (multipart/form-data), and stores the form
/// in `*out`. The form of a route that streams (transom_route_set_streaming) is read while it comes, in
/// an amount of memory that does not grow with it.
///
/// Errors: TRANSOM_INVALID_ARGUMENT if the Content-Type is another (answer with 415);
/// TRANSOM_BAD_BODY if it has no boundary (answer with 400). `*out` is then NULL.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_multipart_new(
    request: *const transom_request,
    out: *mut *mut transom_multipart,
) -> transom_status {
    checked!({
        // SAFETY: each NULL or valid, by the contract.
        let out = unsafe { place(out) }?;
        *out = ptr::null_mut();
        // SAFETY: as above.
        let seen = unsafe { borrow(request) }?;
        let kind = seen.request().header("content-type").unwrap_or_default();
        let form = Multipart::new(kind, Body::stream(Source(request))).map_err(|error| match error {
            FormError::WrongType(_) => transom_status::TRANSOM_INVALID_ARGUMENT,
            _ => transom_status::TRANSOM_BAD_BODY,
        })?;
        let open = OpenForm {
            form,
            limits: FormLimits::default(),
            name: String::new(),
            filename: None,
            content_type: None,
            sentence: None,
            request,
        };
        *out = Box::into_raw(Box::new(transom_multipart { form: Mutex::new(open) }));
    })
}

/// Sets a limit on the parts that are not read yet. A form that exceeds one is
/// TRANSOM_BODY_TOO_LARGE. The limits and their defaults: "parts", the most fields and files (1,000);
/// "files", the most files (100); "head", the most bytes of the header section of a part (8 KiB);
/// "name", the most bytes of a name of a field or a file (1 KiB); "field", the most bytes of a field
/// (1 MiB); "fields", the most bytes of all fields together with their names (8 MiB); "file", the most
/// bytes of a file (off: the limit "body" holds).
///
/// Errors: TRANSOM_INVALID_ARGUMENT if there is no such limit.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_multipart_set_limit(
    form: *mut transom_multipart,
    name: *const c_char,
    value: u64,
) -> transom_status {
    checked!({
        // SAFETY: each NULL or valid, by the contract.
        let (name, mut form) = unsafe { (text(name)?, open(form)?) };
        form.limit(name, value)?;
    })
}

/// Waits for the next part, and stores what is known of it in `*part`; the name is absent after the last
/// part. What was not read of the part before is read and dropped. The time is that of
/// transom_request_read.
///
/// Errors: as transom_request_read; TRANSOM_BAD_BODY if the form is malformed and
/// TRANSOM_BODY_TOO_LARGE if it exceeds a limit: transom_multipart_error says what is wrong.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_multipart_next(
    form: *mut transom_multipart,
    timeout_ms: i64,
    part: *mut transom_part,
) -> transom_status {
    checked!({
        // SAFETY: each NULL or valid, by the contract.
        let (part, mut form) = unsafe { (place(part)?, open(form)?) };
        let absent = transom_bytes::ABSENT;
        *part = transom_part { name: absent, filename: absent, content_type: absent };
        *part = form.next(duration(timeout_ms)?)?;
    })
}

/// Reads the content of the part piece by piece: stores up to `cap` bytes in `buf`, and their number
/// in `*len`. 0 bytes are the end of the part. Times and errors are those of transom_multipart_next;
/// TRANSOM_INVALID_ARGUMENT if `cap` is 0.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_multipart_read(
    form: *mut transom_multipart,
    buf: *mut c_void,
    cap: usize,
    timeout_ms: i64,
    len: *mut usize,
) -> transom_status {
    checked!({
        // SAFETY: NULL or valid, by the contract.
        let mut form = unsafe { open(form) }?;
        // SAFETY: each NULL or valid, by the contract.
        unsafe { read_into(buf, cap, timeout_ms, len, |buf, timeout| form.read(buf, timeout)) }?;
    })
}

/// Writes the rest of the content of the part to a file, and stores its length in `*length`, unless
/// that is NULL. A file of that name is replaced. The name is given at the end, to a whole file: of an
/// upload that breaks off, nothing is left. Waits for the client as long as the limit "body_rate" lets
/// it.
///
/// Errors: those of transom_multipart_next, and TRANSOM_IO if the file cannot be written.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_multipart_save(
    form: *mut transom_multipart,
    path: *const c_char,
    length: *mut u64,
) -> transom_status {
    checked!({
        // SAFETY: each NULL or valid, by the contract.
        let (path, mut form) = unsafe { (file_name(path)?, open(form)?) };
        let saved = form.run(None, async |form| match form.part() {
            Some(mut part) => part.save_to(path).await,
            None => Ok(0),
        })?;
        // SAFETY: NULL or valid, by the contract.
        unsafe { store(length, saved) }
    })
}

/// Returns what was wrong with the form, as a sentence for the client or the log. Absent if nothing
/// was. Valid until the next call with this form.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_multipart_error(form: *const transom_multipart) -> transom_bytes {
    guard!(transom_bytes::ABSENT, {
        // SAFETY: NULL or valid, by the contract.
        let Ok(form) = (unsafe { open(form) }) else { return transom_bytes::ABSENT };
        form.sentence.as_deref().map(str::as_bytes).into()
    })
}

/// Frees a form. The rest of the body is not read. Does nothing with NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_multipart_free(form: *mut transom_multipart) {
    guard!((), {
        if !form.is_null() {
            // SAFETY: not NULL, and its last use, by the contract.
            drop(unsafe { Box::from_raw(form) });
        }
    });
}
