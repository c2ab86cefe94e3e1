//! Static files: what is answered to which request, in each model.

mod common;
#[path = "files/sparse.rs"]
mod sparse;
#[path = "files/tree.rs"]
mod tree;

const MODEL: Model = Model::EventDriven;

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::symlink;

use transom::{Files, Handle, HttpResult, Model, Request, Response, Router, blocking};

#[cfg(target_os = "linux")]
use common::Signal;
use common::{Answer, Client, configured, eventually, own_address};
use tree::{CHANGED, CHANGED_TEXT, Tree};

const MODELS: [Model; 3] = [Model::Sequential, Model::ThreadPerConnection, Model::EventDriven];

/// A file of 200,000 bytes, which the kernel sends, with other bytes at each place.
fn large() -> Vec<u8> {
    (0..50_000_u32).flat_map(|number| number.wrapping_mul(2_654_435_761).to_be_bytes()).collect()
}

/// The ETag of a file of that size.
fn tag(size: usize) -> String {
    format!("\"{:x}-{size:x}\"", u128::from(CHANGED) * 1_000_000_000)
}

fn start(model: Model, app: Router) -> Handle {
    configured(app, |_, _| {}).model(model).workers(1).bind(&own_address()).unwrap().start().unwrap()
}

/// Serves files under `/static`.
fn serve(files: Files) -> Handle {
    start(MODEL, Router::new().nest("/static", files.router()))
}

fn ask(server: &Handle, first: &str, fields: &[&str]) -> Answer {
    let mut client = Client::connect(server);
    client.send(
        [&[&*format!("{first} HTTP/1.1"), "Host: h"], fields, &["Connection: close\r\n\r\n"]]
            .concat()
            .join("\r\n"),
    );
    if first.starts_with("HEAD ") { client.head() } else { client.answer() }
}

fn get(server: &Handle, path: &str, fields: &[&str]) -> Answer {
    ask(server, &format!("GET {path}"), fields)
}

/// The parts of a multipart answer: of each its Content-Type, its Content-Range and its bytes.
fn parts(answer: &Answer) -> Vec<(String, String, Vec<u8>)> {
    let kind = answer.header("content-type").unwrap();
    let boundary = kind.strip_prefix("multipart/byteranges; boundary=").unwrap();
    let mut rest = &answer.body[..];
    let mut parts = Vec::new();
    let take = |until: &str, rest: &mut &[u8]| {
        let at = rest.windows(until.len()).position(|window| window == until.as_bytes()).unwrap();
        let taken = rest[..at].to_vec();
        *rest = &rest[at + until.len()..];
        taken
    };
    assert!(take(&format!("--{boundary}"), &mut rest).is_empty());
    while rest != b"--\r\n" {
        assert!(take("\r\ncontent-type: ", &mut rest).is_empty());
        let kind = take("\r\ncontent-range: ", &mut rest);
        let range = take("\r\n\r\n", &mut rest);
        let bytes = take(&format!("\r\n--{boundary}"), &mut rest);
        parts.push((String::from_utf8(kind).unwrap(), String::from_utf8(range).unwrap(), bytes));
    }
    parts
}

/// Requests for files, each with its answer. `bindings/c/tests/conditions.c` and the Python suite ask for the same.
const CONDITIONS: &str = include_str!("files/conditions.txt");
const TEN: &str = "0123456789";

/// A line of the table.
struct Case {
    method: &'static str,
    file: &'static str,
    status: u16,
    /// The bytes of the Content-Range, if there is one.
    range: Option<&'static str>,
    /// The fields of the request. `TAG` is the tag of the file.
    fields: &'static str,
}

