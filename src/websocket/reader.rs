//! Reads the frames of a client, and makes messages of them (RFC 6455 5.4, 6.2).

use std::mem;

use super::data::Data;
use super::deflate::Inflater;
use super::frame::{self, Header, LONGEST, Opcode};
use super::offer::Deflation;
use super::utf8::Utf8;
use super::{Close, Failure, mask};

/// Empty frames of a message. Each costs more than its six bytes are worth, and no other limit counts them.
const EMPTY_FRAMES: u16 = 1000;
/// Bytes that are unmasked, checked and copied before the next ones, while the processor has them at hand. A
/// multiple of the length of a key.
const BLOCK: usize = 8 * 1024;

/// The most bytes of a frame and of a message.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sizes {
    pub frame: u64,
    pub message: usize,
}

/// Bytes that are taken from the front, and changed where they are.
pub(crate) type Input<'a> = &'a mut [u8];

/// A message, a piece of one, or a control frame that a client has sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// A message; or a piece of one, and `true` if it is the last.
    Data(Data, bool),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    Close(Close),
}

/// Reads the bytes of one connection, as they come.
pub(crate) struct Reader {
    sizes: Sizes,
    deflate: Option<Deflation>,
    /// True if messages are told in pieces.
    in_pieces: bool,
    /// The first bytes of a head that is not whole.
    head: [u8; LONGEST],
    head_length: u8,
    frame: Option<Frame>,
    message: Option<Partial>,
    /// The payload of the control frame so far. Boxed, because an idle connection has none.
    control: Option<Box<Control>>,
    inflater: Inflater,
}

#[derive(Default)]
struct Control {
    payload: Vec<u8>,
}

/// The frame whose payload comes.
struct Frame {
    opcode: Opcode,
    is_final: bool,
    key: [u8; 4],
    left: u64,
}

/// The message that comes.
struct Partial {
    /// The payload so far, without the pieces that were told.
    data: Data,
    is_compressed: bool,
    /// Bytes that were told in pieces.
    told: usize,
    /// Bytes that have come, as they were sent.
    come: u64,
    utf8: Utf8,
    empty_frames: u16,
}

impl Reader {
    pub fn new(sizes: Sizes, deflate: Option<Deflation>, in_pieces: bool) -> Self {
        Self {
            sizes,
            deflate,
            in_pieces,
            head: [0; LONGEST],
            head_length: 0,
            frame: None,
            message: None,
            control: None,
            inflater: Inflater::default(),
        }
    }

    /// Reads bytes up to the next event, and leaves the rest. `None` if more must come: `input` is then
    /// empty. After a failure nothing more is read. The payload is unmasked where it is.
    pub fn read(&mut self, input: &mut Input<'_>) -> Result<Option<Event>, Failure> {
        loop {
            if self.frame.is_none() {
                let Some(header) = self.read_head(input)? else { return Ok(None) };
                if let Some(data) = self.read_small(&header, input)? {
                    return Ok(Some(Event::Data(data, true)));
                }
                self.begin(header)?;
            }
            if let Some(event) = self.read_payload(input)? {
                return Ok(Some(event));
            }
            if self.frame.is_some() {
                return Ok(None);
            }
        }
    }

    /// Returns how many bytes of the payload have come of a message that is not whole, or of a frame that
    /// is not. `None` between frames that need no other.
    pub fn begun(&self) -> Option<u64> {
        match &self.message {
            Some(message) => Some(message.come),
            None => (self.head_length > 0 || self.frame.is_some()).then_some(0),
        }
    }

    /// Returns how many bytes of the frame's payload have not come.
    pub fn left(&self) -> u64 {
        self.frame.as_ref().map_or(0, |frame| frame.left)
    }

    fn read_head(&mut self, input: &mut Input<'_>) -> Result<Option<Header>, Failure> {
        let may_compress = self.deflate.is_some();
        if self.head_length == 0
            && let Some((header, length)) = frame::parse(input, may_compress)?
        {
            *input = &mut mem::take(input)[length..];
            return Ok(Some(header));
        }
        while let Some((byte, rest)) = mem::take(input).split_first_mut() {
            let length = usize::from(self.head_length);
            self.head[length] = *byte;
            self.head_length += 1;
            *input = rest;
            if let Some((header, _)) = frame::parse(&self.head[..=length], may_compress)? {
                self.head_length = 0;
                return Ok(Some(header));
            }
        }
        Ok(None)
    }

    /// Reads the payload of a message that is small and whole, in one frame that is not compressed. `None` if it is
    /// another one, or breaks a limit. Most messages are read here: the echo of one takes 2,760 instructions in place
    /// of 2,970 (callgrind, 2026-12).
    fn read_small(&self, header: &Header, input: &mut Input<'_>) -> Result<Option<Data>, Failure> {
        let most = BLOCK.min(input.len()).min(self.sizes.message) as u64;
        let is_message = matches!(header.opcode, Opcode::Text | Opcode::Binary) && self.message.is_none();
        let is_plain = header.is_final && !header.is_compressed;
        if !is_message || !is_plain || header.length > most.min(self.sizes.frame) {
            return Ok(None);
        }
        // The bound is a `usize`.
        let length = usize::try_from(header.length).unwrap_or(0);
        let (payload, rest) = mem::take(input).split_at_mut(length);
        *input = rest;
        mask::apply(payload, header.key);
        Data::copy(header.opcode == Opcode::Text, payload).map(Some)
    }

