//! `install.sh`: what it installs can be found, linked, run, read and removed.
//!
//! The libraries are those of this build, so CI runs this in a release build too. A tool that is
//! not installed is no failure, except in CI.
#![cfg(target_os = "linux")]

mod support;

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

use support::{Scratch, include_dir, library_dir};

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Is both C and C++. Ends with 0 if a server starts and the library is that of the header.
const PROGRAM: &str = r#"
#include <string.h>
#include <transom.h>
#if defined(__cplusplus) && __cplusplus >= 201703L
#include <transom.hpp>
#endif

int main(void)
{
    transom_server *server = transom_server_new();
    int ok = transom_abi_version() == TRANSOM_ABI_VERSION && strcmp(transom_version(), VERSION) == 0;
    ok = ok && transom_server_start(server, "127.0.0.1:0", NULL) == TRANSOM_OK;
    ok = ok && transom_server_port(server) != 0;
    transom_server_free(server);
    return !ok;
}
"#;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// Runs the command, and returns its standard output.
#[track_caller]
fn run(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}\n{}", output.status, text(&output));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr[..]].concat()).into_owned()
}

fn script() -> Command {
    let mut command = Command::new("sh");
    command.arg(root().join("install.sh")).env_remove("DESTDIR");
    command
}

/// Installs the libraries of this build below the folder.
fn install(prefix: &Path) {
    run(script().arg(format!("--prefix={}", prefix.display())).arg(built()));
}

/// Returns the option that names the libraries of this build, whose debug information is removed once for all tests.
fn built() -> String {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    let folder = FOLDER.get_or_init(|| {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("install");
        fs::create_dir_all(&folder).unwrap();
        for name in ["libtransom.so", "libtransom.a"] {
            let [from, to] = [library_dir(), &folder].map(|folder| folder.join(name));
            run(Command::new("strip").arg("--strip-debug").arg(from).arg("-o").arg(to));
        }
        folder
    });
    format!("--built={}", folder.display())
}

/// Returns true if the tool is installed. It must be in CI.
fn has(tool: &str) -> bool {
    let paths = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&paths).any(|path| path.join(tool).is_file());
    assert!(found || std::env::var_os("CI").is_none(), "{tool} is not installed");
    if !found {
        eprintln!("{tool} is not installed: what needs it is not tested");
    }
    found
}

/// Returns the paths of all files in a folder, relative to it.
fn files(folder: &Path) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() && !path.is_symlink() {
                folders.push(path);
            } else {
                found.insert(path.strip_prefix(folder).unwrap().to_str().unwrap().to_owned());
            }
        }
    }
    found
}

/// Returns the words of the header that match.
fn header_words(matches: impl Fn(&str) -> bool) -> BTreeSet<String> {
    let header = fs::read_to_string(include_dir().join("transom.h")).unwrap();
    let mut code = String::new();
    let mut rest = header.as_str();
    while let Some((before, comment)) = rest.split_once("/*") {
        code += before;
        rest = comment.split_once("*/").unwrap().1;
    }
    code += rest;
    let words = code.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    words.filter(|word| matches(word)).map(str::to_owned).collect()
}

