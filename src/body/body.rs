//! A message body: empty, bytes in memory, a file, or a stream.

use std::fmt;
use std::fs::File;
use std::future::poll_fn;
use std::io;
use std::ops::Range;
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_lite::Stream;

use super::file::FilePart;
use super::intake::BodySource;
use super::past::Past;
use super::pipe::pipe;
use super::pipe_reader::PipeReader;
use super::writer::BodyWriter;
use crate::base::memory;
use crate::fields::Headers;

/// The body of a request or a response: empty, bytes in memory, a file, or a stream of chunks.
///
/// ```
/// # smol::block_on(async {
/// use futures_lite::stream;
/// use transom::Body;
///
/// assert_eq!(Body::from("hello").len(), Some(5));
///
/// let mut body = Body::stream(stream::iter([Ok("a".into()), Ok("bb".into())]));
/// assert_eq!(body.len(), None);
/// assert_eq!(body.chunk().await.unwrap()?, "a");
/// assert_eq!(body.collect(10).await?, "bb");
/// # Ok::<(), std::io::Error>(()) }).unwrap();
/// ```
#[derive(Default)]
pub struct Body {
    kind: Kind,
    /// Boxed because trailers are rare and bodies are moved often: unboxed they cost each small
    /// request 18 of 3,445 instructions (benches/replay, 2026-11).
    trailers: Option<Box<Trailers>>,
}

/// Trailer fields, which are made once the body has ended.
struct Trailers {
    /// Never locked. The mutex makes a request `Sync`, so that a handler can lend it to an async
    /// function.
    make: Mutex<Box<dyn FnOnce() -> Headers + Send>>,
    /// True for trailers that came with a request. If such a body is sent back to the client, they
    /// are not sent along: a client could say anything in them.
    received: bool,
}

impl Trailers {
    fn new(make: impl FnOnce() -> Headers + Send + 'static, received: bool) -> Self {
        Self { make: Mutex::new(Box::new(make)), received }
    }

    fn make(self) -> Headers {
        let make = self.make.into_inner().unwrap_or_else(PoisonError::into_inner);
        make()
    }
}

#[derive(Default)]
enum Kind {
    #[default]
    Empty,
    Whole(Bytes),
    /// All of a request's body, which had come before its handler began, for one that reads it in chunks.
    AtHand(Bytes),
    File(FilePart),
    Stream {
        /// Never locked, as [`Trailers::make`].
        chunks: Mutex<Pin<Box<dyn Stream<Item = io::Result<Bytes>> + Send>>>,
        length: Option<u64>,
    },
    /// A pipe that a connection fills with the body of its request.
    Incoming {
        reader: PipeReader,
        length: Option<u64>,
    },
    /// A pipe that a [`BodyWriter`] fills.
    Channel {
        reader: PipeReader,
        length: Option<u64>,
    },
}

/// A writer may write while fewer than this many bytes wait to be sent. On a thread that serves no
/// connections it writes up to four times that in a row.
const CHANNEL_BYTES: usize = 64 * 1024;

impl Body {
    /// Returns an empty body.
    pub const fn empty() -> Self {
        Self { kind: Kind::Empty, trailers: None }
    }

    /// Returns the body of a request that came whole, for a handler that reads it in chunks.
    pub(crate) fn arrived(bytes: Bytes) -> Self {
        Kind::AtHand(bytes).into()
    }

    /// Returns the body of a request, of so many bytes if the length is known, that comes through a pipe.
    pub(crate) fn incoming(reader: PipeReader, length: Option<u64>) -> Self {
        Kind::Incoming { reader, length }.into()
    }

    /// Returns a body that comes in chunks and whose length is unknown. If the stream returns an
    /// error, the connection closes without the proper end of the body, so that the client notices.
    pub fn stream(chunks: impl Stream<Item = io::Result<Bytes>> + Send + 'static) -> Self {
        Kind::Stream { chunks: Mutex::new(Box::pin(chunks)), length: None }.into()
    }

