//! Compressed responses and requests over sockets.

mod common;

const MODEL: Model = Model::EventDriven;

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::sync::mpsc;

use transom::{
    Body, BodyWriter, Coding, Compression, Decompression, Handle, Headers, HttpResult, Method, Model,
    Request, Response, Route, Router, StatusCode,
};

use common::{Answer, Client, Signal, configured, eventually, start, start_with};

const MODELS: [Model; 3] = [Model::EventDriven, Model::ThreadPerConnection, Model::Sequential];
const CODINGS: [(Coding, &str); 3] = [(Coding::Zstd, "zstd"), (Coding::Brotli, "br"), (Coding::Gzip, "gzip")];

/// Text that becomes much shorter.
fn text(length: usize) -> String {
    let lines = (0..).map(|number| format!("line {number} of a text, {}\n", number * 7919 % 1000));
    lines.flat_map(String::into_bytes).take(length).map(char::from).collect()
}

fn decompress(coding: &str, bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    match coding {
        "zstd" => out = zstd::decode_all(bytes).unwrap(),
        "br" => drop(brotli::Decompressor::new(bytes, 4096).read_to_end(&mut out).unwrap()),
        _ => drop(flate2::read::GzDecoder::new(bytes).read_to_end(&mut out).unwrap()),
    }
    out
}

fn compress(coding: &str, bytes: &[u8]) -> Vec<u8> {
    match coding {
        "zstd" => zstd::encode_all(bytes, 3).unwrap(),
        "br" => {
            let mut writer = brotli::CompressorWriter::new(Vec::new(), 4096, 4, 20);
            writer.write_all(bytes).unwrap();
            writer.into_inner()
        }
        _ => {
            let mut writer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::new(4));
            writer.write_all(bytes).unwrap();
            writer.finish().unwrap()
        }
    }
}

fn get(client: &mut Client, path: &str, fields: &str) -> Answer {
    client.send(format!("GET {path} HTTP/1.1\r\nHost: h\r\n{fields}\r\n"));
    client.answer()
}

/// Returns the content of an answer, and its coding.
fn content(answer: &Answer) -> (Vec<u8>, &str) {
    match answer.header("content-encoding") {
        Some(coding) => (decompress(coding, &answer.body), coding),
        None => (answer.body.clone(), ""),
    }
}

fn run(app: Router, model: Model) -> Handle {
    configured(app, |_, _| ()).model(model).bind("127.0.0.1:0").unwrap().start().unwrap()
}

#[test]
fn a_text_is_compressed_with_a_coding_that_the_client_accepts() {
    for model in MODELS {
        // In memory and small, larger, and so large that it is a stream.
        let sizes = if model == MODEL { &[2_000, 100_000, 1_100_000][..] } else { &[2_000, 40_000] };
        let app = Router::new().wrap(Compression::new()).get("/{size}", async |req: Request| {
            Response::text(text(req.param("size").parse().unwrap_or(0))).header("etag", "\"1\"")
        });
        let server = run(app, model);
        let mut client = Client::connect(&server);
        for &size in sizes {
            for (_, name) in CODINGS {
                let answer = get(&mut client, &format!("/{size}"), &format!("Accept-Encoding: {name}\r\n"));
                assert_eq!(content(&answer), (text(size).into_bytes(), name));
                assert!(answer.body.len() < size / 2);
                assert_eq!(answer.header("vary"), Some("accept-encoding"));
                assert_eq!(answer.header("etag"), Some("W/\"1\""), "RFC 9110 8.8.3.3");
                let length = answer.header("content-length").map(str::to_owned);
                assert_eq!(length, (size < 1_000_000).then(|| answer.body.len().to_string()));
            }
            let answer = get(&mut client, &format!("/{size}"), "Accept-Encoding: deflate, gzip;q=0\r\n");
            assert_eq!(content(&answer), (text(size).into_bytes(), ""));
            assert_eq!(answer.header("vary"), Some("accept-encoding"), "a cache must ask again for others");
            assert_eq!(answer.header("etag"), Some("\"1\""));
        }
        drop(client);
        server.stop(common::PATIENCE);
    }
}

