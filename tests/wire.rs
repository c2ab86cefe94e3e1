//! The wire corpus: requests and their answers as files, each played whole, cut
//! in two at every byte, and a byte at a time. `tests/wire/README.md` says how
//! to add one.

mod support;

use std::collections::{BTreeMap, BTreeSet};

use support::app;
use support::corpus::{Case, File, Then};
use support::judge::{self, Failure, corpus, quiet_panics};
use support::play::{cuts, play};
use transom::Service;

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
    let cases = judge::wanted(&files);
    let configs: BTreeSet<_> = cases.iter().map(|case| case.config.as_str()).collect();
    let service = |name| (name, app::service(name).unwrap_or_else(|| panic!("no configuration {name:?}")));
    let services: BTreeMap<&str, Service> = configs.into_iter().map(service).collect();
    let mut failures = judge::all(&cases, || {
        |case: &Case| {
            let service = &services[case.config.as_str()];
            judge::one(case, &cuts(case), |cut| play(service, case, cut))
        }
    });
    let count = cases.len();
    if let Ok(which) = std::env::var("TRANSOM_BLESS") {
        bless(&mut files, &mut failures, which == "all");
    }
    judge::assert_none(&failures, count);
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