    /// Returns a body that comes in chunks, with `length` bytes in all. If the stream ends early,
    /// the connection closes. Bytes beyond the length are cut off and logged.
    pub fn sized_stream(length: u64, chunks: impl Stream<Item = io::Result<Bytes>> + Send + 'static) -> Self {
        Kind::Stream { chunks: Mutex::new(Box::pin(chunks)), length: Some(length) }.into()
    }

    /// Returns a regular file as a body, with the length that the file has now. A file of up to 64
    /// KiB is read at once. On Linux the kernel sends a longer one from its cache (sendfile(2));
    /// elsewhere, and over a stream that the host provides, it is read and written. In each case
    /// the serving thread waits for the disk if the file is not in the cache.
    ///
    /// If the file turns out to be shorter while it is sent, the connection closes before the
    /// announced length, so that the client notices.
    ///
    /// ```
    /// use std::fs::File;
    /// use transom::{Body, Request, Response, StatusCode};
    ///
    /// async fn logo(_: Request) -> Response {
    ///     match File::open("logo.png").and_then(Body::file) {
    ///         Ok(body) => Response::bytes("image/png", body),
    ///         Err(_) => Response::new(StatusCode::NOT_FOUND),
    ///     }
    /// }
    /// ```
    ///
    /// A file of `/proc` or `/sys`, whose size is meaningless, is read at once, up to 4 MiB.
    ///
    /// # Errors
    /// `InvalidInput` if `file` is not a regular file; `FileTooLarge` if its size is meaningless
    /// and it holds more than 4 MiB; any error of the system.
    pub fn file(file: File) -> io::Result<Self> {
        let part = FilePart::new(file, None)?;
        if part.len() > FilePart::CHUNK {
            return Ok(Kind::File(part).into());
        }
        part.read_to_end().map(Self::from)
    }

    /// Returns a range of a regular file as a body; otherwise like [`file`](Self::file).
    ///
    /// ```
    /// # smol::block_on(async {
    /// use std::fs::File;
    /// use transom::Body;
    ///
    /// let body = Body::file_range(File::open("Cargo.toml")?, 1..8)?;
    /// assert_eq!(body.len(), Some(7));
    /// assert_eq!(body.collect(7).await?, "package");
    /// # Ok::<(), std::io::Error>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    /// As [`file`](Self::file); `InvalidInput` if the file is too short for the range.
    pub fn file_range(file: File, range: Range<u64>) -> io::Result<Self> {
        let part = FilePart::new(file, Some(range))?;
        if part.len() > FilePart::CHUNK {
            return Ok(Kind::File(part).into());
        }
        part.read_all().map(Self::from)
    }

    /// Returns a body, and a writer that fills the body from any task or thread. The writer waits
    /// while 64 KiB or more are not sent yet. While the client reads as fast as another thread writes, that
    /// thread writes up to 256 KiB in a row before it waits.
    ///
    /// ```
    /// use transom::{Body, Response};
    ///
    /// let (writer, body) = Body::channel();
    /// std::thread::spawn(move || {
    ///     writer.write_blocking("slow ", None)?;
    ///     writer.write_blocking("answer", None)?;
    ///     writer.finish()
    /// });
    /// let response = Response::new(transom::StatusCode::OK).body(body);
    /// ```
    pub fn channel() -> (BodyWriter, Self) {
        let (feed, reader) = pipe(CHANNEL_BYTES);
        let trailers = reader.trailers();
        let body = Self::from(Kind::Channel { reader, length: None });
        (BodyWriter::new(feed), body.with_trailers(trailers))
    }

    /// Like [`channel`](Self::channel), for a body of `length` bytes in all, which is sent as the
    /// `Content-Length`. The writer gets an error if it writes more, or finishes with less.
    ///
    /// ```
    /// use transom::{Body, WriteError};
    ///
    /// let (writer, body) = Body::sized_channel(5);
    /// assert_eq!(body.len(), Some(5));
    /// writer.try_write("hell")?;
    /// assert_eq!(writer.try_write("o!"), Err(WriteError::TooLong));
    /// assert_eq!(writer.finish(), Err(WriteError::TooShort));
    /// # Ok::<(), WriteError>(())
    /// ```
    pub fn sized_channel(length: u64) -> (BodyWriter, Self) {
        let (feed, reader) = pipe(CHANNEL_BYTES);
        reader.expect(length);
        (BodyWriter::new(feed), Kind::Channel { reader, length: Some(length) }.into())
    }

