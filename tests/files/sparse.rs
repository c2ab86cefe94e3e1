//! A file that 32 bits cannot count: 5 GiB, of which the disk holds a few bytes.

use std::fs::File;
use std::io::{Seek, SeekFrom, Write};

use transom::{Body, Files, HttpResult, OrStatus, Request, Response, Router, blocking};

use super::common::{Answer, Client};
use super::tree::Tree;
use super::{MODELS, ask, get, parts, start};

const SIZE: u64 = 5 << 30;
/// The first size that 32 bits cannot count.
const LIMIT: u64 = 1 << 32;

/// Writes a file with bytes on both sides of 4 GiB and at its end, and zeros elsewhere.
fn sparse(tree: &Tree) {
    tree.write("public/sparse.bin", "");
    let mut file = File::options().write(true).open(tree.path("public/sparse.bin")).unwrap();
    file.set_len(SIZE).unwrap();
    for (place, bytes) in [(LIMIT - 5, "0123456789"), (SIZE - 7, "the end")] {
        file.seek(SeekFrom::Start(place)).unwrap();
        file.write_all(bytes.as_bytes()).unwrap();
    }
}

/// The bytes on both sides of 4 GiB, with zeros around them.
fn around(before: usize, after: usize) -> Vec<u8> {
    [&vec![0; before - 5][..], b"0123456789", &vec![0; after - 5]].concat()
}

#[track_caller]
fn is_part(answer: &Answer, range: &str, bytes: &[u8]) {
    assert_eq!((answer.status, answer.header("content-range")), (206, Some(range)), "{}", answer.head);
    assert!(answer.body == bytes, "{range}: {} bytes", answer.body.len());
}

#[test]
fn a_file_of_5_gib_is_served_in_part_beyond_32_bits() {
    let tree = Tree::new();
    sparse(&tree);
    for model in MODELS {
        let path = tree.path("public/sparse.bin");
        let handler = blocking(move |_: Request| -> HttpResult<Response> {
            let file = File::open(&path).or_not_found("no file")?;
            let body = Body::file_range(file, LIMIT - 5..LIMIT + 5).or_not_found("no part")?;
            Ok(Response::bytes("text/plain", body))
        });
        let files = Files::new(tree.public()).unwrap();
        let server = start(model, Router::new().nest("/static", files.router()).get("/part", handler));
        let file = "/static/sparse.bin";
        let size = "5368709120";

        let whole = ask(&server, &format!("HEAD {file}"), &[]);
        assert_eq!((whole.status, whole.header("content-length")), (200, Some(size)), "{model:?}");

        // Few enough that they are read, and more, which the kernel sends.
        let answer = get(&server, file, &["Range: bytes=4294967291-4294967300"]);
        is_part(&answer, "bytes 4294967291-4294967300/5368709120", b"0123456789");
        let answer = get(&server, file, &["Range: bytes=4294867296-4295167295"]);
        is_part(&answer, "bytes 4294867296-4295167295/5368709120", &around(100_000, 200_000));
        for last in ["Range: bytes=5368709113-", "Range: bytes=-7"] {
            is_part(&get(&server, file, &[last]), "bytes 5368709113-5368709119/5368709120", b"the end");
        }
        let answer = get(&server, file, &["Range: bytes=0-0,4294967296-4294967299,-3"]);
        let sent: Vec<_> = parts(&answer).into_iter().map(|(_, range, bytes)| (range, bytes)).collect();
        let expected = [
            ("bytes 0-0/5368709120", &b"\0"[..]),
            ("bytes 4294967296-4294967299/5368709120", b"5678"),
            ("bytes 5368709117-5368709119/5368709120", b"end"),
        ];
        assert_eq!(sent, expected.map(|(range, bytes)| (range.to_owned(), bytes.to_vec())));
        let answer = get(&server, file, &["Range: bytes=5368709120-"]);
        assert_eq!((answer.status, answer.header("content-range")), (416, Some("bytes */5368709120")));
        assert_eq!(get(&server, "/part", &[]).body, b"0123456789");

        // More than 4 GiB are promised to a client that takes the head and leaves.
        for (range, status, length) in [("", 200, size), ("Range: bytes=1-\r\n", 206, "5368709119")] {
            let mut client = Client::connect(&server);
            client.send(format!("GET {file} HTTP/1.1\r\nHost: h\r\n{range}\r\n"));
            let head = client.head();
            assert_eq!((head.status, head.header("content-length")), (status, Some(length)), "{model:?}");
        }
    }
}
