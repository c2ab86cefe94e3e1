//! Forms: what a reader finds however the bytes come, limits, and what is left of an upload.
#![cfg(feature = "forms")]

#[path = "support/escape.rs"]
#[allow(dead_code, reason = "other tests write texts")]
mod escape;

use std::fs;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};

use escape::unescape;
use futures_lite::stream;
use smol::block_on;
use transom::{
    Body, Bytes, Form, FormError, FormLimits, Method, Multipart, Request, Response, Route, Router,
};

const KIND: &str = "multipart/form-data; boundary=XX";

/// What a form has, one line for each field and each file, or its refusal.
type Seen = Result<Vec<String>, String>;

fn read(body: impl Into<Body>, limits: FormLimits) -> Result<Form, FormError> {
    let mut request = Request::new(Method::POST, "/").unwrap();
    request.headers_mut().append("content-type", KIND).unwrap();
    *request.body_mut() = body.into();
    block_on(request.read_form(limits))
}

/// Returns a body whose chunks have these sizes, one after another.
fn in_pieces(bytes: &[u8], sizes: &[usize]) -> Body {
    let mut rest = bytes;
    let mut sizes = sizes.iter().copied().cycle();
    let mut pieces = Vec::new();
    while !rest.is_empty() {
        let (piece, after) = rest.split_at(sizes.next().unwrap().min(rest.len()));
        pieces.push(Ok(Bytes::copy_from_slice(piece)));
        rest = after;
    }
    Body::stream(stream::iter(pieces))
}

fn seen(body: Body) -> Seen {
    let told = |error: FormError| format!("{} {error}", error.status().as_u16());
    let form = read(body, FormLimits::default()).map_err(told)?;
    let fields = form.iter().map(|(name, value)| format!("field {name}|{value}"));
    let files = form.files().iter().map(|file| {
        let content = String::from_utf8_lossy(file.in_memory().unwrap()).into_owned();
        format!("file {}|{}|{}|{content}", file.name(), file.filename(), file.content_type())
    });
    Ok(fields.chain(files).collect())
}

/// Returns the cases of the corpus: a name, a body and what is seen in it.
fn corpus() -> Vec<(String, Vec<u8>, Seen)> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/forms/multipart.txt");
    let text = fs::read_to_string(path).unwrap();
    let mut cases: Vec<(String, Vec<u8>, Seen)> = Vec::new();
    for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let (word, rest) = line.split_once(' ').unwrap();
        let bytes = unescape(rest).unwrap();
        let shown = String::from_utf8_lossy(&bytes).into_owned();
        if word == "case" {
            cases.push((shown, Vec::new(), Ok(Vec::new())));
            continue;
        }
        let (_, body, seen) = cases.last_mut().unwrap();
        match (word, seen) {
            (">", _) => body.extend(bytes),
            ("error", seen) => *seen = Err(shown),
            (_, Ok(lines)) => lines.push(format!("{word} {shown}")),
            _ => panic!("{line}"),
        }
    }
    assert!(cases.len() > 250, "{} cases", cases.len());
    cases
}

#[test]
fn each_form_of_the_corpus_is_read_as_told_however_it_is_cut() {
    for (name, body, expected) in corpus() {
        assert_eq!(seen(Body::from(body.clone())), expected, "{name}");
        for size in [1, 2, 3, 7] {
            assert_eq!(seen(in_pieces(&body, &[size])), expected, "{name} in pieces of {size}");
        }
        if body.len() < 1000 {
            for at in 1..body.len() {
                assert_eq!(seen(in_pieces(&body, &[at, body.len()])), expected, "{name} cut at {at}");
            }
        }
    }
}