#[test]
fn what_must_not_be_compressed_is_sent_as_it_is() {
    let long = || text(5000);
    let app = Router::new()
        .wrap(Compression::new())
        .get("/short", async |_: Request| text(1000))
        .get("/enough", async |_: Request| text(1024))
        .get("/picture", async move |_: Request| Response::bytes("image/png", long()))
        .get("/untyped", async move |_: Request| Response::new(StatusCode::OK).body(long()))
        .get("/coded", async move |_: Request| Response::text(long()).header("content-encoding", "x"))
        .get("/fixed", async move |_: Request| {
            Response::text(long()).header("cache-control", "private, No-Transform")
        })
        .get("/checked", async move |_: Request| Response::text(long()).header("repr-digest", "sha-256=:x:"))
        .get("/part", async move |_: Request| {
            let part = Response::text(long()).status(StatusCode::PARTIAL_CONTENT);
            part.header("content-range", "bytes 0-4999/6000")
        })
        .get("/varied", async move |_: Request| {
            let varied = Response::text(long()).header("vary", "Origin, Accept-Encoding");
            varied.header("accept-ranges", "bytes").header("etag", "W/\"2\"")
        })
        .get("/error", async move |_: Request| Response::text(long()).status(StatusCode::NOT_FOUND));
    let server = start(app);
    let mut client = Client::connect(&server);
    for (path, coding, vary) in [
        ("/short", None, None),
        ("/enough", Some("gzip"), Some("accept-encoding")),
        ("/picture", None, None),
        ("/untyped", None, None),
        ("/coded", Some("x"), None),
        ("/fixed", None, None),
        ("/checked", None, None),
        ("/part", None, None),
        ("/varied", Some("gzip"), Some("Origin, Accept-Encoding")),
        ("/error", Some("gzip"), Some("accept-encoding")),
    ] {
        let answer = get(&mut client, path, "Accept-Encoding: gzip\r\n");
        assert_eq!(answer.header("content-encoding"), coding, "{path}");
        assert_eq!(answer.header("vary"), vary, "{path}");
        if path == "/varied" {
            assert_eq!(answer.header("accept-ranges"), None);
            assert_eq!(answer.header("etag"), Some("W/\"2\""));
        }
    }
}

#[test]
fn settings_choose_what_is_compressed_and_how() {
    let settings = Compression::new()
        .codings([Coding::Gzip, Coding::Brotli])
        .level(Coding::Gzip, 9)
        .level(Coding::Brotli, 99)
        .min_size(10)
        .types(["image/*"]);
    let app = Router::new()
        .wrap(settings)
        .get("/text", async |_: Request| text(5000))
        .get("/picture", async |_: Request| Response::bytes("image/x-y", text(5000)));
    let server = start(app);
    let mut client = Client::connect(&server);
    let answer = get(&mut client, "/text", "Accept-Encoding: gzip\r\n");
    assert_eq!(content(&answer).1, "");
    for (accepted, coding) in [("zstd, br, gzip", "gzip"), ("zstd, br", "br"), ("zstd", "")] {
        let answer = get(&mut client, "/picture", &format!("Accept-Encoding: {accepted}\r\n"));
        assert_eq!(content(&answer), (text(5000).into_bytes(), coding), "{accepted}");
    }
}

#[test]
fn rfc9110_9_3_2_head_has_the_fields_of_get() {
    let app = Router::new().wrap(Compression::new()).get("/", async |_: Request| text(5000));
    let server = start(app);
    let mut client = Client::connect(&server);
    client.send("HEAD / HTTP/1.1\r\nHost: h\r\nAccept-Encoding: gzip\r\n\r\n");
    let head = client.head();
    assert_eq!(head.header("content-encoding"), Some("gzip"));
    assert_eq!(head.header("vary"), Some("accept-encoding"));
    assert_eq!(head.header("content-length"), None, "the length is that of the compressed content");
    assert_eq!(content(&get(&mut client, "/", "")).0, text(5000).into_bytes());
}

