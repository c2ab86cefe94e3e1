//! Nothing outside the root of static files is served, and nothing private in it.

mod common;
#[path = "files/tree.rs"]
mod tree;

const MODEL: Model = Model::EventDriven;

use std::fs;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::Command;

use transom::{Files, Handle, Model, Router};

use common::{Answer, Client, configured, own_address};
use tree::Tree;

/// In each file that must not be served.
const SECRET: &str = "this is nobody's business";
const CORPUS: &str = include_str!("files/traversal.txt");

/// The root with its traps, and what is beside it.
fn trapped() -> Tree {
    let tree = Tree::new();
    for path in [
        "outside/secret.txt",
        "publicx/secret.txt",
        "public.txt",
        "public/.env",
        "public/.git/config",
        "public/sub/.htpasswd",
        "public/.well-known/.hidden",
        "public/sub/.well-known/secret.txt",
        "public/.DS_Store",
        "public/back\\slash.txt",
        "public/\\..\\outside\\secret.txt",
        "etc/passwd",
        "evil.example/index.html",
    ] {
        tree.write(path, SECRET);
    }
    for path in ["index.html", "a.txt", "sub/b.txt", "sub/index.html", ".well-known/acme"] {
        tree.write(&format!("public/{path}"), "public");
    }
    for (link, to) in [
        ("link-out", "../outside"),
        ("link-file-out", "../outside/secret.txt"),
        ("link-etc", "/etc"),
        ("link-passwd", "/etc/passwd"),
        ("link-proc", "/proc/self"),
        ("link-parent", ".."),
        ("sub/link-up-two", "../.."),
        ("link-loop", "link-loop"),
        ("link-chain", "link-out"),
        ("link-chain-file", "link-chain/secret.txt"),
        ("sub/link-up", ".."),
        ("link-missing", "nothing"),
        ("link-neighbour", "../publicx"),
        ("link-in", "sub/b.txt"),
    ] {
        symlink(to, tree.path("public").join(link)).unwrap();
    }
    symlink(tree.path("outside/secret.txt"), tree.path("public/link-absolute")).unwrap();
    for pipe in ["public/pipe", "public/sub/pipe"] {
        assert!(Command::new("mkfifo").arg(tree.path(pipe)).status().unwrap().success());
    }
    drop(UnixListener::bind(tree.path("public/socket")).unwrap());
    tree
}

fn serve(root: &Path, prefix: &str) -> Handle {
    let files = Files::new(root).unwrap().precompressed(true).listing(true);
    let app = match prefix {
        "" => Router::new().get("/{*file}", files.handler()),
        _ => Router::new().nest(prefix, files.router()),
    };
    configured(app, |_, _| {}).model(MODEL).workers(1).bind(&own_address()).unwrap().start().unwrap()
}

fn ask(server: &Handle, target: &str) -> Answer {
    let mut client = Client::connect(server);
    client.send(format!("GET {target} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"));
    client.answer()
}

#[test]
fn no_path_of_the_corpus_leads_out_of_the_root() {
    let tree = trapped();
    let targets: Vec<_> = CORPUS.lines().filter(|line| !line.starts_with("# ")).collect();
    assert!(targets.len() >= 300, "{} paths", targets.len());
    let passwd = fs::read_to_string("/etc/passwd").unwrap();
    let root_line = passwd.lines().next().unwrap();
    for prefix in ["/static", "", "/a/b"] {
        let server = serve(&tree.public(), prefix);
        for target in &targets {
            let target = format!("{prefix}{target}");
            // At the root, what would follow a prefix at once is no path.
            if !target.starts_with('/') {
                continue;
            }
            let answer = ask(&server, &target);
            let body = String::from_utf8_lossy(&answer.body);
            let what = format!("{target}: {}{body}", answer.head);
            assert!([200, 301, 400, 404].contains(&answer.status), "{what}");
            assert!(!body.contains(SECRET) && !body.contains(root_line), "{what}");
            if answer.status == 200 && body != "public" {
                // A listing, of a folder in the root.
                assert!(
                    body.contains("<h1>") && !body.contains("secret") && !body.contains("hidden"),
                    "{what}"
                );
                assert!(
                    !body.contains("outside") && !body.contains("link-") && !body.contains("passwd"),
                    "{what}"
                );
            }
            if let Some(location) = answer.header("location") {
                let path = location.split('?').next().unwrap();
                assert!(path.starts_with("./") && !path.contains("//") && !path.contains('\\'), "{what}");
            }
        }
    }
}

#[test]
fn what_is_public_in_the_same_tree_is_served() {
    let tree = trapped();
    for prefix in ["/static", ""] {
        let server = serve(&tree.public(), prefix);
        let paths = ["/", "/a.txt", "/%61.txt", "/sub/", "/sub/b.txt", "/s%75b/b%2Etxt", "/.well-known/acme"];
        // Only Linux knows whether a link stays in the root.
        let links: &[&str] =
            if cfg!(target_os = "linux") { &["/link-in", "/sub/link-up/a.txt"] } else { &[] };
        for path in paths.iter().chain(links) {
            ask(&server, &format!("{prefix}{path}")).expect(200, "public");
        }
    }
}

/// Set in a process in which openat2(2) fails.
#[cfg(target_os = "linux")]
const WITHOUT: &str = "TRANSOM_TEST_WITHOUT_OPENAT2";

/// Runs a test of this program once more, in a process in which openat2(2) fails with an errno.
#[cfg(target_os = "linux")]
fn again_without_openat2(test: &str, errno: u32) {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/without_openat2.py");
    let output = Command::new("python3")
        .args([script, &errno.to_string()])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", test])
        .env(WITHOUT, "1")
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{test}: {told}{}", String::from_utf8_lossy(&output.stderr));
    assert!(told.contains("1 passed"), "{told}");
}

/// A kernel before 5.6 has no openat2 (38, ENOSYS), and some sandboxes refuse it (1, EPERM). With 11, EAGAIN, no
/// name is in memory, and renames disturb each lookup. Nothing is then opened on the thread of the connection,
/// because only openat2 can say that a name is in memory: the blocking pool opens each file, one name after another.
#[cfg(target_os = "linux")]
#[test]
fn without_openat2_files_are_served_and_no_link_is_followed() {
    if std::env::var_os(WITHOUT).is_none() {
        for errno in [38, 1, 11] {
            again_without_openat2("without_openat2_files_are_served_and_no_link_is_followed", errno);
        }
        for errno in [38, 1] {
            again_without_openat2("no_path_of_the_corpus_leads_out_of_the_root", errno);
        }
        return;
    }
    let tree = trapped();
    let server = serve(&tree.public(), "/static");
    for path in ["/", "/a.txt", "/sub/", "/sub/b.txt", "/.well-known/acme"] {
        ask(&server, &format!("/static{path}")).expect(200, "public");
    }
    for path in ["/link-in", "/sub/link-up/a.txt"] {
        assert_eq!(ask(&server, &format!("/static{path}")).status, 404, "{path}");
    }
}
