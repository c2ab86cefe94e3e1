//! Servers to which more comes than they can do: how much they still do, how late, and how soon they
//! recover. Writes a table, a CSV file and plots.

mod offer;
mod verdict;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::machine::{self, Cores};
use crate::options::Options;
use crate::prepare;
use crate::process::Running;
use crate::report::chart::{Line, Lines, Role};
use crate::report::svg::number;
use crate::report::table::markdown;
use crate::servers::{self, Places, Server};
use offer::{Offer, PATIENCE, Phase};
use verdict::{Verdict, recovery};

/// A handler of all servers, and how many requests a second it can do.
struct Handler {
    path: &'static str,
    title: &'static str,
    capacity: f64,
}

const HANDLERS: [Handler; 2] = [
    Handler { path: "pool", title: "4 threads, 5 ms each", capacity: 800.0 },
    Handler { path: "inline", title: "2 ms of computing in the loop", capacity: 500.0 },
];

/// The loads, as multiples of what the handler can do. The last is for the recovery from the one before.
const LOADS: [f64; 6] = [0.8, 1.0, 2.0, 0.8, 5.0, 0.8];
/// The begin of a phase, in which the server gets used to the load, and which does not count.
const SETTLING: f64 = 1.0;

const HEADER: [&str; 13] = [
    "handler",
    "server",
    "load",
    "offered/s",
    "good/s",
    "of its peak",
    "refused/s",
    "lost/s",
    "p50 ms",
    "p99 ms",
    "health ms",
    "recovery s",
    "load average",
];

/// The measurements of one server.
struct Measured<'a> {
    server: &'a Server,
    handler: &'static Handler,
    /// By load, without the phases of recovery.
    verdicts: Vec<(f64, Verdict)>,
    /// Seconds after the end of each overload until all is as before; `None` if it took too long.
    recoveries: Vec<(f64, Option<f64>)>,
    /// The load average of the machine before the measurement.
    average: String,
}

pub fn run(options: &Options, places: &Places) -> Result<()> {
    let described = servers::read(&places.benches.join("servers/overload.toml"))?;
    let named = |server: &Server| options.servers.is_empty() || options.servers.contains(&server.name);
    let (ready, _) = prepare::all(described.into_iter().filter(named).collect(), places)?;
    let out = options.out.clone().unwrap_or_else(|| places.benches.join("report/overload"));
    fs::create_dir_all(&out)?;
    let cores = Cores::find()?;
    let seconds = options.seconds.unwrap_or(4.0);
    let mut all = Vec::new();
    for handler in &HANDLERS {
        let asked = options.only.is_empty() || options.only.iter().any(|only| only == handler.path);
        for server in
            ready.iter().filter(|server| asked && server.scenarios.iter().any(|it| it == handler.path))
        {
            eprintln!("overload: {} {}", handler.path, server.name);
            all.push(measure(server, handler, places, cores, seconds)?);
        }
    }
    write(&all, cores, seconds, &out)?;
    eprintln!("wrote {}", out.display());
    Ok(())
}

fn measure<'a>(
    server: &'a Server,
    handler: &'static Handler,
    places: &Places,
    cores: Cores,
    seconds: f64,
) -> Result<Measured<'a>> {
    let average = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let average = average.split(' ').next().unwrap_or_default().to_owned();
    let mut running = Running::start(server, places, cores.server)?;
    let phases = LOADS.map(|load| Phase { rate: load * handler.capacity, seconds: SETTLING + seconds });
    let offer = Offer::new(running.port, &format!("/{}", handler.path))?;
    let outcomes = machine::pinned(cores.load, || offer.run(&phases))??;
    running.stop().with_context(|| format!("stop {}", server.name))?;
    let span = |phase: usize| {
        let begin = phase as f64 * (SETTLING + seconds);
        (begin, begin + SETTLING + seconds)
    };
    let settled = |phase: usize| {
        let (begin, end) = span(phase);
        Verdict::of(&outcomes, (begin + SETTLING, end))
    };
    let usual = settled(0);
    let is_recovery = |phase: usize| phase > 0 && LOADS[phase] < 1.0;
    let of = |wanted: bool| (0..LOADS.len()).filter(move |phase| is_recovery(*phase) == wanted);
    let recoveries = of(true).map(|phase| {
        let (begin, end) = span(phase);
        (LOADS[phase - 1], recovery(&outcomes, begin, end, usual.p99 * 2.0))
    });
    let recoveries = recoveries.collect();
    let verdicts = of(false).map(|phase| (LOADS[phase], settled(phase))).collect();
    Ok(Measured { server, handler, verdicts, recoveries, average })
}