    /// Copies bytes that are to be sent. A copy of 64 KiB or more is made only if it leaves memory for the rest
    /// of the program, as the server does with the bodies of requests.
    ///
    /// ```
    /// # use transom::{Body, Response};
    /// let shared = [7; 100_000];
    /// let response = Response::bytes("application/octet-stream", Body::try_copy(&shared)?);
    /// # std::io::Result::Ok(())
    /// ```
    ///
    /// # Errors
    /// `OutOfMemory` if there is not enough memory.
    pub fn try_copy(bytes: &[u8]) -> io::Result<Bytes> {
        memory::try_copy(bytes).map(Bytes::from).map_err(|_| io::ErrorKind::OutOfMemory.into())
    }

    /// Returns the reading end of the pipe, if a writer fills the body.
    pub(crate) fn reader(&self) -> Option<&PipeReader> {
        match &self.kind {
            Kind::Channel { reader, .. } => Some(reader),
            _ => None,
        }
    }

    /// Returns `true` if a writer fills the body, and all that it has written was taken.
    pub(crate) fn is_drained(&self) -> bool {
        self.reader().is_some_and(PipeReader::is_drained)
    }

    /// Takes the way past the pipe back, and returns what went there.
    pub(crate) fn take_past(&mut self) -> Past {
        let Kind::Channel { reader, length } = &mut self.kind else { return Past::default() };
        let past = reader.take_past();
        if let Some(length) = length {
            *length = length.saturating_sub(past.bytes);
        }
        past
    }

    /// Adds trailer fields (RFC 9110 6.5), such as a checksum. `trailers` is called when the body
    /// has ended. Trailers are sent only to HTTP/1.1 clients, and only after a body of unknown length.
    /// Fields that are not allowed in trailers are left out.
    ///
    /// ```
    /// use transom::{Body, Headers};
    /// let chunks = futures_lite::stream::once(Ok("hello".into()));
    /// Body::stream(chunks).with_trailers(|| Headers::parse(b"x-sum: 532\n").unwrap_or_default());
    /// ```
    #[must_use]
    pub fn with_trailers(mut self, trailers: impl FnOnce() -> Headers + Send + 'static) -> Self {
        self.trailers = Some(Box::new(Trailers::new(trailers, false)));
        self
    }

    /// Adds the trailer fields that a client sent.
    pub(crate) fn with_received_trailers(
        mut self,
        trailers: impl FnOnce() -> Headers + Send + 'static,
    ) -> Self {
        self.trailers = Some(Box::new(Trailers::new(trailers, true)));
        self
    }

    /// Returns `true` if the handler gave the body trailer fields.
    pub(crate) fn has_trailers(&self) -> bool {
        self.trailers.as_ref().is_some_and(|trailers| !trailers.received)
    }

    /// Returns the trailer fields to send after the body.
    pub(crate) fn trailers_to_send(&mut self) -> Headers {
        match self.trailers.take() {
            Some(trailers) if !trailers.received => trailers.make(),
            _ => Headers::new(),
        }
    }

    /// Takes the trailer fields off, in an empty body, before the chunks are read in another way.
    pub(crate) fn detach_trailers(&mut self) -> Self {
        Self { kind: Kind::Empty, trailers: self.trailers.take() }
    }

    /// Gives this body the trailer fields of another.
    pub(crate) fn attach_trailers(&mut self, other: Self) {
        self.trailers = other.trailers;
    }

    /// Takes the trailer fields. The trailers of a request's body are there once the body has been
    /// read to its end. Returns an empty list if there are none.
    pub fn take_trailers(&mut self) -> Headers {
        self.trailers.take().map_or_else(Headers::new, |trailers| trailers.make())
    }