#[test]
fn rfc9110_15_4_5_a_304_has_the_tag_of_the_content_that_the_client_has() {
    let app = Router::new()
        .wrap(Compression::new())
        .get("/", async |_: Request| Response::new(StatusCode::NOT_MODIFIED).header("etag", "\"1\""));
    let server = start(app);
    let mut client = Client::connect(&server);
    for (asked, tag, vary) in [
        ("W/\"1\"", "W/\"1\"", Some("accept-encoding")),
        ("\"0\", W/\"1\"", "W/\"1\"", Some("accept-encoding")),
        ("\"1\"", "\"1\"", None),
    ] {
        let fields = format!("Accept-Encoding: gzip\r\nIf-None-Match: {asked}\r\n");
        let answer = get(&mut client, "/", &fields);
        assert_eq!((answer.header("etag"), answer.header("vary")), (Some(tag), vary), "{asked}");
    }
}

/// A route whose bodies the test writes.
fn streaming(settings: Compression) -> (Router, mpsc::Receiver<BodyWriter>) {
    let (sender, writers) = mpsc::channel();
    let app = Router::new().wrap(settings).get("/", move |_: Request| {
        let (writer, body) = Body::channel();
        sender.send(writer).unwrap();
        async { Response::bytes("text/event-stream", body) }
    });
    (app, writers)
}

#[test]
fn each_event_of_a_stream_leaves_at_once() {
    for model in MODELS {
        for (_, name) in CODINGS {
            let (app, writers) = streaming(Compression::new());
            let server = run(app, model);
            let mut client = Client::connect(&server);
            client.send(format!("GET / HTTP/1.1\r\nHost: h\r\nAccept-Encoding: {name}\r\n\r\n"));
            let writer = writers.recv().unwrap();
            let mut coded = Vec::new();
            for event in 0..20 {
                writer.try_write(format!("data: {event}\n\n")).unwrap();
                if event == 0 {
                    assert_eq!(client.head().header("content-encoding"), Some(name));
                }
                // It is readable before the next event is written.
                coded.extend(client.try_chunk().unwrap().unwrap());
                assert!(
                    partly(name, &coded).ends_with(format!("data: {event}\n\n").as_bytes()),
                    "{name} {event}"
                );
            }
            writer.finish().unwrap();
            while let Some(chunk) = client.try_chunk().unwrap() {
                coded.extend(chunk);
            }
            let all = (0..20).flat_map(|event| format!("data: {event}\n\n").into_bytes());
            assert_eq!(decompress(name, &coded), all.collect::<Vec<_>>());
        }
    }
}

/// Decompresses a stream as far as it has come.
fn partly(coding: &str, bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    // The end is missing, which is an error after what there is.
    let _ = match coding {
        "zstd" => zstd::Decoder::new(bytes).unwrap().read_to_end(&mut out),
        "br" => brotli::Decompressor::new(bytes, 4096).read_to_end(&mut out),
        _ => flate2::read::GzDecoder::new(bytes).read_to_end(&mut out),
    };
    out
}

#[test]
fn no_more_streams_are_compressed_at_once_than_may() {
    let (app, writers) = streaming(Compression::new().max_streams(1));
    let server = start(app);
    let ask = || {
        let mut client = Client::connect(&server);
        client.send("GET / HTTP/1.1\r\nHost: h\r\nAccept-Encoding: gzip\r\n\r\n");
        let writer = writers.recv().unwrap();
        writer.try_write("data: 1\n\n").unwrap();
        let coding = client.head().header("content-encoding").map(str::to_owned);
        (client, writer, coding)
    };
    let (first, _writer, coding) = ask();
    assert_eq!(coding.as_deref(), Some("gzip"));
    let (_, _, coding) = ask();
    assert_eq!(coding, None, "it is sent as it is");
    // A client that leaves makes room.
    drop(first);
    eventually("the next stream is compressed", || ask().2.is_some());
}

