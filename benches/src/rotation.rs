//! The measurement: scenario by scenario, each round over all servers in turn, so that what the
//! machine does meanwhile is spread over all of them. Keeps medians; refuses what is not sound.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::check;
use crate::machine::{self, Cores};
use crate::measure::{self, Disturbed};
use crate::options::{Mode, Options};
use crate::process::Running;
use crate::results::Results;
use crate::scenario::{Kind, Scenario};
use crate::servers::{Places, Server};
use crate::special::{self, Metrics};
use crate::stats::Spread;

/// How many rounds that others disturbed are repeated, for each server in each scenario.
const REPEATS: usize = 4;
/// How long a repetition waits for others to be done.
const PATIENCE: Duration = Duration::from_secs(15);

/// What a quick run does instead of what a scenario says.
const QUICK_ROUNDS: usize = 2;
const QUICK_SECONDS: f64 = 0.4;

pub struct Rotation<'a> {
    pub options: &'a Options,
    pub places: &'a Places,
    pub cores: Cores,
    pub servers: &'a [Server],
    /// The content of the file that /file answers with.
    pub file: Vec<u8>,
    /// Where results go after every scenario.
    pub csv: PathBuf,
    pub results: Results,
}

/// A server's way through the rounds of a scenario.
#[derive(Default)]
struct Entry {
    rounds: Vec<Metrics>,
    disturbed: Vec<f64>,
    refused: Option<String>,
}