    /// Returns the length in bytes, if it is known. Chunks that were read do not count.
    pub fn len(&self) -> Option<u64> {
        match &self.kind {
            Kind::Empty => Some(0),
            Kind::Whole(bytes) | Kind::AtHand(bytes) => Some(bytes.len() as u64),
            Kind::File(part) => Some(part.len()),
            Kind::Stream { length, .. } | Kind::Incoming { length, .. } | Kind::Channel { length, .. } => {
                *length
            }
        }
    }

    /// Returns `true` if the body is known to be empty.
    pub fn is_empty(&self) -> bool {
        self.len() == Some(0)
    }

    /// Returns the bytes, or `None` if the body is a stream or a file.
    pub fn as_bytes(&self) -> Option<&[u8]> {
        match &self.kind {
            Kind::Empty => Some(&[]),
            Kind::Whole(bytes) => Some(bytes),
            _ => None,
        }
    }

    /// Returns the whole body if it is in memory. Unlike [`as_bytes`](Self::as_bytes) it also finds that of a
    /// request on a streaming route, if it is short and had come before the handler began: a host that passes the
    /// request on need not wait for it. Reading the body returns these bytes too.
    pub fn at_hand(&self) -> Option<&[u8]> {
        match &self.kind {
            Kind::AtHand(bytes) => Some(bytes),
            _ => self.as_bytes(),
        }
    }

    /// Returns the rest of the file, if the body is a file.
    pub(crate) fn as_file(&mut self) -> Option<&mut FilePart> {
        match &mut self.kind {
            Kind::File(part) => Some(part),
            _ => None,
        }
    }

    /// Waits for the next chunk, which is never empty. Returns `None` at the end.
    ///
    /// # Errors
    /// For a request's body: the client left, sent a malformed body, or exceeded a limit or a
    /// deadline. `Deadlock` in a [`blocking`](crate::blocking) handler that runs on its
    /// connection's own thread, since only that thread can read more; wait with
    /// [`wait`](crate::wait) there.
    pub async fn chunk(&mut self) -> Option<io::Result<Bytes>> {
        poll_fn(|cx| self.poll_chunk(cx)).await
    }

