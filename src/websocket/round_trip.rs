//! Messages that go through the engine in both directions, in frames and pieces that a seed decides.

use super::deflate::Deflater;
use super::offer::Deflation;
use super::{Close, Data, Event, Failure, Opcode, Reader, Sizes, encode, mask, put_header};

/// Seeds of a run.
const SEEDS: u64 = 200;
const SIZES: Sizes = Sizes { frame: 1 << 20, message: 1 << 20 };

/// A seeded generator (xorshift), so that a failure can be repeated.
struct Random(u64);

impl Random {
    fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// Returns a number below `bound`.
    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % bound as u64).unwrap()
    }

    /// Returns a message: often short, sometimes one that needs a long length.
    fn message(&mut self) -> Data {
        let most = [1, 10, 126, 300, 300, 300, 300, 70_000][self.below(8)];
        let length = self.below(most);
        if self.below(2) == 0 {
            return Data::Binary((0..length).map(|_| self.next().to_le_bytes()[0] % 7).collect());
        }
        let characters = ['a', 'b', '\u{e4}', '\u{20ac}', '\u{1f600}'];
        Data::Text((0..length / 2).map(|_| characters[self.below(5)]).collect())
    }
}

impl Data {
    fn bytes(&self) -> &[u8] {
        match self {
            Self::Text(text) => text.as_bytes(),
            Self::Binary(bytes) => bytes,
        }
    }

    fn opcode(&self) -> Opcode {
        match self {
            Self::Text(_) => Opcode::Text,
            Self::Binary(_) => Opcode::Binary,
        }
    }
}

/// Puts a client's frame.
fn put_masked(random: &mut Random, out: &mut Vec<u8>, first: (Opcode, bool, bool), payload: &[u8]) {
    let key = [0; 4].map(|_: u8| random.next().to_le_bytes()[0]);
    let (opcode, is_final, is_compressed) = first;
    let begun = out.len();
    put_header(out, opcode, is_final, is_compressed, payload.len());
    out[begun + 1] |= 0x80;
    out.extend(key);
    let begun = out.len();
    out.extend_from_slice(payload);
    mask::apply(&mut out[begun..], key);
}

/// Puts a client's message in frames of any length, with Pings in between. Returns the Pings.
fn put_fragments(
    random: &mut Random,
    out: &mut Vec<u8>,
    message: &Data,
    deflater: Option<&mut Deflater>,
) -> Vec<Event> {
    let is_compressed = deflater.is_some();
    let mut wire = Vec::new();
    match deflater {
        Some(deflater) => deflater.deflate(message.bytes(), &mut wire),
        None => wire.extend_from_slice(message.bytes()),
    }
    let (mut rest, mut pings, mut opcode) = (&wire[..], Vec::new(), message.opcode());
    loop {
        let length = if random.below(3) == 0 { rest.len() } else { random.below(rest.len() + 1) };
        let (payload, after) = rest.split_at(length);
        rest = after;
        let is_final = rest.is_empty() && random.below(4) > 0;
        let bits = is_compressed && opcode != Opcode::Continuation;
        put_masked(random, out, (opcode, is_final, bits), payload);
        if is_final {
            return pings;
        }
        opcode = Opcode::Continuation;
        if random.below(4) == 0 {
            let payload = vec![7; random.below(126)];
            put_masked(random, out, (Opcode::Ping, true, false), &payload);
            pings.push(Event::Ping(payload));
        }
    }
}

/// Gives bytes to a reader in pieces of any length. Returns the messages, and the rest.
fn read(
    random: &mut Random,
    reader: &mut Reader,
    mut bytes: &[u8],
) -> Result<(Vec<Data>, Vec<Event>), Failure> {
    let (mut messages, mut others, mut begun) = (Vec::new(), Vec::new(), None);
    let most = [1, 3, 20, 5000, 200_000][random.below(5)];
    while !bytes.is_empty() {
        let (piece, rest) = bytes.split_at((1 + random.below(most)).min(bytes.len()));
        bytes = rest;
        // The payload is unmasked in place.
        let mut piece = &mut piece.to_vec()[..];
        while let Some(event) = reader.read(&mut piece)? {
            let Event::Data(data, is_last) = event else {
                others.push(event);
                continue;
            };
            let whole = match (begun.take(), data) {
                (None, data) => data,
                (Some(Data::Text(before)), Data::Text(text)) => Data::Text(before + &text),
                (Some(Data::Binary(before)), Data::Binary(bytes)) => Data::Binary([before, bytes].concat()),
                (before, data) => panic!("{data:?} after {before:?}"),
            };
            if is_last {
                messages.push(whole);
            } else {
                begun = Some(whole);
            }
        }
        assert!(piece.is_empty());
    }
    assert_eq!(begun, None);
    Ok((messages, others))
}

