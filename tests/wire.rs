//! The wire corpus: requests and their answers as files, each played whole, cut
//! in two at every byte, and a byte at a time. `tests/wire/README.md` says how
//! to add one.

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use support::app;
use support::corpus::{Case, File, Then};
use support::escape::escape;
use support::play::{Cut, Outcome, cuts, play};
use transom::Service;

/// What a case got instead of what it says.
struct Failure {
    /// When it was sent whole.
    outcome: Outcome,
    /// However it was sent.
    always: bool,
    text: String,
}

fn corpus() -> Vec<File> {
    File::all(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/wire"))
}

/// Handlers that panic on purpose need not say so each time.
fn quiet_panics() {
    let loud = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if panic.payload().downcast_ref::<&str>() != Some(&"on purpose") {
            loud(panic);
        }
    }));
}

fn judge(service: &Service, case: &Case) -> Option<Failure> {
    let right = Outcome {
        answers: case.stages.iter().map(|stage| stage.expect.clone()).collect(),
        then: case.then.ok_or_else(|| "the case does not say how the connection is left".into()),
    };
    let cuts = cuts(case);
    let outcome = play(service, case, Cut::Whole);
    let mut wrong = Vec::new();
    let mut always = true;
    for &cut in &cuts {
        let other = play(service, case, cut);
        always &= other == outcome;
        if other != right {
            wrong.push((cut, other));
        }
    }
    let (cut, first) = wrong.first()?;
    let mut text = format!("{} in {} of {} ways to send it; {cut}:\n", case.name, wrong.len(), cuts.len());
    for (stage, (wanted, got)) in right.answers.iter().zip(&first.answers).enumerate() {
        if wanted != got {
            let _ = writeln!(text, "  answer {} (- the file, + the server):", stage + 1);
            text.push_str(&difference(&escape(wanted), &escape(got)));
        }
    }
    if right.then != first.then {
        let _ = writeln!(text, "  then: the file says {:?}, the server {:?}", right.then, first.then);
    }
    Some(Failure { outcome, always, text })
}

/// The lines that differ, with those around them.
fn difference(wanted: &[String], got: &[String]) -> String {
    let same = wanted.iter().zip(got).take_while(|(a, b)| a == b).count();
    let (wanted_rest, got_rest) = (&wanted[same..], &got[same..]);
    let same_end = wanted_rest.iter().rev().zip(got_rest.iter().rev()).take_while(|(a, b)| a == b).count();
    let mut text = String::new();
    let parts = [
        (' ', &wanted[..same]),
        ('-', &wanted_rest[..wanted_rest.len() - same_end]),
        ('+', &got_rest[..got_rest.len() - same_end]),
        (' ', &wanted_rest[wanted_rest.len() - same_end..]),
    ];
    for (mark, lines) in parts {
        for line in lines {
            let _ = writeln!(text, "    {mark} {line}");
        }
    }
    text
}

/// Plays cases on as many threads as there are cores.
fn judge_all(cases: &[&Case]) -> Vec<Option<Failure>> {
    let configs: BTreeSet<_> = cases.iter().map(|case| case.config.as_str()).collect();
    let service = |name| (name, app::service(name).unwrap_or_else(|| panic!("no configuration {name:?}")));
    let services: BTreeMap<&str, Service> = configs.into_iter().map(service).collect();
    let verdicts: Vec<_> = cases.iter().map(|_| Mutex::new(None)).collect();
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                loop {
                    let place = next.fetch_add(1, Ordering::Relaxed);
                    let Some(case) = cases.get(place) else { return };
                    *verdicts[place].lock().unwrap() = judge(&services[case.config.as_str()], case);
                }
            });
        }
    });
    verdicts.into_iter().map(|verdict| verdict.into_inner().unwrap()).collect()
}

/// Writes what came into the files: for new cases, or for all with `all`.
fn bless(files: &mut [File], failures: &mut BTreeMap<String, Failure>, all: bool) {
    for file in files {
        let mut blessed = false;
        for case in &mut file.cases {
            let Some(failure) = failures.get(&case.name) else { continue };
            let Ok(then) = failure.outcome.then else { continue };
            if failure.always && (all || case.is_new()) {
                case.bless(&failure.outcome.answers, then);
                failures.remove(&case.name);
                blessed = true;
            }
        }
        if blessed {
            file.write();
        }
    }
}

#[test]
fn every_case_holds_however_it_arrives() {
    quiet_panics();
    let mut files = corpus();
    let wanted = std::env::var("TRANSOM_CASE").unwrap_or_default();
    let all = files.iter().flat_map(|file| &file.cases);
    let cases: Vec<_> = all.filter(|case| case.name.contains(&wanted)).collect();
    assert!(!cases.is_empty(), "no case has {wanted:?} in its name");
    let verdicts = judge_all(&cases);
    let count = cases.len();
    let mut failures: BTreeMap<_, _> = cases
        .iter()
        .zip(verdicts)
        .filter_map(|(case, verdict)| Some((case.name.clone(), verdict?)))
        .collect();
    if let Ok(which) = std::env::var("TRANSOM_BLESS") {
        bless(&mut files, &mut failures, which == "all");
    }
    let texts: Vec<_> = failures.values().map(|failure| failure.text.as_str()).collect();
    assert!(texts.is_empty(), "{} of {count} cases fail:\n\n{}", texts.len(), texts.join("\n"));
}

#[test]
fn every_case_has_a_name_of_its_own_that_says_where_it_comes_from() {
    let mut names = BTreeSet::new();
    for case in corpus().iter().flat_map(|file| &file.cases) {
        let name = &case.name;
        assert!(names.insert(name.clone()), "two cases are named {name}");
        assert!(name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_'), "{name}");
        let cites = ["rfc9110_", "rfc9112_", "limits_", "promise_"];
        assert!(cites.iter().any(|prefix| name.starts_with(prefix)), "{name} cites nothing: {cites:?}");
        assert!(case.length() > 0, "{name} sends nothing");
        let ended = case.stages.last().is_some_and(|stage| stage.end);
        assert!(!ended || case.then != Some(Then::Open), "{name}: after eof a connection is not open");
    }
}
