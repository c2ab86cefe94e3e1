//! A message body: nothing, some bytes, a file, or a stream.

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
use super::pipe::{PipeReader, pipe};
use super::writer::BodyWriter;
use crate::fields::Headers;

/// A request's or a response's body.
///
/// ```
/// use transom::Body;
/// assert_eq!(Body::from("hello").len(), Some(5));
/// assert_eq!(Body::empty().as_bytes(), Some(&b""[..]));
/// ```
#[derive(Default)]
pub struct Body {
    kind: Kind,
    /// Boxed: they are rare, and a body is moved often.
    trailers: Option<Box<Trailers>>,
}

/// Trailer fields, made when the body has ended.
struct Trailers {
    /// Never locked: it makes a request `Sync`, so that a handler can lend it to an async function.
    make: Mutex<Box<dyn FnOnce() -> Headers + Send>>,
    /// They came with a request. A body that is handed back to the client does
    /// not take them along: they are the client's claims.
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
    /// Boxed: it is rare.
    File(Box<FilePart>),
    Stream {
        /// Never locked, as above.
        chunks: Mutex<Pin<Box<dyn Stream<Item = io::Result<Bytes>> + Send>>>,
        length: Option<u64>,
    },
    /// What a writer fills.
    Channel {
        reader: PipeReader,
        length: Option<u64>,
    },
}

/// Bytes on their way from a writer, at most, while there is room for more.
const CHANNEL_BYTES: usize = 64 * 1024;

impl Body {
    /// No body.
    ///
    /// ```
    /// assert_eq!(transom::Body::empty().len(), Some(0));
    /// ```
    pub const fn empty() -> Self {
        Self { kind: Kind::Empty, trailers: None }
    }

    /// A body that comes in chunks, of a length not known beforehand. An error
    /// from the stream ends the connection without a proper end of the body,
    /// so that the client can tell.
    ///
    /// ```
    /// use transom::Body;
    /// let chunks = futures_lite::stream::iter(["a", "bb"]).map(|chunk| Ok(chunk.into()));
    /// # use futures_lite::StreamExt;
    /// assert_eq!(Body::stream(chunks).len(), None);
    /// ```
    pub fn stream(chunks: impl Stream<Item = io::Result<Bytes>> + Send + 'static) -> Self {
        Kind::Stream { chunks: Mutex::new(Box::pin(chunks)), length: None }.into()
    }

    /// A body that comes in chunks, of `length` bytes in all. If the stream
    /// holds fewer, the connection is closed; what goes beyond is cut off and
    /// logged.
    ///
    /// ```
    /// use transom::Body;
    /// let chunks = futures_lite::stream::once(Ok("hello".into()));
    /// assert_eq!(Body::sized_stream(5, chunks).len(), Some(5));
    /// ```
    pub fn sized_stream(length: u64, chunks: impl Stream<Item = io::Result<Bytes>> + Send + 'static) -> Self {
        Kind::Stream { chunks: Mutex::new(Box::pin(chunks)), length: Some(length) }.into()
    }

    /// A regular file, from its first byte to its last, as long as it is now. Up to
    /// 64 KiB are read at once. What is longer the kernel sends from its cache on Linux
    /// (sendfile(2)); elsewhere, and over a stream of the host's own, it is read and
    /// written. Either way a thread that serves waits for the disk if the file is not in
    /// memory.
    ///
    /// If the file is found shorter while it is sent, the connection is closed before
    /// the announced length, so that the client can tell.
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
    /// A file of `/proc` or `/sys`, whose size says nothing, is read here and now, up to
    /// 4 MiB of it.
    ///
    /// # Errors
    /// `InvalidInput` if it is no regular file, `FileTooLarge` if its size says nothing and
    /// it holds more than 4 MiB; what the system says of it.
    pub fn file(file: File) -> io::Result<Self> {
        let part = FilePart::new(file, None)?;
        if part.len() > FilePart::CHUNK {
            return Ok(Kind::File(Box::new(part)).into());
        }
        part.read_to_end().map(Self::from)
    }

    /// Some bytes of a regular file, otherwise as [`file`](Self::file).
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
    /// As [`file`](Self::file); `InvalidInput` if the file does not reach that far.
    pub fn file_range(file: File, range: Range<u64>) -> io::Result<Self> {
        let part = FilePart::new(file, Some(range))?;
        if part.len() > FilePart::CHUNK {
            return Ok(Kind::File(Box::new(part)).into());
        }
        part.read_all().map(Self::from)
    }

    /// A body and the writer that fills it, from any task or thread. The
    /// writer waits while more than 64 KiB are under way.
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

    /// As [`channel`](Self::channel), for a body of `length` bytes in all, which
    /// is sent as the `Content-Length`. The writer is told when it writes more,
    /// or finishes with less.
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

    /// Where a writer fills the body, if one does.
    pub(crate) fn reader(&self) -> Option<&PipeReader> {
        match &self.kind {
            Kind::Channel { reader, .. } => Some(reader),
            _ => None,
        }
    }

    /// The same body with trailer fields, made when it has ended (RFC 9110
    /// 6.5): a checksum, for example. They go out only behind a body of unknown
    /// length, to HTTP/1.1; fields that may not be trailers are left out.
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

    /// The same body with the trailer fields that came with it.
    pub(crate) fn with_received_trailers(
        mut self,
        trailers: impl FnOnce() -> Headers + Send + 'static,
    ) -> Self {
        self.trailers = Some(Box::new(Trailers::new(trailers, true)));
        self
    }

