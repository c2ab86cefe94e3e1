//! Bodies that are files, or stretches of them.

use std::fs::{self, File};
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::common::{Answer, Client, Logs, PATIENCE, SHORT, start, start_unix, start_with};
use transom::{Body, Request, Response, Router, shared};

/// A file of that length, gone with the value.
struct Scratch(PathBuf);

impl Scratch {
    fn new(length: usize) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("transom-file-{}-{number}", std::process::id()));
        fs::write(&path, pattern(length)).unwrap();
        Self(path)
    }

    fn open(&self) -> File {
        File::options().read(true).write(true).open(&self.0).unwrap()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|at| ((at * 31) >> 7).to_le_bytes()[0]).collect()
}

fn octets(body: Body) -> Response {
    Response::bytes("application/octet-stream", body)
}

/// Routes of files of all sizes that make a difference: read, or sent by the kernel,
/// at once or in turns.
const SIZES: [usize; 6] = [0, 1, 65_536, 65_537, 300_000, 9_000_000];

fn app(file: &Scratch) -> Router {
    let whole = file.0.clone();
    let (prefix, again) = (file.open(), file.open());
    Router::new()
        .get("/plain", async |_: Request| "plain")
        .get("/file", move |_: Request| {
            let body = Body::file(File::open(&whole).unwrap()).unwrap();
            async { octets(body) }
        })
        .get(
            "/announced/{length}",
            shared(move |req: Request| {
                let body = Body::file(again.try_clone().unwrap()).unwrap();
                async move { octets(body).header("content-length", req.param("length")) }
            }),
        )
        .get(
            "/file/{from}/{to}",
            shared(move |req: Request| {
                let place = |name| req.param(name).parse().unwrap();
                let body = Body::file_range(prefix.try_clone().unwrap(), place("from")..place("to"));
                async { octets(body.unwrap()) }
            }),
        )
}

#[track_caller]
fn expect_octets(answer: &Answer, expected: &[u8]) {
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("content-length"), Some(&*expected.len().to_string()));
    assert!(answer.body == expected, "other octets: {} of {}", answer.body.len(), expected.len());
}

#[test]
fn a_file_of_any_size_comes_whole_and_the_connection_goes_on() {
    for size in SIZES {
        let file = Scratch::new(size);
        let server = start(app(&file));
        let mut client = Client::connect(&server);
        for _ in 0..2 {
            expect_octets(&client.get("/file"), &pattern(size));
            client.get("/plain").expect(200, "plain");
        }
    }
}

#[test]
fn a_stretch_of_a_file_is_sent_and_its_position_stays() {
    let file = Scratch::new(1_000_000);
    let server = start(app(&file));
    let mut client = Client::connect(&server);
    for (from, to) in [(0, 0), (7, 8), (1, 70_000), (500_000, 1_000_000), (999_999, 1_000_000), (3, 900_001)]
    {
        expect_octets(&client.get(&format!("/file/{from}/{to}")), &pattern(1_000_000)[from..to]);
    }
}

#[test]
fn files_keep_their_place_among_pipelined_answers() {
    let file = Scratch::new(400_000);
    let server = start(app(&file));
    let mut client = Client::connect(&server);
    let paths = ["/plain", "/file", "/file/0/10", "/file", "/file/100000/300000", "/plain"];
    for path in paths {
        client.request(path);
    }
    let all = pattern(400_000);
    client.answer().expect(200, "plain");
    expect_octets(&client.answer(), &all);
    expect_octets(&client.answer(), &all[..10]);
    expect_octets(&client.answer(), &all);
    expect_octets(&client.answer(), &all[100_000..300_000]);
    client.answer().expect(200, "plain");
}

