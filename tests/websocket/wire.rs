//! The wire corpus of WebSocket: frames and their answers as files, each played whole, cut in two at every
//! byte and a byte at a time over a connection in memory, and over sockets in every model.
//! `tests/websocket/wire/README.md` says how to add one.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Wake, Waker};

use transom::{Service, WebSocketUpgrade};

use crate::common::{PATIENCE, configured};
use crate::peer::{BINARY, CLOSE, CONTINUATION, HANDSHAKE, PING, PONG, Peer, TEXT, frame};
use crate::support::client::{Client, connect};
use crate::support::escape::unescape;
use crate::{MODELS, echoing, start_model};

const FINAL: u8 = 0x80;
const COMPRESSED: u8 = 0x40;
const DEFLATE: &str = "Sec-WebSocket-Extensions: permessage-deflate\r\n";
const KINDS: [(&str, u8); 6] = [
    ("text", TEXT),
    ("binary", BINARY),
    ("more", CONTINUATION),
    ("close", CLOSE),
    ("ping", PING),
    ("pong", PONG),
];

struct Case {
    name: String,
    config: String,
    /// The bytes that the client sends, and the frames that it gets.
    send: Vec<u8>,
    answer: Vec<String>,
    is_closed: bool,
}

/// Returns the settings with that name, and the fields that the client sends.
fn config(name: &str) -> (WebSocketUpgrade, &'static str) {
    let settings = WebSocketUpgrade::new();
    match name {
        "default" => (settings, ""),
        "deflate" => (settings.compress_from(8), DEFLATE),
        "keeping" => (settings.compress_from(8).context_takeover(), DEFLATE),
        "tight" => (settings.message_limit(100).frame_limit(200), DEFLATE),
        "pieces" => (settings.message_limit(100).in_pieces(), ""),
        other => panic!("no configuration {other:?}"),
    }
}

/// Returns the bytes of a line that the client sends: a frame, or `raw` bytes.
fn sent(line: &str) -> Result<Vec<u8>, String> {
    let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
    let mut payload = unescape(rest)?;
    if word == "raw" {
        return Ok(payload);
    }
    let kind = word.trim_end_matches(['+', '*', '~']);
    let (_, mut first) = KINDS.into_iter().find(|(name, _)| *name == kind).ok_or("no such frame")?;
    for flag in word[kind.len()..].chars() {
        match flag {
            '+' => first &= !FINAL,
            '*' => first |= COMPRESSED,
            _ => {
                first |= COMPRESSED;
                payload = deflate(&payload);
            }
        }
    }
    if first == CLOSE && !payload.is_empty() {
        let (code, reason) = rest.split_once(' ').unwrap_or((rest, ""));
        let code: u16 = code.parse().map_err(|_| "no code")?;
        payload = [&code.to_be_bytes(), &unescape(reason)?[..]].concat();
    }
    Ok(frame(first, &payload))
}

fn deflate(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len() + 100);
    let mut stream = flate2::Compress::new(flate2::Compression::best(), false);
    stream.compress_vec(bytes, &mut out, flate2::FlushCompress::Sync).unwrap();
    out.truncate(out.len() - 4);
    out
}

/// Returns the files of the corpus as cases.
fn corpus() -> Vec<Case> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/websocket/wire");
    let mut paths: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|it| it == "txt"));
    paths.sort();
    let mut cases = Vec::<Case>::new();
    for path in paths {
        for (number, line) in fs::read_to_string(&path).unwrap().lines().enumerate() {
            let bad =
                |why: &str| -> () { panic!("{}, line {}: {why}: {line:?}", path.display(), number + 1) };
            let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
            let case = cases.last_mut();
            match (word, case) {
                ("" | "#", _) => {}
                ("case", _) => cases.push(Case {
                    name: rest.to_owned(),
                    config: "default".to_owned(),
                    send: Vec::new(),
                    answer: Vec::new(),
                    is_closed: false,
                }),
                ("with", Some(case)) => rest.clone_into(&mut case.config),
                (">", Some(case)) => {
                    case.send.extend(sent(rest).map_err(|why| bad(&why)).unwrap_or_default());
                }
                ("<", Some(case)) => case.answer.push(rest.to_owned()),
                ("open", Some(case)) => case.is_closed = false,
                ("closed", Some(case)) => case.is_closed = true,
                _ => bad("not a line of a case"),
            }
        }
    }
    cases
}

/// Decodes what a server sends, as the lines of a case.
struct Decoder {
    inflate: flate2::Decompress,
    keeps: bool,
}

impl Decoder {
    fn new(config: &str) -> Self {
        Self { inflate: flate2::Decompress::new(false), keeps: config == "keeping" }
    }

    fn line(&mut self, first: u8, payload: &[u8]) -> String {
        let opcode = first & !COMPRESSED;
        let kind = KINDS.into_iter().find(|(_, first)| *first == opcode).map_or("unknown", |(name, _)| name);
        let mut line = kind.to_owned();
        let mut bytes = payload.to_vec();
        if first & COMPRESSED != 0 {
            line.push('~');
            let mut plain = Vec::with_capacity(10_000);
            let whole = [payload, &[0, 0, 0xff, 0xff]].concat();
            self.inflate.decompress_vec(&whole, &mut plain, flate2::FlushDecompress::Sync).unwrap();
            bytes = plain;
            if !self.keeps {
                self.inflate.reset(false);
            }
        }
        if let (CLOSE, Some((code, reason))) = (opcode, bytes.split_first_chunk()) {
            write!(line, " {}", u16::from_be_bytes(*code)).unwrap();
            bytes = reason.to_vec();
        }
        if !bytes.is_empty() {
            write!(line, " {}", bytes.escape_ascii()).unwrap();
        }
        line
    }