#[test]
fn what_is_installed_is_removed_again() {
    let scratch = Scratch::new("removed");
    let place = |path: &str| scratch.path().join(path);
    let options = ["--prefix=/opt/some", "--libdir=lib/here", "--mandir=/opt/man", &built()];
    run(script().args(options).env("DESTDIR", scratch.path()));

    let names = files(&place("opt"));
    let pages = names.iter().filter(|name| name.starts_with("man/man3/transom_") && name.ends_with(".3"));
    assert!(pages.count() > 50, "{names:?}");
    let others: Vec<_> = names.iter().filter(|name| !name.contains("/man3/transom_")).collect();
    let full = format!("some/lib/here/libtransom.so.{VERSION}");
    let headers = ["transom.h", "transom.hpp"].map(|name| format!("some/include/{name}"));
    let mut expected: Vec<&str> = headers.iter().map(String::as_str).collect();
    expected.extend([
        "man/man3/transom.3",
        "some/lib/here/cmake/transom/transom-config-version.cmake",
        "some/lib/here/cmake/transom/transom-config.cmake",
        "some/lib/here/libtransom.a",
        "some/lib/here/libtransom.so",
        "some/lib/here/libtransom.so.0",
        &full,
        "some/lib/here/pkgconfig/transom-static.pc",
        "some/lib/here/pkgconfig/transom.pc",
        "some/share/transom/installed-files",
    ]);
    expected.sort_unstable();
    assert_eq!(others, expected);
    for (link, target) in [("libtransom.so", "libtransom.so.0"), ("libtransom.so.0", &full[14..])] {
        assert_eq!(fs::read_link(place("opt/some/lib/here").join(link)).unwrap(), Path::new(target));
    }
    let mode = |path: &str| place(path).metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&format!("opt/{full}")), mode("opt/some/include/transom.h")), (0o755, 0o644));
    // No file knows the folder that stands for the root.
    for name in names.iter().filter(|name| !name.contains("libtransom.")) {
        let content = fs::read_to_string(place("opt").join(name)).unwrap();
        assert!(!content.contains(scratch.path().to_str().unwrap()), "{name}");
    }

    // A second installation removes what only the first one had.
    let list = place("opt/some/share/transom/installed-files");
    let old = fs::read_to_string(&list).unwrap() + "file /opt/some/lib/here/libtransom.so.0.0.9\n";
    fs::write(list, old).unwrap();
    fs::write(place("opt/some/lib/here/libtransom.so.0.0.9"), "").unwrap();
    run(script().args(options).env("DESTDIR", scratch.path()));
    assert_eq!(files(&place("opt")), names);

    // What others have put there stays, with its folder.
    fs::write(place("opt/some/include/other.h"), "").unwrap();
    run(script().args(["--uninstall", "--prefix=/opt/some"]).env("DESTDIR", scratch.path()));
    assert_eq!(files(scratch.path()), BTreeSet::from(["opt/some/include/other.h".to_owned()]));
    assert!(!place("opt/some/lib").exists() && !place("opt/man").exists());
    let again = script().args(["--uninstall", "--prefix=/opt/some"]).env("DESTDIR", scratch.path()).output();
    let again = again.unwrap();
    assert!(!again.status.success() && text(&again).contains("nothing of Transom is installed"));
}

#[test]
fn an_installation_for_the_system_goes_where_the_system_looks() {
    let scratch = Scratch::new("system");
    run(script().args(["--prefix=/usr", &built()]).env("DESTDIR", scratch.path()));
    let multiarch = run(Command::new("cc").arg("-print-multiarch"));
    let libdir = ["lib", multiarch.trim()].join("/");
    let libdir = libdir.trim_end_matches('/');
    let place = scratch.path().join("usr").join(libdir);
    assert!(place.join("libtransom.a").exists(), "{libdir}");
    let options = fs::read_to_string(place.join("pkgconfig/transom.pc")).unwrap();
    assert!(options.starts_with(&format!("prefix=/usr\nlibdir=${{prefix}}/{libdir}\n")), "{options}");
}

#[test]
fn the_documents_say_how_to_install() {
    let read = |path: &str| fs::read_to_string(root().join(path)).unwrap();
    let first = |text: &str| {
        let (_, block) = text.split_once("```sh\n").unwrap();
        block.split_once("```").unwrap().0.to_owned()
    };
    let (readme, guide) = (read("README.md"), read("docs/c.md"));
    let (_, section) = readme.split_once("### C and C++").unwrap();
    // CI runs these commands.
    assert_eq!(first(section), first(&guide));
    let help = run(script().arg("--help"));
    let lines = help.lines().filter_map(|line| line.strip_prefix("  --")?.split(' ').next());
    for option in lines.filter(|option| *option != "help") {
        assert!(guide.contains(&format!("| `--{option}` |")), "docs/c.md does not explain --{option}");
    }
    for kind in ["pkg-config", "CMake"] {
        assert!(guide.contains(&format!("### {kind}\n")), "{kind}");
    }
}