impl Case {
    fn all() -> impl Iterator<Item = Self> {
        CONDITIONS.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).map(|line| {
            let (answer, fields) = line.split_once('|').unwrap();
            let [method, file, status, range] = answer.split_whitespace().collect::<Vec<_>>()[..] else {
                panic!("{line}")
            };
            let range = (range != "-").then_some(range);
            Self { method, file, status: status.parse().unwrap(), range, fields: fields.trim() }
        })
    }

    /// Returns the content that the answer has.
    fn body(&self) -> &'static str {
        let whole = if self.file == "ten" { TEN } else { "" };
        match (self.method, self.status) {
            ("HEAD", _) | (_, 304) => "",
            (_, 200) => whole,
            (_, 206) => {
                let (first, last) = self.range.unwrap().split_once('/').unwrap().0.split_once('-').unwrap();
                &whole[first.parse().unwrap()..=last.parse().unwrap()]
            }
            (_, 412) => "412 Precondition Failed\n",
            (_, 416) => "416 Range Not Satisfiable\n",
            _ => panic!("{} is no status of the table", self.status),
        }
    }

    fn check(&self, server: &Handle, folder: &str) {
        let Self { method, file, status, range, fields } = self;
        let size = if *file == "ten" { TEN.len() } else { 0 };
        let etag = tag(size);
        let fields = fields.replace("TAG", &etag);
        let sent: Vec<_> = fields.split("\\r\\n").filter(|field| !field.is_empty()).collect();
        let answer = ask(server, &format!("{method} {folder}/{file}"), &sent);
        let what = format!("{method} {folder}/{file} {fields:?}: {}", answer.head);
        assert_eq!((answer.status, answer.text()), (*status, self.body()), "{what}");
        assert_eq!(
            answer.header("content-range"),
            range.map(|of| format!("bytes {of}")).as_deref(),
            "{what}"
        );
        if [200, 206, 304].contains(status) {
            assert_eq!(answer.header("etag"), Some(&*etag), "{what}");
        }
        if [200, 206].contains(status) {
            assert_eq!(answer.header("last-modified"), Some(CHANGED_TEXT), "{what}");
            assert_eq!(answer.header("accept-ranges"), Some("bytes"), "{what}");
            assert_eq!(answer.header("content-type"), Some("application/octet-stream"), "{what}");
            assert_eq!(answer.header("x-content-type-options"), Some("nosniff"), "{what}");
            let length = if *method == "HEAD" { size } else { self.body().len() };
            assert_eq!(answer.header("content-length"), Some(&*length.to_string()), "{what}");
        }
    }
}

#[test]
fn rfc9110_13_and_14_conditions_and_ranges_in_each_model() {
    let tree = Tree::new();
    tree.write("public/ten", TEN).write("public/empty", "");
    assert!(Case::all().count() > 100);
    for model in MODELS {
        let folder = tree.public();
        let one = move |req: Request| -> HttpResult<Response> {
            let name = req.param("name").to_owned();
            Ok(Response::file(&req, folder.join(name))?)
        };
        let app = Router::new()
            .nest("/static", Files::new(tree.public()).unwrap().router())
            .get("/one/{name}", blocking(one));
        let server = start(model, app);
        for case in Case::all() {
            case.check(&server, "/static");
            case.check(&server, "/one");
        }
        let answer = ask(&server, "POST /static/ten", &["Content-Length: 0"]);
        assert_eq!((answer.status, answer.header("allow")), (405, Some("GET, HEAD")));
    }
}

#[test]
fn parts_of_a_file_that_the_kernel_sends_and_of_an_empty_one() {
    let tree = Tree::new();
    let large = large();
    tree.write("public/large.bin", &large).write("public/empty.txt", "");
    for model in MODELS {
        let server = start(model, Router::new().nest("/static", Files::new(tree.public()).unwrap().router()));
        let answer = get(&server, "/static/large.bin", &[]);
        assert!(answer.body == large, "{model:?} {}", answer.head);
        let answer = get(&server, "/static/large.bin", &["Range: bytes=50000-149999"]);
        assert!(answer.body == large[50_000..150_000], "{model:?} {}", answer.head);
        let answer = get(&server, "/static/large.bin", &["Range: bytes=-100,0-69999"]);
        let kind = "application/octet-stream".to_owned();
        let expected = [
            (kind.clone(), "bytes 199900-199999/200000".to_owned(), large[199_900..].to_vec()),
            (kind, "bytes 0-69999/200000".to_owned(), large[..70_000].to_vec()),
        ];
        assert!(parts(&answer) == expected, "{model:?} {}", answer.head);
        let answer = get(&server, "/static/empty.txt", &["Range: bytes=0-"]);
        assert_eq!((answer.status, answer.header("content-range")), (416, Some("bytes */0")));
        assert_eq!(get(&server, "/static/empty.txt", &["Range: bytes=-1"]).status, 200);
    }
}

