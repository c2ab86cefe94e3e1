//! Reads the frames of a client, and makes messages of them (RFC 6455 5.4, 6.2).

use super::deflate::Inflater;
use super::frame::{self, Header, LONGEST, Opcode};
use super::offer::Deflation;
use super::utf8::Utf8;
use super::{Close, Failure, mask};

/// The payload of a frame that is taken into memory at once, though not all of it has come.
const AT_ONCE: usize = 16 * 1024;
/// Empty frames of a message. Each costs more than its six bytes are worth, and no other limit counts them.
const EMPTY_FRAMES: u16 = 1000;
/// Compressed bytes that are unmasked at once.
const CHUNK: usize = 4 * 1024;

/// The most bytes of a frame and of a message.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sizes {
    pub frame: u64,
    pub message: usize,
}

/// The payload of a message, or of a piece of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Data {
    Text(String),
    Binary(Vec<u8>),
}

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
    /// The payload of the message so far, without the pieces that were told.
    bytes: Vec<u8>,
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
    is_text: bool,
    is_compressed: bool,
    /// Bytes that were told in pieces.
    told: usize,
    /// Bytes that have come, as they were sent.
    come: u64,
    utf8: Utf8,
    empty_frames: u16,
    /// How many of the bytes were checked.
    checked: usize,
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
            bytes: Vec::new(),
            control: None,
            inflater: Inflater::default(),
        }
    }

    /// Reads bytes up to the next event, and leaves the rest. `None` if more must come: `input` is then
    /// empty. After a failure nothing more is read.
    pub fn read(&mut self, input: &mut &[u8]) -> Result<Option<Event>, Failure> {
        loop {
            if self.frame.is_none() {
                let Some(header) = self.read_head(input)? else { return Ok(None) };
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

    fn read_head(&mut self, input: &mut &[u8]) -> Result<Option<Header>, Failure> {
        let may_compress = self.deflate.is_some();
        if self.head_length == 0
            && let Some((header, length)) = frame::parse(input, may_compress)?
        {
            *input = &input[length..];
            return Ok(Some(header));
        }
        while let Some((&byte, rest)) = input.split_first() {
            let length = usize::from(self.head_length);
            self.head[length] = byte;
            self.head_length += 1;
            *input = rest;
            if let Some((header, _)) = frame::parse(&self.head[..=length], may_compress)? {
                self.head_length = 0;
                return Ok(Some(header));
            }
        }
        Ok(None)
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
        let come = (message.told + self.bytes.len()) as u64;
        let is_too_big = !message.is_compressed && come.saturating_add(length) > self.sizes.message as u64;
        if length > self.sizes.frame || is_too_big {
            return Err(Failure::TooBig);
        }
        if let (false, Ok(length @ 1..=AT_ONCE)) = (message.is_compressed, usize::try_from(length)) {
            self.bytes.try_reserve(length).map_err(|_| Failure::NoMemory)?;
        }
        Ok(())
    }

    /// Takes what has come of the frame's payload.
    fn read_payload(&mut self, input: &mut &[u8]) -> Result<Option<Event>, Failure> {
        let Some(frame) = &mut self.frame else { return Ok(None) };
        let length = input.len().min(usize::try_from(frame.left).unwrap_or(usize::MAX));
        let (bytes, rest) = input.split_at(length);
        *input = rest;
        let key = frame.key;
        frame.left -= length as u64;
        frame.key = mask::after(key, length);
        let (is_whole, is_final, opcode) = (frame.left == 0, frame.is_final, frame.opcode);
        if is_whole {
            self.frame = None;
        }
        if opcode.is_control() {
            let control = &mut self.control.get_or_insert_default().payload;
            let begun = control.len();
            control.extend_from_slice(bytes);
            mask::apply(&mut control[begun..], key);
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
        self.check_text()?;
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
    fn take_data(&mut self, masked: &[u8], mut key: [u8; 4], is_last: bool) -> Result<(), Failure> {
        let Some(message) = &self.message else { return Ok(()) };
        if !message.is_compressed {
            let begun = self.bytes.len();
            self.bytes.try_reserve(masked.len()).map_err(|_| Failure::NoMemory)?;
            self.bytes.extend_from_slice(masked);
            mask::apply(&mut self.bytes[begun..], key);
            return Ok(());
        }
        let limit = self.sizes.message.saturating_sub(message.told);
        let mut chunk = [0; CHUNK];
        for masked in masked.chunks(CHUNK) {
            let chunk = &mut chunk[..masked.len()];
            chunk.copy_from_slice(masked);
            mask::apply(chunk, key);
            key = mask::after(key, masked.len());
            self.inflater.inflate(chunk, &mut self.bytes, limit)?;
        }
        if is_last {
            let keeps = self.deflate.is_some_and(|deflate| deflate.keeps_peer);
            self.inflater.finish(&mut self.bytes, limit, keeps)?;
        }
        Ok(())
    }

    /// Checks what has come of a text.
    fn check_text(&mut self) -> Result<(), Failure> {
        if let Some(message) = &mut self.message
            && message.is_text
        {
            message.utf8.push(&self.bytes[message.checked..])?;
            message.checked = self.bytes.len();
        }
        Ok(())
    }

    /// Takes a piece of a message out: of a text, its whole characters.
    fn piece(&mut self) -> Option<Event> {
        let message = self.message.as_mut()?;
        let data = if message.is_text {
            let whole = match str::from_utf8(&self.bytes) {
                Ok(text) => text.len(),
                Err(error) => error.valid_up_to(),
            };
            let rest = self.bytes.split_off(whole);
            let text = std::mem::replace(&mut self.bytes, rest);
            Data::Text(String::from_utf8(text).unwrap_or_default())
        } else {
            Data::Binary(std::mem::take(&mut self.bytes))
        };
        message.checked = self.bytes.len();
        let length = data.len();
        message.told += length;
        (length > 0).then_some(Event::Data(data, false))
    }

    fn end_message(&mut self) -> Result<Event, Failure> {
        let is_text = self.message.take().is_some_and(|message| message.is_text);
        let bytes = std::mem::take(&mut self.bytes);
        Ok(Event::Data(
            if is_text {
                Data::Text(String::from_utf8(bytes).map_err(|_| Failure::BadUtf8)?)
            } else {
                Data::Binary(bytes)
            },
            true,
        ))
    }
}

impl Partial {
    fn new(is_text: bool, is_compressed: bool) -> Self {
        Self { is_text, is_compressed, told: 0, come: 0, utf8: Utf8::default(), empty_frames: 0, checked: 0 }
    }
}

impl Data {
    fn len(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::Binary(bytes) => bytes.len(),
        }
    }
}
