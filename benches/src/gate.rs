//! The regression gate: fails when Transom needs more instructions or more CPU per request than
//! the baseline says, or when one of its faces makes errors or grows under load.

use std::collections::BTreeMap;
use std::os::unix::process::ExitStatusExt;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rustix::process::Signal;

use crate::baseline::{Baseline, Ratio, Verdict};
use crate::callgrind::{self, Cost};
use crate::load::Plan;
use crate::machine::{self, Cores};
use crate::measure::{self, Disturbed};
use crate::options::Options;
use crate::prepare;
use crate::process::Running;
use crate::report::said_by;
use crate::report::svg::number;
use crate::scenario::{self, Kind, Scenario};
use crate::servers::{Places, Server};
use crate::stats::median_and_error;

const LIMIT: &str = "limit";
/// Whose CPU is compared with the limit's.
const COMPARED: [&str; 2] = ["transom-event", "transom-c"];
/// The faces of the library that are put under load.
const FACES: [&str; 3] = ["transom-event", "transom-c", "transom-python"];
const SCENARIOS: [&str; 3] = ["small-64", "pipelined-16", "browser-64"];
const ROUNDS: usize = 11;
const SECONDS: f64 = 0.4;
/// Instructions that an empty wrap may add to a request.
const WRAP: f64 = 600.0;
/// The share of the instructions of a request that `on_exchange` with a counting hook may add.
const HOOK: f64 = 0.1;
/// Instructions that metrics may add to a request, with the hook in which they count.
const METRICS: f64 = 650.0;
/// Instructions that an access log in the combined format may add, with its hook.
const LOG: f64 = 1160.0;
/// How long the rounds of a scenario wait for others to be done, in all.
const PATIENCE: Duration = Duration::from_secs(20);
/// With fewer rounds than these undisturbed, ratios are not judged.
const FEWEST: usize = 5;

struct Gate<'a> {
    options: &'a Options,
    places: &'a Places,
    cores: Cores,
    servers: Vec<Server>,
    failures: Vec<String>,
    /// The verdict on each addition, such as an empty wrap. It is compared with a plain request of the same run.
    additions: Vec<Verdict>,
    /// The measurements that other processes disturbed.
    unjudged: Vec<String>,
}

pub fn run(options: &Options, places: &Places, servers: Vec<Server>) -> Result<()> {
    let path = places.benches.join("baseline.toml");
    let read = || Baseline::read(&path).context("the gate needs a baseline: --gate --bless writes one");
    let baseline = if options.bless { Baseline::default() } else { read()? };
    let began = Instant::now();
    let wanted = |server: &Server| {
        let name = server.name.as_str();
        name == LIMIT || COMPARED.contains(&name) || FACES.contains(&name)
    };
    let servers = servers.into_iter().filter(wanted).collect();
    let (servers, skipped) = prepare::all(servers, places)?;
    let failures = skipped.into_iter().map(|(server, why)| format!("{}: {why}", server.name)).collect();
    let cores = Cores::find()?;
    let mut gate =
        Gate { options, places, cores, servers, failures, additions: Vec::new(), unjudged: Vec::new() };
    let now = Baseline {
        rustc: said_by("rustc", &["--version"]),
        instructions: gate.instructions()?,
        ratio: gate.ratios()?,
    };
    gate.faces();
    for verdict in gate.additions.iter().filter(|verdict| verdict.fails()) {
        gate.failures.push(line(verdict));
    }
    eprintln!("measured in {:.0} s", began.elapsed().as_secs_f64());
    if options.bless {
        gate.failures.append(&mut gate.unjudged);
        ensure!(gate.failures.is_empty(), "not blessed:\n  {}", gate.failures.join("\n  "));
        now.write(&path)?;
        println!("wrote baseline.toml");
        return Ok(());
    }
    for what in &gate.unjudged {
        println!("{what}");
    }
    for verdict in &gate.additions {
        println!("{}", line(verdict));
    }
    let mut failures = gate.failures;
    for verdict in baseline.judge(&now) {
        println!("{}", line(&verdict));
        if verdict.fails() {
            failures.push(line(&verdict));
        }
    }
    if baseline.rustc != now.rustc {
        println!("the baseline was made with {}, this is {}", baseline.rustc, now.rustc);
    }
    if !failures.is_empty() {
        bail!("the gate fails:\n  {}", failures.join("\n  "));
    }
    println!("the gate passes");
    Ok(())
}