impl Measured<'_> {
    fn peak(&self) -> f64 {
        self.verdicts.iter().map(|(_, verdict)| verdict.good).fold(0.0, f64::max)
    }

    fn rows(&self) -> Vec<Vec<String>> {
        let row = |(load, verdict): &(f64, Verdict)| {
            let recovery = self.recoveries.iter().find(|(of, _)| of == load);
            let recovery = recovery.map(|(_, after)| after.map_or("not".to_owned(), |it| format!("{it:.1}")));
            let time = |ms: f64| if ms.is_nan() { String::new() } else { number(ms) };
            vec![
                self.handler.path.to_owned(),
                self.server.name.clone(),
                format!("{load} x"),
                format!("{:.0}", verdict.offered),
                format!("{:.0}", verdict.good),
                format!("{:.2}", verdict.good / self.peak().max(1e-9)),
                format!("{:.0}", verdict.refused),
                format!("{:.0}", verdict.lost),
                time(verdict.p50),
                time(verdict.p99),
                time(verdict.health),
                recovery.unwrap_or_default(),
                self.average.clone(),
            ]
        };
        self.verdicts.iter().map(row).collect()
    }
}

fn write(all: &[Measured<'_>], cores: Cores, seconds: f64, out: &Path) -> Result<()> {
    let rows: Vec<_> = all.iter().flat_map(Measured::rows).collect();
    let line = |cells: Vec<String>| cells.join(",") + "\n";
    let header = line(HEADER.map(str::to_owned).to_vec());
    let csv = rows.iter().fold(header, |csv, row| csv + &line(row.clone()));
    fs::write(out.join("results.csv"), csv)?;
    let handlers =
        HANDLERS.map(|it| format!("`{}` has {} ({} requests a second)", it.path, it.title, it.capacity));
    let mut text = format!(
        "# Overload\n\nEach server gets requests at random times, at {} times what its handler can do, for {} s each, of \
         which the first second does not count; after 2 and 5 x it gets 0.8 x again. {}. A client that has no answer \
         after {PATIENCE} s closes its connection. Good is a 200 within that time; refused is a 503; all else is lost. The \
         times of answers are those of the good ones, from when the request was due. Beside the load, a health \
         check comes every 50 ms on a new connection: the table has the slowest. Recovery is the time after the end of \
         the overload until 90 % are good again, and half of them take at most 2 x the p99 at 0.8 x, for at least a \
         second and on average for the rest of the phase; \"not\" is not in the phase. One process on one core each, and the load on {}.\n\n",
        LOADS.map(|load| load.to_string()).join(", "),
        seconds + SETTLING,
        handlers.join(", "),
        if cores.shared() { "the same" } else { "another" },
    );
    for handler in &HANDLERS {
        let measured: Vec<_> = all.iter().filter(|it| it.handler.path == handler.path).collect();
        if !measured.is_empty() {
            text += &format!("![Goodput over load, {}]({}.svg)\n\n", handler.title, handler.path);
            plot(&measured, handler, &out.join(format!("{}.svg", handler.path)))?;
        }
    }
    text += &markdown(&HEADER, &rows);
    text += "\n";
    let mut named = Vec::new();
    for server in all.iter().map(|it| it.server) {
        if !named.contains(&&*server.name) {
            named.push(&*server.name);
            text += &format!("- {}: {}\n", server.name, server.configuration);
        }
    }
    text += "\n";
    for (name, value) in machine::describe(cores) {
        text += &format!("- {name}: {value}\n");
    }
    fs::write(out.join("README.md"), text)?;
    Ok(())
}

fn plot(measured: &[&Measured<'_>], handler: &Handler, file: &PathBuf) -> Result<()> {
    let lines = measured.iter().map(|it| Line {
        label: it.server.name.clone(),
        points: it.verdicts.iter().map(|(load, verdict)| (*load, verdict.good / handler.capacity)).collect(),
        dashed: it.server.name.ends_with("unlimited"),
        role: if it.server.family == "transom" && !it.server.name.ends_with("unlimited") {
            Role::Ours
        } else {
            Role::Peer
        },
    });
    let title = format!("Goodput under overload: {}", handler.title);
    let chart = Lines {
        title: &title,
        x: "offered load, as a multiple of what the handler can do",
        y: "good answers, as a multiple of what the handler can do",
        log_x: false,
        log_y: false,
        lines: lines.collect(),
    };
    Ok(fs::write(file, chart.draw())?)
}
