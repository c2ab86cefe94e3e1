//! A response body on its way out.

use std::future::poll_fn;
use std::io;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use bytes::Bytes;
use log::Level;

use super::Transport;
use super::incoming::Incoming;
use super::output::BIG;
use super::shortcut::FramedSocket;
use super::wire::{self, Wire};
use crate::base::guard::{guarded, log_event};
use crate::base::shortcut::Shortcut;
use crate::body::{Body, Past, PipeReader};
use crate::config::Config;
use crate::fields::Headers;
use crate::http1::{CHUNK_END, LAST_CHUNK, Payload, chunk_start, may_trail, permitted_trailers};
use crate::message::Client;

/// The chunks that are taken from a body in a row before other connections have their turn.
/// [`wire::BYTES_PER_TURN`] bounds their bytes.
const CHUNKS_PER_TURN: usize = 64;

/// The pause between the first and the second probe of a client that may have left. Each
/// further pause is twice as long.
const PROBE: Duration = Duration::from_millis(250);
/// The most probes. Together with the size of the chunk after them they have at most 16 digits, and
/// some clients take no more.
const PROBES: u32 = 8;
/// The time without a byte for the client after which a client that has closed its sending side is
/// given up, if the body is not chunked: such a client cannot be probed.
const GRACE: Duration = Duration::from_millis(500);

