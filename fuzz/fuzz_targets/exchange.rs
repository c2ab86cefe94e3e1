//! Fuzzes the responses of a handler: whatever it returns, the bytes sent are well-formed, and the
//! next answer starts where it must.
#![no_main]

use std::cell::RefCell;
use std::io;
use std::sync::OnceLock;

use futures_lite::stream;
use libfuzzer_sys::fuzz_target;
use transom::fuzzing::{Client, End, Server};
use transom::{Body, Bytes, Headers, Limits, Request, Response, Router, StatusCode};
use transom_fuzz::choices::Choices;
use transom_fuzz::response::{self, Body as Sent};
use transom_fuzz::shown;

thread_local! {
    static GIVEN: RefCell<Option<Given>> = const { RefCell::new(None) };
}

/// The handler's response.
struct Given {
    hints: Vec<Headers>,
    response: Response,
}

const NAMES: &[&str] = &[
    "content-length",
    "Transfer-Encoding",
    "connection",
    "Keep-Alive",
    "upgrade",
    "trailer",
    "te",
    "proxy-connection",
    "date",
    "content-type",
    "x-a",
    "set-cookie",
];
const VALUES: &[&[u8]] = &[
    b"0",
    b"5",
    b"5, 5",
    b"18446744073709551615",
    b"chunked",
    b"close",
    b"keep-alive",
    b"x\r\nx-evil: 1",
    b"a\0b",
    b"",
    b" v ",
];
const CONNECTIONS_AFFAIR: &[&str] = &[
    "content-length",
    "transfer-encoding",
    "connection",
    "keep-alive",
    "upgrade",
    "trailer",
    "te",
    "proxy-connection",
];

/// The fields that must not be sent without a body.
const DESCRIBES_A_BODY: &[&str] = &["content-type", "content-encoding", "content-language", "content-range"];

fn field(choices: &mut Choices) -> (String, Vec<u8>) {
    let name = match choices.byte() {
        n if n < 200 => NAMES[usize::from(n) % NAMES.len()].to_owned(),
        _ => String::from_utf8_lossy(choices.bytes()).into_owned(),
    };
    let value = match choices.byte() {
        n if n < 128 => VALUES[usize::from(n) % VALUES.len()].to_vec(),
        _ => choices.bytes().to_vec(),
    };
    (name, value)
}

fn headers(choices: &mut Choices) -> Headers {
    let mut headers = Headers::new();
    for _ in 0..choices.below(4) {
        let (name, value) = field(choices);
        headers.append(&name, value).ok();
    }
    headers
}

/// The content of a body.
struct Content {
    data: Vec<u8>,
    /// The length that the body announces.
    length: usize,
    /// True if the body holds that many bytes.
    good: bool,
}

/// Makes a body, and its content.
fn body(choices: &mut Choices) -> (Body, Content) {
    let whole = |data: Vec<u8>| Content { length: data.len(), data, good: true };
    let kind = choices.below(6);
    if kind == 0 {
        return (Body::empty(), whole(Vec::new()));
    }
    if kind == 1 {
        let bytes = choices.bytes().to_vec();
        return (bytes.clone().into(), whole(bytes));
    }
    let (mut chunks, mut data, mut good) = (Vec::new(), Vec::new(), true);
    for _ in 0..choices.below(5) {
        if choices.byte() == 255 {
            chunks.push(Err(io::Error::other("on purpose")));
            good = false;
            break;
        }
        let chunk = choices.bytes();
        data.extend_from_slice(chunk);
        chunks.push(Ok(Bytes::copy_from_slice(chunk)));
    }
    let sized = choices.byte();
    let mut length = data.len();
    let trailers = headers(choices);
    let body = match kind {
        2 => Body::stream(stream::iter(chunks)),
        3 => Body::stream(stream::iter(chunks)).with_trailers(|| trailers),
        4 => {
            length = usize::from(sized);
            good = length <= data.len();
            Body::sized_stream(sized.into(), stream::iter(chunks))
        }
        _ => {
            let (writer, body) = Body::channel();
            for chunk in chunks.into_iter().flatten() {
                writer.try_write(chunk).ok();
            }
            if good {
                writer.finish().ok();
            }
            body
        }
    };
    (body, Content { data, length, good })
}

fn response(choices: &mut Choices) -> (Response, Content) {
    let status = match choices.byte() {
        n if n < 128 => choices.of(&[200, 204, 205, 304, 206, 404, 500, 100, 101, 103]),
        n => 100 + 7 * u16::from(n - 128),
    };
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::OK);
    let (body, content) = body(choices);
    if choices.byte() < 32 {
        let mut builder = http::Response::builder().status(status);
        for _ in 0..choices.below(5) {
            let (name, value) = field(choices);
            let valid = http::HeaderName::from_bytes(name.as_bytes())
                .ok()
                .zip(http::HeaderValue::from_bytes(&value).ok());
            if let Some((name, value)) = valid {
                builder = builder.header(name, value);
            }
        }
        let response = builder.body(body).unwrap_or_default();
        return (response.into(), content);
    }
    let mut response = match choices.byte() {
        n if n < 16 => Response::upgrade(choices.of(&["a", "b", "A/1\r\nx: 1", ""]), async |_| ()),
        n if n < 32 => Response::bytes(String::from_utf8_lossy(choices.bytes()), body).status(status),
        _ => Response::new(status).body(body),
    };
    for _ in 0..choices.below(5) {
        let (name, value) = field(choices);
        if choices.byte() < 128 {
            response = response.header(&name, value);
        } else {
            response.headers_mut().append(&name, value).ok();
        }
    }
    if choices.byte() < 32 {
        *response.headers_mut() = Headers::parse(choices.bytes()).unwrap_or_default();
    }
    (response, content)
}