#[test]
fn trailers_follow_a_compressed_stream() {
    let app = Router::new().wrap(Compression::new()).get("/", async |_: Request| {
        let chunks = futures_lite::stream::iter([Ok(text(3000).into()), Ok(text(3000).into())]);
        let body = Body::stream(chunks).with_trailers(|| Headers::parse(b"x-sum: 7\n").unwrap_or_default());
        Response::bytes("text/plain", body)
    });
    let server = start(app);
    let mut client = Client::connect(&server);
    client.send("GET / HTTP/1.1\r\nHost: h\r\nAccept-Encoding: gzip\r\nConnection: close\r\n\r\n");
    let mut wire = Vec::new();
    while let Ok(byte) = client.take(1) {
        wire.extend(byte);
    }
    assert!(wire.ends_with(b"\r\n0\r\nx-sum: 7\r\n\r\n"), "{}", String::from_utf8_lossy(&wire));
}

#[test]
fn files_are_compressed_and_their_parts_are_not() {
    let app = Router::new()
        .wrap(Compression::new().types(["*/*"]))
        .get("/file", async |_: Request| {
            let body = File::open("Cargo.lock").and_then(Body::file)?;
            HttpResult::Ok(Response::bytes("text/plain", body))
        })
        .get("/part", async |_: Request| {
            let part = Body::file_range(File::open("Cargo.lock")?, 0..2000)?;
            HttpResult::Ok(Response::bytes("text/plain", part).status(StatusCode::PARTIAL_CONTENT))
        });
    let server = start(app);
    let mut client = Client::connect(&server);
    let file = std::fs::read("Cargo.lock").unwrap();
    let answer = get(&mut client, "/file", "Accept-Encoding: br\r\n");
    assert_eq!(content(&answer), (file.clone(), "br"));
    let answer = get(&mut client, "/part", "Accept-Encoding: br\r\n");
    assert_eq!(content(&answer), (file[..2000].to_vec(), ""));
}

#[test]
fn with_a_full_pool_a_response_is_sent_as_it_is() {
    let (busy, release) = (Signal::new(), Signal::new());
    let (hold, until) = (busy.clone(), release.clone());
    let app = Router::new()
        .get(
            "/hold",
            transom::blocking(move |_: Request| {
                hold.set();
                until.wait();
            }),
        )
        .group(Router::new().wrap(Compression::new()).get("/", async |_: Request| text(100_000)));
    let server = start_with(app, |limits, _| (limits.pool_threads, limits.pool_queue) = (1, 1));
    let mut holding = [Client::connect(&server), Client::connect(&server)];
    holding[0].request("/hold");
    busy.wait();
    holding[1].request("/hold");
    eventually("the queue is full", || server.stats().pool_queued == 1);
    let mut client = Client::connect(&server);
    let answer = get(&mut client, "/", "Accept-Encoding: gzip\r\n");
    assert_eq!(content(&answer), (text(100_000).into_bytes(), ""));
    release.set();
    release.set();
    for client in &mut holding {
        client.answer();
    }
    assert_eq!(content(&get(&mut client, "/", "Accept-Encoding: gzip\r\n")).1, "gzip");
}

/// Routes that send back what a request's body decompresses to.
fn receiving(settings: Decompression) -> Router {
    let whole = async |req: Request| {
        let coding = req.header("content-encoding");
        assert!(!CODINGS.iter().any(|(_, name)| coding == Some(name)), "the handler sees no coding");
        String::from_utf8_lossy(req.bytes()).into_owned()
    };
    let streamed = async |mut req: Request| -> HttpResult<Vec<u8>> {
        let mut all = Vec::new();
        while let Some(chunk) = req.body_mut().chunk().await {
            all.extend_from_slice(&chunk?);
        }
        Ok(all)
    };
    Router::new()
        .wrap(settings)
        .post("/whole", whole)
        .route(Route::new(Method::POST, "/stream", streamed).streaming())
}