#[test]
fn a_request_for_more_parts_than_the_limit_gets_the_whole_file() {
    let tree = Tree::new();
    tree.write("public/a.bin", vec![b'x'; 100_000]);
    let many = |count: usize| {
        let list: Vec<_> = (0..count).map(|at| format!("{0}-{0}", at * 200)).collect();
        format!("Range: bytes={}", list.join(","))
    };
    let server = serve(Files::new(tree.public()).unwrap());
    assert_eq!(parts(&get(&server, "/static/a.bin", &[&many(32)])).len(), 32);
    let answer = get(&server, "/static/a.bin", &[&many(33)]);
    assert_eq!((answer.status, answer.body.len()), (200, 100_000));
    // Parts that overlap are sent once.
    let same = format!("Range: bytes={}", vec!["0-99999"; 30].join(","));
    let answer = get(&server, "/static/a.bin", &[&same]);
    assert_eq!((answer.status, answer.header("content-range")), (206, Some("bytes 0-99999/100000")));

    let server = serve(Files::new(tree.public()).unwrap().range_limit(0));
    assert_eq!(get(&server, "/static/a.bin", &["Range: bytes=0-0"]).status, 200);
}

#[test]
fn a_folder_has_an_index_and_a_slash() {
    let tree = Tree::new();
    tree.write("public/index.html", "root")
        .write("public/docs/index.html", "docs")
        .write("public/docs/a b.txt", "ab");
    tree.write("public/empty/x/y.txt", "y").write("public/docs/start.htm", "start");
    let server = serve(Files::new(tree.public()).unwrap());
    get(&server, "/static/", &[]).expect(200, "root");
    get(&server, "/static/docs/", &[]).expect(200, "docs");
    get(&server, "/static/docs/a%20b.txt", &[]).expect(200, "ab");
    for (path, location) in [
        ("/static", "./static/"),
        ("/static?x=1", "./static/?x=1"),
        ("/static/docs", "./docs/"),
        ("/static/d%6Fcs?a=//b", "./d%6Fcs/?a=//b"),
        ("/static/empty/x", "./x/"),
    ] {
        let answer = get(&server, path, &[]);
        assert_eq!((answer.status, answer.header("location")), (301, Some(location)), "{path}");
    }
    for path in
        ["/static/empty/", "/static/docs/index.html/", "/static//", "/static/docs//", "/staticx", "/static/x"]
    {
        get(&server, path, &[]).expect(404, "404 Not Found\n");
    }
    let server = serve(Files::new(tree.public()).unwrap().index("start.htm"));
    get(&server, "/static/docs/", &[]).expect(200, "start");
    let server = serve(Files::new(tree.public()).unwrap().index(None));
    get(&server, "/static/", &[]).expect(404, "404 Not Found\n");

    // At the root of the server.
    let server = start(MODEL, Router::new().get("/{*file}", Files::new(tree.public()).unwrap().handler()));
    get(&server, "/", &[]).expect(200, "root");
    get(&server, "/docs/a%20b.txt", &[]).expect(200, "ab");
    assert_eq!(get(&server, "/docs", &[]).header("location"), Some("./docs/"));
    // A part of a path before the mount may be a parameter, and hold an escaped slash.
    let files = Files::new(tree.public()).unwrap();
    let server = start(MODEL, Router::new().nest("/{user}/files", files.router()));
    get(&server, "/a%2Fb/files/docs/", &[]).expect(200, "docs");
    get(&server, "/a%2Fb/files/docs%2Findex.html", &[]).expect(404, "404 Not Found\n");
}