#[test]
fn rfc9110_9_3_2_head_tells_the_length_of_a_file_and_sends_none() {
    let file = Scratch::new(200_000);
    let server = start(app(&file));
    let mut client = Client::connect(&server);
    client.send("HEAD /file HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_eq!(client.head().header("content-length"), Some("200000"));
    client.get("/plain").expect(200, "plain");
}

#[test]
fn http10_gets_a_file_and_its_length() {
    let file = Scratch::new(200_000);
    let server = start(app(&file));
    let mut client = Client::connect(&server);
    client.send("GET /file HTTP/1.0\r\n\r\n");
    expect_octets(&client.answer(), &pattern(200_000));
    client.expect_closed();
}

#[test]
fn a_handlers_own_length_is_held_to_with_a_file_too() {
    let file = Scratch::new(200_000);
    let server = start(app(&file));
    let mut client = Client::connect(&server);
    expect_octets(&client.get("/announced/150000"), &pattern(150_000));
    client.get("/plain").expect(200, "plain");
    client.request("/announced/250000");
    assert_eq!(client.head().header("content-length"), Some("250000"));
    assert_eq!(client.until_closed(), 200_000);
}

#[test]
fn what_is_no_stretch_of_a_regular_file_is_an_error() {
    let file = Scratch::new(100);
    let kind = |made: io::Result<Body>| made.unwrap_err().kind();
    assert_eq!(kind(Body::file(File::open("/dev/null").unwrap())), io::ErrorKind::InvalidInput);
    assert_eq!(kind(Body::file(File::open("/").unwrap())), io::ErrorKind::InvalidInput);
    assert_eq!(kind(Body::file_range(file.open(), 0..101)), io::ErrorKind::InvalidInput);
    assert_eq!(kind(Body::file_range(file.open(), 101..101)), io::ErrorKind::InvalidInput);
    #[expect(clippy::reversed_empty_ranges, reason = "that is the mistake")]
    let reversed = Body::file_range(file.open(), 9..7);
    assert_eq!(kind(reversed), io::ErrorKind::InvalidInput);
    assert_eq!(Body::file_range(file.open(), 100..100).unwrap().len(), Some(0));
}

/// Files that the system makes when they are read, whose size is 0 or more than there is.
#[test]
#[cfg(target_os = "linux")]
fn a_file_whose_size_says_nothing_is_sent_whole() {
    let paths = [
        "/proc/cpuinfo",
        "/proc/self/limits",
        "/sys/class/net/lo/mtu",
        "/sys/kernel/mm/transparent_hugepage/enabled",
    ];
    let app = Router::new().get("/file/{*path}", async |req: Request| {
        let path = format!("/{}", req.param("path"));
        Ok(File::open(path).and_then(Body::file).map(octets)?)
    });
    let server = start(app);
    let mut client = Client::connect(&server);
    for path in paths.iter().filter(|path| fs::exists(path).unwrap()) {
        let answer = client.get(&format!("/file{path}"));
        assert_eq!(answer.status, 200, "{path}");
        assert!(!answer.body.is_empty(), "{path}");
        let is_same = *path == "/proc/cpuinfo" || answer.body == fs::read(path).unwrap();
        assert!(is_same, "{path}: {} bytes", answer.body.len());
    }
    // Of a part of one, the end cannot be told.
    let part = Body::file_range(File::open("/proc/self/limits").unwrap(), 0..5);
    assert_eq!(part.unwrap_err().kind(), io::ErrorKind::InvalidInput);
}

#[test]
#[cfg(target_os = "linux")]
fn a_file_without_a_size_has_a_limit() {
    // Its content is as long as its memory has mappings: eight bytes for each page.
    let endless = Body::file(File::open("/proc/self/pagemap").unwrap());
    assert_eq!(endless.unwrap_err().kind(), io::ErrorKind::FileTooLarge);
}

#[test]
fn a_file_that_shrinks_while_it_is_sent_ends_the_connection_before_its_length() {
    const SIZE: usize = 30_000_000;
    let file = Scratch::new(SIZE);
    let opened = file.open();
    let app = Router::new().get("/plain", async |_: Request| "plain").get(
        "/file",
        shared(move |_: Request| {
            let body = Body::file(opened.try_clone().unwrap()).unwrap();
            opened.set_len(10_000_000).unwrap();
            async { octets(body) }
        }),
    );
    let server = start(app);
    let mut client = Client::connect(&server);
    client.request("/file");
    assert_eq!(client.head().header("content-length"), Some(&*SIZE.to_string()));
    assert_eq!(client.until_closed(), 10_000_000);
    Logs::expect("a response body broke off: the file has become shorter");
    Client::connect(&server).get("/plain").expect(200, "plain");
}

#[test]
fn a_file_that_cannot_be_read_is_told_of_in_the_log() {
    let file = Scratch::new(200_000);
    let write_only = File::options().write(true).open(&file.0).unwrap();
    let server = start(Router::new().get("/plain", async |_: Request| "plain").get(
        "/file",
        shared(move |_: Request| {
            let body = Body::file(write_only.try_clone().unwrap()).unwrap();
            async { octets(body) }
        }),
    ));
    let mut client = Client::connect(&server);
    client.request("/file");
    assert_eq!(client.head().header("content-length"), Some("200000"));
    assert_eq!(client.until_closed(), 0);
    Logs::expect("a response body broke off: Bad file descriptor");
    Client::connect(&server).get("/plain").expect(200, "plain");
}

#[test]
fn a_small_file_is_sent_as_it_was_when_the_answer_was_made() {
    let file = Scratch::new(65_536);
    let opened = file.open();
    let server = start(Router::new().get(
        "/",
        shared(move |_: Request| {
            let body = Body::file(opened.try_clone().unwrap()).unwrap();
            opened.set_len(10).unwrap();
            async { octets(body) }
        }),
    ));
    let mut client = Client::connect(&server);
    expect_octets(&client.get("/"), &pattern(65_536));
    assert_eq!(client.get("/").body.len(), 10);
}

#[test]
fn a_client_that_leaves_does_no_harm_and_the_file_is_closed() {
    let file = Scratch::new(30_000_000);
    let server = start(app(&file));
    let opened = || {
        let descriptors = fs::read_dir("/proc/self/fd").unwrap().flatten();
        descriptors.filter(|entry| fs::read_link(entry.path()).is_ok_and(|path| path == file.0)).count()
    };
    let before = opened();
    for _ in 0..4 {
        let mut client = Client::connect(&server);
        client.request("/file");
        client.take(1000).unwrap();
        client.reset();
    }
    crate::common::eventually("the files are closed", || opened() == before);
    Client::connect(&server).get("/plain").expect(200, "plain");
}

#[test]
fn a_client_that_does_not_read_its_file_is_cut_off() {
    let file = Scratch::new(30_000_000);
    let server = start_with(app(&file), |_, timeouts| timeouts.write = Some(SHORT));
    let mut client = Client::narrow(&server);
    client.request("/file");
    assert_eq!(client.head().status, 200);
    crate::common::eventually("its end", || server.report().pending == 0);
    assert!(client.until_closed() < 30_000_000);
    Client::connect(&server).get("/plain").expect(200, "plain");
}

#[test]
fn a_stop_waits_for_a_file_that_is_being_sent() {
    let file = Scratch::new(5_000_000);
    let server = start_unix(app(&file), |_, _| ());
    let mut client = Client::connect(&server);
    client.request("/file");
    let head = client.head();
    assert_eq!(head.header("content-length"), Some("5000000"));
    let reading = std::thread::spawn(move || {
        std::thread::sleep(SHORT);
        client.take(5_000_000).unwrap()
    });
    assert_eq!(server.stop(PATIENCE).cut, 0);
    assert!(reading.join().unwrap() == pattern(5_000_000));
}
