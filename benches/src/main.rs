//! The bench of Transom. `--help` says what it does; `README.md` beside it says how it measures.

mod baseline;
mod callgrind;
mod check;
mod gate;
mod load;
mod machine;
mod measure;
mod options;
mod overload;
mod prepare;
mod process;
mod report;
mod results;
mod rotation;
mod scenario;
mod servers;
mod special;
mod stats;
mod story;
mod usage;

use std::path::{Path, PathBuf};
use std::{env, fs, process::ExitCode};

use anyhow::{Context, Result, ensure};

use machine::Cores;
use options::{HELP, Mode, Options};
use report::Report;
use results::Results;
use rotation::Rotation;
use scenario::Scenario;
use servers::{Places, Server};

fn main() -> ExitCode {
    let words: Vec<_> = env::args().skip(1).collect();
    let done = match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["load", plan] => load::main(plan),
        ["-h" | "--help"] => {
            print!("{HELP}");
            Ok(())
        }
        _ => Options::parse(words.into_iter()).and_then(|options| bench(&options)),
    };
    if let Err(error) = done {
        eprintln!("transom-bench: {error:#}");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

fn bench(options: &Options) -> Result<()> {
    let places = places()?;
    let work = Work::new(&places)?;
    machine::raise_open_files()?;
    let done = match options.mode {
        Mode::Quick | Mode::Full | Mode::Report => compare(options, &places),
        Mode::Gate => described(options, &places).and_then(|servers| gate::run(options, &places, servers)),
        Mode::Overload => overload::run(options, &places),
        Mode::Story => described(options, &places).and_then(|servers| story::run(options, &places, servers)),
    };
    drop(work);
    done
}

/// The scratch folder of a run, gone at its end.
struct Work(PathBuf);

impl Work {
    fn new(places: &Places) -> Result<Self> {
        fs::create_dir_all(&places.work).with_context(|| format!("make {}", places.work.display()))?;
        let content: Vec<u8> = (0..check::MIB).map(|at| (at % 251) as u8).collect();
        fs::write(places.file(), content)?;
        Ok(Self(places.work.clone()))
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn places() -> Result<Places> {
    let benches = Path::new(env!("CARGO_MANIFEST_DIR")).to_path_buf();
    let root = benches.parent().context("the repository above benches")?.to_path_buf();
    let work = env::temp_dir().join(format!("transom-bench-{}", std::process::id()));
    // That of `CARGO_TARGET_DIR`, if it is set, as for cargo itself.
    let builds = match env::var_os("CARGO_TARGET_DIR") {
        Some(folder) => std::path::absolute(folder).context("CARGO_TARGET_DIR")?,
        None => benches.join("target"),
    };
    Ok(Places { benches, root, builds, work })
}

/// All servers that are described.
fn described(options: &Options, places: &Places) -> Result<Vec<Server>> {
    let file = options.servers_file.clone().unwrap_or_else(|| places.benches.join("servers/servers.toml"));
    servers::read(&file)
}

/// The servers that were asked for.
fn chosen(options: &Options, places: &Places) -> Result<Vec<Server>> {
    let servers = described(options, places)?;
    for name in &options.servers {
        ensure!(servers.iter().any(|server| server.name == *name), "{name}: no such server");
    }
    let wanted = |server: &Server| match options.servers.is_empty() {
        true => server.quick || options.mode != Mode::Quick,
        false => options.servers.contains(&server.name),
    };
    Ok(servers.into_iter().filter(wanted).collect())
}

/// The scenarios that were asked for, by their ids or their groups.
fn scenarios(options: &Options) -> Result<Vec<Scenario>> {
    let all = scenario::all();
    let named = |scenario: &Scenario, name: &str| scenario.id == name || scenario.group == name;
    for name in &options.only {
        ensure!(all.iter().any(|scenario| named(scenario, name)), "{name}: no such scenario");
    }
    let wanted = |scenario: &Scenario| match options.only.is_empty() {
        true => scenario.quick || options.mode != Mode::Quick,
        false => options.only.iter().any(|name| named(scenario, name)),
    };
    Ok(all.into_iter().filter(wanted).collect())
}

/// Measures what was asked for and writes the report.
fn compare(options: &Options, places: &Places) -> Result<()> {
    let whole = options.mode != Mode::Quick && options.only.is_empty() && options.servers.is_empty();
    // Only a whole run may take the place of the report that is kept.
    let default = if whole { "report" } else { "report/tmp" };
    let out = options.out.clone().unwrap_or_else(|| places.benches.join(default));
    let csv = out.join("results.csv");
    let scenarios = scenarios(options)?;
    let mut servers = chosen(options, places)?;
    let cores = Cores::find()?;
    let mut skipped = Vec::new();
    let mut results = Results::default();
    if options.resume || options.mode == Mode::Report {
        results = Results::read(&csv)?;
    }
    if options.mode != Mode::Report {
        results.drop_refusals();
        (servers, skipped) = prepare::all(servers, places)?;
        let file = fs::read(places.file())?;
        let mut rotation = Rotation { options, places, cores, servers: &servers, file, csv, results };
        rotation.run(&scenarios)?;
        results = rotation.results;
    }
    let report = Report {
        partial: !whole,
        options,
        cores,
        servers: &servers,
        skipped: &skipped,
        scenarios: &scenarios,
        results: &results,
    };
    report.write(&out)?;
    if options.mode == Mode::Report {
        story::redraw(&servers, &out.join("story"))?;
    }
    Ok(())
}