#[test]
fn nothing_is_left_of_an_installation() {
    let scratch = Scratch::new("left");
    let prefix = scratch.path().join("a/b");
    install(&prefix);
    run(script().arg(format!("--prefix={}", prefix.display())).arg("--uninstall"));
    assert_eq!(fs::read_dir(scratch.path()).unwrap().count(), 0);
}

#[test]
fn what_is_wrong_is_said() {
    let scratch = Scratch::new("wrong");
    let file = scratch.path().join("file");
    fs::write(&file, "").unwrap();
    let prefix = format!("--prefix={}", scratch.path().join("prefix").display());
    let fails = |arguments: &[&str], said: &str| {
        // Has the tools that the script needs before the build, and no cargo.
        let tools = scratch.path().join("tools");
        fs::create_dir_all(&tools).unwrap();
        let paths = std::env::var_os("PATH").unwrap();
        for tool in ["sh", "dirname", "head", "sed", "uname"] {
            let found = std::env::split_paths(&paths).map(|path| path.join(tool)).find(|path| path.is_file());
            let _ = std::os::unix::fs::symlink(found.unwrap(), tools.join(tool));
        }
        let output = script().args(arguments).env("PATH", tools).output().unwrap();
        assert!(!output.status.success(), "{arguments:?}");
        assert!(text(&output).contains(said), "{arguments:?}: {}", text(&output));
    };
    fails(&["--prefiks=/x"], "unknown option --prefiks=/x");
    fails(&["--prefix="], "unknown option --prefix=");
    fails(&["--prefix=here"], "is not an absolute path");
    fails(&["--prefix=/a b"], "special character");
    fails(&[&format!("--prefix={}", file.display())], "is not a folder");
    fails(&[&prefix, &format!("--built={}", file.display())], "there is no such folder");
    fails(&[&prefix, &format!("--built={}", scratch.path().display())], "libtransom.a");
    fails(&[&prefix], "cargo is not installed");
    fails(&[&prefix, "--uninstall"], "nothing of Transom is installed");
    assert!(!scratch.path().join("prefix").exists());
    let help = run(script().arg("--help"));
    for option in ["--prefix", "--libdir", "--includedir", "--mandir", "--built", "--uninstall", "DESTDIR"] {
        assert!(help.contains(option), "{option}");
    }
}

/// Installs, and moves what was installed elsewhere. Returns the new prefix.
fn moved(scratch: &Scratch) -> PathBuf {
    install(&scratch.path().join("first"));
    fs::rename(scratch.path().join("first"), scratch.path().join("second")).unwrap();
    scratch.path().join("second")
}

#[test]
fn programs_find_the_library_by_pkg_config() {
    if !has("pkg-config") {
        return;
    }
    let scratch = Scratch::new("pkg-config");
    let prefix = moved(&scratch);
    let source = scratch.path().join("program.c");
    fs::write(&source, PROGRAM).unwrap();
    let ask = |arguments: &[&str]| {
        let mut command = Command::new("pkg-config");
        run(command.args(arguments).env("PKG_CONFIG_PATH", prefix.join("lib/pkgconfig")))
    };
    assert_eq!(ask(&["--modversion", "transom"]).trim(), VERSION);
    let build = |compiler: &str, arguments: &[&str]| {
        let program = scratch.path().join("program");
        let options = ask(arguments);
        let mut link = Command::new(compiler);
        link.args(["-x", if compiler == "cc" { "c" } else { "c++" }]).arg(&source).args(["-x", "none"]);
        link.arg(format!("-DVERSION=\"{VERSION}\"")).args(["-Wall", "-Wextra", "-Wpedantic", "-Werror"]);
        run(link.args(options.split_whitespace()).arg("-o").arg(&program));
        run(Command::new(&program).env("LD_LIBRARY_PATH", prefix.join("lib")));
        let needed = run(Command::new("readelf").arg("-d").arg(&program));
        assert_eq!(needed.contains("[libtransom.so.0]"), arguments.last() == Some(&"transom"), "{needed}");
    };
    for compiler in ["cc", "c++"] {
        build(compiler, &["--cflags", "--libs", "transom"]);
        build(compiler, &["--cflags", "--libs", "transom-static"]);
    }
    // With the shared library out of the way, --static is enough.
    for name in files(&prefix.join("lib")).iter().filter(|name| name.starts_with("libtransom.so")) {
        fs::remove_file(prefix.join("lib").join(name)).unwrap();
    }
    build("cc", &["transom", "--static", "--cflags", "--libs"]);
}