/// Masks the frames of a server, so that a reader can take them. A client reads as a server does.
fn remask(random: &mut Random, mut bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    while !bytes.is_empty() {
        let (head, length) = match bytes[1] {
            126 => (4, usize::from(u16::from_be_bytes(bytes[2..4].try_into().unwrap()))),
            127 => (10, usize::try_from(u64::from_be_bytes(bytes[2..10].try_into().unwrap())).unwrap()),
            short => (2, usize::from(short)),
        };
        assert_eq!(bytes[1] & 0x80, 0, "a server does not mask (RFC 6455 5.1)");
        let key = [0; 4].map(|_: u8| random.next().to_le_bytes()[0]);
        let begun = out.len();
        out.extend_from_slice(&bytes[..head]);
        out[begun + 1] |= 0x80;
        out.extend(key);
        let begun = out.len();
        out.extend_from_slice(&bytes[head..head + length]);
        mask::apply(&mut out[begun..], key);
        bytes = &bytes[head + length..];
    }
    out
}

#[test]
fn each_message_arrives_in_both_directions_however_it_is_cut() {
    for seed in 0..SEEDS {
        let random = &mut Random::new(seed);
        let keeps = random.below(2) == 0;
        let bits = 9 + u8::try_from(random.below(7)).unwrap();
        let deflation = Deflation { keeps_own: keeps, keeps_peer: keeps, bits };
        let deflate = (random.below(3) > 0).then_some(deflation);
        let in_pieces = random.below(2) == 0;
        let mut to_server = Reader::new(SIZES, deflate, in_pieces);
        let mut to_client = Reader::new(SIZES, deflate, in_pieces);
        let mut client = deflate.map(Deflater::new);
        let mut server = deflate.map(Deflater::new);
        for _ in 0..3 {
            let messages: Vec<_> = (0..random.below(5)).map(|_| random.message()).collect();
            let (mut sent, mut pings) = (Vec::new(), Vec::new());
            for message in &messages {
                // Each message may be compressed or not (RFC 7692 6).
                let deflater = client.as_mut().filter(|_| random.below(4) > 0);
                pings.extend(put_fragments(random, &mut sent, message, deflater));
            }
            let received = read(random, &mut to_server, &sent).unwrap();
            assert!(received.0 == messages, "seed {seed}: the server received other messages");
            assert_eq!(received.1, pings, "seed {seed}");
            let mut answer = Vec::new();
            for message in &received.0 {
                match server.as_mut().filter(|_| random.below(4) > 0) {
                    Some(deflater) => {
                        let mut payload = Vec::new();
                        deflater.deflate(message.bytes(), &mut payload);
                        put_header(&mut answer, message.opcode(), true, true, payload.len());
                        answer.extend(payload);
                    }
                    None => encode(&mut answer, message.opcode(), message.bytes()),
                }
            }
            encode(&mut answer, Opcode::Close, &Close::new(1000, "bye").payload());
            let masked = remask(random, &answer);
            let received = read(random, &mut to_client, &masked).unwrap();
            assert!(received.0 == messages, "seed {seed}: the client received other messages");
            assert_eq!(received.1, [Event::Close(Close::new(1000, "bye"))], "seed {seed}");
        }
    }
}

#[test]
fn a_broken_stream_fails_in_the_same_way_however_it_is_cut() {
    for seed in 0..SEEDS {
        let random = &mut Random::new(seed);
        let deflation = Deflation { keeps_own: false, keeps_peer: false, bits: 15 };
        let deflate = (random.below(2) == 0).then_some(deflation);
        let mut sent = Vec::new();
        for _ in 0..2 {
            let message = random.message();
            put_fragments(random, &mut sent, &message, deflate.map(Deflater::new).as_mut());
        }
        for _ in 0..=random.below(3) {
            let at = random.below(sent.len().min(40));
            sent[at] ^= 1 << random.below(8);
        }
        let failed = |pieces: &mut dyn Iterator<Item = &[u8]>| {
            let (mut reader, mut messages) = (Reader::new(SIZES, deflate, false), Vec::new());
            for piece in pieces {
                let mut piece = &mut piece.to_vec()[..];
                loop {
                    match reader.read(&mut piece) {
                        Ok(Some(event)) => messages.push(event),
                        Ok(None) => break,
                        // A bad text in a bad stream fails for one or the other.
                        Err(failure) => return (messages, Some(failure.code())),
                    }
                }
            }
            (messages, None)
        };
        let whole = failed(&mut [&sent[..]].into_iter());
        assert!(whole == failed(&mut sent.chunks(1)), "seed {seed}: {whole:?}");
        let cut = random.below(sent.len());
        let (first, second) = sent.split_at(cut);
        assert!(whole == failed(&mut [first, second].into_iter()), "seed {seed}, cut at {cut}: {whole:?}");
    }
}