impl Rotation<'_> {
    pub fn run(&mut self, scenarios: &[Scenario]) -> Result<()> {
        for (at, scenario) in scenarios.iter().enumerate() {
            eprintln!("[{}/{}] {}: {}", at + 1, scenarios.len(), scenario.id, scenario.title);
            self.scenario(scenario);
            if let Some(folder) = self.csv.parent() {
                fs::create_dir_all(folder)?;
            }
            self.results.write(&self.csv)?;
        }
        Ok(())
    }

    fn scenario(&mut self, scenario: &Scenario) {
        let done = |server: &&Server| self.results.has(&scenario.id, &server.name);
        let takes_part = |server: &&Server| server.scenarios.iter().any(|group| group == scenario.group);
        let servers: Vec<_> =
            self.servers.iter().filter(takes_part).filter(|server| !done(server)).cloned().collect();
        let mut entries: HashMap<String, Entry> = HashMap::new();
        let rounds = if self.options.mode == Mode::Quick { QUICK_ROUNDS } else { scenario.rounds };
        for round in 0..self.options.rounds.unwrap_or(rounds) {
            for server in &servers {
                let entry = entries.entry(server.name.clone()).or_default();
                if entry.refused.is_none() {
                    let before = entry.rounds.len();
                    self.round(scenario, server, entry);
                    let quiet = entry.rounds.len() > before;
                    progress(scenario, server, round, entry, quiet);
                }
            }
        }
        for server in &servers {
            let entry = entries.remove(&server.name).unwrap_or_default();
            self.keep(scenario, server, entry);
        }
    }

    /// One round of a server, repeated while others disturb it.
    fn round(&self, scenario: &Scenario, server: &Server, entry: &mut Entry) {
        loop {
            match self.measure(scenario, server, entry.rounds.is_empty()) {
                Ok(metrics) => return entry.rounds.push(metrics),
                Err(error) => {
                    let Some(Disturbed(share)) = error.downcast_ref() else {
                        entry.refused = Some(format!("{error:#}"));
                        return;
                    };
                    entry.disturbed.push(*share);
                    if entry.disturbed.len() > REPEATS {
                        return;
                    }
                    machine::wait_for_quiet(self.cores, self.options.interference, PATIENCE);
                }
            }
        }
    }

    fn measure(&self, scenario: &Scenario, server: &Server, first: bool) -> Result<Metrics> {
        let mut running = Running::start(server, self.places, self.cores.server)?;
        if first && !matches!(scenario.kind, Kind::Start) {
            check::group(&running, scenario.group, &self.file).context("a wrong answer")?;
        }
        let metrics = match &scenario.kind {
            Kind::Load(plan) => {
                let mut plan = plan.clone();
                plan.seconds = self.seconds(plan.seconds);
                let sample = measure::run(&running, &plan, self.cores)?;
                sample.check(self.options.interference)?;
                // A server that serves one connection at a time starves the others, and is
                // measured by the one; one that serves nobody has nothing to be measured by.
                ensure!(sample.tally.answers > 0 || sample.tally.body_bytes > 0, "no answer in the window");
                let mut metrics = sample.metrics();
                if scenario.group == "wait" {
                    let ideal = plan.connections as f64 / crate::scenario::WAIT;
                    metrics.insert("fraction", sample.rate() / ideal);
                }
                if scenario.group == "events" {
                    let ideal = plan.connections as f64 * crate::scenario::EVENT_RATE;
                    metrics.insert("fraction", sample.rate() / ideal);
                }
                if scenario.primary == "cpu_us_mib" {
                    metrics.insert("mib_rate", sample.mib_rate());
                    metrics.insert("cpu_us_mib", sample.cpu_share / sample.mib_rate() * 1e6);
                }
                metrics
            }
            Kind::Idle(plan) => special::idle(&running, plan, self.cores)?,
            Kind::Slow(fast, slow) => {
                special::slow(&running, fast, slow, self.cores, self.options.interference)?
            }
            Kind::Start => special::start(&running, server, self.places)?,
        };
        ensure!(!running.ended(), "the server ended during the run");
        Ok(metrics)
    }

    fn seconds(&self, full: f64) -> f64 {
        let quick = if self.options.mode == Mode::Quick { full.min(QUICK_SECONDS) } else { full };
        self.options.seconds.unwrap_or(quick)
    }

    fn keep(&mut self, scenario: &Scenario, server: &Server, mut entry: Entry) {
        let (id, name) = (&scenario.id, &server.name);
        if let Some(why) = entry.refused {
            return self.results.refuse(id, name, &why);
        }
        if entry.rounds.is_empty() {
            let least = entry.disturbed.iter().copied().fold(f64::INFINITY, f64::min);
            let why = format!(
                "interference: others used at least {:.0} % of the cores in each of {} tries",
                least * 100.0,
                entry.disturbed.len()
            );
            return self.results.refuse(id, name, &why);
        }
        let clean_build = matches!(scenario.kind, Kind::Start) && self.options.mode == Mode::Full;
        if let Some(package) = server.package.as_ref().filter(|_| clean_build) {
            match special::build_seconds(package, self.places) {
                Ok(seconds) => {
                    entry.rounds[0].insert("build_s", seconds);
                }
                Err(error) => eprintln!("  {name}: {error:#}"),
            }
        }
        let mut values: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
        for (metric, value) in entry.rounds.iter().flatten() {
            values.entry(metric).or_default().push(*value);
        }
        for (metric, values) in values {
            if let Some(spread) = Spread::of(&values) {
                self.results.add(id, name, metric, spread);
            }
        }
    }
}

fn progress(scenario: &Scenario, server: &Server, round: usize, entry: &Entry, quiet: bool) {
    let name = &server.name;
    let round = round + 1;
    if let Some(why) = &entry.refused {
        return eprintln!("  {round} {name:20} refused: {why}");
    }
    let Some(metrics) = entry.rounds.last().filter(|_| quiet) else {
        let percent = entry.disturbed.last().copied().unwrap_or_default() * 100.0;
        return eprintln!("  {round} {name:20} disturbed: {percent:.0} % interference");
    };
    let shown = [scenario.primary, "cpu_us", "rate", "p99_us"].into_iter().enumerate();
    let shown = shown.filter(|(at, metric)| *at == 0 || *metric != scenario.primary);
    let text: Vec<_> =
        shown.filter_map(|(_, metric)| Some(format!("{metric} {:.1}", metrics.get(metric)?))).collect();
    eprintln!("  {round} {name:20} {}", text.join(", "));
}