    /// Decodes whole frames.
    fn lines(&mut self, mut bytes: &[u8]) -> Vec<String> {
        let mut lines = Vec::new();
        while let [first, length, rest @ ..] = bytes {
            let (length, rest) = match length {
                126 => (usize::from(u16::from_be_bytes([rest[0], rest[1]])), &rest[2..]),
                127 => panic!("no answer is so long"),
                short => (usize::from(*short), rest),
            };
            let (payload, rest) = rest.split_at(length);
            lines.push(self.line(*first, payload));
            bytes = rest;
        }
        lines
    }
}

/// A waker that records whether the connection has something to do.
struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Release);
    }
}

/// Plays a case over a connection in memory. The server does all it can between two pieces. Returns the
/// frames, and `true` if the server has closed.
fn play(service: &Service, case: &Case, pieces: &[&[u8]], write: usize) -> (Vec<String>, bool) {
    let (client, stream) = connect(write);
    let mut serving = Box::pin(service.serve_connection(stream, transom::Peer::Unknown));
    let woken = Arc::new(Woken(AtomicBool::new(true)));
    let waker = Waker::from(Arc::clone(&woken));
    let mut settle = |client: &Client| {
        while woken.0.swap(false, Ordering::AcqRel) {
            if serving.as_mut().poll(&mut Context::from_waker(&waker)).is_ready() {
                woken.0.store(false, Ordering::Release);
                break;
            }
        }
        client.take_answer()
    };
    let (_, fields) = config(&case.config);
    let (head, end) = HANDSHAKE.split_at(HANDSHAKE.len() - 2);
    client.send([head, fields, end].concat().as_bytes());
    let answer = settle(&client);
    assert!(answer.starts_with(b"HTTP/1.1 101 "), "{}", answer.escape_ascii());
    let mut frames = Vec::new();
    for piece in pieces {
        client.send(piece);
        frames.extend(settle(&client));
    }
    (Decoder::new(&case.config).lines(&frames), client.is_closed())
}

#[test]
fn every_case_holds_however_it_arrives() {
    let cases = corpus();
    assert!(cases.len() > 40, "only {} cases", cases.len());
    let services: BTreeMap<_, _> = cases
        .iter()
        .map(|case| {
            (&*case.config, configured(echoing(config(&case.config).0), |_, _| ()).service().unwrap())
        })
        .collect();
    let mut failures = String::new();
    for case in &cases {
        let service = &services[&*case.config];
        let mut ways = vec![("whole".to_owned(), vec![&case.send[..]], usize::MAX)];
        for at in 1..case.send.len() {
            let (first, second) = case.send.split_at(at);
            ways.push((format!("cut at byte {at}"), vec![first, second], usize::MAX));
        }
        ways.push(("a byte at a time".to_owned(), case.send.chunks(1).collect(), 1));
        for (way, pieces, write) in ways {
            let (lines, is_closed) = play(service, case, &pieces, write);
            if (&lines, is_closed) != (&case.answer, case.is_closed) {
                let end = if is_closed { "closed" } else { "open" };
                writeln!(failures, "{}, {way}, got:", case.name).unwrap();
                for line in lines {
                    writeln!(failures, "< {line}").unwrap();
                }
                writeln!(failures, "{end}\n").unwrap();
                break;
            }
        }
    }
    assert!(failures.is_empty(), "{failures}");
}

#[test]
fn every_case_holds_over_sockets_in_every_model() {
    let cases = corpus();
    let configs: BTreeSet<_> = cases.iter().map(|case| &*case.config).collect();
    for model in MODELS {
        for name in &configs {
            let (settings, fields) = config(name);
            let server = start_model(echoing(settings), model);
            for case in cases.iter().filter(|case| case.config == **name) {
                let mut peer = Peer::connect(&server, fields);
                let mut decoder = Decoder::new(name);
                // The server may have closed before all is sent.
                peer.can_send(&case.send);
                for line in &case.answer {
                    let next = peer.next().map(|(first, payload)| decoder.line(first, &payload));
                    assert_eq!(next.as_ref(), Some(line), "{} in {model}", case.name);
                }
                if case.is_closed {
                    assert_eq!(peer.next(), None, "{} in {model}", case.name);
                } else {
                    // A case may end within a frame; the connection then ends with the client.
                    peer.shutdown(std::net::Shutdown::Write);
                    assert_eq!(peer.next(), None, "{} in {model}", case.name);
                }
            }
            server.stop(PATIENCE);
        }
    }
}

#[test]
fn every_case_has_a_name_of_its_own_that_says_where_it_comes_from() {
    let mut names = BTreeSet::new();
    for Case { name, send, .. } in corpus() {
        assert!(names.insert(name.clone()), "two cases are named {name}");
        let cites = ["rfc6455_", "rfc7692_", "limits_", "promise_"];
        assert!(cites.iter().any(|prefix| name.starts_with(prefix)), "{name} cites nothing: {cites:?}");
        assert!(!send.is_empty(), "{name} sends nothing");
    }
}
