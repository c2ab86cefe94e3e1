//! The scenarios that are more than one load: idle connections, slow clients, the start.

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use crate::load::Plan;
use crate::load::plan::Slow;
use crate::machine::Cores;
use crate::measure::{self, Load};
use crate::prepare;
use crate::process::Running;
use crate::servers::{Places, Server};
use crate::usage;

pub type Metrics = BTreeMap<&'static str, f64>;

/// Resident bytes of a server for each connection that has made a request and is kept alive.
pub fn idle(server: &Running, plan: &Plan, cores: Cores) -> Result<Metrics> {
    // What the first requests make the server allocate once is not counted to the connections.
    let connections = plan.connections;
    let first = Plan { connections: 8, seconds: 0.1, warm: 0.1, ..plan.clone() };
    measure::run(server, &first, cores)?;
    std::thread::sleep(Duration::from_millis(50));
    let before = usage::resident_bytes(server.pid());
    let plan = Plan {
        port: server.port,
        core: Some(cores.load),
        hold: true,
        timeout: 30.0,
        warm: 0.2,
        seconds: 0.1,
        ..plan.clone()
    };
    let mut load = Load::start(&plan)?;
    load.wait_for("begin")?;
    let after = usage::resident_bytes(server.pid());
    load.wait_for("end")?;
    let tally = load.finish()?;
    ensure!(tally.errors.is_empty(), "errors: {}", tally.error_text());
    ensure!(tally.starved == 0, "{} of {connections} connections got no answer", tally.starved);
    Ok(BTreeMap::from([
        ("idle_bytes", after.saturating_sub(before) as f64 / connections as f64),
        ("resident_kib", after as f64 / 1024.0),
    ]))
}

/// What slow clients do to fast ones.
pub fn slow(server: &Running, fast: &Plan, slow: &Slow, cores: Cores, interference: f64) -> Result<Metrics> {
    let alone = measure::run(server, fast, cores)?;
    alone.check(interference)?;
    // Long enough for a server to have put out the first slow clients, if that is what it does.
    let both = Plan { slow: slow.clone(), warm: 3.0, ..fast.clone() };
    let beside = measure::run(server, &both, cores)?;
    beside.check(interference).context("beside slow clients")?;
    ensure!(beside.tally.starved == 0, "{} fast clients got no answer", beside.tally.starved);
    Ok(BTreeMap::from([
        ("p50_alone_us", alone.tally.p50_us),
        ("p99_alone_us", alone.tally.p99_us),
        ("p50_slow_us", beside.tally.p50_us),
        ("p99_slow_us", beside.tally.p99_us),
        ("p99_ratio", beside.tally.p99_us / alone.tally.p99_us),
        ("slow_closed", beside.tally.slow_closed as f64),
        ("peak_kib", beside.peak_kib as f64),
        ("interference", alone.interference.max(beside.interference)),
    ]))
}

/// The time to the first connection, and what a server brings along.
pub fn start(running: &Running, server: &Server, places: &Places) -> Result<Metrics> {
    let mut metrics = BTreeMap::from([("start_ms", running.start.as_secs_f64() * 1e3)]);
    if let Some(binary) = &server.binary {
        let path = places.fill(binary, &server.name, 0);
        let size = fs::metadata(&path).with_context(|| format!("the size of {path}"))?.len();
        metrics.insert("binary_kib", size as f64 / 1024.0);
    }
    if let Some(package) = &server.package {
        let mut tree = cargo(places, "tree");
        tree.args(["-p", package, "--edges", "normal", "--prefix", "none", "--no-dedupe", "--format", "{p}"]);
        let output = tree.output()?;
        ensure!(output.status.success(), "cargo tree: {}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8_lossy(&output.stdout);
        let crates: std::collections::BTreeSet<_> =
            text.lines().filter(|line| !line.is_empty()).map(|line| line.trim_end_matches(" (*)")).collect();
        // Without the package itself.
        metrics.insert("crates", crates.len().saturating_sub(1) as f64);
    }
    Ok(metrics)
}

/// Seconds that a clean release build of a server's package takes, all cores.
pub fn build_seconds(package: &str, places: &Places) -> Result<f64> {
    let folder = places.work.join("clean");
    let log = places.work.join("clean.log");
    prepare::logged(&mut cargo(places, "fetch"), &log)?;
    let mut build = cargo(places, "build");
    build.args(["--release", "-p", package, "--target-dir"]).arg(&folder);
    let began = Instant::now();
    let built = prepare::logged(&mut build, &log);
    let seconds = began.elapsed().as_secs_f64();
    let _ = fs::remove_dir_all(&folder);
    built.map(|()| seconds)
}

fn cargo(places: &Places, subcommand: &str) -> Command {
    let mut command = Command::new("cargo");
    command.arg(subcommand).arg("--manifest-path").arg(places.benches.join("Cargo.toml"));
    command
}
