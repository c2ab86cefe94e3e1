//! Compares the answers with what a case specifies, in each way to send it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::corpus::{Case, File};
use super::escape::escape;
use super::play::{Cut, Outcome};

/// The result of a case that differs from what it specifies.
pub struct Failure {
    /// When it was sent the first way.
    pub outcome: Outcome,
    /// However it was sent.
    pub always: bool,
    pub text: String,
}

/// Returns the files of the corpus.
pub fn corpus() -> Vec<File> {
    File::all(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/wire"))
}

/// Returns the cases that `TRANSOM_CASE` names, or all.
pub fn wanted(files: &[File]) -> Vec<&Case> {
    let wanted = std::env::var("TRANSOM_CASE").unwrap_or_default();
    let all = files.iter().flat_map(|file| &file.cases);
    let cases: Vec<_> = all.filter(|case| case.name.contains(&wanted)).collect();
    assert!(!cases.is_empty(), "no case has {wanted:?} in its name");
    cases
}

/// Silences the handlers that panic on purpose.
pub fn quiet_panics() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        let loud = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            if panic.payload().downcast_ref::<&str>() != Some(&"on purpose") {
                loud(panic);
            }
        }));
    });
}

/// Plays a case in each of these ways; there is at least one.
pub fn one(case: &Case, cuts: &[Cut], mut play: impl FnMut(Cut) -> Outcome) -> Option<Failure> {
    let right = Outcome {
        answers: case.stages.iter().map(|stage| stage.expect.clone()).collect(),
        then: case.then.ok_or_else(|| "the case does not say how the connection is left".into()),
    };
    let outcome = play(cuts[0]);
    let mut wrong = Vec::new();
    let mut always = true;
    for &cut in &cuts[1..] {
        let other = play(cut);
        always &= other == outcome;
        if other != right {
            wrong.push((cut, other));
        }
    }
    let count = wrong.len() + usize::from(outcome != right);
    let (cut, first) = match wrong.first() {
        _ if outcome != right => (cuts[0], &outcome),
        first => first.map(|(cut, outcome)| (*cut, outcome))?,
    };
    let mut text = format!("{} in {count} of {} ways to send it; {cut}:\n", case.name, cuts.len());
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

/// Returns the lines that differ, with their context.
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

/// The most judges at a time: each may have servers, which need descriptors.
const JUDGES: usize = 8;

/// Judges all cases on as many threads as there are cores, up to a bound. Each thread has its own
/// judge. Returns the failures by name.
pub fn all<J>(cases: &[&Case], judge: impl Fn() -> J + Sync) -> BTreeMap<String, Failure>
where
    J: FnMut(&Case) -> Option<Failure>,
{
    let failures = Mutex::new(BTreeMap::new());
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from).min(JUDGES) {
            scope.spawn(|| {
                let mut judge = judge();
                while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
                    if let Some(failure) = judge(case) {
                        failures.lock().unwrap().insert(case.name.clone(), failure);
                    }
                }
            });
        }
    });
    failures.into_inner().unwrap()
}

/// Fails with the text of the failures, if there are any.
#[track_caller]
pub fn assert_none(failures: &BTreeMap<String, Failure>, count: usize) {
    let texts: Vec<_> = failures.values().map(|failure| failure.text.as_str()).collect();
    assert!(texts.is_empty(), "{} of {count} cases fail:\n\n{}", texts.len(), texts.join("\n"));
}
