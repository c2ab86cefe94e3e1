//! Static files on Windows: names that it takes for something else, and the corpus of paths.

use std::fs;
use std::os::windows::fs::symlink_file;
use std::path::Path;

use transom::{Files, Handle, Router, Server};

use super::{ask, get, path, turn};

/// In each file that must not be served.
const SECRET: &str = "this is nobody's business";
const CORPUS: &str = include_str!("../files/traversal.txt");

fn write(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

fn serve(root: &Path) -> Handle {
    let files = Files::new(root).unwrap().precompressed(true).listing(true);
    Server::new(Router::new().nest("/static", files.router())).bind("127.0.0.1:0").unwrap().start().unwrap()
}

fn answer(server: &Handle, target: &str) -> String {
    String::from_utf8_lossy(&ask(server, &get(&format!("/static{target}")))).into_owned()
}

#[test]
fn only_public_files_are_served() {
    let _turn = turn();
    let tree = path("tree");
    let root = tree.join("public");
    for secret in ["outside/secret.txt", "public.txt", "public/.env", "public/.git/config", "etc/passwd"] {
        write(&tree.join(secret), SECRET);
    }
    for public in ["index.html", "a.txt", "sub/b.txt", ".well-known/acme", "nullable.js", "caf\u{e9}.txt"] {
        write(&root.join(public), "public");
    }
    let server = serve(&root);
    for target in
        ["/", "/a.txt", "/A.TXT", "/sub/b.txt", "/nullable.js", "/caf%C3%A9.txt", "/.well-known/acme"]
    {
        assert!(answer(&server, target).ends_with("\r\n\r\npublic"), "{target}");
    }
    let page = answer(&server, "/sub/");
    assert!(page.contains("<a href=\"./b.txt\">b.txt</a></td><td>6</td>"), "{page}");
    for target in [
        "/NUL",
        "/nul.txt",
        "/CON",
        "/con.html",
        "/COM1",
        "/com1.txt",
        "/LPT9",
        "/CONIN$",
        "/sub/AUX",
        "/aux.txt/b",
        "/a.txt:",
        "/a.txt::$DATA",
        "/a.txt:stream",
        "/.env::$DATA",
        "/index.html::$DATA",
        "/sub::$INDEX_ALLOCATION/b.txt",
        "/a.txt.",
        "/a.txt%20",
        "/a.txt...",
        "/sub./b.txt",
        "/sub%20/b.txt",
        "/.env.",
        "/ENV~1",
        "/GIT~1/config",
        "/C:",
        "/C:/",
        "/c:a.txt",
        "/C:%5CWindows%5Cwin.ini",
        "/%5C%5C?%5CC:%5C",
        "/%5C%5C.%5CNUL",
        "/..%5Coutside%5Csecret.txt",
        "/sub%5Cb.txt",
        "/a.tx?",
        "/a%2A",
        "/a%3F.txt",
        "/%3Ca.txt",
        "/a%7Cb",
        "/a.txt%01",
        "/a.txt%00",
    ] {
        let answer = answer(&server, target);
        let status = &answer[9..12];
        assert!(["400", "404"].contains(&status) && !answer.contains(SECRET), "{target}: {answer}");
    }
    for target in CORPUS.lines().filter(|line| !line.starts_with("# ")) {
        let answer = answer(&server, target);
        assert!(!answer.contains(SECRET) && !answer.contains("[fonts]"), "{target}: {answer}");
        assert!(
            ["200", "301", "400", "404"].contains(&answer.get(9..12).unwrap_or_default()),
            "{target}: {answer}"
        );
    }
    // Only some accounts may make links, and Wine makes none.
    if symlink_file(tree.join("outside/secret.txt"), root.join("link.txt")).is_ok() {
        assert!(answer(&server, "/link.txt").starts_with("HTTP/1.1 404 "));
    }
    // A file that was served is not held.
    drop(server);
    fs::remove_dir_all(tree).unwrap();
}