/// Gives bytes to a reader, and returns the first event.
fn read_once(reader: &mut Reader, bytes: &[u8]) -> Result<Option<Event>, Failure> {
    let mut bytes = bytes.to_vec();
    let mut input = &mut bytes[..];
    reader.read(&mut input)
}

#[test]
fn a_small_frame_that_is_whole_is_read_as_one_that_comes_in_bytes() {
    let (euro, random) = ("\u{20ac}".as_bytes(), &mut Random::new(1));
    let fresh = || Reader::new(Sizes { frame: 9, message: 7 }, None, false);
    for (opcode, payload, expected) in [
        (Opcode::Text, &b""[..], Ok(Data::Text(String::new()))),
        (Opcode::Text, b"1234567", Ok(Data::Text("1234567".into()))),
        (Opcode::Text, euro, Ok(Data::Text("\u{20ac}".into()))),
        (Opcode::Text, &euro[..2], Err(Failure::BadUtf8)),
        (Opcode::Text, &euro[1..], Err(Failure::BadUtf8)),
        (Opcode::Text, b"\xff", Err(Failure::BadUtf8)),
        (Opcode::Text, b"12345678", Err(Failure::TooBig)),
        (Opcode::Binary, b"\xff\xfe", Ok(Data::Binary(vec![0xff, 0xfe]))),
        (Opcode::Binary, b"1234567890", Err(Failure::TooBig)),
        (Opcode::Continuation, b"1", Err(Failure::NothingToContinue)),
    ] {
        let mut frame = Vec::new();
        put_masked(random, &mut frame, (opcode, true, false), payload);
        let expected = expected.map(|data| Some(Event::Data(data, true)));
        assert_eq!(read_once(&mut fresh(), &frame), expected, "{opcode:?} {payload:?}");
        let mut reader = fresh();
        let last = frame.chunks(1).map(|byte| read_once(&mut reader, byte)).find(|read| *read != Ok(None));
        assert_eq!(last, Some(expected), "{opcode:?} {payload:?}");
        // In the middle of another message, it breaks a rule or continues that one.
        let (mut reader, mut first) = (fresh(), Vec::new());
        put_masked(random, &mut first, (Opcode::Binary, false, false), b"a");
        assert_eq!(read_once(&mut reader, &first), Ok(None));
        let expected = match opcode {
            Opcode::Continuation => Ok(Some(Event::Data(Data::Binary(b"a1".into()), true))),
            _ => Err(Failure::NotContinued),
        };
        assert_eq!(read_once(&mut reader, &frame), expected, "{opcode:?} {payload:?}");
    }
}

/// Returns how many empty frames of one message are read before it is refused.
fn empty_frames(in_pieces: bool, deflate: Option<Deflation>) -> usize {
    let mut reader = Reader::new(SIZES, deflate, in_pieces);
    let random = &mut Random::new(1);
    let (mut first, mut next) = (Vec::new(), Vec::new());
    put_masked(random, &mut first, (Opcode::Text, false, deflate.is_some()), b"");
    put_masked(random, &mut next, (Opcode::Continuation, false, false), b"");
    assert_eq!(read_once(&mut reader, &first), Ok(None));
    let refused = (1..1_000_000).find(|_| read_once(&mut reader, &next) == Err(Failure::EmptyFrames));
    refused.expect("they are refused")
}

#[test]
fn a_message_of_endless_empty_frames_is_refused() {
    let deflation = Deflation { keeps_own: false, keeps_peer: false, bits: 15 };
    for in_pieces in [false, true] {
        for deflate in [None, Some(deflation)] {
            assert_eq!(empty_frames(in_pieces, deflate), 1000);
        }
    }
}

#[test]
fn some_empty_frames_are_no_harm() {
    let mut reader = Reader::new(SIZES, None, false);
    let random = &mut Random::new(1);
    let mut sent = Vec::new();
    for _ in 0..10 {
        put_masked(random, &mut sent, (Opcode::Text, false, false), b"");
        for _ in 0..500 {
            put_masked(random, &mut sent, (Opcode::Continuation, false, false), b"");
            put_masked(random, &mut sent, (Opcode::Ping, true, false), b"");
        }
        put_masked(random, &mut sent, (Opcode::Continuation, true, false), b"x");
    }
    let (messages, pings) = read(random, &mut reader, &sent).unwrap();
    assert_eq!((messages, pings.len()), (vec![Data::Text("x".into()); 10], 5000));
}