#[test]
fn a_compressed_variant_is_sent_to_clients_that_take_it() {
    let tree = Tree::new();
    tree.write("public/app.js", "plain")
        .write("public/app.js.gz", "gzipped")
        .write("public/app.js.br", "brotli");
    tree.write("public/only.js", "only").write("public/old.js", "new").write_at(
        "public/old.js.gz",
        "old",
        CHANGED - 1,
    );
    tree.write("public/lone.js.gz", "lone");
    let server = serve(Files::new(tree.public()).unwrap().precompressed(true));
    for (accepted, body, coding) in [
        ("gzip, br", "brotli", Some("br")),
        ("gzip;q=1, br;q=0.5", "gzipped", Some("gzip")),
        ("zstd, gzip", "gzipped", Some("gzip")),
        ("gzip;q=0, br;q=0", "plain", None),
        ("deflate", "plain", None),
    ] {
        let answer = get(&server, "/static/app.js", &[&format!("Accept-Encoding: {accepted}")]);
        answer.expect(200, body);
        assert_eq!(answer.header("content-encoding"), coding, "{accepted}");
        assert_eq!(answer.header("vary"), Some("accept-encoding"), "{accepted}");
        assert_eq!(answer.header("content-type"), Some("text/javascript; charset=utf-8"));
    }
    let (plain, gzip) =
        (get(&server, "/static/app.js", &[]), get(&server, "/static/app.js", &["Accept-Encoding: gzip"]));
    let tags = [plain.header("etag").unwrap(), gzip.header("etag").unwrap()];
    assert_ne!(tags[0], tags[1]);
    let same = format!("If-None-Match: {}", tags[1]);
    let answer = get(&server, "/static/app.js", &["Accept-Encoding: gzip", &same]);
    assert_eq!((answer.status, answer.header("vary")), (304, Some("accept-encoding")));
    assert_eq!(get(&server, "/static/app.js", &[&same]).status, 200);
    // A part is one of the bytes that are sent.
    get(&server, "/static/app.js", &["Accept-Encoding: gzip", "Range: bytes=0-3"]).expect(206, "gzip");
    get(&server, "/static/only.js", &["Accept-Encoding: gzip"]).expect(200, "only");
    get(&server, "/static/old.js", &["Accept-Encoding: gzip"]).expect(200, "new");
    assert_eq!(get(&server, "/static/lone.js", &["Accept-Encoding: gzip"]).status, 404);
    let answer = get(&server, "/static/app.js.gz", &["Accept-Encoding: gzip"]);
    answer.expect(200, "gzipped");
    assert_eq!(
        (answer.header("content-encoding"), answer.header("content-type")),
        (None, Some("application/gzip"))
    );
}

#[test]
fn a_single_page_answers_where_there_is_no_file() {
    let tree = Tree::new();
    tree.write("public/index.html", "app").write("public/a.js", "js").write("public/.env", "secret");
    let files = Files::new(tree.public())
        .unwrap()
        .single_page("index.html")
        .cache_control("*.html", "no-cache")
        .unwrap();
    let server = serve(files);
    for path in ["/static/users/7", "/static/", "/static/index.html", "/static/a/b/c/"] {
        let answer = get(&server, path, &["Accept: */*"]);
        answer.expect(200, "app");
        assert_eq!(answer.header("cache-control"), Some("no-cache"), "{path}");
    }
    get(&server, "/static/a.js", &[]).expect(200, "js");
    let answer = get(&server, "/static/users/ada.l", &["Accept: text/html,*/*;q=0.8"]);
    answer.expect(200, "app");
    assert_eq!(answer.header("vary"), Some("accept"));
    let answer = get(&server, "/static/missing.js", &["Accept: */*"]);
    assert_eq!((answer.status, answer.header("vary")), (404, Some("accept")));
    assert_eq!(get(&server, "/static/.env", &["Accept: text/html"]).status, 404);
}

#[test]
fn fields_by_pattern_type_and_name() {
    let tree = Tree::new();
    tree.write("public/assets/app.1f2e.js", "js")
        .write("public/caf\u{e9}.html", "html")
        .write("public/LICENSE", "free");
    let files = Files::new(tree.public()).unwrap().downloads(true);
    let files = files.cache_control("assets/**", "public, max-age=31536000, immutable").unwrap();
    let files = files.cache_control("*.html", "no-cache").unwrap();
    let files = files.content_type("", "text/plain; charset=utf-8").unwrap().charset(None).unwrap();
    assert!(Files::new(tree.public()).unwrap().cache_control("*", "a\r\nb: c").is_err());
    assert!(Files::new(tree.public()).unwrap().content_type("x", "a\nb").is_err());
    let server = serve(files);
    let answer = get(&server, "/static/assets/app.1f2e.js", &[]);
    assert_eq!(answer.header("cache-control"), Some("public, max-age=31536000, immutable"));
    assert_eq!(answer.header("content-type"), Some("text/javascript"));
    assert_eq!(answer.header("content-disposition"), Some("attachment; filename=\"app.1f2e.js\""));
    let answer = get(&server, "/static/caf%C3%A9.html", &[]);
    assert_eq!(answer.header("cache-control"), Some("no-cache"));
    let disposition = "attachment; filename=\"caf_.html\"; filename*=UTF-8''caf%C3%A9.html";
    assert_eq!(answer.header("content-disposition"), Some(disposition));
    let answer = get(&server, "/static/LICENSE", &[]);
    assert_eq!(
        (answer.header("content-type"), answer.header("cache-control")),
        (Some("text/plain; charset=utf-8"), None)
    );
}

