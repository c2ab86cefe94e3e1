//! The wire corpus over sockets, under each model: whole, a byte at a time, and
//! cut in two here and there. Each tester has a server of its own in each
//! configuration, and talks to it over one connection after another.

mod support;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use support::app;
use support::corpus::{Case, Then};
use support::judge::{self, Failure, corpus, quiet_panics};
use support::play::Cut;
use support::socket::{cuts, play};
use transom::{Handle, Model};

/// What must come has come by then, on a machine with other work to do.
const PATIENCE: Duration = Duration::from_secs(60);

/// A tester and its servers, by configuration.
struct Tester {
    model: Model,
    servers: BTreeMap<String, Running>,
}

struct Running {
    path: PathBuf,
    handle: Handle,
}

impl Tester {
    fn new(model: Model) -> Self {
        Self { model, servers: BTreeMap::new() }
    }

    fn judge(&mut self, case: &Case) -> Option<Failure> {
        let start = || Running::start(self.model, &case.config);
        let server = self.servers.entry(case.config.clone()).or_insert_with(start);
        judge::one(case, &cuts(case), |cut| play(&server.path, case, cut, PATIENCE))
    }
}

impl Running {
    fn start(model: Model, config: &str) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("transom-models-{}-{number}", std::process::id()));
        let server = app::server(config).unwrap_or_else(|| panic!("no configuration {config:?}"));
        let handle = server.model(model).workers(1).bind(&format!("unix:{}", path.display()));
        Self { path, handle: handle.unwrap().start().unwrap() }
    }
}

/// No case may leave anything under way behind.
impl Drop for Running {
    fn drop(&mut self) {
        let report = self.handle.stop(PATIENCE);
        if !std::thread::panicking() {
            assert_eq!((report.cut, report.pending), (0, 0), "cut, pending");
        }
    }
}

fn hold(model: Model) {
    quiet_panics();
    let files = corpus();
    let cases = judge::wanted(&files);
    let failures = judge::all(&cases, || {
        let mut tester = Tester::new(model);
        move |case: &Case| tester.judge(case)
    });
    judge::assert_none(&failures, cases.len());
}

#[test]
fn every_case_holds_over_sockets_in_the_sequential_model() {
    hold(Model::Sequential);
}

#[test]
fn every_case_holds_over_sockets_with_a_thread_per_connection() {
    hold(Model::ThreadPerConnection);
}

#[test]
fn every_case_holds_over_sockets_in_the_event_driven_model() {
    hold(Model::EventDriven);
}

#[test]
fn a_case_that_does_not_hold_is_found() {
    let server = Running::start(Model::Sequential, "default");
    let mut files = corpus();
    let mut cases = files.iter_mut().flat_map(|file| &mut file.cases);
    let case = cases.find(|case| case.then == Some(Then::Open) && case.config == "default").unwrap();
    let judge = |case: &Case, patience| {
        judge::one(case, &[Cut::Whole], |cut| play(&server.path, case, cut, patience))
    };
    // What does not come need not be waited for as long.
    let short = Duration::from_millis(100);
    assert!(judge(case, PATIENCE).is_none());
    case.then = Some(Then::Closed);
    assert!(judge(case, short).is_some());
    case.then = Some(Then::Open);
    let right = case.stages[0].expect.clone();
    for wrong in [&right[1..], &right[..right.len() - 1], &[&right[..], b"x"].concat()] {
        case.stages[0].expect = wrong.into();
        assert!(judge(case, short).is_some());
    }
    case.stages[0].expect = right;
    assert!(judge(case, PATIENCE).is_none());
}
