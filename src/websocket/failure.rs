//! The reasons for which a server fails a WebSocket connection (RFC 6455 7.1.7).

/// The reason for which a connection fails: a rule that the peer broke, or a lack of memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    ReservedBit,
    UnknownOpcode,
    Unmasked,
    LongControl,
    FragmentedControl,
    BadLength,
    NothingToContinue,
    NotContinued,
    ShortClose,
    BadCloseCode,
    BadUtf8,
    BadCompression,
    TooBig,
    EmptyFrames,
    NoMemory,
}

impl Failure {
    /// Returns the code of the Close frame (RFC 6455 7.4.1).
    pub fn code(self) -> u16 {
        match self {
            Self::BadUtf8 | Self::BadCompression => 1007,
            Self::EmptyFrames => 1008,
            Self::TooBig => 1009,
            Self::NoMemory => 1013,
            _ => 1002,
        }
    }

    /// Returns the reason of the Close frame.
    pub fn reason(self) -> &'static str {
        match self {
            Self::ReservedBit => "a reserved bit is set",
            Self::UnknownOpcode => "unknown opcode",
            Self::Unmasked => "a frame of a client must be masked",
            Self::LongControl => "a control frame is longer than 125 bytes",
            Self::FragmentedControl => "a control frame is fragmented",
            Self::BadLength => "the length of a frame is not well-formed",
            Self::NothingToContinue => "there is no message to continue",
            Self::NotContinued => "a message begins before the last one has ended",
            Self::ShortClose => "a close code has two bytes",
            Self::BadCloseCode => "the close code is not one to be sent",
            Self::BadUtf8 => "a text is not UTF-8",
            Self::BadCompression => "a message cannot be decompressed",
            Self::TooBig => "a message is larger than the limit",
            Self::EmptyFrames => "a message has too many empty frames",
            Self::NoMemory => "there is no memory for the message",
        }
    }
}