#[test]
fn a_listing_is_asked_for_escaped_and_bounded() {
    let tree = Tree::new();
    tree.write("public/f/<b>&\"'.txt", "12345")
        .write("public/f/100%?#.txt", "")
        .write("public/f/.hidden", "");
    tree.write("public/f/sub/x", "");
    symlink("/etc/passwd", tree.path("public/f/link")).unwrap();
    let server = serve(Files::new(tree.public()).unwrap());
    assert_eq!(get(&server, "/static/f/", &[]).status, 404);
    let server = serve(Files::new(tree.public()).unwrap().listing(true));
    let answer = get(&server, "/static/f/", &[]);
    let page = answer.text();
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("text/html; charset=utf-8")));
    assert!(
        answer
            .header("content-security-policy")
            .is_some_and(|policy| policy.starts_with("default-src 'none'"))
    );
    assert!(
        page.contains("&lt;b&gt;&amp;&quot;&#39;.txt</a></td><td>5</td>") && !page.contains("<b>"),
        "{page}"
    );
    assert!(
        page.contains("href=\"./%3Cb%3E%26%22%27.txt\"") && page.contains("href=\"./100%25%3F%23.txt\""),
        "{page}"
    );
    assert!(page.find("sub/</a>").unwrap() < page.find("100%").unwrap(), "{page}");
    assert!(!page.contains("hidden") && !page.contains("link") && !page.contains("more entries"), "{page}");
    get(&server, "/static/f/%3Cb%3E%26%22%27.txt", &[]).expect(200, "12345");
    let server = serve(Files::new(tree.public()).unwrap().listing(true).dotfiles(true).listing_limit(2));
    let answer = get(&server, "/static/f/", &[]);
    assert_eq!(answer.text().matches("<tr>").count(), 4, "{}", answer.text());
    assert!(answer.text().contains("There are more entries"));
}

#[test]
fn a_file_that_shrinks_while_it_is_sent_ends_the_connection() {
    let tree = Tree::new();
    let size = 8 * 1024 * 1024;
    for range in [None, Some("Range: bytes=0-4000000,4200000-8388000")] {
        tree.write("public/big", vec![b'x'; size]);
        let app = Router::new().nest("/static", Files::new(tree.public()).unwrap().router());
        let server = common::start_unix(app, |_, _| {});
        let mut client = Client::connect(&server);
        let fields: Vec<_> = range.into_iter().collect();
        client.send(format!(
            "GET /static/big HTTP/1.1\r\nHost: h\r\n{}\r\n\r\n",
            [&fields[..], &[""]].concat().join("\r\n").trim_end()
        ));
        let head = client.head();
        assert_eq!(head.status, if range.is_some() { 206 } else { 200 });
        File::options().write(true).open(tree.path("public/big")).unwrap().set_len(1024 * 1024).unwrap();
        let received = client.until_closed();
        assert!(received < size, "{received} bytes");
        // The server serves on.
        assert_eq!(Client::connect(&server).get("/static/big").body.len(), 1024 * 1024);
    }
}

#[test]
fn a_file_that_is_replaced_is_seen_at_once() {
    let tree = Tree::new();
    tree.write("public/a.txt", "one");
    let server = serve(Files::new(tree.public()).unwrap());
    let first = get(&server, "/static/a.txt", &[]);
    first.expect(200, "one");
    // A file that has only just been changed may change again in the same tick.
    fs::write(tree.path("public/a.txt"), "two").unwrap();
    let second =
        get(&server, "/static/a.txt", &[&format!("If-None-Match: {}", first.header("etag").unwrap())]);
    second.expect(200, "two");
    let weak = second.header("etag").unwrap();
    assert!(weak.starts_with("W/\""), "{weak}");
    get(&server, "/static/a.txt", &[&format!("If-Range: {weak}"), "Range: bytes=0-0"]).expect(200, "two");
    // Nor does its date identify the bytes yet (RFC 9110 8.8.2.2).
    let date = format!("If-Range: {}", second.header("last-modified").unwrap());
    get(&server, "/static/a.txt", &[&date, "Range: bytes=0-0"]).expect(200, "two");
    assert_eq!(get(&server, "/static/a.txt", &[&format!("If-None-Match: {weak}")]).status, 304);
    // A time in the future is told as now (RFC 9110 8.8.2.1).
    tree::set_time(&tree.path("public/a.txt"), 4_102_444_800);
    let answer = get(&server, "/static/a.txt", &[]);
    assert_eq!(answer.header("last-modified"), answer.header("date"));
}