    /// Begins a frame, if its head fits to what came before.
    fn begin(&mut self, header: Header) -> Result<(), Failure> {
        let Header { is_final, is_compressed, opcode, key, length } = header;
        match opcode {
            Opcode::Text | Opcode::Binary if self.message.is_some() => return Err(Failure::NotContinued),
            Opcode::Text | Opcode::Binary => {
                self.message = Some(Partial::new(opcode == Opcode::Text, is_compressed));
            }
            Opcode::Continuation if self.message.is_none() => return Err(Failure::NothingToContinue),
            _ => {}
        }
        if let (Some(message), 0, false, false) = (&mut self.message, length, is_final, opcode.is_control()) {
            message.empty_frames += 1;
            if message.empty_frames > EMPTY_FRAMES {
                return Err(Failure::EmptyFrames);
            }
        }
        if !opcode.is_control() {
            self.check_size(length)?;
        }
        self.frame = Some(Frame { opcode, is_final, key, left: length });
        Ok(())
    }

    /// Checks the announced length of a frame. What a compressed one becomes is checked later.
    fn check_size(&mut self, length: u64) -> Result<(), Failure> {
        let Some(message) = &self.message else { return Ok(()) };
        let so_far = message.length() as u64;
        let is_too_big = !message.is_compressed && so_far.saturating_add(length) > self.sizes.message as u64;
        if length > self.sizes.frame || is_too_big { Err(Failure::TooBig) } else { Ok(()) }
    }

    /// Takes what has come of the frame's payload.
    fn read_payload(&mut self, input: &mut Input<'_>) -> Result<Option<Event>, Failure> {
        let Some(frame) = &mut self.frame else { return Ok(None) };
        let length = input.len().min(usize::try_from(frame.left).unwrap_or(usize::MAX));
        let (bytes, rest) = mem::take(input).split_at_mut(length);
        *input = rest;
        let key = frame.key;
        frame.left -= length as u64;
        frame.key = mask::after(key, length);
        let (is_whole, is_final, opcode) = (frame.left == 0, frame.is_final, frame.opcode);
        if is_whole {
            self.frame = None;
        }
        if opcode.is_control() {
            mask::apply(bytes, key);
            self.control.get_or_insert_default().payload.extend_from_slice(bytes);
            return if is_whole { self.end_control(opcode).map(Some) } else { Ok(None) };
        }
        let is_last = is_whole && is_final;
        if let Some(message) = &mut self.message {
            message.come += length as u64;
        }
        self.take_data(bytes, key, is_last)?;
        if is_last {
            return self.end_message().map(Some);
        }
        Ok(if self.in_pieces { self.piece() } else { None })
    }

    fn end_control(&mut self, opcode: Opcode) -> Result<Event, Failure> {
        let payload = self.control.take().map(|control| control.payload).unwrap_or_default();
        Ok(match opcode {
            Opcode::Ping => Event::Ping(payload),
            Opcode::Pong => Event::Pong(payload),
            _ => Event::Close(Close::parse(&payload)?),
        })
    }

    /// Appends masked bytes to the message.
    fn take_data(&mut self, masked: &mut [u8], key: [u8; 4], is_last: bool) -> Result<(), Failure> {
        let Some(message) = &mut self.message else { return Ok(()) };
        let limit = self.sizes.message;
        let mut left = masked.len();
        // A piece has only the bytes that are there.
        if let (Some(frame), false) = (&self.frame, self.in_pieces) {
            left = left.saturating_add(usize::try_from(frame.left).unwrap_or(usize::MAX));
        }
        for block in masked.chunks_mut(BLOCK) {
            mask::apply(block, key);
            left -= block.len();
            if message.is_compressed {
                self.inflater.inflate(block, &mut |plain| message.push(plain, 0, limit))?;
            } else {
                message.push(block, left, limit)?;
            }
        }
        if is_last && message.is_compressed {
            let keeps = self.deflate.is_some_and(|deflate| deflate.keeps_peer);
            self.inflater.finish(&mut |plain| message.push(plain, 0, limit), keeps)?;
        }
        Ok(())
    }

    /// Takes a piece of a message out: of a text, its whole characters.
    fn piece(&mut self) -> Option<Event> {
        let message = self.message.as_mut()?;
        let data = message.data.take();
        message.told += data.len();
        (data.len() > 0).then_some(Event::Data(data, false))
    }

    fn end_message(&mut self) -> Result<Event, Failure> {
        let message = self.message.take().ok_or(Failure::NothingToContinue)?;
        if message.utf8.pending() > 0 {
            return Err(Failure::BadUtf8);
        }
        Ok(Event::Data(message.data, true))
    }
}

impl Partial {
    fn new(is_text: bool, is_compressed: bool) -> Self {
        let data = if is_text { Data::Text(String::new()) } else { Data::Binary(Vec::new()) };
        Self { data, is_compressed, told: 0, come: 0, utf8: Utf8::default(), empty_frames: 0 }
    }

    /// Returns how many bytes the message has so far.
    fn length(&self) -> usize {
        self.told + self.data.len() + self.utf8.pending()
    }

    /// Appends bytes, up to the limit of the message. `announced` tells how many of the frame's bytes follow.
    fn push(&mut self, bytes: &[u8], announced: usize, limit: usize) -> Result<(), Failure> {
        let room = limit.saturating_sub(self.length());
        let fitting = &bytes[..bytes.len().min(room)];
        self.data.reserve(self.utf8.pending() + fitting.len(), announced, room - fitting.len())?;
        match &mut self.data {
            Data::Text(text) => self.utf8.push(fitting, text)?,
            Data::Binary(data) => data.extend_from_slice(fitting),
        }
        if bytes.len() > room { Err(Failure::TooBig) } else { Ok(()) }
    }
}