fn line(verdict: &Verdict) -> String {
    let Verdict { what, measured, baseline, most } = verdict;
    match (baseline, most) {
        (baseline, Some(most)) => format!(
            "{what}: {} ({}at most {}){}",
            number(*measured),
            baseline.map(|baseline| format!("baseline {}, ", number(baseline))).unwrap_or_default(),
            number(*most),
            if verdict.fails() { ": too much" } else { "" }
        ),
        _ => format!("{what}: {} (not in the baseline)", number(*measured)),
    }
}

/// Judges what a wrap, a hook, metrics and a log add to a plain request.
fn additions(plain: Cost, replay: impl Fn(&str) -> Result<Cost>) -> Result<Vec<Verdict>> {
    let (wrap, hook) = (replay("wrap")?, replay("hook")?);
    let (metrics, log) = (replay("metrics")?, replay("log")?);
    let verdict = |what: &str, measured, most| Verdict {
        what: what.to_owned(),
        measured,
        baseline: None,
        most: Some(most),
    };
    Ok(vec![
        verdict("instructions of an empty wrap", wrap.instructions - plain.instructions, WRAP),
        verdict(
            "instructions of a counting hook",
            hook.instructions - plain.instructions,
            HOOK * plain.instructions,
        ),
        verdict("allocations of a counting hook", hook.allocations - plain.allocations, 0.0),
        verdict("instructions of metrics", metrics.instructions - plain.instructions, METRICS),
        verdict("allocations of metrics", metrics.allocations - plain.allocations, 0.0),
        verdict("instructions of an access log", log.instructions - plain.instructions, LOG),
    ])
}