#[test]
fn a_root_that_is_a_link_is_looked_up_again() {
    let tree = Tree::new();
    tree.write("one/a.txt", "one").write("two/a.txt", "two");
    symlink("one", tree.path("current")).unwrap();
    let server = serve(Files::new(tree.path("current")).unwrap());
    get(&server, "/static/a.txt", &[]).expect(200, "one");
    symlink("two", tree.path("next")).unwrap();
    fs::rename(tree.path("next"), tree.path("current")).unwrap();
    eventually("the other folder is served", || get(&server, "/static/a.txt", &[]).text() == "two");
}

/// The kernel looks each name below `/proc/sys` up anew, so openat2(2) with `RESOLVE_CACHED` always refuses one, as
/// it refuses a name on a disk that is not in memory. The pool has one thread, and no queue: while the thread is
/// held, a name that is in memory is opened on the thread of the connection, and any other is not opened at all.
#[cfg(target_os = "linux")]
#[test]
fn opening_a_name_that_is_not_in_memory_never_blocks_the_thread_of_the_connection() {
    let tree = Tree::new();
    tree.write("public/a.txt", "warm");
    let (busy, release) = (Signal::new(), Signal::new());
    let (hold, until) = (busy.clone(), release.clone());
    let app = Router::new()
        .nest("/warm", Files::new(tree.public()).unwrap().router())
        .nest("/cold", Files::new("/proc/sys/kernel").unwrap().router())
        .get(
            "/hold",
            blocking(move |_: Request| {
                hold.set();
                until.wait();
            }),
        );
    let server = configured(app, |limits, _| (limits.pool_threads, limits.pool_queue) = (1, 0));
    let server = server.workers(1).bind(&own_address()).unwrap().start().unwrap();
    let mut holding = Client::connect(&server);
    holding.request("/hold");
    busy.wait();
    assert_eq!(ask(&server, "HEAD /warm/a.txt", &[]).status, 200, "it needs no thread of the pool");
    for path in ["/cold/ostype", "/cold/random/uuid"] {
        assert_eq!(get(&server, path, &[]).status, 503, "{path}: there is no thread that may wait");
    }
    release.set();
    assert_eq!(holding.answer().status, 204);
    // Without a queue, the thread takes a job as soon as it is back.
    eventually("a thread of the pool opens it", || get(&server, "/cold/ostype", &[]).status == 200);
    assert_eq!(get(&server, "/cold/none", &[]).status, 404);
}

#[test]
fn a_root_that_is_not_there_is_an_error_at_once() {
    let tree = Tree::new();
    tree.write("public/a.txt", "");
    let error = Files::new(tree.path("none")).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::NotFound);
    assert!(error.to_string().contains("none: No such file"), "{error}");
    assert!(Files::new(tree.path("public/a.txt")).is_err());
}

#[test]
fn one_file_is_answered_like_those_of_a_folder() {
    let tree = Tree::new();
    tree.write("report.txt", "0123456789");
    let (path, folder) = (tree.path("report.txt"), tree.public());
    let app = Router::new()
        .get(
            "/report",
            blocking(move |req: Request| -> HttpResult<Response> {
                Ok(Response::file(&req, &path)?.download_as("My \u{20ac}.txt"))
            }),
        )
        .get("/folder", blocking(move |req: Request| Ok(Response::file(&req, &folder)?)));
    let server = start(MODEL, app);
    let answer = get(&server, "/report", &[]);
    answer.expect(200, "0123456789");
    let disposition = "attachment; filename=\"My _.txt\"; filename*=UTF-8''My%20%E2%82%AC.txt";
    assert_eq!(answer.header("content-disposition"), Some(disposition));
    assert_eq!(answer.header("content-type"), Some("text/plain; charset=utf-8"));
    get(&server, "/report", &["Range: bytes=-1"]).expect(206, "9");
    let same = format!("If-None-Match: {}", tag(10));
    let answer = get(&server, "/report", &[&same]);
    assert_eq!((answer.status, answer.header("content-disposition")), (304, None));
    assert_eq!(get(&server, "/folder", &[]).status, 500);
}