fn server() -> Server {
    let router = Router::new().any("/next", async |_: Request| "next").any("/", async |req: Request| {
        let Some(given) = GIVEN.take() else { return Response::text("nothing given") };
        for hints in given.hints {
            req.early_hints(hints).ok();
        }
        given.response
    });
    let mut limits = Limits::default();
    limits.output = 64;
    Server::new(router, limits)
}

fuzz_target!(|input: &[u8]| {
    static SERVER: OnceLock<Server> = OnceLock::new();
    let server = SERVER.get_or_init(server);
    let mut choices = Choices::new(input);
    let method = choices.of(&["GET", "HEAD", "POST", "OPTIONS"]);
    let version = choices.of(&["1.1", "1.1", "1.0"]);
    let connection = choices.of(&["keep-alive", "close", "upgrade", "x"]);
    let takes = choices.of(&[None, Some(1), Some(50)]);
    let hints: Vec<_> = (0..choices.below(3)).map(|_| headers(&mut choices)).collect();
    let (response, Content { data, length, good }) = response(&mut choices);
    let fault = response.fault().is_some();
    let status = response.status_code().as_u16();
    let own: Vec<(String, Vec<u8>)> =
        response.headers().iter().map(|(name, value)| (name.into(), value.into())).collect();
    let announced = own.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    let hinted = hints.len();
    GIVEN.set(Some(Given { hints, response }));

    let first =
        format!("{method} / HTTP/{version}\r\nHost: h\r\nConnection: {connection}\r\nUpgrade: a, c\r\n\r\n");
    let second = "GET /next HTTP/1.1\r\nHost: h\r\n\r\n";
    let pieces = [first.as_bytes(), second.as_bytes()];
    let talk = server.talk(Client { pieces: &pieces, ends: true, takes, takes_until: None, stop: None });
    let output = &talk.output[..];
    let fail = |why: &str| -> ! {
        panic!("{why}\nasked {first:?}\nfields {own:?}\nbody {}\ngot {}", shown(&data), shown(output))
    };
    if talk.end != End::Own {
        fail("it hangs");
    }
    let mut at = 0;
    let mut interim = 0;
    let answer = loop {
        let answer = response::read(&output[at..], method == "HEAD").unwrap_or_else(|why| fail(&why));
        at += answer.end;
        match answer.status {
            103 if version == "1.1" && interim < hinted => interim += 1,
            101 if version == "1.1" && connection == "upgrade" => break answer,
            100..200 => fail("an interim answer that was not asked for"),
            _ => break answer,
        }
    };
    if answer.status == 101 {
        assert!(answer.values("upgrade").eq([b"a"]) && at == output.len(), "{}", shown(output));
        return;
    }
    // The handler's fields are sent as they were given, or not at all.
    let replaced = fault || !(200..600).contains(&status);
    let due = if replaced { 500 } else { status };
    if answer.status != due {
        fail(&format!("{due} is due"));
    }
    if !replaced {
        for (name, value) in &own {
            let is_date = name.eq_ignore_ascii_case("date");
            let is_affair = CONNECTIONS_AFFAIR.iter().any(|affair| name.eq_ignore_ascii_case(affair));
            let is_dropped = DESCRIBES_A_BODY.contains(&name.to_ascii_lowercase().as_str())
                && matches!(status, 204 | 205 | 304);
            if !is_date && !is_affair && !is_dropped && !answer.values(name).any(|sent| sent == value) {
                fail(&format!("{name:?} is missing"));
            }
        }
        let count = own.iter().filter(|(name, _)| name.eq_ignore_ascii_case("x-evil")).count();
        if answer.values("x-evil").count() != count {
            fail("a field was slipped in");
        }
        match &answer.body {
            Sent::None => {}
            Sent::Cut(sent) if (!good || announced) && data.starts_with(sent) => {}
            Sent::Whole(sent) if announced && data.starts_with(sent) => {}
            Sent::Whole(sent) if status == 205 && sent.is_empty() => {}
            Sent::Whole(sent) if good && sent[..] == data[..length] => {}
            Sent::Chunked(sent, _) if good && *sent == data => {}
            Sent::UntilClose(sent) if data.starts_with(sent) && (!good || *sent == data) => {}
            _ => fail("another body"),
        }
    }
    if let Sent::Chunked(_, trailers) = &answer.body {
        let is_affair =
            |name: &str| CONNECTIONS_AFFAIR.iter().any(|affair| name.eq_ignore_ascii_case(affair));
        if version != "1.1" || trailers.iter().any(|(name, _)| is_affair(name)) {
            fail("what may not be chunked, or not be a trailer");
        }
    }
    let is_last = answer.closes || matches!(answer.body, Sent::Cut(_) | Sent::UntilClose(_));
    if is_last {
        if at != output.len() {
            fail("more behind the last answer");
        }
        return;
    }
    match response::read(&output[at..], false) {
        Ok(next) if next.body == Sent::Whole(b"next".to_vec()) && at + next.end == output.len() => {}
        other => fail(&format!("the next answer is not where it must be: {other:?}")),
    }
});