    /// Collects the rest of the body, at most `limit` bytes.
    ///
    /// ```
    /// # smol::block_on(async {
    /// assert_eq!(transom::Body::from("abc").collect(10).await?, "abc");
    /// assert!(transom::Body::from("abc").collect(2).await.is_err());
    /// # Ok::<(), std::io::Error>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    /// As [`chunk`](Self::chunk); `InvalidData` if the rest is longer than `limit`; `OutOfMemory`
    /// if there is no memory for it.
    pub async fn collect(mut self, limit: usize) -> io::Result<Bytes> {
        let mut all: Vec<u8> = Vec::new();
        let mut first = None;
        while let Some(chunk) = self.chunk().await {
            let chunk = chunk?;
            let so_far = first.as_ref().map_or(all.len(), Bytes::len);
            if chunk.len() > limit - so_far {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidData,
                    format!("body is larger than {limit} bytes"),
                ));
            }
            if so_far == 0 {
                first = Some(chunk);
            } else {
                for chunk in first.take().into_iter().chain([chunk]) {
                    all.try_reserve(chunk.len())?;
                    all.extend_from_slice(&chunk);
                }
            }
        }
        Ok(first.unwrap_or_else(|| all.into()))
    }

    /// Takes the bytes, if they are in memory. The body is then empty.
    pub(crate) fn take_whole(&mut self) -> Option<Bytes> {
        match std::mem::take(&mut self.kind) {
            Kind::Empty => Some(Bytes::new()),
            Kind::Whole(bytes) | Kind::AtHand(bytes) => Some(bytes),
            other => {
                self.kind = other;
                None
            }
        }
    }

    /// Receives bytes of a request's body from the client's socket, without a copy in between: for the other languages.
    /// Returns the number of bytes, at least one, or the client, if it has sent nothing more yet. Returns `None` if the
    /// connection does not let this thread: the chunks and the end of the body then come from the connection.
    #[doc(hidden)]
    pub fn receive(&mut self, buffer: &mut [u8]) -> Option<Result<usize, BodySource>> {
        let Kind::Incoming { reader, length } = &mut self.kind else { return None };
        let received = reader.receive(buffer);
        if let Some(Ok(octets)) = received {
            reduce(length, octets);
        }
        received
    }

    /// Returns `true` if [`receive`](Self::receive) may have something.
    #[doc(hidden)]
    pub fn may_receive(&self) -> bool {
        matches!(&self.kind, Kind::Incoming { reader, .. } if reader.may_receive())
    }

    pub(crate) fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<Option<io::Result<Bytes>>> {
        match &mut self.kind {
            Kind::Empty => Poll::Ready(None),
            Kind::Whole(bytes) | Kind::AtHand(bytes) => {
                let bytes = std::mem::take(bytes);
                self.kind = Kind::Empty;
                Poll::Ready((!bytes.is_empty()).then_some(Ok(bytes)))
            }
            Kind::File(part) => match part.read() {
                Ok(chunk) if chunk.is_empty() => {
                    self.kind = Kind::Empty;
                    Poll::Ready(None)
                }
                read => Poll::Ready(Some(read)),
            },
            Kind::Incoming { reader, length } | Kind::Channel { reader, length } => {
                let polled = Pin::new(reader).poll_next(cx);
                match &polled {
                    Poll::Ready(Some(Ok(chunk))) => reduce(length, chunk.len()),
                    Poll::Ready(None) => self.kind = Kind::Empty,
                    _ => {}
                }
                polled
            }
            Kind::Stream { chunks, length } => loop {
                let chunks = chunks.get_mut().unwrap_or_else(PoisonError::into_inner);
                let polled = chunks.as_mut().poll_next(cx);
                match polled {
                    Poll::Ready(Some(Ok(chunk))) if chunk.is_empty() => {}
                    Poll::Ready(None) => {
                        self.kind = Kind::Empty;
                        return Poll::Ready(None);
                    }
                    Poll::Ready(Some(Ok(chunk))) => {
                        reduce(length, chunk.len());
                        return Poll::Ready(Some(Ok(chunk)));
                    }
                    _ => return polled,
                }
            },
        }
    }
}

/// Takes that many bytes from the length of what is left.
fn reduce(length: &mut Option<u64>, octets: usize) {
    *length = length.map(|left| left.saturating_sub(octets as u64));
}

impl Stream for Body {
    type Item = io::Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll_chunk(cx)
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            Kind::Empty => write!(f, "Body(empty)"),
            Kind::Whole(bytes) | Kind::AtHand(bytes) => write!(f, "Body({} bytes)", bytes.len()),
            Kind::File(part) => write!(f, "Body({} bytes of a file)", part.len()),
            Kind::Stream { length, .. } | Kind::Incoming { length, .. } | Kind::Channel { length, .. } => {
                match length {
                    Some(length) => write!(f, "Body(stream of {length} bytes)"),
                    None => write!(f, "Body(stream)"),
                }
            }
        }
    }
}

impl From<Kind> for Body {
    fn from(kind: Kind) -> Self {
        Self { kind, trailers: None }
    }
}

impl From<Bytes> for Body {
    fn from(bytes: Bytes) -> Self {
        if bytes.is_empty() { Kind::Empty } else { Kind::Whole(bytes) }.into()
    }
}

impl From<Vec<u8>> for Body {
    fn from(bytes: Vec<u8>) -> Self {
        Bytes::from(bytes).into()
    }
}

impl From<String> for Body {
    fn from(text: String) -> Self {
        text.into_bytes().into()
    }
}

impl From<&'static str> for Body {
    fn from(text: &'static str) -> Self {
        Bytes::from_static(text.as_bytes()).into()
    }
}

impl From<&'static [u8]> for Body {
    fn from(bytes: &'static [u8]) -> Self {
        Bytes::from_static(bytes).into()
    }
}
