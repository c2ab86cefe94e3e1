//! One load on one running server, and what the server used meanwhile.

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt;
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, ensure};

use crate::load::{Plan, Tally};
use crate::machine::{self, Cores};
use crate::process::Running;
use crate::usage::{self, Usage};

/// A run of the load: what its clients saw and what the server used.
#[derive(Clone, Debug)]
pub struct Sample {
    pub tally: Tally,
    /// CPU seconds of the server per second.
    pub cpu_share: f64,
    /// Context switches per second.
    pub voluntary: f64,
    pub involuntary: f64,
    pub threads: u64,
    pub peak_kib: u64,
    pub resident_kib: (u64, u64),
    /// The share of the cores' time that went to neither the server nor the load.
    pub interference: f64,
}

/// Others used too much of the cores for the measurement to count: their share.
#[derive(Debug)]
pub struct Disturbed(pub f64);

impl fmt::Display for Disturbed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "interference: others used {:.0} % of the cores", self.0 * 100.0)
    }
}

impl Error for Disturbed {}

impl Sample {
    /// Refuses a run that others disturbed, and then one with errors: a disturbance makes some.
    pub fn check(&self, interference: f64) -> Result<()> {
        if self.interference > interference {
            return Err(Disturbed(self.interference).into());
        }
        ensure!(self.tally.errors.is_empty(), "errors: {}", self.tally.error_text());
        Ok(())
    }

    pub fn rate(&self) -> f64 {
        self.tally.answers as f64 / self.tally.seconds
    }

    /// CPU microseconds of the server per answer. The shares are of two clocks' seconds, so that
    /// a reading that came late is not counted to the answers.
    pub fn cpu_us(&self) -> f64 {
        self.cpu_share / self.rate() * 1e6
    }

    pub fn mib_rate(&self) -> f64 {
        self.tally.body_bytes as f64 / self.tally.seconds / f64::from(1 << 20)
    }

    /// What every scenario under load reports. Ratios need answers.
    pub fn metrics(&self) -> BTreeMap<&'static str, f64> {
        let mut metrics = BTreeMap::from([
            ("rate", self.rate()),
            ("threads", self.threads as f64),
            ("peak_kib", self.peak_kib as f64),
            ("starved", self.tally.starved as f64),
            ("interference", self.interference),
        ]);
        if self.tally.answers > 0 {
            metrics.extend([
                ("cpu_us", self.cpu_us()),
                ("p50_us", self.tally.p50_us),
                ("p99_us", self.tally.p99_us),
                ("p999_us", self.tally.p999_us),
                ("voluntary", self.voluntary / self.rate()),
                ("involuntary", self.involuntary / self.rate()),
            ]);
        }
        metrics
    }
}

/// A load generator that has been started and can be told to end.
pub struct Load {
    child: Child,
    output: BufReader<std::process::ChildStdout>,
}

impl Load {
    pub fn start(plan: &Plan) -> Result<Self> {
        // This program, also when a build has put another in its place meanwhile.
        let mut command = Command::new("/proc/self/exe");
        command.arg("load").arg(toml::to_string(plan)?);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let output = BufReader::new(child.stdout.take().context("the load's output")?);
        Ok(Self { child, output })
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits until the load has said `word`.
    pub fn wait_for(&mut self, word: &str) -> Result<()> {
        let mut line = String::new();
        self.output.read_line(&mut line)?;
        ensure!(line.trim_end() == word, "the load generator said {line:?}, not {word:?}");
        Ok(())
    }

    /// Tells it to end; what it has seen.
    pub fn finish(mut self) -> Result<Tally> {
        drop(self.child.stdin.take());
        let mut text = String::new();
        self.output.read_to_string(&mut text)?;
        let status = self.child.wait()?;
        ensure!(status.success(), "the load generator ended with {status}");
        Ok(toml::from_str(&text)?)
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs `plan` on a server and measures the window in its middle.
pub fn run(server: &Running, plan: &Plan, cores: Cores) -> Result<Sample> {
    let plan = Plan { port: server.port, core: Some(cores.load), spin: !cores.shared(), ..plan.clone() };
    let mut load = Load::start(&plan)?;
    let read = |load: &Load| -> Result<_> {
        let own = usage::cpu_seconds(load.pid());
        let usage = Usage::read(server.pid());
        Ok((machine::busy(cores)?, own, usage))
    };
    load.wait_for("begin")?;
    let (busy_before, own_before, before) = read(&load)?;
    load.wait_for("end")?;
    let (busy_after, own_after, after) = read(&load)?;
    let tally = load.finish()?;
    let seconds = (after.at - before.at).as_secs_f64();
    let used = after.cpu - before.cpu + own_after - own_before;
    let interference = (busy_after - busy_before - used).max(0.0) / seconds / cores.count() as f64;
    let per_second = |before: u64, after: u64| after.saturating_sub(before) as f64 / seconds;
    Ok(Sample {
        tally,
        cpu_share: (after.cpu - before.cpu).max(0.0) / seconds,
        voluntary: per_second(before.voluntary, after.voluntary),
        involuntary: per_second(before.involuntary, after.involuntary),
        threads: after.threads.max(before.threads),
        peak_kib: after.peak_kib,
        resident_kib: (before.resident_kib, after.resident_kib),
        interference,
    })
}