fn post(client: &mut Client, path: &str, coding: &str, body: &[u8]) -> Answer {
    let length = body.len();
    client.send(format!(
        "POST {path} HTTP/1.1\r\nHost: h\r\nContent-Encoding: {coding}\r\nContent-Length: {length}\r\n\r\n"
    ));
    let _ = client.try_send(body);
    client.answer()
}

#[test]
fn a_request_is_decompressed_whole_and_as_a_stream() {
    for model in MODELS {
        let server = run(receiving(Decompression::new()), model);
        let mut client = Client::connect(&server);
        for (_, name) in CODINGS {
            for size in [0, 10, 5_000, 300_000] {
                let body = text(size).into_bytes();
                for path in ["/whole", "/stream"] {
                    let answer = post(&mut client, path, name, &compress(name, &body));
                    assert!(answer.status == 200 && answer.body == body, "{path} {name} {size}");
                }
            }
        }
        for (coding, body) in [("identity", "plain"), ("", "plain"), ("GZIP", ""), (" , identity,", "x")] {
            assert_eq!(post(&mut client, "/whole", coding, body.as_bytes()).text(), body, "{coding}");
        }
        drop(client);
        server.stop(common::PATIENCE);
    }
}

#[test]
fn a_request_that_cannot_be_decompressed_gets_the_reason() {
    let server = start(receiving(Decompression::new().limit(100_000)));
    for path in ["/whole", "/stream"] {
        for (_, name) in CODINGS {
            let exact = compress(name, &vec![b'x'; 100_000]);
            let bomb = compress(name, &vec![0; 3_000_000]);
            let cut = &exact[..exact.len() - 1];
            for (body, status) in
                [(&exact[..], 200), (&bomb, 413), (cut, 400), (b"no such coding at all", 400)]
            {
                let answer = post(&mut Client::connect(&server), path, name, body);
                assert_eq!(answer.status, status, "{path} {name}: {}", answer.text());
            }
            let more = compress(name, &vec![b'x'; 100_001]);
            assert_eq!(post(&mut Client::connect(&server), path, name, &more).status, 413, "{path} {name}");
        }
        for coding in ["deflate", "gzip, gzip", "nonsense"] {
            let answer = post(&mut Client::connect(&server), path, coding, b"");
            assert_eq!(
                (answer.status, answer.header("accept-encoding")),
                (415, Some("zstd, br, gzip")),
                "{coding}"
            );
        }
    }
}

#[test]
fn the_memory_for_decompressed_requests_is_bounded_for_all_of_them() {
    let (busy, release) = (Signal::new(), Signal::new());
    let (reached, until) = (busy.clone(), release.clone());
    let holding = transom::blocking(move |req: Request| {
        reached.set();
        until.wait();
        req.bytes().len().to_string()
    });
    let app = Router::new()
        .group(Router::new().wrap(Decompression::new().max_memory(150_000)).post("/hold", holding))
        .group(receiving(Decompression::new().max_memory(100_000)));
    let server = start(app);
    let body = compress("gzip", &vec![b'x'; 100_000]);
    let head = format!(
        "POST /hold HTTP/1.1\r\nHost: h\r\nContent-Encoding: gzip\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    let mut first = Client::connect(&server);
    first.send(&head);
    first.send(&body);
    busy.wait();
    assert_eq!(post(&mut Client::connect(&server), "/hold", "gzip", &body).status, 503, "100,000 are held");
    release.set();
    assert_eq!(first.answer().text(), "100000");
    release.set();
    eventually("the memory is free again", || {
        post(&mut Client::connect(&server), "/hold", "gzip", &body).status == 200
    });
    // A stream may hold the window of its coding.
    for (name, status) in [("gzip", 200), ("zstd", 503), ("br", 503)] {
        let answer = post(&mut Client::connect(&server), "/stream", name, &compress(name, b"text"));
        assert_eq!(answer.status, status, "{name}");
    }
}