/// Puts the body in the output buffer, and writes as much of it as keeps the buffer below
/// `limits.output`. An error means that the answer is not whole: the connection must not be
/// used any more.
pub(super) async fn send<T: Transport>(
    wire: &mut Wire<'_, T>,
    mut body: Body,
    payload: Payload,
    incoming: &mut Incoming<'_>,
    config: &Config,
    client: &Client,
) -> io::Result<()> {
    let Some(mut framer) = Framer::new(payload) else { return Ok(()) };
    if let Some(bytes) = body.take_whole() {
        framer.put(wire, bytes)?;
        return framer.end(wire, payload, body);
    }
    if let Some(file) = body.as_file()
        && file.len() == framer.left
    {
        let sent = poll_fn(|cx| {
            let sent = wire.poll_send_file(cx, file);
            if sent.is_pending() {
                let was_flushed = wire.is_flushed();
                incoming.poll(cx, wire, config)?;
                if !was_flushed && wire.is_flushed() {
                    // Reading has written the buffer, so nothing waits for room for the file.
                    cx.waker().wake_by_ref();
                }
            }
            sent
        });
        match sent.await {
            // The transport cannot send the rest of this file: it is read and written below.
            Err(error) if error.kind() != io::ErrorKind::Unsupported => return Err(error),
            _ => framer.left = file.len(),
        }
    }
    let mut quiet = None;
    let mut knows_stop = false;
    // Made at the first large chunk. While this waits for the next one, the body's writer may send that itself.
    let mut shortcut = None::<Arc<dyn Shortcut>>;
    poll_fn(|cx| {
        if shortcut.is_some() {
            framer.note_past(wire, body.take_past())?;
        }
        // The task of a connection is woken when a stop begins.
        if !knows_stop && client.is_stopping() {
            knows_stop = true;
            body.reader().into_iter().for_each(PipeReader::begin_stop);
        }
        let mut given = 0;
        for _ in 0..CHUNKS_PER_TURN {
            if wire.output.len() >= config.limits.output {
                ready!(poll_flush(cx, wire, incoming, config))?;
            }
            if framer.left == 0 {
                return Poll::Ready(Ok(()));
            }
            match poll_chunk(&mut body, cx) {
                Poll::Ready(Some(Ok(chunk))) => {
                    quiet = None;
                    given += chunk.len();
                    if shortcut.is_none()
                        && chunk.len() >= BIG
                        && let Some((reader, socket)) = body.reader().zip(wire.shared_socket())
                    {
                        reader.will_lend();
                        shortcut = Some(Arc::new(FramedSocket { socket, chunked: framer.chunked }));
                    }
                    framer.put(wire, chunk)?;
                    // With an empty pipe this goes on until it waits: only then may the writer send a chunk itself.
                    if given >= wire::BYTES_PER_TURN && !(shortcut.is_some() && body.is_drained()) {
                        break;
                    }
                }
                Poll::Ready(Some(Err(error))) => {
                    wire.note_failed();
                    let reason = error.to_string();
                    log_event(
                        Level::Warn,
                        format_args!("a response body broke off: {}", reason.escape_debug()),
                    );
                    return Poll::Ready(Err(error));
                }
                Poll::Ready(None) => return Poll::Ready(Ok(())),
                Poll::Pending => {
                    // While the body is pending, its bytes so far go out, the request's body
                    // comes in, and the client is watched.
                    if let Poll::Ready(Err(error)) = wire.poll_flush(cx) {
                        return Poll::Ready(Err(error));
                    }
                    if incoming.poll(cx, wire, config)? {
                        continue;
                    }
                    if !wire.has_ended() {
                        if wire.is_flushed()
                            && let Some((reader, shortcut)) = body.reader().zip(shortcut.as_ref())
                        {
                            reader.lend(shortcut);
                        }
                        return Poll::Pending;
                    }
                    client.mark_gone();
                    let quiet = quiet.get_or_insert_with(|| Quiet::new(wire, &framer, config));
                    return quiet.poll(cx, wire).map(Err);
                }
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await?;
    framer.end(wire, payload, body)
}

/// Writes the output buffer. A client that takes nothing may have to send the rest of its
/// request first, so the request's body is read meanwhile.
fn poll_flush<T: Transport>(
    cx: &mut Context<'_>,
    wire: &mut Wire<'_, T>,
    incoming: &mut Incoming<'_>,
    config: &Config,
) -> Poll<io::Result<()>> {
    let flushed = wire.poll_flush(cx);
    if flushed.is_pending() {
        incoming.poll(cx, wire, config)?;
        if wire.is_flushed() {
            // Reading has written the rest, and nothing waits for the client to take more.
            return Poll::Ready(Ok(()));
        }
    }
    flushed
}

/// Writes the whole output buffer, and reads the request's body meanwhile.
pub(super) async fn flush<T: Transport>(
    wire: &mut Wire<'_, T>,
    incoming: &mut Incoming<'_>,
    config: &Config,
) -> io::Result<()> {
    poll_fn(|cx| poll_flush(cx, wire, incoming, config)).await
}

/// A pending body whose client has closed its sending side. The client either reads on or has
/// left, and only a write tells which: a peer that has closed both ways answers with a reset,
/// and the next write fails.
struct Quiet {
    /// The time at which the client is given up.
    deadline: Option<Instant>,
    /// The time of the next probe, and the pause after it.
    probe: Option<(Instant, Duration)>,
    /// Probes that are left.
    probes: u32,
}

impl Quiet {
    fn new<T: Transport>(wire: &Wire<'_, T>, framer: &Framer, config: &Config) -> Self {
        let write = config.timeouts.write;
        let grace = if framer.chunked { write } else { Some(write.unwrap_or(GRACE).min(GRACE)) };
        let probe = framer.chunked.then(|| (wire.now(), PROBE));
        Self { deadline: wire.deadline(grace), probe, probes: PROBES }
    }

    /// Ready, with the cause, when the client is gone.
    fn poll<T: Transport>(&mut self, cx: &mut Context<'_>, wire: &mut Wire<'_, T>) -> Poll<io::Error> {
        loop {
            let probe = self.probe.filter(|(at, _)| self.deadline.is_none_or(|deadline| *at < deadline));
            let Some((at, pause)) = probe else {
                return wire.poll_deadline(cx, self.deadline).map(|()| io::ErrorKind::TimedOut.into());
            };
            ready!(wire.poll_deadline(cx, Some(at)));
            // The size of a chunk may begin with any number of zeros, and the size of the last
            // chunk is only zeros (RFC 9112 7.1).
            wire.output.buffer().push(b'0');
            self.probes -= 1;
            let next = at.checked_add(pause).filter(|_| self.probes > 0);
            self.probe = next.map(|next| (next, pause.saturating_mul(2)));
            if let Poll::Ready(Err(error)) = wire.poll_flush(cx) {
                return Poll::Ready(error);
            }
        }
    }
}

/// Puts a body in the output buffer. The body must be in memory and no shorter than announced.
pub(super) fn put<T: Transport>(wire: &mut Wire<'_, T>, body: &mut Body, payload: Payload) -> io::Result<()> {
    match (Framer::new(payload), body.take_whole()) {
        (Some(mut framer), Some(bytes)) => framer.put(wire, bytes),
        _ => Ok(()),
    }
}

/// Polls a body. A body is code of the host and may panic.
fn poll_chunk(body: &mut Body, cx: &mut Context<'_>) -> Poll<Option<io::Result<Bytes>>> {
    guarded("the stream of a response body", || body.poll_chunk(cx))
        .unwrap_or_else(|| Poll::Ready(Some(Err(io::Error::other("the stream panicked")))))
}

/// Writes a body in the framing that the plan chose.
struct Framer {
    /// Octets that may still be written.
    left: u64,
    chunked: bool,
}

impl Framer {
    /// Returns `None` if no body goes out.
    fn new(payload: Payload) -> Option<Self> {
        match payload {
            Payload::None { .. } => None,
            Payload::Length(left) => Some(Self { left, chunked: false }),
            Payload::Chunked => Some(Self { left: u64::MAX, chunked: true }),
            Payload::UntilClose => Some(Self { left: u64::MAX, chunked: false }),
        }
    }

    fn put<T: Transport>(&mut self, wire: &mut Wire<'_, T>, mut bytes: Bytes) -> io::Result<()> {
        if self.left < bytes.len() as u64 {
            log_event(
                Level::Error,
                format_args!("a response body is longer than its Content-Length: cut off"),
            );
            bytes.truncate(usize::try_from(self.left).unwrap_or(usize::MAX));
        }
        if bytes.is_empty() {
            return Ok(());
        }
        if self.chunked {
            let (text, length) = chunk_start(bytes.len());
            wire.output.buffer().extend_from_slice(&text[..length]);
            wire.output.push(bytes)?;
            wire.output.buffer().extend_from_slice(CHUNK_END);
        } else {
            if self.left != u64::MAX {
                self.left -= bytes.len() as u64;
            }
            wire.output.push(bytes)?;
        }
        Ok(())
    }

    /// Notes the chunks that the body's writer has sent, and puts the rest of the last one.
    fn note_past<T: Transport>(&mut self, wire: &mut Wire<'_, T>, past: Past) -> io::Result<()> {
        wire.note_written(past.octets);
        if self.left != u64::MAX {
            self.left = self.left.saturating_sub(past.bytes);
        }
        let rest = past.rest?;
        if rest.is_empty() { Ok(()) } else { wire.output.push(rest) }
    }

    fn end<T: Transport>(self, wire: &mut Wire<'_, T>, payload: Payload, mut body: Body) -> io::Result<()> {
        match payload {
            Payload::Chunked => {
                let trailers = body.trailers_to_send();
                tell_unsent(&trailers, |name| !may_trail(name), "no trailer may have that name");
                let trailers = permitted_trailers(&trailers);
                let out = wire.output.room(LAST_CHUNK.len() + trailers.as_wire().len() + 2)?;
                out.extend_from_slice(LAST_CHUNK);
                out.extend_from_slice(trailers.as_wire());
                out.extend_from_slice(b"\r\n");
            }
            Payload::Length(_) if self.left > 0 => {
                wire.note_failed();
                log_event(Level::Error, format_args!("a response body is shorter than its Content-Length"));
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            Payload::Length(_) => {
                tell_unsent(&body.trailers_to_send(), |_| true, "the length of the body was announced");
            }
            _ => {}
        }
        Ok(())
    }
}

/// Logs the trailer fields that are not sent.
fn tell_unsent(trailers: &Headers, is_unsent: impl Fn(&str) -> bool, why: &str) {
    for (name, _) in trailers.iter().filter(|(name, _)| is_unsent(name)) {
        log_event(Level::Warn, format_args!("trailer {name:?} is not sent: {why}"));
    }
}