fn field(name: &str, value: &str) -> String {
    format!("--XX\r\ncontent-disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
}

fn file(name: &str, filename: &str, content: &str) -> String {
    let head = format!("form-data; name=\"{name}\"; filename=\"{filename}\"");
    format!("--XX\r\ncontent-disposition: {head}\r\ncontent-type: text/html\r\n\r\n{content}\r\n")
}

fn form(parts: &[String]) -> Vec<u8> {
    let all = parts.concat() + "--XX--\r\n";
    all.into_bytes()
}

#[test]
fn each_limit_holds_at_its_value_and_not_above() {
    type Set = fn(&mut FormLimits);
    let cases: [(Set, Vec<u8>, Vec<u8>, &str); 7] = [
        (
            |limits| limits.parts = 2,
            form(&[field("a", "1"), field("b", "2")]),
            form(&[field("a", "1"), field("b", "2"), field("c", "3")]),
            "the form has more than 2 parts",
        ),
        (
            |limits| limits.files = 1,
            form(&[file("a", "f", "1"), field("b", "2")]),
            form(&[file("a", "f", "1"), file("b", "f", "2")]),
            "the form has more than 1 files",
        ),
        (
            |limits| limits.head = 60,
            form(&[field(&"a".repeat(21), "1")]),
            form(&[field(&"a".repeat(22), "1")]),
            "the header section of a part is larger than 60 bytes",
        ),
        (
            |limits| limits.name = 3,
            form(&[file("abc", "def", "1")]),
            form(&[file("abc", "defg", "1")]),
            "a name in the form is longer than 3 bytes",
        ),
        (
            |limits| limits.field = 3,
            form(&[field("a", "123"), field("b", "456")]),
            form(&[field("a", "1234")]),
            "a field of the form is larger than 3 bytes",
        ),
        (
            |limits| limits.fields = 5,
            form(&[field("a", "1"), field("b", "23")]),
            form(&[field("a", "1"), field("b", "234")]),
            "the fields of the form are larger than 5 bytes",
        ),
        (
            |limits| limits.file = Some(3),
            form(&[file("a", "f", "123"), field("a", "1234")]),
            form(&[file("a", "f", "1234")]),
            "a file of the form is larger than 3 bytes",
        ),
    ];
    for (set, fits, exceeds, told) in cases {
        let mut limits = FormLimits::default();
        set(&mut limits);
        for size in [1, 3, usize::MAX] {
            read(in_pieces(&fits, &[size]), limits.clone()).unwrap();
            let error = read(in_pieces(&exceeds, &[size]), limits.clone()).unwrap_err();
            assert_eq!((error.status().as_u16(), &*error.to_string()), (413, told));
        }
    }
}

#[test]
fn an_urlencoded_form_has_the_same_limits() {
    let post = |body: String, limits: FormLimits| {
        let mut request = Request::new(Method::POST, "/").unwrap();
        request.headers_mut().append("content-type", "application/x-www-form-urlencoded").unwrap();
        *request.body_mut() = body.into();
        let read = block_on(request.read_form(limits));
        read.map(|form| form.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>())
            .map_err(|error| error.to_string())
    };
    let limits = FormLimits::default();
    assert_eq!(post("a=b+c&d=%C3%A9&a".into(), limits.clone()).unwrap(), ["a=b c", "d=\u{e9}", "a="]);
    assert_eq!(post("a=1&".repeat(999) + "a=1", limits.clone()).unwrap().len(), 1000);
    let told = post("a=1&".repeat(10_000), limits.clone()).unwrap_err();
    assert_eq!(told, "the form has more than 1000 parts");
    let told = post("a".repeat(8 * 1024 * 1024 + 1), limits.clone()).unwrap_err();
    assert_eq!(told, "the fields of the form are larger than 8388608 bytes");
    assert_eq!(post("a=\u{e9}".into(), limits).unwrap_err(), "the body is not a form");
}

#[cfg(feature = "serde")]
#[test]
fn the_fields_of_a_multipart_form_are_a_value() {
    use transom::IntoResponse as _;

    #[derive(serde::Deserialize)]
    struct Photo {
        title: String,
        width: u32,
        tags: Vec<String>,
    }
    let parts = [
        field("title", "a+b &=\u{e9}"),
        field("width", "7"),
        field("tags", "x"),
        field("tags", "y"),
        file("f", "f", "1"),
    ];
    let read = read(form(&parts), FormLimits::default()).unwrap();
    let photo: Photo = read.fields_as().unwrap();
    assert_eq!((&*photo.title, photo.width, photo.tags.len()), ("a+b &=\u{e9}", 7, 2));
    let Err(error) = read.fields_as::<std::collections::BTreeMap<String, u8>>() else { panic!("no numbers") };
    assert_eq!(error.status(), 422);
    let answer = error.into_response();
    let told = String::from_utf8_lossy(answer.body_ref().as_bytes().unwrap()).into_owned();
    assert!(told.starts_with("the form is not as expected: "), "{told}");
}

#[test]
fn a_body_of_another_type_is_no_form() {
    for (kind, status) in [
        ("text/plain", 415),
        ("", 415),
        ("multipart/mixed; boundary=x", 415),
        ("multipart/form-data", 400),
        ("multipart/form-data; boundary=\"\"", 400),
        ("multipart/form-data; boundary=a; boundary=b", 400),
        (&format!("multipart/form-data; boundary={}", "x".repeat(71)), 400),
        ("multipart/form-data; boundary=\u{e9}", 400),
    ] {
        let error = Multipart::new(kind, Body::empty()).unwrap_err();
        assert_eq!(error.status().as_u16(), status, "{kind}: {error}");
    }
    Multipart::new("Multipart/Form-Data; charset=utf-8; boundary=\"'()+_,-./:=? x\"", Body::empty()).unwrap();
}

/// Returns a new folder, which is removed at the end.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("transom-forms-{}-{number}", std::process::id()));
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    fn names(&self) -> Vec<String> {
        let names = fs::read_dir(&self.0).unwrap().map(|it| it.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<_> = names.collect();
        names.sort();
        names
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn a_part_is_saved_whole_and_replaces_a_file() {
    let folder = Folder::new();
    let path = folder.0.join("kept");
    let content = (0..150_000).fold(String::new(), |so_far, number| so_far + &number.to_string());
    for (content, sizes) in
        [("first", [5000; 2]), (&content, [1000; 2]), (&content, [70_000, 300_000]), ("", [9; 2])]
    {
        let body = in_pieces(&form(&[file("a", "f", content), field("b", "2")]), &sizes);
        block_on(async {
            let mut form = Multipart::new(KIND, body)?;
            let mut part = form.next().await?.unwrap();
            assert_eq!(part.save_to(&path).await?, content.len() as u64);
            assert_eq!(form.next().await?.unwrap().text().await?, "2");
            assert!(form.next().await?.is_none());
            Ok::<_, FormError>(())
        })
        .unwrap();
        assert!(fs::read_to_string(&path).unwrap() == content, "{} bytes in {sizes:?}", content.len());
        assert_eq!(folder.names(), ["kept"]);
    }
}

#[test]
fn an_upload_that_breaks_off_leaves_no_file() {
    let folder = Folder::new();
    let content = "x".repeat(1_000_000);
    let whole = form(&[file("a", "f", &content)]);
    let error = || Err(io::Error::from(io::ErrorKind::ConnectionReset));
    let broken = [Ok(Bytes::copy_from_slice(&whole[..900_000])), error()];
    for body in [in_pieces(&whole[..900_000], &[70_000]), Body::stream(stream::iter(broken))] {
        let saved = block_on(async {
            let mut form = Multipart::new(KIND, body)?;
            let saved = form.next().await?.unwrap().save_to(folder.0.join("kept")).await;
            assert!(form.next().await.is_err(), "a form that broke off goes on");
            saved
        });
        saved.unwrap_err();
        assert_eq!(folder.names(), [""; 0]);
    }
    // The client stays away, and the handler is dropped.
    let body = Body::stream(futures_lite::StreamExt::chain(
        stream::iter([Ok(Bytes::copy_from_slice(&whole[..900_000]))]),
        stream::pending(),
    ));
    let mut form = Multipart::new(KIND, body).unwrap();
    block_on(async {
        let mut part = form.next().await.unwrap().unwrap();
        let saving = part.save_to(folder.0.join("kept"));
        assert!(
            futures_lite::future::poll_once(futures_lite::future::or(saving, async {
                smol::Timer::after(std::time::Duration::from_millis(200)).await;
                Ok(0)
            }))
            .await
            .is_none()
        );
    });
    assert_eq!(folder.names(), [""; 0]);
}

#[test]
fn large_files_of_a_form_are_in_files_that_nobody_sees() {
    let (temporary, kept) = (Folder::new(), Folder::new());
    let mut limits = FormLimits::default();
    limits.memory = 1000;
    limits.folder = Some(temporary.0.clone());
    let contents = [400, 500, 200, 5000, 50].map(|length| "z".repeat(length));
    let parts: Vec<_> = contents.iter().map(|content| file("f", "../n", content)).collect();
    for size in [7, 1000, usize::MAX] {
        let mut form = read(in_pieces(&form(&parts), &[size]), limits.clone()).unwrap();
        assert_eq!(temporary.names(), [""; 0]);
        let in_memory = form.files().iter().filter_map(|file| file.in_memory());
        assert!(in_memory.map(<[u8]>::len).sum::<usize>() <= 1000);
        assert!(form.files()[3].in_memory().is_none());
        for (number, (file, content)) in form.take_files().into_iter().zip(&contents).enumerate() {
            assert_eq!((file.filename(), file.len()), ("n", content.len() as u64));
            if number == 4 {
                let body = file.into_body().unwrap();
                assert_eq!(block_on(body.collect(9000)).unwrap(), content.as_bytes());
                continue;
            }
            let path = kept.0.join(number.to_string());
            block_on(file.save_to(&path)).unwrap();
            assert_eq!(&fs::read_to_string(path).unwrap(), content);
        }
        assert_eq!(kept.names(), ["0", "1", "2", "3"]);
    }
}

#[test]
fn errors_of_a_form_become_responses() {
    let app = Router::new()
        .route(Route::new(Method::POST, "/parts", async |mut req: Request| {
            let mut form = req.multipart()?;
            let mut names = Vec::new();
            while let Some(part) = form.next().await? {
                names.push(part.name().to_owned());
            }
            Ok(names.join(","))
        }))
        .post("/save", async |mut req: Request| {
            let mut form = req.multipart()?;
            form.next().await?.unwrap().save_to("/nowhere/at/all").await?;
            Ok("saved")
        });
    let tester = app.tester().unwrap();
    let ask = |path: &str, kind: &str, body: Vec<u8>| -> (u16, String) {
        let mut request = Request::new(Method::POST, path).unwrap();
        request.headers_mut().append("content-type", kind).unwrap();
        *request.body_mut() = body.into();
        let response: Response = block_on(tester.answer(request));
        let text = String::from_utf8_lossy(response.body_ref().as_bytes().unwrap()).into_owned();
        (response.status_code().as_u16(), text)
    };
    let body = form(&[field("a", "1"), file("b", "f", "2")]);
    assert_eq!(ask("/parts", KIND, body.clone()), (200, "a,b".to_owned()));
    let cut = "the form ends before its last boundary\n".to_owned();
    assert_eq!(ask("/parts", KIND, body[..40].to_vec()), (400, cut));
    assert_eq!(ask("/parts", "text/plain", body.clone()).0, 415);
    assert_eq!(ask("/save", KIND, body), (500, "500 Internal Server Error\n".to_owned()));
}

#[test]
fn a_query_and_a_form_in_memory_are_read_plainly() {
    let mut request = Request::new(Method::POST, "/?a=1&b=x+y&a=%C3%A9&c").unwrap();
    assert_eq!(request.query_value("a").as_deref(), Some("1"));
    assert_eq!(request.query_value("b").as_deref(), Some("x y"));
    assert_eq!(request.query_value("c").as_deref(), Some(""));
    assert_eq!(request.query_value("d"), None);
    assert_eq!(request.query_fields().count(), 4);
    *request.body_mut() = "n=1&n=2".into();
    assert_eq!(request.form_fields().count(), 0);
    request.headers_mut().append("content-type", "Application/X-WWW-Form-Urlencoded; charset=utf-8").unwrap();
    assert_eq!(request.form_fields().count(), 2);
    assert_eq!(request.form_value("n").as_deref(), Some("1"));
}