impl Gate<'_> {
    fn server(&self, name: &str) -> Result<&Server> {
        self.servers.iter().find(|server| server.name == name).with_context(|| format!("{name} is not there"))
    }

    fn instructions(&mut self) -> Result<BTreeMap<String, f64>> {
        callgrind::prepare(self.places)?;
        let mut counted = BTreeMap::new();
        let mut plain = None;
        for (kind, request) in callgrind::kinds() {
            let cost = callgrind::replay(&request, None, self.places)?;
            let instructions = cost.instructions;
            plain = plain.or(Some((request, cost)));
            eprintln!("instructions per request, {kind}: {}", number(instructions));
            counted.insert(kind.to_owned(), instructions.round());
        }
        let (request, plain) = plain.context("no kind of request")?;
        self.additions = additions(plain, |added| callgrind::replay(&request, Some(added), self.places))?;
        // A whole server over loopback, and the limit to be read beside it.
        for (name, judged) in [(LIMIT, false), (COMPARED[0], true)] {
            let server = self.server(name)?;
            let instructions = callgrind::server(server, self.places, self.cores.server)?;
            eprintln!("instructions per request over loopback, {name}: {}", number(instructions));
            if judged {
                counted.insert("loopback".to_owned(), instructions.round());
            }
        }
        Ok(counted)
    }

    /// CPU per request over the limit's, from rounds in which the two follow each other.
    fn ratios(&mut self) -> Result<BTreeMap<String, BTreeMap<String, Ratio>>> {
        let mut ratios: BTreeMap<String, BTreeMap<String, Ratio>> = BTreeMap::new();
        let scenarios: Vec<_> = scenario::all()
            .into_iter()
            .filter(|scenario| SCENARIOS.contains(&scenario.id.as_str()))
            .collect();
        for Scenario { id, kind, .. } in &scenarios {
            let Kind::Load(plan) = kind else { continue };
            let plan = Plan { seconds: SECONDS, warm: 0.2, ..plan.clone() };
            let mut pairs: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
            let (mut tries, mut patience) = (0, PATIENCE);
            let rounds = self.options.rounds.unwrap_or(ROUNDS);
            while tries < rounds * 2 && pairs.values().map(Vec::len).min().unwrap_or(0) < rounds {
                tries += 1;
                let Some(limit) = self.cpu_us(LIMIT, &plan)? else {
                    let waited = machine::wait_for_quiet(self.cores, self.options.interference, patience);
                    patience = patience.saturating_sub(waited);
                    continue;
                };
                for name in COMPARED {
                    if self.server(name).is_err() {
                        continue;
                    }
                    match self.cpu_us(name, &plan) {
                        Ok(Some(cpu_us)) => pairs.entry(name).or_default().push(cpu_us / limit),
                        Ok(None) => {}
                        Err(error) => self.failures.push(format!("{id}, {name}: {error:#}")),
                    }
                }
            }
            for name in COMPARED {
                let values = pairs.remove(name).unwrap_or_default();
                let Some((median, error)) = median_and_error(&values).filter(|_| values.len() >= FEWEST)
                else {
                    self.unjudged.push(format!("{id}, {name}: too few undisturbed rounds to judge by"));
                    continue;
                };
                eprintln!(
                    "CPU over the limit's, {id}, {name}: {median:.3} ± {error:.3} of {} rounds",
                    values.len()
                );
                let round = |value: f64| (value * 1e4).round() / 1e4;
                let ratio = Ratio { median: round(median), error: round(error) };
                ratios.entry(id.clone()).or_default().insert(name.to_owned(), ratio);
            }
        }
        Ok(ratios)
    }

    /// `None` when others disturbed the run.
    fn cpu_us(&self, name: &str, plan: &Plan) -> Result<Option<f64>> {
        let running = Running::start(self.server(name)?, self.places, self.cores.server)?;
        let sample = measure::run(&running, plan, self.cores)?;
        match sample.check(self.options.interference) {
            Err(error) if error.is::<Disturbed>() => Ok(None),
            checked => checked.map(|()| Some(sample.cpu_us())),
        }
    }

    /// Load on each face: no errors, no growth, an orderly end.
    fn faces(&mut self) {
        for name in FACES {
            match self.face(name) {
                Ok(text) => eprintln!("under load, {name}: {text}"),
                Err(error) => self.failures.push(format!("under load, {name}: {error:#}")),
            }
        }
    }

    fn face(&self, name: &str) -> Result<String> {
        let mut running = Running::start(self.server(name)?, self.places, self.cores.server)?;
        let plan = Plan { warm: 2.0, seconds: 4.0, ..scenario::small(64) };
        let sample = measure::run(&running, &plan, self.cores)?;
        sample.check(1.0)?;
        ensure!(sample.tally.starved == 0, "{} connections got no answer", sample.tally.starved);
        let (before, after) = sample.resident_kib;
        ensure!(
            after.saturating_sub(before) <= (before / 10).max(2048),
            "memory grew from {before} to {after} KiB in {} s",
            plan.seconds
        );
        let status = running.stop()?;
        let asked = status.signal() == Some(Signal::TERM.as_raw());
        ensure!(status.success() || asked, "ended with {status} when it was asked to end");
        Ok(format!(
            "{} requests/s, CPU {} µs/request, {before} KiB, then {after} KiB",
            number(sample.rate()),
            number(sample.cpu_us())
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns whether the verdicts fail if each addition has its limit, and so much more.
    fn fails(more: f64) -> Vec<bool> {
        let plain = Cost { instructions: 3000.0, allocations: 2.0 };
        let verdicts = additions(plain, |added| {
            let (limit, allocations) = match added {
                "wrap" => (WRAP, 4.0),
                "hook" => (HOOK * plain.instructions, 2.0),
                "metrics" => (METRICS, 2.0),
                _ => (LOG, 2.1),
            };
            let instructions = plain.instructions + limit + more;
            Ok(Cost { instructions, allocations: allocations + more / 2.0 })
        });
        verdicts.unwrap().iter().map(Verdict::fails).collect()
    }

    #[test]
    fn additions_within_their_limits() {
        assert_eq!(fails(0.0), [false; 6]);
        assert_eq!(fails(1.0), [true; 6]);
    }
}
