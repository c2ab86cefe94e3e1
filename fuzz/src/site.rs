//! A small application, and the answers that it must give to any bytes.

use futures_lite::{AsyncReadExt, AsyncWriteExt, future, stream};
use transom::fuzzing::{End, Server, Talk};
use transom::{Headers, Limits, Request, Response, Route, Router, StatusCode, Upgraded};

use crate::request::{self, Found, Framing, Head};
use crate::response::{self, Body};
use crate::{find, shown};

/// Returns a server with a route for each way to treat a body and to answer.
pub fn server(limits: Limits) -> Server {
    let router = Router::new()
        .any("/whole", async |req: Request| told(&req, req.bytes()))
        .post("/post", async |req: Request| told(&req, req.bytes()))
        .any("/hints", async |req: Request| {
            req.early_hints(Headers::parse(b"link: </a>\n").unwrap_or_default()).ok();
            told(&req, req.bytes())
        })
        .any("/later", async |req: Request| {
            for _ in 0..3 {
                future::yield_now().await;
            }
            told(&req, req.bytes())
        })
        .any("/chunks", async |req: Request| {
            let text = text(&req, req.bytes());
            let chunks: Vec<_> = text.chunks(40).map(|chunk| Ok(chunk.to_vec().into())).collect();
            Response::stream("text/plain", stream::iter(chunks))
        })
        .any("/upgrade", async |_: Request| Response::upgrade("echo", echo))
        .route(Route::any("/read", read).streaming())
        .route(Route::any("/unread", async |req: Request| told(&req, b"")).streaming())
        .route(
            Route::any("/through", async |req: Request| Response::bytes("text/plain", req.into_body()))
                .streaming(),
        );
    Server::new(router, limits)
}

async fn read(mut req: Request) -> Response {
    let mut data = Vec::new();
    while let Some(Ok(chunk)) = req.body_mut().chunk().await {
        data.extend_from_slice(&chunk);
    }
    told(&req, &data)
}

async fn echo(mut stream: Upgraded) {
    let mut all = Vec::new();
    stream.read_to_end(&mut all).await.ok();
    stream.write_all(&all).await.ok();
    stream.close().await.ok();
}

fn told(req: &Request, body: &[u8]) -> Response {
    Response::bytes("text/plain", text(req, body))
}

fn text(req: &Request, body: &[u8]) -> Vec<u8> {
    let version = if req.version() == transom::Version::HTTP_11 { 1 } else { 0 };
    let head = format!("{} {} {version} {:?}\n", req.method(), req.target().as_str(), req.host());
    [head.as_bytes(), body].concat()
}

/// Returns the text of the answer to such a request.
fn expected_text(head: &Head, body: &[u8]) -> Vec<u8> {
    let host = head.values("host").next();
    let host = head.authority().or_else(|| host.and_then(|host| std::str::from_utf8(host).ok()));
    let version = u8::from(head.is_11);
    let start = format!("{} {} {version} {host:?}\n", head.method, head.target);
    [start.as_bytes(), body].concat()
}

/// An expected answer, and what must follow it.
struct Expected {
    status: u16,
    /// `None` if the body does not matter.
    body: Option<Vec<u8>>,
    then: Then,
    /// True if a 103 may precede the answer.
    hints: bool,
}

#[derive(PartialEq, Eq)]
enum Then {
    Goes,
    /// `Connection: close`, and nothing follows.
    Closes,
    /// As `Goes` or as `Closes`: that depends on how the bytes came.
    MayClose,
    /// Nothing follows, although the head did not say so.
    Stops,
    /// The body is a part of the expected one, and nothing follows.
    CutOff,
    /// Refused: any 4xx or 5xx with `Connection: close`.
    Refused,
    /// The connection leaves HTTP.
    Leaves,
}