    /// Returns `true` if the body may end in trailer fields of the handler's.
    pub(crate) fn has_trailers(&self) -> bool {
        self.trailers.as_ref().is_some_and(|trailers| !trailers.received)
    }

    /// The trailer fields to send behind the body.
    pub(crate) fn trailers_to_send(&mut self) -> Headers {
        match self.trailers.take() {
            Some(trailers) if !trailers.received => trailers.make(),
            _ => Headers::new(),
        }
    }

    /// The trailer fields, once: of a request's body when it has been read to
    /// its end. Empty if there are none.
    ///
    /// ```
    /// assert!(transom::Body::from("hello").take_trailers().is_empty());
    /// ```
    pub fn take_trailers(&mut self) -> Headers {
        self.trailers.take().map_or_else(Headers::new, |trailers| trailers.make())
    }

    /// The length in bytes, if it is known.
    ///
    /// ```
    /// assert_eq!(transom::Body::from(vec![0; 10]).len(), Some(10));
    /// ```
    pub fn len(&self) -> Option<u64> {
        match &self.kind {
            Kind::Empty => Some(0),
            Kind::Whole(bytes) => Some(bytes.len() as u64),
            Kind::File(part) => Some(part.len()),
            Kind::Stream { length, .. } | Kind::Channel { length, .. } => *length,
        }
    }

    /// Whether it is known to be empty.
    ///
    /// ```
    /// assert!(transom::Body::from("").is_empty());
    /// ```
    pub fn is_empty(&self) -> bool {
        self.len() == Some(0)
    }

    /// All bytes, unless it is a stream or a file.
    ///
    /// ```
    /// assert_eq!(transom::Body::from("abc").as_bytes(), Some(&b"abc"[..]));
    /// ```
    pub fn as_bytes(&self) -> Option<&[u8]> {
        match &self.kind {
            Kind::Empty => Some(&[]),
            Kind::Whole(bytes) => Some(bytes),
            Kind::File(_) | Kind::Stream { .. } | Kind::Channel { .. } => None,
        }
    }

    /// What is left of the file, if it is one.
    pub(crate) fn as_file(&mut self) -> Option<&mut FilePart> {
        match &mut self.kind {
            Kind::File(part) => Some(part),
            _ => None,
        }
    }

    /// The next chunk, never empty; `None` at the end.
    ///
    /// ```
    /// # smol::block_on(async {
    /// let mut body = transom::Body::from("abc");
    /// assert_eq!(body.chunk().await.unwrap()?, "abc");
    /// assert!(body.chunk().await.is_none());
    /// # Ok::<(), std::io::Error>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    /// A request's body: the client left, sent a malformed body, or went
    /// beyond a limit or a deadline. `Deadlock` in a [`blocking`](crate::blocking)
    /// handler that runs on its connection's own thread, which alone can read more.
    pub async fn chunk(&mut self) -> Option<io::Result<Bytes>> {
        poll_fn(|cx| self.poll_chunk(cx)).await
    }

    /// All that is left, at most `limit` bytes.
    ///
    /// ```
    /// # smol::block_on(async {
    /// assert_eq!(transom::Body::from("abc").collect(10).await?, "abc");
    /// assert!(transom::Body::from("abc").collect(2).await.is_err());
    /// # Ok::<(), std::io::Error>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    /// As [`chunk`](Self::chunk); `InvalidData` if there is more than `limit`,
    /// `OutOfMemory` if there is no memory for it.
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

    /// The bytes, if they are at hand; it is then empty.
    pub(crate) fn take_whole(&mut self) -> Option<Bytes> {
        match std::mem::take(&mut self.kind) {
            Kind::Empty => Some(Bytes::new()),
            Kind::Whole(bytes) => Some(bytes),
            other @ (Kind::File(_) | Kind::Stream { .. } | Kind::Channel { .. }) => {
                self.kind = other;
                None
            }
        }
    }

    pub(crate) fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<Option<io::Result<Bytes>>> {
        match &mut self.kind {
            Kind::Empty => Poll::Ready(None),
            Kind::Whole(bytes) => {
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
            Kind::Channel { reader, .. } => {
                let polled = Pin::new(reader).poll_next(cx);
                if let Poll::Ready(None) = polled {
                    self.kind = Kind::Empty;
                }
                polled
            }
            Kind::Stream { chunks, .. } => loop {
                let chunks = chunks.get_mut().unwrap_or_else(PoisonError::into_inner);
                let polled = chunks.as_mut().poll_next(cx);
                match polled {
                    Poll::Ready(Some(Ok(chunk))) if chunk.is_empty() => {}
                    Poll::Ready(None) => {
                        self.kind = Kind::Empty;
                        return Poll::Ready(None);
                    }
                    _ => return polled,
                }
            },
        }
    }
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
            Kind::Whole(bytes) => write!(f, "Body({} bytes)", bytes.len()),
            Kind::File(part) => write!(f, "Body({} bytes of a file)", part.len()),
            Kind::Stream { length: Some(length), .. } | Kind::Channel { length: Some(length), .. } => {
                write!(f, "Body(stream of {length} bytes)")
            }
            Kind::Stream { length: None, .. } | Kind::Channel { length: None, .. } => {
                write!(f, "Body(stream)")
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
