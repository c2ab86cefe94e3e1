//! What threads cost, and what an event loop does instead: handlers that wait, by the number of
//! connections.

use std::fs;
use std::path::Path;

use anyhow::Result;

use super::Story;
use crate::report::chart::{Line, Lines, Role};
use crate::report::svg::number;
use crate::results::Results;
use crate::rotation::Rotation;
use crate::scenario::{self, Scenario};
use crate::servers::Server;

/// The file of the measurements.
pub const ROUNDS: &str = "waiting-rounds.csv";

const CONNECTIONS: [usize; 5] = [10, 100, 1_000, 4_000, 10_000];

pub fn run(story: &Story) -> Result<()> {
    let scenarios: Vec<Scenario> = CONNECTIONS
        .iter()
        .map(|&connections| Scenario { rounds: 2, ..scenario::waiting(connections) })
        .collect();
    let mut rotation = Rotation {
        options: story.options,
        places: story.places,
        cores: story.cores,
        servers: &story.servers,
        file: Vec::new(),
        csv: story.out.join(ROUNDS),
        results: Results::default(),
    };
    rotation.run(&scenarios)?;
    let results = rotation.results;
    let median = |connections: usize, server: &str, metric: &str| {
        Some(results.get(&format!("wait-{connections}"), server, metric)?.median)
    };
    let header = [
        "connections",
        "server",
        "requests/s",
        "of the ideal",
        "p50 ms",
        "p99 ms",
        "CPU µs/request",
        "switches/request",
        "threads",
        "peak MiB",
        "connections without an answer",
        "refused",
    ];
    let mut rows = Vec::new();
    for connections in CONNECTIONS {
        for server in &story.servers {
            let get = |metric: &str| median(connections, &server.name, metric);
            let shown = |metric: &str, divisor: f64| {
                get(metric).map(|value| number(value / divisor)).unwrap_or_default()
            };
            let switches = get("voluntary").zip(get("involuntary")).map(|(own, forced)| number(own + forced));
            rows.push(vec![
                connections.to_string(),
                server.name.clone(),
                shown("rate", 1.0),
                get("fraction").map(|share| format!("{:.1} %", share * 100.0)).unwrap_or_default(),
                shown("p50_us", 1e3),
                shown("p99_us", 1e3),
                shown("cpu_us", 1.0),
                switches.unwrap_or_default(),
                shown("threads", 1.0),
                shown("peak_kib", 1024.0),
                shown("starved", 1.0),
                results.refusal(&format!("wait-{connections}"), &server.name).unwrap_or_default().to_owned(),
            ]);
        }
    }
    let text = "Each request waits 10 ms in its handler and computes nothing, so that the ideal is the number of \
                connections / 10 ms, until the core is full. Medians of the rounds.";
    story.table("waiting", text, &header, &rows)?;
    let servers: Vec<_> = story.servers.iter().collect();
    plots(&servers, &results, &story.out)
}

/// Writes the plots of measurements.
pub fn plots(servers: &[&Server], results: &Results, out: &Path) -> Result<()> {
    let median = |connections: usize, server: &str, metric: &str| {
        Some(results.get(&format!("wait-{connections}"), server, metric)?.median)
    };
    let charts = [
        ("rate", "Handlers that wait 10 ms: requests per second", "requests per second", 1.0),
        (
            "p99_us",
            "Handlers that wait 10 ms: the slowest in a hundred of the answers that came",
            "99th percentile, ms",
            1e3,
        ),
        ("peak_kib", "Handlers that wait 10 ms: memory", "peak resident MiB", 1024.0),
        ("threads", "Handlers that wait 10 ms: threads", "threads", 1.0),
        ("switches", "Handlers that wait 10 ms: context switches", "context switches per request", 1.0),
    ];
    for (metric, title, y, divisor) in charts {
        let value = |connections: usize, server: &str| match metric {
            "switches" => {
                Some(median(connections, server, "voluntary")? + median(connections, server, "involuntary")?)
            }
            _ => median(connections, server, metric),
        };
        let line = |server: &&Server| Line {
            label: server.name.clone(),
            points: CONNECTIONS
                .iter()
                .filter_map(|&connections| {
                    Some((connections as f64, value(connections, &server.name)? / divisor))
                })
                .filter(|point| point.1 > 0.0)
                .collect(),
            dashed: server.family == "lesson",
            role: if server.family == "transom" { Role::Ours } else { Role::Peer },
        };
        let lines = servers.iter().map(line).filter(|line| !line.points.is_empty()).collect();
        let chart = Lines { title, x: "connections", y, log_x: true, log_y: true, lines };
        let name = metric.trim_end_matches("_us").trim_end_matches("_kib");
        fs::write(out.join(format!("waiting-{name}.svg")), chart.draw())?;
    }
    Ok(())
}