/// Checks the server's bytes against the rules, and returns the answers for comparison, as far as they must not
/// depend on how the bytes came.
///
/// # Panics
/// When a rule is broken.
pub fn judge(input: &[u8], talk: &Talk, limits: &Limits, stopped: bool) -> Vec<response::Response> {
    let fail = |why: &str, at: usize| -> ! {
        let (sent, got) = (shown(input), shown(&talk.output));
        panic!("{why}, at {at} of the output\nsent {sent}\ngot  {got}")
    };
    if talk.end == End::Never {
        fail("it hangs, though the server cuts it", talk.output.len());
    }
    // Only an upgraded connection may stay silent with its client.
    if talk.end == End::Cut && !is_upgraded(talk) {
        fail("it hangs", talk.output.len());
    }
    let (mut at, mut out) = (0, 0);
    let mut answers = Vec::new();
    let mut is_sure = true;
    loop {
        let rest = &input[at..];
        if out == talk.output.len() && stopped {
            return answers;
        }
        let head = match request::head(rest, limits) {
            Found::Whole(head) => head,
            Found::Partial if out == talk.output.len() => return answers,
            Found::Partial | Found::Bad(_) => {
                let is_head = request::is_to_head(rest);
                let answer =
                    response::read(&talk.output[out..], is_head).unwrap_or_else(|why| fail(&why, out));
                refused(&answer, is_head).unwrap_or_else(|why| fail(why, out));
                if answer.end + out != talk.output.len() {
                    fail("more behind a refusal", out + answer.end);
                }
                if is_sure {
                    answers.push(answer);
                }
                return answers;
            }
        };
        let (expected, end) = expect(&head, &rest[head.end..], limits);
        let is_head = head.method == "HEAD";
        let mut continued = false;
        let mut answer = loop {
            let answer = response::read(&talk.output[out..], is_head).unwrap_or_else(|why| fail(&why, out));
            match answer.status {
                100 if head.expects_continue && !continued => continued = true,
                103 if expected.hints && head.is_11 => {}
                101 if expected.then == Then::Leaves => break answer,
                100..200 => fail("an interim answer that was not asked for", out),
                _ => break answer,
            }
            out += answer.end;
        };
        let behind = out + answer.end;
        let more = behind < talk.output.len();
        if expected.then == Then::Refused {
            refused(&answer, is_head).unwrap_or_else(|why| fail(why, out));
        } else if answer.status != expected.status {
            fail(&format!("status {} where {} is due", answer.status, expected.status), out);
        }
        if answer.closes && more {
            fail("more behind the last answer", behind);
        }
        let closes = matches!(expected.then, Then::Closes | Then::Refused);
        let may_close = stopped || matches!(expected.then, Then::CutOff | Then::MayClose);
        if answer.closes != closes && !(answer.closes && may_close) {
            fail(if closes { "it does not say that it closes" } else { "it says that it closes" }, out);
        }
        let has_body = !is_head && !matches!(answer.body, Body::None);
        match &expected.body {
            Some(body) if expected.then == Then::CutOff && has_body => {
                if !matches!(answer.body, Body::Cut(_)) || !body.starts_with(answer.body.data()) {
                    fail("a body that looks whole, or is not that of the request", out);
                }
            }
            Some(body) if has_body && answer.body.data() != body => fail("another body", out),
            Some(body) if is_head => {
                let length = answer.values("content-length").next();
                if length.is_some_and(|length| length != body.len().to_string().as_bytes()) {
                    fail("another length", out);
                }
            }
            _ => {}
        }
        if !matches!(expected.then, Then::CutOff) && matches!(answer.body, Body::Cut(_)) {
            fail("a body that breaks off", out);
        }
        let end_here = answer.closes;
        if is_sure {
            if expected.then == Then::MayClose {
                answer.fields.retain(|(name, _)| !name.eq_ignore_ascii_case("connection"));
                is_sure = false;
            }
            answers.push(answer);
        }
        out = behind;
        match expected.then {
            Then::Goes | Then::MayClose if !end_here => {}
            Then::Leaves => {
                // The echo is sent once the client has sent everything.
                let raw = if talk.end == End::Cut { &[] } else { &rest[end.unwrap_or(rest.len())..] };
                if talk.output[out..] != *raw {
                    fail("other bytes behind the switch", out);
                }
                return answers;
            }
            _ if more => fail("more where nothing may come", out),
            _ => return answers,
        }
        match end {
            Some(end) => at += end,
            None if more => fail("more answers than requests", out),
            None => return answers,
        }
    }
}

