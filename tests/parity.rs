//! `docs/parity.md` tells the truth: each name in the tables exists in its language, and the tables
//! name all that a language exports.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The text of all files with that extension in a folder.
fn sources(folder: &str, extension: &str) -> Vec<String> {
    let (mut texts, mut folders) = (Vec::new(), vec![root().join(folder)]);
    while let Some(folder) = folders.pop() {
        for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|is| is == extension) {
                texts.push(fs::read_to_string(path).unwrap());
            }
        }
    }
    texts
}

/// The words of a text: what a name can be compared with.
fn words(text: &str) -> BTreeSet<&str> {
    text.split(|c: char| !c.is_alphanumeric() && c != '_').collect()
}

/// The names in code font of each column, without the column of features.
fn columns() -> [Vec<String>; 3] {
    let mut columns = [Vec::new(), Vec::new(), Vec::new()];
    let document = read("docs/parity.md");
    for row in document.lines().filter(|line| line.starts_with("| ")) {
        let cells: Vec<_> = row.split('|').collect();
        assert_eq!(cells.len(), 6, "not four cells: {row}");
        for (column, cell) in columns.iter_mut().zip(&cells[2..5]) {
            column.extend(cell.split('`').skip(1).step_by(2).map(str::to_owned));
        }
    }
    columns
}

#[test]
fn each_rust_name_is_exported() {
    let library = read("src/lib.rs");
    let exports = library.split("pub use ").skip(1).filter_map(|rest| rest.split(';').next());
    let exports: BTreeSet<_> = exports.flat_map(words).collect();
    let code = sources("src", "rs").concat();
    let [names, ..] = columns();
    assert!(names.len() > 60, "only {} names", names.len());
    for name in names.iter().filter(|name| *name != "log") {
        let (item, method) =
            name.split_once("::").map_or((name.as_str(), None), |(item, method)| (item, Some(method)));
        assert!(exports.contains(item), "{item} is not exported");
        // The methods of routers that are called as HTTP methods come from a macro.
        let exists = method.is_none_or(|method| {
            let declared =
                |code: &str| ["(", "<"].iter().any(|next| code.contains(&format!("fn {method}{next}")));
            declared(&code) || (item == "Router" && code.contains(&format!("method!({method} ")))
        });
        assert!(exists, "there is no {name}");
    }
}

/// Fails if a name is exported that no row of the tables has.
fn assert_named<'a>(exported: impl IntoIterator<Item = &'a str>, column: &[String]) {
    let named: BTreeSet<_> = column.iter().flat_map(|name| words(name)).collect();
    let missing: Vec<_> = exported.into_iter().filter(|name| !named.contains(name)).collect();
    assert!(missing.is_empty(), "docs/parity.md does not name {missing:?}");
}

#[test]
fn each_exported_name_is_in_the_tables() {
    let [rust, c, python] = columns();
    let library = read("src/lib.rs");
    let exports = library.split("pub use ").skip(1).filter_map(|rest| rest.split(';').next());
    // The last word of a path, or those in braces.
    let exports = exports.flat_map(|export| {
        let names = export.rsplit("::").next().unwrap_or_default();
        words(names).into_iter().filter(|name| !name.is_empty())
    });
    assert_named(exports, &rust);
    let header = read("include/transom.h");
    let code = header.lines().filter(|line| !line.trim_start().starts_with(['*', '/']));
    let functions = code
        .filter_map(|line| line.split_once('(').map(|(before, _)| before))
        .filter_map(|before| before.rsplit([' ', '*']).next().filter(|name| name.starts_with("transom_")));
    let functions: Vec<_> = functions.collect();
    assert!(functions.len() > 60, "only {} functions", functions.len());
    assert_named(functions, &c);
    let list = read("bindings/python/src/transom/__init__.py");
    let list = list.split("__all__ = [").nth(1).and_then(|rest| rest.split(']').next());
    assert_named(words(list.unwrap()).into_iter().filter(|name| !name.is_empty()), &python);
}

#[test]
fn each_c_name_is_in_the_header() {
    let header = read("include/transom.h");
    let declared = words(&header);
    let [_, names, _] = columns();
    assert!(names.len() > 40, "only {} names", names.len());
    for name in &names {
        assert!(declared.contains(name.as_str()), "{name} is not in the header");
    }
}

/// The text of the file of a Python class, and of the files of the classes that it inherits from.
fn with_bases(class: &str, code: &[String]) -> String {
    let (plain, derived) = (format!("\nclass {class}:"), format!("\nclass {class}("));
    let Some(file) = code.iter().find(|file| file.contains(&plain) || file.contains(&derived)) else {
        return String::new();
    };
    let bases = file.split_once(&derived).and_then(|(_, rest)| rest.split(')').next()).unwrap_or_default();
    let bases = words(bases).into_iter().filter(|base| !base.is_empty());
    bases.fold(file.clone(), |text, base| text + &with_bases(base, code))
}

#[test]
fn each_python_name_is_in_the_package() {
    let package = "bindings/python/src/transom";
    let list = read(&format!("{package}/__init__.py"));
    let list = list.split("__all__ = [").nth(1).expect("the package lists its names");
    let public = words(list.split(']').next().unwrap());
    let code = sources(package, "py");
    let [.., names] = columns();
    assert!(names.len() > 40, "only {} names", names.len());
    for name in &names {
        // `Class`, `Class.member`, `Class(argument=)`, `Class.member(argument=)`.
        let class = name.split(['.', '(']).next().unwrap();
        if !public.contains(class) {
            let foreign = ["transom", "asyncio.sleep", "async def"];
            assert!(foreign.contains(&name.as_str()), "{class} is not in __all__");
            continue;
        }
        let is_function = code.iter().any(|file| file.contains(&format!("\ndef {class}(")));
        if is_function {
            continue;
        }
        let file = with_bases(class, &code);
        assert!(!file.is_empty(), "there is no class and no function {class}");
        let (path, argument) =
            name.split_once('(').map_or((name.as_str(), None), |(path, rest)| (path, Some(rest)));
        if let Some((_, member)) = path.split_once('.') {
            assert!(file.contains(&format!("def {member}(")), "{class} has no {member}");
        }
        if let Some(argument) = argument {
            let argument = argument.trim_end_matches("=)");
            assert!(
                file.contains(&format!("        {argument}: ")) || file.contains(&format!(" {argument}: ")),
                "{name}"
            );
        }
    }
}