const PROJECT: &str = r#"
cmake_minimum_required(VERSION 3.13)
project(programs C CXX)
find_package(transom @SERIES@ CONFIG REQUIRED)
find_package(transom CONFIG REQUIRED)
add_definitions(-DVERSION="@VERSION@")
add_executable(c-shared program.c)
target_link_libraries(c-shared PRIVATE transom::transom)
add_executable(c-static program.c)
target_link_libraries(c-static PRIVATE transom::static)
add_executable(cxx-shared program.cpp)
target_link_libraries(cxx-shared PRIVATE transom::transom)
add_executable(cxx-static program.cpp)
target_link_libraries(cxx-static PRIVATE transom::static)
"#;

#[test]
fn programs_find_the_library_by_cmake() {
    if !has("cmake") {
        return;
    }
    let scratch = Scratch::new("cmake");
    let prefix = moved(&scratch);
    let project = scratch.path().join("project");
    fs::create_dir(&project).unwrap();
    let (series, _) = VERSION.rsplit_once('.').unwrap();
    let lists = PROJECT.replace("@SERIES@", series).replace("@VERSION@", VERSION);
    fs::write(project.join("CMakeLists.txt"), lists).unwrap();
    fs::write(project.join("program.c"), PROGRAM).unwrap();
    fs::write(project.join("program.cpp"), PROGRAM).unwrap();
    let found = format!("-DCMAKE_PREFIX_PATH={}", prefix.display());
    run(Command::new("cmake").args(["-S", ".", "-B", "build", &found]).current_dir(&project));
    run(Command::new("cmake").args(["--build", "build"]).current_dir(&project));
    for (name, is_shared) in
        [("c-shared", true), ("c-static", false), ("cxx-shared", true), ("cxx-static", false)]
    {
        let program = project.join("build").join(name);
        run(&mut Command::new(&program));
        let needed = run(Command::new("readelf").arg("-d").arg(&program));
        assert_eq!(needed.contains("[libtransom.so.0]"), is_shared, "{name}: {needed}");
    }
}

#[test]
fn cmake_accepts_the_versions_that_are_compatible() {
    if !has("cmake") {
        return;
    }
    let scratch = Scratch::new("versions");
    install(scratch.path());
    let file = scratch.path().join("lib/cmake/transom/transom-config-version.cmake");
    let accepts = |wanted: &[(&str, &str)]| {
        let script = scratch.path().join("ask.cmake");
        let set = wanted.iter().map(|(name, value)| format!("set(PACKAGE_FIND_VERSION{name} {value})\n"));
        let ask = set.collect::<String>()
            + &format!("include({})\nmessage(\"${{PACKAGE_VERSION_COMPATIBLE}}\")\n", file.display());
        fs::write(&script, ask).unwrap();
        let answer = Command::new("cmake").arg("-P").arg(&script).output().unwrap();
        text(&answer).trim() == "TRUE"
    };
    let numbers: Vec<u32> = VERSION.split('.').map(|number| number.parse().unwrap()).collect();
    let [major, minor, patch] = numbers[..] else { panic!("{VERSION}") };
    assert!(accepts(&[("", VERSION)]));
    assert!(accepts(&[("", &format!("{major}.{minor}"))]));
    assert!(!accepts(&[("", &format!("{major}.{minor}.{}", patch + 1))]));
    assert!(!accepts(&[("", &format!("{major}.{}", minor + 1))]));
    assert!(!accepts(&[("", &format!("{}", major + 1))]));
    assert_eq!(accepts(&[("", &format!("{major}.{}", minor.saturating_sub(1)))]), minor == 0 || major > 0);
    let range = |max: &str, kind: &str| {
        accepts(&[("", "0.0"), ("_RANGE", "0.0..."), ("_MIN", "0.0"), ("_MAX", max), ("_RANGE_MAX", kind)])
    };
    assert!(range(VERSION, "INCLUDE") && !range(VERSION, "EXCLUDE") && range("99", "EXCLUDE"));
}