/// Returns `true` if the connection has left HTTP.
pub fn is_upgraded(talk: &Talk) -> bool {
    find(&talk.output, b"HTTP/1.1 101 ").is_some()
}

fn refused(answer: &response::Response, is_head: bool) -> Result<(), &'static str> {
    match answer.status {
        400..600 if answer.closes => {}
        400..600 => return Err("a refusal that does not close"),
        _ => return Err("answered, where a refusal is due"),
    }
    let is_whole = is_head || matches!(&answer.body, Body::Whole(text) if !text.is_empty());
    if is_whole { Ok(()) } else { Err("a refusal without its text") }
}

/// Returns the expected answer to a request with that head, and where the request ends.
fn expect(head: &Head, bytes: &[u8], limits: &Limits) -> (Expected, Option<usize>) {
    let path = head.path();
    let route = match std::str::from_utf8(&path).unwrap_or_default() {
        "/post" if head.method != "POST" => "405",
        known @ ("/whole" | "/post" | "/hints" | "/later" | "/chunks" | "/upgrade" | "/read" | "/unread"
        | "/through") => known,
        _ if head.target == "*" => "204",
        _ => "404",
    };
    let is_plain = matches!(route, "404" | "405" | "204");
    let is_unread = is_plain || route == "/unread" || (route == "/through" && head.method == "HEAD");
    let body = request::body(bytes, head.framing, limits.body, limits);
    let too_long = matches!(head.framing, Framing::Length(length) if length > limits.body) && !is_plain;
    let end = match body.end {
        Found::Whole(end) => Some(head.end + end),
        _ => None,
    };
    let mut expected = Expected { status: 200, body: None, then: Then::Goes, hints: route == "/hints" };
    if !head.persistent {
        expected.then = Then::Closes;
    }
    if too_long || (!is_unread && route != "/through" && end.is_none()) {
        expected.then = Then::Refused;
        return (expected, None);
    }
    if route == "/chunks" && !head.is_11 && head.method != "HEAD" {
        // HTTP/1.0 has no chunked coding: the body ends with the connection.
        expected.then = Then::Closes;
    }
    match route {
        "404" | "405" | "204" => expected.status = route.parse().unwrap_or_default(),
        "/through" => expected.body = Some(body.data.clone()),
        "/unread" => expected.body = Some(expected_text(head, b"")),
        "/upgrade" if head.offers.iter().any(|offer| offer.eq_ignore_ascii_case(b"echo")) => {
            (expected.status, expected.then) = (101, Then::Leaves);
        }
        "/upgrade" => expected.status = StatusCode::INTERNAL_SERVER_ERROR.as_u16(),
        _ => expected.body = Some(expected_text(head, &body.data)),
    }
    let is_long = matches!(head.framing, Framing::Length(length) if length > limits.drain);
    if is_unread {
        // An unread body is dropped up to a limit, beyond which the connection ends.
        let is_open = head.framing != Framing::Length(0);
        if is_long || (head.expects_continue && is_open) {
            expected.then = Then::Closes;
        } else if expected.then == Then::Goes && (end.is_none() || body.data.len() as u64 > limits.drain) {
            expected.then = Then::Stops;
        }
        if route == "/through" {
            expected.body = None;
        }
    } else if route == "/through" && end.is_none() {
        expected.then = Then::CutOff;
    } else if route == "/through" && is_long && expected.then == Then::Goes {
        // Unless the whole body had come, the server could not know that the answer would consume it.
        expected.then = Then::MayClose;
    }
    (expected, end)
}

/// The status and fields of an answer, and its body if it is complete.
pub type Essence = (u16, Vec<(String, Vec<u8>)>, Option<Vec<u8>>);

/// Returns the part of the answers that must not depend on how the bytes were sent.
pub fn essence(answers: &[response::Response]) -> Vec<Essence> {
    answers
        .iter()
        .map(|answer| {
            let whole = !matches!(answer.body, Body::Cut(_));
            (answer.status, answer.fields.clone(), whole.then(|| answer.body.data().to_vec()))
        })
        .collect()
}