#[test]
fn every_function_and_type_has_a_man_page() {
    let scratch = Scratch::new("man");
    install(scratch.path());
    let folder = scratch.path().join("share/man/man3");
    let is_lower = |word: &str| word.starts_with("transom_") && !word.ends_with("_tag");
    let pages: BTreeSet<_> =
        files(&folder).iter().map(|name| name.strip_suffix(".3").unwrap().to_owned()).collect();
    let mut names = header_words(is_lower);
    names.insert("transom".into());
    assert_eq!(pages, names);
    let overview = fs::read_to_string(folder.join("transom.3")).unwrap();
    for name in names.iter().filter(|name| *name != "transom") {
        let page = fs::read_to_string(folder.join(name).with_extension("3")).unwrap();
        assert!(page.contains(&format!(".Nm {name}\n.Nd ")) && page.contains(".Sh DESCRIPTION\n"), "{page}");
        assert!(!page.contains(".Nd \n"), "{name} has no summary");
        assert!(overview.contains(&format!(".It Xr {name} 3\n")), "{name} is not in transom(3)");
    }
    let header = fs::read_to_string(include_dir().join("transom.h")).unwrap();
    let macros = header.lines().collect::<Vec<_>>();
    for pair in macros.windows(2).filter(|pair| pair[0].ends_with("*/")) {
        let name = pair[1].strip_prefix("#define ").and_then(|rest| rest.split([' ', '(']).next());
        let is_there = name.is_none_or(|name| {
            overview.contains(&format!(".It Dv {name}\n")) || overview.contains(&format!(".It Fn {name} "))
        });
        assert!(is_there || pair[1].contains("__attribute__"), "{} is not in transom(3)", pair[1]);
    }
    if has("mandoc") {
        let paths: Vec<_> = pages.iter().map(|name| folder.join(name).with_extension("3")).collect();
        // What it asks the machine's own pages for is on the standard error.
        run(Command::new("mandoc").args(["-T", "lint", "-W", "warning"]).args(paths));
    }
}

#[test]
fn the_shared_library_needs_only_the_c_library() {
    let scratch = Scratch::new("needs");
    install(scratch.path());
    let library = scratch.path().join("lib").join(format!("libtransom.so.{VERSION}"));
    let dynamic = run(Command::new("readelf").arg("-d").arg(&library));
    let value = |line: &str| Some(line.split_once('[')?.1.split_once(']')?.0.to_owned());
    let values =
        |kind: &str| dynamic.lines().filter(|line| line.contains(kind)).filter_map(value).collect::<Vec<_>>();
    for name in values("(NEEDED)") {
        // The compressors need the mathematics of the C library, which has a file of its own.
        let system = ["libc.so.", "libm.so.", "libgcc_s.so.", "ld-linux"];
        let is_system = system.iter().any(|begin| name.starts_with(begin));
        assert!(is_system, "the library needs {name}");
    }
    let header = fs::read_to_string(include_dir().join("transom.h")).unwrap();
    let (_, number) = header.split_once("#define TRANSOM_ABI_VERSION ").unwrap();
    assert_eq!(values("(SONAME)"), [format!("libtransom.so.{}", number.lines().next().unwrap())]);
    assert!(!dynamic.contains("RPATH") && !dynamic.contains("RUNPATH") && !dynamic.contains("TEXTREL"));
    if !cfg!(debug_assertions) {
        let size = |path: &Path| path.metadata().unwrap().len();
        let [shared, archive] = [size(&library), size(&scratch.path().join("lib/libtransom.a"))];
        // 5.7 MB and 12.7 MB, most of it TLS (2026-11).
        assert!(shared < 7_000_000 && archive < 15_000_000, "{shared} and {archive} bytes");
    }
}
